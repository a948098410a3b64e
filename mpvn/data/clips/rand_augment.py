"""RandAugment on clips: a few random operations, the same for all frames.

*RandAugment* (Cubuk et al., 2019) applies a few operations, each drawn from a list, at one
magnitude. Here the operations are layers of Keras, with what they draw for one image applied to all
frames of a clip. Their ranges are those of the paper, where magnitude 1 is its 10. The layer
`keras.layers.RandAugment` draws anew for each image, and turns images by up to 180 degrees, so that
a hand that moves left moves right.

Limitations: Joints of the frames are not moved.
"""

import functools
from collections.abc import Mapping
from typing import NamedTuple

import keras
import tensorflow as tf

from mpvn.data.clips.seeds import StatelessSeeds, fold

# Ranges at magnitude 1.
_TURN = 30 / 360  # of a circle
_SHEAR = 0.3  # slope
_TRANSLATION = 0.45  # of the frame
_BRIGHTNESS = 0.45  # of the range of pixels
_ENHANCEMENT = 0.9  # relative change of color, contrast and sharpness
_LOST_BITS = 4


class _Operation(NamedTuple):
    """An operation on images.

    Attributes:
        layer: a layer of Keras.
        drawn: what the layer would draw; None to let it draw.
        over_clip: whether it measures the pixels of an image: then of the whole clip.
    """

    layer: keras.Layer
    drawn: Mapping[str, float] | None = None
    over_clip: bool = False


class RandAugment:
    """Applies random operations to all frames of a clip alike.

    Args:
        operations: number of operations, one after another.
        magnitude: their strength, from 0 to 1.

    Call arguments:
        frames: uint8 `[T, H, W, 3]`.
        seed: int64 `[2]`.

    Returns:
        The changed frames, uint8 `[T, H, W, 3]`.
    """

    def __init__(self, operations: int, magnitude: float) -> None:
        self.count = operations
        self._operations = _operations(magnitude)

    @tf.autograph.experimental.do_not_convert
    def __call__(self, frames: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        shape, frames = frames.shape, tf.cast(frames, tf.float32)
        for number in range(self.count):
            which, how = fold(seed, 2 * number), fold(seed, 2 * number + 1)
            chosen = tf.random.stateless_uniform([], which, 0, len(self._operations), tf.int32)
            branches = [functools.partial(_apply, x, frames, how) for x in self._operations]
            frames = tf.switch_case(chosen, branches)
        rounded = tf.round(tf.clip_by_value(frames, 0.0, 255.0))
        return tf.ensure_shape(tf.cast(rounded, tf.uint8), shape)


def _apply(operation: _Operation, frames: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Return frames float32 `[T, H, W, 3]`, changed as their first one."""
    layer, drawn = operation.layer, operation.drawn
    if drawn is None:
        drawn = layer.get_random_transformation(frames[:1], seed=StatelessSeeds(seed))
    if not operation.over_clip:
        return layer.transform_images(frames, drawn)
    steps, height, width, channels = tf.unstack(tf.shape(frames))
    image = tf.reshape(frames, [1, steps * height, width, channels])  # frames below one another
    return tf.reshape(layer.transform_images(image, drawn), tf.shape(frames))


def _operations(magnitude: float) -> list[_Operation]:
    m, layers = magnitude, keras.layers
    # The seed is not used. Without it, Keras draws one from the random numbers of the process.
    common = {"seed": 0, "dtype": "float32"}
    whole = {"value_range": (0, 255), "dtype": "float32"}
    colors = {**common, **whole}
    # Not Keras's default, "reflect": it shows mirror images, in which left is right.
    moved = {**common, "fill_mode": "constant", "fill_value": 127.5}
    change, bits = _ENHANCEMENT * m, 8 - round(_LOST_BITS * m)
    return [
        _Operation(layers.RandomShear(_SHEAR * m, _SHEAR * m, **moved)),
        _Operation(layers.RandomTranslation(_TRANSLATION * m, _TRANSLATION * m, **moved)),
        _Operation(layers.RandomRotation(_TURN * m, **moved)),
        _Operation(layers.RandomBrightness(_BRIGHTNESS * m, **colors)),
        _Operation(layers.RandomColorDegeneration(change, **colors)),
        _Operation(layers.RandomContrast((change, change), **colors)),
        _Operation(layers.RandomSharpness(((1 - change) / 2, (1 + change) / 2), **colors)),
        _Operation(layers.RandomPosterization((bits, bits), **colors)),
        # What Keras draws for thresholds does not have the range that it says.
        _Operation(layers.Solarization(**colors), {"additions": 0.0, "thresholds": 256 * (1 - m)}),
        _Operation(layers.AutoContrast(**whole), over_clip=True),
        _Operation(layers.Equalization(**whole), over_clip=True),
    ]
