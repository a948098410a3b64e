"""Ways to shift channels along time: pure functions over a clip, and over a frame of a stream.

All give what `keras_layers.TemporalShift` gives. Over a clip `[B, T, H, W, C]` shifts are
bi-directional: channels `[0:fold]` come from the next frame, `[fold:2 * fold]` from the one before,
zeros at the ends. Over a frame `[B, H, W, C]` they are uni-directional: channels `[0:fold]` are
`past`, `[B, H, W, fold]`.

Two ways take the kernel `[C, filters]` of the 1x1 convolution that reads the shifted channels, and
give its output: no frame is copied, but there is more to multiply and to add.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

SPACE = [[0, 0]] * 3
"""No padding of height, width and channels."""


class Variant(NamedTuple):
    """A way to shift.

    Attributes:
        clip: from a clip and `fold` to the shifted clip.
        frame: from `past` and a frame to the shifted frame; None if there is nothing of its own.
        fused: whether both take the next kernel besides, and give the convolution's output.
    """

    clip: Callable[..., tf.Tensor]
    frame: Callable[..., tf.Tensor] | None
    fused: bool = False


# --- concatenation --------------------------------------------------------------------------


def whole_clips(clip: tf.Tensor, fold: int) -> tf.Tensor:
    """A concatenation of whole clips, padded and cut: what the layer did at first."""
    past = tf.pad(clip[..., fold : 2 * fold], [[0, 0], [1, 0], *SPACE])[:, : clip.shape[1]]
    padded = tf.pad(clip, [[0, 0], [1, 1], *SPACE])
    present, future = padded[:, 1:-1], padded[:, 2:]
    return tf.concat([future[..., :fold], past, present[..., 2 * fold :]], axis=-1)


def moved(clip: tf.Tensor, fold: int) -> list[tf.Tensor]:
    """What moves, where it moves to, each `[B, T, H, W, fold]`: from the next frames, the last."""
    future = tf.pad(clip[..., :fold], [[0, 0], [0, 1], *SPACE])[:, 1:]
    past = tf.pad(clip[..., fold : 2 * fold], [[0, 0], [1, 0], *SPACE])[:, :-1]
    return [future, past]


def by(replace: Callable[..., tf.Tensor], fused: bool = False) -> Variant:
    """The way that `replace` makes of a clip, or frame, and of what moves, in one piece, its first
    channels; a fused one takes the kernel besides."""

    def clip(clip: tf.Tensor, fold: int, *kernel: tf.Tensor) -> tf.Tensor:
        return replace(clip, tf.concat(moved(clip, fold), axis=-1), *kernel)

    def frame(past: tf.Tensor, frame: tf.Tensor, *kernel: tf.Tensor) -> tf.Tensor:
        return replace(frame, past, *kernel)

    return Variant(clip, frame, fused)


def concatenation(clip: tf.Tensor, fold: int) -> tf.Tensor:
    """What moves is padded and cut, and nothing else; what the layer does."""
    return tf.concat([*moved(clip, fold), clip[..., 2 * fold :]], axis=-1)


def frame_concatenation(past: tf.Tensor, frame: tf.Tensor) -> tf.Tensor:
    return tf.concat([past, frame[..., past.shape[-1] :]], axis=-1)


# --- one buffer -----------------------------------------------------------------------------


def _overwritten(whole: tf.Tensor, first: tf.Tensor) -> tf.Tensor:
    """A copy of `whole` with `first` over its first channels; as matrices, which is the faster."""
    return tf.reshape(
        tf.raw_ops.TensorStridedSliceUpdate(
            input=tf.reshape(whole, (-1, whole.shape[-1])),
            begin=[0, 0],
            end=[0, first.shape[-1]],
            strides=[1, 1],
            value=tf.reshape(first, (-1, first.shape[-1])),
            begin_mask=0b11,
            end_mask=0b01,
        ),
        tf.shape(whole),
    )


# --- masks ----------------------------------------------------------------------------------


def _masked(whole: tf.Tensor, first: tf.Tensor) -> tf.Tensor:
    """What stays times a mask, plus `first`, padded to all channels."""
    stays = whole.shape[-1] - first.shape[-1]
    keep = tf.concat([tf.zeros(first.shape[-1]), tf.ones(stays)], axis=0)
    around = [[0, 0]] * (len(whole.shape) - 1) + [[0, stays]]
    return whole * tf.cast(keep, whole.dtype) + tf.pad(first, around)


# --- gather ---------------------------------------------------------------------------------


def gather(clip: tf.Tensor, fold: int) -> tf.Tensor:
    """All channels in pieces that move together, gathered; places outside the clip give zeros.

    In one pass, but for a clip of known shape alone; XLA, which clamps places, gives other values.
    """
    batch, time, height, width, channels = clip.shape
    piece = int(np.gcd(fold, channels))
    place = np.arange(clip.shape.num_elements() // piece)
    place = place.reshape(batch, time, height * width, channels // piece)
    source = place.copy()
    future, past = slice(0, fold // piece), slice(fold // piece, 2 * fold // piece)
    source[..., future] = source[..., past] = -1
    source[:, :-1, :, future] = place[:, 1:, :, future]
    source[:, 1:, :, past] = place[:, :-1, :, past]
    pieces = tf.reshape(clip, (-1, piece))
    places = tf.constant(source.reshape(-1, 1), tf.int32)
    found = tf.gather_nd(pieces, places, bad_indices_policy="IGNORE")
    return tf.reshape(found, clip.shape)


def frame_gather(past: tf.Tensor, frame: tf.Tensor) -> tf.Tensor:
    """Channels of the frame with the past's after them."""
    fold, channels = past.shape[-1], frame.shape[-1]
    order = [*range(channels, channels + fold), *range(fold, channels)]
    return tf.gather(tf.concat([frame, past], axis=-1), order, axis=-1)


