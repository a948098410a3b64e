"""Several clips as one: what a network does that is in the middle of one when the next begins.

    montage of 2                0 1 2 3 4 5 0 1 2 3 4 5
    interleaved                 0 0 1 1 2 2 3 3 4 4 5 5      a frame of each in turn

*Skip-Sideways* (CVPR 2021, supplement) trains so on 2 and 3 clips of 16 frames: Sideways mixes
gradients of neighbors in time, and so those of different clips.
"""

from typing import Any

import tensorflow as tf


def montage(values: Any, clips: int, interleaved: bool = False) -> Any:
    """Joins every `clips` clips of a batch into one.

    Args:
        values: a structure of tensors `[B * clips, T, ...]`: frames, and what belongs to each.
        clips: how many become one, at least 1.
        interleaved: whether their frames take turns, instead of clip following clip.

    Returns:
        The same structure of tensors `[B, clips * T, ...]`. Clips at the end of the batch that are
        too few to make one more are left out.

    Raises:
        ValueError: a number below 1.
    """
    if not isinstance(clips, int) or clips < 1:
        raise ValueError(f"a montage needs at least 1 clip. Received: {clips!r}")
    return tf.nest.map_structure(lambda x: _joined(x, clips, interleaved), values)


def _joined(x: tf.Tensor, clips: int, interleaved: bool) -> tf.Tensor:
    batch, steps, *rest = x.shape
    several = None if batch is None else batch // clips
    length = None if steps is None else steps * clips
    dynamic = tf.shape(x)
    whole = x[: dynamic[0] // clips * clips]
    grouped = tf.reshape(whole, tf.concat([[dynamic[0] // clips, clips], dynamic[1:]], axis=0))
    if interleaved:
        order = [0, 2, 1, *range(3, len(x.shape) + 1)]
        grouped = tf.transpose(grouped, order)  # [B, clips, T, ...] -> [B, T, clips, ...]
    shape = tf.concat([[dynamic[0] // clips, clips * dynamic[1]], dynamic[2:]], axis=0)
    return tf.ensure_shape(tf.reshape(grouped, shape), (several, length, *rest))
