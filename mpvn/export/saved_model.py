"""Export a network as a SavedModel that streams with TensorFlow alone, without this package.

Signatures, all with an open batch axis:

- `init_states`: `batch_size` (int32 scalar) -> the named initial states of that many streams.
- `step`: one frame per input, and the states -> one value per output, and the new states. States
  keep their names. The step counter `step` is the only tensor without a batch axis. Subnetworks
  that do not tick are skipped: each block on a slow clock is under one conditional.
- `clip`: one clip of any length per input -> the outputs of every step, from zero states.

Inputs are named like the frame model's inputs, outputs like the nodes that produce them; characters
other than letters, digits and underscores become underscores. The default serving signature is
`step`.
"""

import os
import pathlib
import re

import keras
import tensorflow as tf

from mpvn import executors
from mpvn.files import AtomicPath
from mpvn.plan.graph import Tensor
from mpvn.state import STEP


def export_network(network: keras.Model, path: str | os.PathLike) -> None:
    """Write `network` as a SavedModel.

    Args:
        network: A causal `VideoNetwork`.
        path: Folder to create. It appears only when it is complete.

    Raises:
        FileExistsError: If `path` exists.
        ValueError: If the network looks into the future and therefore cannot stream.
    """
    target = pathlib.Path(path)
    if target.exists():
        raise FileExistsError(
            f"Cannot export to {target}. Expected a new folder. Received: a path that exists. "
            "Remove it or choose another path."
        )
    network.check_streams()
    signatures = _Signatures(network)
    archive = keras.export.ExportArchive()
    archive.track(network)
    archive.add_endpoint("step", signatures.step, [signatures.step_specs()])
    archive.add_endpoint("clip", signatures.clip, [signatures.frame_specs((None, None))])
    archive.add_endpoint(
        "init_states", signatures.init_states, [tf.TensorSpec((), tf.int32, name="batch_size")]
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    with AtomicPath(target) as folder:
        archive.write_out(str(folder), verbose=False)


class _Signatures:
    """The exported functions of a network. They take and return flat dicts of named tensors."""

    def __init__(self, network: keras.Model) -> None:
        self._network = network
        tensors = network.graph.tensors
        inputs = [tensors[index] for index in network.graph.inputs]
        self._frames = dict(zip(_plain_names(inputs), inputs, strict=True))
        self._outputs = _plain_names([tensors[index] for index in network.graph.outputs])

    def frame_specs(self, leading: tuple[None, ...]) -> dict[str, tf.TensorSpec]:
        """Return the specs of the inputs by name, with `leading` axes."""
        return {
            name: tf.TensorSpec((*leading, *tensor.shape), tensor.dtype, name=name)
            for name, tensor in self._frames.items()
        }

    def step_specs(self) -> dict[str, tf.TensorSpec]:
        """Return the specs of one frame per input, the step counter and the states."""
        slots = self._network.plan.histories.specs.items()
        states = {name: tf.TensorSpec(x.shape, x.dtype, name=name) for name, x in slots}
        counter = {STEP: tf.TensorSpec((), tf.int64, name=STEP)}
        return {**self.frame_specs((None,)), **counter, **states}

    def step(self, values: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        plan = self._network.plan
        frames = [values[name] for name in self._frames]
        slots = {name: values[name] for name in plan.histories.specs}
        outputs, after = executors.step(plan, frames, slots, values[STEP], training=False)
        named = dict(zip(self._outputs, outputs, strict=True))
        return {**named, **after, STEP: values[STEP] + 1}

    def clip(self, clips: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        outputs = self._network([clips[name] for name in self._frames], training=False)
        return dict(zip(self._outputs, keras.tree.flatten(outputs), strict=True))

    def init_states(self, batch_size: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._network.initial_state(batch_size)


def _plain_names(tensors: list[Tensor]) -> list[str]:
    """Return unique names of letters, digits and underscores that differ from `STEP`."""
    names = [STEP, *(re.sub(r"[^A-Za-z0-9_]", "_", tensor.name) for tensor in tensors)]
    return [name if name not in names[:i] else f"{name}_{i}" for i, name in enumerate(names)][1:]
