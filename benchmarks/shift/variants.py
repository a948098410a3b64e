"""Variants of the temporal shift: pure functions over a clip, and over one frame of a stream.

All of them compute what `keras_layers.TemporalShift` computes. Over a clip `[B, T, H, W, C]`,
shifts go both ways: channels `[0:fold]` come from the next frame, channels `[fold:2 * fold]` from
the previous frame, with zeros at the ends. Over a frame `[B, H, W, C]` they go one way: channels
`[0:fold]` are `past`, `[B, H, W, fold]`.

Two variants take the kernel `[C, filters]` of the 1x1 convolution that reads the shifted map, and
return its output. They copy no frame, but multiply and add more.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

UNPADDED = [[0, 0]] * 3
"""No padding of three axes, such as height, width and channels of a clip."""


class Variant(NamedTuple):
    """An implementation of the shift.

    Attributes:
        clip: Takes a clip and `fold`, returns the shifted clip.
        frame: Takes `past` and a frame, returns the shifted frame. None if it would be the same as
            concatenation.
        fused: Whether both take the kernel of the next convolution as well, and return its output.
    """

    clip: Callable[..., tf.Tensor]
    frame: Callable[..., tf.Tensor] | None
    fused: bool = False


# --- concatenation --------------------------------------------------------------------------------


def whole_clips(clip: tf.Tensor, fold: int) -> tf.Tensor:
    """Pad and slice the whole clip, then concatenate: the first implementation of the layer."""
    past = tf.pad(clip[..., fold : 2 * fold], [[0, 0], [1, 0], *UNPADDED])[:, : clip.shape[1]]
    padded = tf.pad(clip, [[0, 0], [1, 1], *UNPADDED])
    present, future = padded[:, 1:-1], padded[:, 2:]
    return tf.concat([future[..., :fold], past, present[..., 2 * fold :]], axis=-1)


def moved(clip: tf.Tensor, fold: int) -> list[tf.Tensor]:
    """Return the channels from the next and from the previous frame, each `[B, T, H, W, fold]`."""
    future = tf.pad(clip[..., :fold], [[0, 0], [0, 1], *UNPADDED])[:, 1:]
    past = tf.pad(clip[..., fold : 2 * fold], [[0, 0], [1, 0], *UNPADDED])[:, :-1]
    return [future, past]


def variant_of(replace: Callable[..., tf.Tensor], fused: bool = False) -> Variant:
    """Return the variant in which `replace` puts the moved channels first.

    Args:
        replace: Takes a clip or a frame, the moved channels in one tensor and, if fused, the
            kernel.
        fused: As for `Variant`.
    """

    def clip(clip: tf.Tensor, fold: int, *kernel: tf.Tensor) -> tf.Tensor:
        return replace(clip, tf.concat(moved(clip, fold), axis=-1), *kernel)

    def frame(past: tf.Tensor, frame: tf.Tensor, *kernel: tf.Tensor) -> tf.Tensor:
        return replace(frame, past, *kernel)

    return Variant(clip, frame, fused)


def concatenation(clip: tf.Tensor, fold: int) -> tf.Tensor:
    """Pad and slice only the channels that move: what `TemporalShift` does."""
    return tf.concat([*moved(clip, fold), clip[..., 2 * fold :]], axis=-1)


def frame_concatenation(past: tf.Tensor, frame: tf.Tensor) -> tf.Tensor:
    return tf.concat([past, frame[..., past.shape[-1] :]], axis=-1)


# --- one buffer -----------------------------------------------------------------------------------


def _overwritten(whole: tf.Tensor, first: tf.Tensor) -> tf.Tensor:
    """Copy `whole` and overwrite its first channels, as matrices `[..., C] -> [-1, C]`: faster."""
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


# --- masks ----------------------------------------------------------------------------------------


def _masked(whole: tf.Tensor, first: tf.Tensor) -> tf.Tensor:
    """Multiply by a mask of the channels that stay, and add `first`, padded to all channels."""
    stays = whole.shape[-1] - first.shape[-1]
    keep = tf.concat([tf.zeros(first.shape[-1]), tf.ones(stays)], axis=0)
    around = [[0, 0]] * (len(whole.shape) - 1) + [[0, stays]]
    return whole * tf.cast(keep, whole.dtype) + tf.pad(first, around)


# --- gather ---------------------------------------------------------------------------------------


def gather(clip: tf.Tensor, fold: int) -> tf.Tensor:
    """Gather groups of channels that move together; indices outside the clip give zeros.

    One pass over the map, but the shape of the clip must be known. XLA gives other values, because
    it clamps indices.
    """
    batch, time, height, width, channels = clip.shape
    size = int(np.gcd(fold, channels))  # channels of a group
    index = np.arange(clip.shape.num_elements() // size)
    index = index.reshape(batch, time, height * width, channels // size)
    source = index.copy()
    future, past = slice(0, fold // size), slice(fold // size, 2 * fold // size)
    source[..., future] = source[..., past] = -1
    source[:, :-1, :, future] = index[:, 1:, :, future]
    source[:, 1:, :, past] = index[:, :-1, :, past]
    groups = tf.reshape(clip, (-1, size))  # [B, T, H, W, C] -> [B*T*H*W*C/size, size]
    indices = tf.constant(source.reshape(-1, 1), tf.int32)
    outputs = tf.gather_nd(groups, indices, bad_indices_policy="IGNORE")
    return tf.reshape(outputs, clip.shape)


def frame_gather(past: tf.Tensor, frame: tf.Tensor) -> tf.Tensor:
    """Gather from the channels of the frame, followed by those of the past."""
    fold, channels = past.shape[-1], frame.shape[-1]
    order = [*range(channels, channels + fold), *range(fold, channels)]
    return tf.gather(tf.concat([frame, past], axis=-1), order, axis=-1)


# --- depthwise convolution ------------------------------------------------------------------------


def depthwise(clip: tf.Tensor, fold: int) -> tf.Tensor:
    """Convolve over time, depthwise, with one tap of 1 per channel.

    One pass over the map, but 0 times an infinity of another frame is NaN.
    """
    taps = np.zeros((3, 1, clip.shape[-1], 1))  # previous, present and next frame
    taps[2, 0, :fold] = taps[0, 0, fold : 2 * fold] = taps[1, 0, 2 * fold :] = 1
    return _over_time(clip, taps, "SAME")


def frame_depthwise(past: tf.Tensor, frame: tf.Tensor) -> tf.Tensor:
    fold, channels = past.shape[-1], frame.shape[-1]
    taps = np.zeros((2, 1, channels, 1))
    taps[0, 0, :fold] = taps[1, 0, fold:] = 1
    whole = tf.pad(past, [*UNPADDED, [0, channels - fold]])
    return _over_time(tf.stack([whole, frame], axis=1), taps, "VALID")[:, 0]


def _over_time(clip: tf.Tensor, taps: np.ndarray, padding: str) -> tf.Tensor:
    batch, time, height, width, channels = clip.shape
    # [B, T, H, W, C] -> [B, T, H*W, C]
    rows = tf.reshape(clip, (-1, time, height * width, channels))
    kernel = tf.constant(taps, clip.dtype)
    rows = tf.nn.depthwise_conv2d(rows, kernel, (1, 1, 1, 1), padding)
    return tf.reshape(rows, (-1, rows.shape[1], height, width, channels))


# --- fused into the next convolution --------------------------------------------------------------


def _by_two_kernels(whole: tf.Tensor, first: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Convolve `whole` with zeros in the kernel where channels move, and add `first` convolved."""
    moving = first.shape[-1]
    if moving == whole.shape[-1]:
        return convolved(first, kernel)
    staying = tf.concat([tf.zeros_like(kernel[:moving]), kernel[moving:]], axis=0)
    return convolved(whole, staying) + convolved(first, kernel[:moving])