# --- depthwise convolution ------------------------------------------------------------------


def depthwise(clip: tf.Tensor, fold: int) -> tf.Tensor:
    """A depthwise convolution over time, a tap of 1 for each channel.

    In one pass; but 0 times an infinity of another frame is no zero.
    """
    taps = np.zeros((3, 1, clip.shape[-1], 1))  # of the frame before, this one and the next
    taps[2, 0, :fold] = taps[0, 0, fold : 2 * fold] = taps[1, 0, 2 * fold :] = 1
    return _over_time(clip, taps, "SAME")


def frame_depthwise(past: tf.Tensor, frame: tf.Tensor) -> tf.Tensor:
    fold, channels = past.shape[-1], frame.shape[-1]
    taps = np.zeros((2, 1, channels, 1))
    taps[0, 0, :fold] = taps[1, 0, fold:] = 1
    whole = tf.pad(past, [*SPACE, [0, channels - fold]])
    return _over_time(tf.stack([whole, frame], axis=1), taps, "VALID")[:, 0]


def _over_time(clip: tf.Tensor, taps: np.ndarray, padding: str) -> tf.Tensor:
    batch, time, height, width, channels = clip.shape
    rows = tf.reshape(clip, (-1, time, height * width, channels))  # [B, T, H*W, C]
    kernel = tf.constant(taps, clip.dtype)
    rows = tf.nn.depthwise_conv2d(rows, kernel, (1, 1, 1, 1), padding)
    return tf.reshape(rows, (-1, rows.shape[1], height, width, channels))


# --- fused into the next convolution --------------------------------------------------------


def _by_two_kernels(whole: tf.Tensor, first: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """`whole` by the kernel with zeros where channels move, plus `first` by the rest of it."""
    moving = first.shape[-1]
    if moving == whole.shape[-1]:
        return convolved(first, kernel)
    staying = tf.concat([tf.zeros_like(kernel[:moving]), kernel[moving:]], axis=0)
    return convolved(whole, staying) + convolved(first, kernel[:moving])


def _by_parts(whole: tf.Tensor, first: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """What stays by its part of the kernel, plus `first` by the rest of it: nothing joined."""
    moving = first.shape[-1]
    if moving == whole.shape[-1]:
        return convolved(first, kernel)
    return convolved(whole[..., moving:], kernel[moving:]) + convolved(first, kernel[:moving])


def convolved(frames: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """The 1x1 convolution of frames, or clips, `[..., C]` with a kernel `[C, filters]`."""
    *leading, height, width, channels = frames.shape
    images = tf.reshape(frames, (-1, height, width, channels))
    outputs = tf.nn.conv2d(images, kernel[None, None], 1, "VALID")
    sizes = (*leading, height, width, kernel.shape[-1])
    return tf.reshape(outputs, [-1 if size is None else size for size in sizes])


VARIANTS = {
    "whole clips": Variant(whole_clips, None),
    "concatenation": Variant(concatenation, frame_concatenation),
    "one buffer": by(_overwritten),
    "mask": by(_masked),
    "gather": Variant(gather, frame_gather),
    "depthwise": Variant(depthwise, frame_depthwise),
    "fused": by(_by_two_kernels, fused=True),
    "split": by(_by_parts, fused=True),
}
