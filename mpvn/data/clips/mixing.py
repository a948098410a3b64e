"""Mix the clips of a batch, and their labels: mixup and CutMix, by the layers of Keras.

    mixup     frames of clip a * share + frames of clip b * (1 - share)
    CutMix    clip a, with one box of clip b, at the same place in all frames
    labels    share of a * labels of a + the rest * labels of b, at each step

*mixup* (Zhang et al., 2018) and *CutMix* (Yun et al., 2019) on whole clips: every frame of a clip
is mixed alike, with the frame of the same time. The share has a Beta(a, a) distribution, and is
drawn anew for each clip. The layers of Keras take images; `[B, T, H, W, C]` is `[B, T*H, W, C]` to
them.

What is drawn depends on a seed alone, not on earlier batches. So a run that was stopped resumes
with the same batches.

Limitations: Motion of both clips overlaps in mixup, which no camera sees.
"""

from typing import Any

import keras
import tensorflow as tf

from mpvn.data.clips.seeds import StatelessSeeds, fold

_CUTMIX, _CHOICE = 1, 2
"""Numbers of random streams."""

SMALLEST = 0.05
"""Smallest a. With smaller ones, both gamma variates of a share underflow: then it is one half."""


class Mixing:
    """Mixes the clips of batches.

    Args:
        mixup: the a of mixup: 0 (off), or 0.05 to 1. Small ones mix little.
        cutmix: the a of CutMix; the paper's is 1. With both, a batch is mixed by one of them, at
            random.
        seed: seed of all randomness.

    Call arguments:
        frames: float32 `[B, T, H, W, C]`.
        targets: float32 `[B, T, classes]`.
        number: number of the first example of the batch, int64 `[]`; decides what is drawn.

    Returns:
        The mixed frames and targets.

    Raises:
        ValueError: an argument is out of range, or both are 0.
    """

    def __init__(self, mixup: float = 0.0, cutmix: float = 0.0, seed: int = 0) -> None:
        in_range = all(each == 0 or SMALLEST <= each <= 1 for each in (mixup, cutmix))
        if not in_range or not mixup + cutmix:
            raise ValueError(
                f"Expected mixup and cutmix of 0 or from {SMALLEST} to 1, and one of them above 0. "
                f"Received: mixup={mixup}, cutmix={cutmix}"
            )
        layers = keras.layers
        # The seed is not used. Without it, Keras draws one from the random numbers of the process.
        common = {"seed": 0, "dtype": "float32", "data_format": "channels_last"}
        self._seed = seed
        self._mixup: Any = layers.MixUp(mixup, **common) if mixup else None
        self._cutmix: Any = layers.CutMix((cutmix, cutmix), **common) if cutmix else None

    @tf.autograph.experimental.do_not_convert
    def __call__(
        self, frames: tf.Tensor, targets: tf.Tensor, number: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        seed = tf.stack([tf.constant(self._seed, tf.int64), tf.cast(number, tf.int64)])
        if self._cutmix is None:
            return self._mix_up(frames, targets, seed)
        if self._mixup is None:
            return self._cut_mix(frames, targets, seed)
        choice = tf.random.stateless_uniform([], fold(seed, _CHOICE))
        return tf.cond(
            choice < 0.5,
            lambda: self._mix_up(frames, targets, seed),
            lambda: self._cut_mix(frames, targets, fold(seed, _CUTMIX)),
        )

    def _mix_up(
        self, frames: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        images = _as_images(frames)
        drawn = self._mixup.get_random_transformation(images, seed=StatelessSeeds(seed))
        return self._apply(self._mixup, frames, targets, drawn)

    def _cut_mix(
        self, frames: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        image = frames[:, 0, :, :, :1]
        drawn = self._cutmix.get_random_transformation(image, seed=StatelessSeeds(seed))
        masks = drawn["batch_masks"]  # [B, H, W, 1]
        # Keras's share is that of a box between pixels. Count those of the mask.
        share = 1.0 - tf.reduce_mean(tf.cast(masks, tf.float32), axis=(1, 2, 3))
        repeated = tf.repeat(masks[:, None], tf.shape(frames)[1], axis=1)
        drawn = {**drawn, "batch_masks": _as_images(repeated), "mix_weight": share}
        return self._apply(self._cutmix, frames, targets, drawn)

    def _apply(
        self, layer: keras.Layer, frames: tf.Tensor, targets: tf.Tensor, drawn: dict
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return frames and targets, transformed by a layer of Keras."""
        images = layer.transform_images(_as_images(frames), drawn)
        # [B, T, classes] -> [B, T * classes]: for Keras, labels have one axis
        flat = tf.reshape(targets, [tf.shape(targets)[0], -1])
        labels = layer.transform_labels(flat, drawn)
        mixed = tf.reshape(images, tf.shape(frames)), tf.reshape(labels, tf.shape(targets))
        return tuple(
            tf.ensure_shape(x, given.shape)
            for x, given in zip(mixed, (frames, targets), strict=True)
        )


def _as_images(clips: tf.Tensor) -> tf.Tensor:
    """Put the frames of a clip `[B, T, H, W, C]` one below another: `[B, T*H, W, C]`."""
    batch, steps, height, *rest = tf.unstack(tf.shape(clips))
    return tf.reshape(clips, [batch, steps * height, *rest])