def _by_parts(whole: tf.Tensor, first: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Convolve the channels that stay and those that move separately, and add the results."""
    moving = first.shape[-1]
    if moving == whole.shape[-1]:
        return convolved(first, kernel)
    return convolved(whole[..., moving:], kernel[moving:]) + convolved(first, kernel[:moving])


def convolved(frames: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Convolve frames or clips `[..., H, W, C]` with a 1x1 kernel `[C, filters]`."""
    *leading, height, width, channels = frames.shape
    images = tf.reshape(frames, (-1, height, width, channels))  # [..., H, W, C] -> [-1, H, W, C]
    outputs = tf.nn.conv2d(images, kernel[None, None], 1, "VALID")
    sizes = (*leading, height, width, kernel.shape[-1])
    return tf.reshape(outputs, [-1 if size is None else size for size in sizes])


VARIANTS = {
    "whole clips": Variant(whole_clips, None),
    "concatenation": Variant(concatenation, frame_concatenation),
    "one buffer": variant_of(_overwritten),
    "mask": variant_of(_masked),
    "gather": Variant(gather, frame_gather),
    "depthwise": Variant(depthwise, frame_depthwise),
    "fused": variant_of(_by_two_kernels, fused=True),
    "split": variant_of(_by_parts, fused=True),
}
