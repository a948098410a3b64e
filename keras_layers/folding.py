"""Reshapes between clips and frames.

fold_time     [B, T, ...] -> [B*T, ...]     all frames of all clips as one batch
unfold_time   [B*T, ...] -> [B, T, ...]
swap_time     [B, T, ...] <-> [T, B, ...]   batch-major, time-major
"""

from typing import Any

from keras import ops


def fold_time(clip: Any) -> Any:
    """Return `clip` `[B, T, ...]` as one batch of frames `[B*T, ...]`."""
    return ops.reshape(clip, (-1, *ops.shape(clip)[2:]))


def unfold_time(frames: Any, batch: Any, steps: Any) -> Any:
    """Return a batch of frames `[B*T, ...]` as clips `[B, T, ...]`, the inverse of `fold_time`.

    Args:
        frames: `[batch * steps, ...]`.
        batch: number of clips, an int or a scalar tensor; -1 to infer it.
        steps: frames of a clip, an int or a scalar tensor.
    """
    return ops.reshape(frames, (batch, steps, *ops.shape(frames)[1:]))


def swap_time(x: Any) -> Any:
    """Swap the first two axes: `[B, T, ...] -> [T, B, ...]`, or back."""
    return ops.transpose(x, (1, 0, *range(2, len(x.shape))))
