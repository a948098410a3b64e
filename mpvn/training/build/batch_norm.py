"""Which batch norms train, and how fast their moving statistics follow.

Layer by layer, batch norm takes the statistics of all ticks of the clips and moves once a batch.
Step by step, as networks with feedback must train, it takes those of one tick and moves at each.
A momentum that fits the former then forgets all clips but the last, and inference fails. So
`training.batch_norm_momentum` is that of a batch, and it is divided among the ticks.

Normalization itself stays that of a tick. Neighboring frames look alike, so a clip has hardly more
to tell about the mean and variance than one of its frames, and gathering them over the steps so
far would let the zeros that a pipeline starts from into the statistics of all later steps.
`model.start="primed"` avoids these zeros. `norm="group"` has no statistics at all.
"""

from keras import layers
from ml_collections import ConfigDict

from mpvn.executors.choose import choose_executor
from mpvn.network import VideoNetwork
from mpvn.training.options import unknown

MODES = ("trained", "frozen", "frozen_but_first")
"""Values of `training.batch_norm`. A frozen batch norm keeps its scale and shift, and uses its
moving statistics in training, too."""


def set_batch_norm(network: VideoNetwork, config: ConfigDict) -> None:
    """Freeze batch norms of `network` in place, and set the momentum of the others.

    Raises:
        ValueError: `training.batch_norm` is unknown, or there is no batch norm to freeze.
    """
    mode, momentum = config.training.batch_norm, config.training.batch_norm_momentum
    if mode not in MODES:
        raise unknown("config.training.batch_norm", mode, MODES)
    ticks = _ticks(network, config)
    if mode != "trained":
        frozen = [*ticks][mode == "frozen_but_first" :]
        if not frozen:
            raise ValueError(
                f"config.training.batch_norm: expected a network with batch norms to freeze. "
                f"Received: {mode}, and {network.frame_model.name!r} with {len(ticks)}. Set "
                "config.training.batch_norm=trained"
            )
        for norm in frozen:
            norm.trainable = False
    if momentum is not None:
        for norm, count in ticks.items():
            norm.momentum = momentum ** (1 / count)


def _ticks(network: VideoNetwork, config: ConfigDict) -> dict[layers.BatchNormalization, int]:
    """The times that each batch norm moves in a batch of clips; with a trainer, in a step."""
    plan, frames = network.plan, config.clip.frames * config.clip.montage
    executor = choose_executor(
        network.executor, plan, config.training.batch_size, frames, training=True
    )
    by_step = executor == "unroll" and config.training.trainer is None
    counts: dict[layers.BatchNormalization, int] = {}
    for node in plan.graph.nodes:
        count = max(1, plan.clock(node).count(frames)) if by_step else 1
        for layer in node.layers:
            if isinstance(layer, layers.BatchNormalization):
                counts[layer] = counts.get(layer, 0) + count
    return counts
