"""Where a shortcut meets the chain: maps of several ages, sizes and widths become one.

The units of *Skip-Sideways* (*Gradient Forward-Propagation for Large-Scale Temporal Video
Modeling*, CVPR 2021) read the unit before them, and units further back, whose frames are fresher.
"""

from typing import Any

import keras
from keras import ops

MERGES = ("add", "concatenate", "project")


@keras.saving.register_keras_serializable(package="keras_layers")
class ShortcutMerge(keras.layers.Layer):
    """Merges shortcuts into the chain.

    Shortcuts are first averaged over blocks of pixels to the chain's height and width; over all of
    them, where the chain has none any more.

    Args:
        merge: `"add"`; `"concatenate"`, along the last axis; or `"project"`, which adds each
            shortcut after a linear layer to as many channels as the chain has.

    Call arguments:
        inputs: a list: what the chain sends `[B, ..., C]`, then each shortcut `[B, ..., C']`.

    Output shape:
        That of the chain; concatenated, with the channels of all.

    Raises:
        ValueError: another `merge`, or shapes that do not merge.

    Example:
        >>> maps = [keras.ops.ones((1, 2, 2, 3)), keras.ops.ones((1, 4, 4, 5))]
        >>> tuple(ShortcutMerge("concatenate")(maps).shape)
        (1, 2, 2, 8)
    """

    def __init__(self, merge: str = "add", **kwargs: object) -> None:
        super().__init__(**kwargs)
        if merge not in MERGES:
            raise ValueError(f"merge must be one of {MERGES}. Received: {merge!r}")
        self.merge = merge
        self.projections: list[keras.layers.Layer] = []

    def build(self, input_shapes: list[tuple]) -> None:
        chain, *shortcuts = input_shapes
        if self.merge == "project":
            channels = chain[-1]
            self.projections = [
                keras.layers.Dense(channels, use_bias=False, dtype=self.dtype_policy)
                for _ in shortcuts
            ]
            for projection, shape in zip(self.projections, shortcuts, strict=True):
                projection.build((*chain[:-1], shape[-1]))

    def call(self, inputs):
        chain, *shortcuts = inputs
        shortcuts = [_pooled(x, chain.shape) for x in shortcuts]
        if self.merge == "concatenate":
            return ops.concatenate([chain, *shortcuts], axis=-1)
        if self.merge == "project":
            pairs = zip(self.projections, shortcuts, strict=True)
            shortcuts = [projection(x) for projection, x in pairs]
        return sum(shortcuts, start=chain)

    def compute_output_shape(self, input_shapes: list[tuple]) -> tuple:
        chain, *shortcuts = input_shapes
        for shape in shortcuts:
            if len(chain) > 2:
                _blocks(shape[1:-1], chain[1:-1])
            if self.merge == "add" and shape[-1] != chain[-1]:
                raise ValueError(
                    f"cannot add a shortcut of {shape[-1]} channels to the chain's {chain[-1]}: "
                    "use merge='project' or 'concatenate'"
                )
        if self.merge != "concatenate":
            return tuple(chain)
        return (*chain[:-1], sum(shape[-1] for shape in input_shapes))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "merge": self.merge}


def _pooled(frames: Any, target: tuple) -> Any:
    """`frames`, averaged over blocks of pixels to the size of `target`."""
    if frames.shape[1:-1] == target[1:-1]:
        return frames
    if len(target) == 2:  # [B, ..., C] -> [B, C]
        return ops.mean(frames, axis=tuple(range(1, len(frames.shape) - 1)))
    blocks, padding = _blocks(frames.shape[1:-1], target[1:-1])
    return ops.average_pool(frames, blocks, blocks, padding, data_format="channels_last")


def _blocks(sizes: tuple, wanted: tuple) -> tuple[tuple[int, ...], str]:
    """The blocks, and the padding, with which `sizes` pool to the sizes `wanted`.

    Raises:
        ValueError: there are none.
    """
    if len(sizes) == len(wanted) and all(s >= w for s, w in zip(sizes, wanted, strict=True)):
        pairs = list(zip(sizes, wanted, strict=True))
        above, below = tuple(-(-s // w) for s, w in pairs), tuple(s // w for s, w in pairs)
        if all(-(-s // block) == w for (s, w), block in zip(pairs, above, strict=True)):
            return above, "same"
        if all(s // block == w for (s, w), block in zip(pairs, below, strict=True)):
            return below, "valid"
    raise ValueError(
        f"a shortcut of size {tuple(sizes)} cannot be averaged over blocks of pixels to the "
        f"chain's size {tuple(wanted)}. Leave this offset out, or let the modules' sizes divide"
    )
