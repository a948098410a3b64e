"""Data parallel training: replicas of the network, each with its share of every batch.

    strategy        replicas                  trained by
    None            one                       Keras's `fit`
    "mirrored"      one per local device      Keras's `fit` under `tf.distribute.MirroredStrategy`
    "multi_worker"  one per process           the loop in `mpvn.training.peer_loop`, because Keras 3
                                              cannot `fit` under `MultiWorkerMirroredStrategy`

The batch size of the config is that of all replicas together, and so are the learning rate, the
norm of the gradient, and what a checkpoint counts. Replica r of R gets the r-th of R equal parts of
a batch, in order. With mirrored replicas, TensorFlow keeps a copy of each variable on each device.
Processes have plain variables, placed by their plan, so a replica may have several devices.

What it does not do well: dropout draws the same numbers in each replica, for its own clips.
"""

import contextlib
import dataclasses
import functools
import json
import sys
import zlib
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf
from ml_collections import ConfigDict

from mpvn import replicas
from mpvn.cluster import Cluster
from mpvn.cluster.devices import start_devices
from mpvn.cluster.peers import PeerWatch, strategy_of_peers
from mpvn.executors.choose import choose_executor
from mpvn.network import VideoNetwork
from mpvn.training.options import unknown
from mpvn.training.run_folder import as_json

STRATEGIES = ("mirrored", "multi_worker")
"""Values of `training.strategy`."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where this process stands among those that train together.

    Attributes:
        cluster: the addresses of all.
        task: the number of this process among the workers.
    """

    cluster: Cluster
    task: int


@dataclasses.dataclass(frozen=True)
class Group:
    """The replicas that train together.

    Attributes:
        strategy: TensorFlow's strategy; None for one replica.
        place: where this process stands, if there are several.
        watch: what ends this process when another is lost.
    """

    strategy: tf.distribute.Strategy | None = None
    place: Place | None = None
    watch: PeerWatch | None = None

    @property
    def count(self) -> int:
        """The number of replicas."""
        return self.strategy.num_replicas_in_sync if self.strategy else 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes the folder of the run."""
        return self.place is None or self.place.task == 0

    @property
    def share(self) -> tuple[int, int]:
        """The part of each batch that this process reads, and the number of parts."""
        return (self.place.task, self.count) if self.place else (0, 1)

    def scope(self) -> Any:
        """Return the context in which the network and its optimizer are built."""
        if self.strategy is None or self.place is not None:
            return contextlib.nullcontext()
        return self.strategy.scope()

    def meet(self) -> None:
        """Wait for all processes, before they end: one that ends is missed by the others."""
        self.from_first(0.0)

    def from_first(self, *values: float) -> list[float]:
        """Return the numbers of the first process in all of them, which must call this together."""
        if self.place is None or self.strategy is None:
            return list(values)
        own = tf.constant(values if self.is_first else [0.0] * len(values), tf.float64)
        return [float(x) for x in tf.unstack(self._totals([own])[0])]

    def share_variables(self, variables: list[keras.Variable]) -> None:
        """Assign the first process's values of variables in all processes."""
        if self.place is None or self.strategy is None:
            return
        values = [tf.convert_to_tensor(variable.value) for variable in variables]
        wide = [x if x.dtype.is_floating else tf.cast(x, tf.int64) for x in values]
        totals = self._totals(wide if self.is_first else [tf.zeros_like(x) for x in wide])
        for variable, value, summed in zip(variables, values, totals, strict=True):
            variable.assign(tf.cast(summed, value.dtype))

    def check_equal(self, config: ConfigDict) -> None:
        """Check that all processes have the same config.

        Raises:
            ValueError: they have not; in all processes.
        """
        own = float(zlib.crc32(json.dumps(as_json(config), sort_keys=True).encode()))
        differs = float(self.from_first(own)[0] != own)
        if self.place and float(self._totals([tf.constant(differs)])[0]):
            raise ValueError(
                "The workers of a cluster train one run. Expected the same config in all of them. "
                "Received: different ones. Start each with the same --config and its own --task"
            )

    def _totals(self, values: list[tf.Tensor]) -> list[tf.Tensor]:
        """Return the sums of tensors over all processes, which must call this together."""
        return self._traced_totals(*values)

    @functools.cached_property
    def _traced_totals(self) -> Any:
        strategy: Any = self.strategy
        return tf.function(lambda *own: strategy.run(replicas.total, args=(own,)), autograph=False)


