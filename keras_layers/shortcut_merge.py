"""Merges shortcuts from earlier units, of other sizes and widths, into the input of a unit.

The units of *Skip-Sideways* (*Gradient Forward-Propagation for Large-Scale Temporal Video
Modelling*, CVPR 2021) read the unit before them and units further back. In a pipeline, the outputs
of units further back belong to newer frames.

What it does not do well: it resizes shortcuts only by averaging over whole blocks of pixels.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

MERGES = ("add", "concatenate", "project")
"""How shortcuts join the main input.

- `"add"`: by addition; all have the same number of channels.
- `"concatenate"`: along the channel axis.
- `"project"`: by addition, each shortcut after a linear layer to the channels of the main input.
"""


def check_shortcuts(shortcuts: Sequence[int], owner: str) -> None:
    """Raise a `ValueError` that names `owner` unless all `shortcuts` are offsets of at least 2."""
    if any(not isinstance(offset, int) or offset < 2 for offset in shortcuts):
        raise ValueError(
            f"Invalid shortcuts of {owner}. Expected ints of at least 2, because offset 1 is the "
            f"unit before. Received: {tuple(shortcuts)}"
        )


@keras.saving.register_keras_serializable(package="keras_layers")
class ShortcutMerge(keras.layers.Layer):
    """Merges shortcuts into a main input.

    Shortcuts with more pixels than the main input are first averaged over blocks of pixels to its
    size. If the main input has no spatial axes, they are averaged over all pixels.

    Args:
        merge: `"add"`, `"concatenate"` or `"project"`; see `MERGES`.

    Call arguments:
        inputs: A list: the main input `[B, ..., C]`, then the shortcuts `[B, ..., C']`.

    Output shape:
        The shape of the main input; with `"concatenate"`, with the channels of all inputs.

    Raises:
        ValueError: If `merge` is unknown, or the shapes cannot be merged.

    Example:
        >>> maps = [keras.ops.ones((1, 2, 2, 3)), keras.ops.ones((1, 4, 4, 5))]
        >>> tuple(ShortcutMerge("concatenate")(maps).shape)
        (1, 2, 2, 8)
    """

    def __init__(self, merge: str = "project", **kwargs: object) -> None:
        super().__init__(**kwargs)
        if merge not in MERGES:
            raise ValueError(f"Invalid merge. Expected one of {MERGES}. Received: {merge!r}")
        self.merge = merge
        self.projections: list[keras.layers.Layer] = []

    def build(self, input_shapes: list[tuple]) -> None:
        main, *shortcuts = input_shapes
        if self.merge == "project":
            self.projections = [
                keras.layers.Dense(main[-1], use_bias=False, dtype=self.dtype_policy)
                for _ in shortcuts
            ]
            for projection, shape in zip(self.projections, shortcuts, strict=True):
                projection.build((*main[:-1], shape[-1]))

    def call(self, inputs):
        main, *shortcuts = inputs
        shortcuts = [_pool_to(shortcut, main.shape) for shortcut in shortcuts]
        if self.merge == "concatenate":
            return ops.concatenate([main, *shortcuts], axis=-1)
        if self.merge == "project":
            pairs = zip(self.projections, shortcuts, strict=True)
            shortcuts = [projection(shortcut) for projection, shortcut in pairs]
        return sum(shortcuts, start=main)

    def compute_output_shape(self, input_shapes: list[tuple]) -> tuple:
        main, *shortcuts = input_shapes
        for shape in shortcuts:
            if len(main) > 2:
                _pooling(shape[1:-1], main[1:-1])
            if self.merge == "add" and shape[-1] != main[-1]:
                raise ValueError(
                    f"Cannot add a shortcut with {shape[-1]} channels to a main input with "
                    f"{main[-1]} channels. Use merge='project' or merge='concatenate'."
                )
        if self.merge != "concatenate":
            return tuple(main)
        return (*main[:-1], sum(shape[-1] for shape in input_shapes))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "merge": self.merge}


def _pool_to(frames: Any, shape: tuple) -> Any:
    """Average `frames` over blocks of pixels to the size of a tensor of shape `shape`."""
    if frames.shape[1:-1] == shape[1:-1]:
        return frames
    if len(shape) == 2:  # [B, ..., C] -> [B, C]
        return ops.mean(frames, axis=tuple(range(1, len(frames.shape) - 1)))
    blocks, padding = _pooling(frames.shape[1:-1], shape[1:-1])
    return ops.average_pool(frames, blocks, blocks, padding, data_format="channels_last")


def _pooling(sizes: tuple, targets: tuple) -> tuple[tuple[int, ...], str]:
    """Return block sizes and padding that pool maps of `sizes` to `targets`.

    Raises:
        ValueError: If no block sizes do.
    """
    if len(sizes) == len(targets) and all(s >= t for s, t in zip(sizes, targets, strict=True)):
        pairs = list(zip(sizes, targets, strict=True))
        ceil, floor = tuple(-(-s // t) for s, t in pairs), tuple(s // t for s, t in pairs)
        if all(-(-s // block) == t for (s, t), block in zip(pairs, ceil, strict=True)):
            return ceil, "same"
        if all(s // block == t for (s, t), block in zip(pairs, floor, strict=True)):
            return floor, "valid"
    raise ValueError(
        f"A shortcut of size {tuple(sizes)} cannot be averaged over blocks of pixels to the main "
        f"input's size {tuple(targets)}. Leave out this shortcut, or choose strides for which the "
        "sizes divide."
    )
