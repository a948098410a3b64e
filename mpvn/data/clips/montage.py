"""Join several clips into one, so that a network meets the next clip while it processes another.

    montage of 2                0 1 2 3 4 5 0 1 2 3 4 5
    interleaved                 0 0 1 1 2 2 3 3 4 4 5 5      frames of the clips alternate

*Skip-Sideways* (CVPR 2021, supplement) trains like this on 2 and 3 clips of 16 frames: Sideways
mixes the gradients of successive frames, and so the gradients of different clips.
"""

from typing import Any

import tensorflow as tf


def montage(values: Any, clips: int, interleaved: bool = False) -> Any:
    """Join each group of `clips` clips of a batch into one.

    Args:
        values: A structure of tensors `[B * clips, T, ...]`: frames, and values for each frame.
        clips: Number of clips to join, at least 1.
        interleaved: Whether frames of the clips alternate, instead of one clip following another.

    Returns:
        The same structure of tensors `[B, clips * T, ...]`. Remaining clips at the end of the batch
        are dropped.

    Raises:
        ValueError: `clips` is less than 1.
    """
    if not isinstance(clips, int) or clips < 1:
        raise ValueError(f"clips: expected an int of at least 1. Received: {clips!r}.")
    return tf.nest.map_structure(lambda x: _join(x, clips, interleaved), values)


def _join(x: tf.Tensor, clips: int, interleaved: bool) -> tf.Tensor:
    batch, steps, *rest = x.shape
    groups = None if batch is None else batch // clips
    length = None if steps is None else steps * clips
    shape = tf.shape(x)
    # [B * clips, T, ...] -> [B, clips, T, ...]
    complete = x[: shape[0] // clips * clips]
    grouped = tf.reshape(complete, tf.concat([[shape[0] // clips, clips], shape[1:]], axis=0))
    if interleaved:
        order = [0, 2, 1, *range(3, len(x.shape) + 1)]
        grouped = tf.transpose(grouped, order)  # [B, clips, T, ...] -> [B, T, clips, ...]
    # -> [B, clips * T, ...]
    joined = tf.reshape(grouped, tf.concat([[shape[0] // clips, clips * shape[1]], shape[2:]], 0))
    return tf.ensure_shape(joined, (groups, length, *rest))