@contextlib.contextmanager
def group_of(config: ConfigDict, place: Place | None) -> Iterator[Group]:
    """Start the replicas that `config.training.strategy` asks for, during the block.

    Args:
        config: the config.
        place: where this process stands, for `"multi_worker"`.

    Raises:
        ConnectionError: the address of this process cannot be used.
        ValueError: the config does not fit, or there is no cluster.
    """
    strategy = config.training.strategy
    if strategy not in (None, *STRATEGIES):
        raise unknown("config.training.strategy", strategy, STRATEGIES, "None trains one replica")
    if (strategy == "multi_worker") != (place is not None):
        raise ValueError(
            "config.training.strategy: multi_worker trains on the workers of a cluster. Expected "
            f"both. Received: {strategy}, and {'a' if place else 'no'} cluster. Give --cluster "
            "FILE --task K with --config.training.strategy=multi_worker"
        )
    if strategy is None:
        yield Group()
        return
    if config.training.dtype_policy == "mixed_float16":
        raise ValueError(
            "config.training.dtype_policy: replicas do not agree on a scale of losses. Expected "
            "float32 or mixed_bfloat16 with config.training.strategy. Received: mixed_float16"
        )
    if place is None:
        group = Group(replicas.update_locally(_mirrored(config)))
        _check_batch(config, group)
        yield group
        return
    start_devices(config.plan.devices)  # before TensorFlow starts
    peers = replicas.update_locally(strategy_of_peers(place.cluster, place.task))
    with PeerWatch(place.cluster) as watch:
        group = Group(peers, place, watch)
        _check_batch(config, group)
        group.check_equal(config)
        yield group
        group.meet()


def _mirrored(config: ConfigDict) -> tf.distribute.Strategy:
    """Return the strategy of all local GPUs, or else of all logical CPUs."""
    training = config.training
    if config.plan.devices is not None:
        raise ValueError(
            "config.plan.devices: each mirrored replica is on one device. Expected None. Received: "
            f"{config.plan.devices}. Use config.training.strategy=multi_worker, whose replicas may "
            "have several"
        )
    devices = [
        each.name
        for each in tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    ]
    if len(devices) < 2:
        raise ValueError(
            "config.training.strategy: mirrored replicas have a local device each. Expected two "
            f"GPUs or more. Received: {', '.join(devices)}. Leave the strategy out"
        )
    if training.update_every is not None:
        raise ValueError(
            "config.training.update_every: mirrored replicas cannot agree within clips. Expected "
            f"None. Received: {training.update_every}. Use config.training.strategy=multi_worker"
        )
    return tf.distribute.MirroredStrategy(devices)


def _check_batch(config: ConfigDict, group: Group) -> None:
    size = config.training.batch_size
    if size % group.count:
        raise ValueError(
            "config.training.batch_size: the replicas share each batch equally. Expected a "
            f"multiple of {group.count}, the number of replicas. Received: {size}"
        )


def synchronize_batch_norm(network: VideoNetwork, config: ConfigDict) -> None:
    """Make the batch norms of a network take the statistics of all replicas' clips."""
    if not config.training.strategy:
        return
    norms = batch_norms(network)
    if norms and not config.training.synchronized_batch_norm:
        print(
            f"batch norm: each replica normalizes its own clips, in {len(norms)} layers "
            "(config.training.synchronized_batch_norm)",
            file=sys.stderr,
        )
    _check_loops(network, config, bool(norms))
    for norm in norms:
        norm.synchronized = config.training.synchronized_batch_norm


def _check_loops(network: VideoNetwork, config: ConfigDict, has_norms: bool) -> None:
    """Refuse batch norms that would have to agree within a loop over steps.

    TensorFlow can neither derive collective operations in a loop, nor match those of two loops in
    one process.

    Raises:
        ValueError: there are such batch norms.
    """
    training = config.training
    mirrored = training.strategy == "mirrored"
    frames = config.clip.frames * config.clip.montage
    executor = choose_executor(
        network.executor, network.plan, training.batch_size, frames, training=True
    )
    by_step = training.trainer is None and executor == "unroll"
    agrees = training.synchronized_batch_norm or mirrored
    if has_norms and ((by_step and agrees) or (training.trainer == "sideways" and mirrored)):
        remedy = "config.training.executor=layerwise" if by_step else "strategy=multi_worker"
        remedy += "" if mirrored else ", config.training.synchronized_batch_norm=False"
        raise ValueError(
            f"config.training.strategy: {training.strategy} replicas cannot agree on batch norm "
            f"step by step. Expected layer by layer, or a network without batch norm. Received: "
            f"{network.frame_model.name!r}, step by step. Use {remedy}, or norm=group"
        )


def batch_norms(network: VideoNetwork) -> list[keras.layers.BatchNormalization]:
    """Return the batch norms of a network that train."""
    layers = {id(layer): layer for node in network.graph.nodes for layer in node.layers}
    kind = keras.layers.BatchNormalization
    return [x for x in layers.values() if isinstance(x, kind) and x.trainable]
