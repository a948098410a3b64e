"""Compares temporal layers with Keras's 3D layers on clips that are padded by hand."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

Size = tuple[int, int, int]


def pad_causally(
    clip: tf.Tensor,
    kernel: Size,
    strides: Size,
    padding: str,
    dilation: int = 1,
    fill: float = 0.0,
) -> tf.Tensor:
    """Pad a clip with zeros before its start and, if `padding` is "same", with `fill` in space.

    A 3D layer with "valid" padding then computes, on the result, what the causal layer computes on
    the clip `[B, T, H, W, C]`.
    """
    clip = tf.pad(clip, [[0, 0], [kernel[0] - 1, 0], [0, 0], [0, 0], [0, 0]])
    if padding == "valid":
        return clip
    spatial = [
        _same_padding(clip.shape[axis], dilation * (kernel[axis - 1] - 1) + 1, strides[axis - 1])
        for axis in (2, 3)
    ]
    return tf.pad(clip, [[0, 0], [0, 0], *spatial, [0, 0]], constant_values=fill)


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the number of pixels before and after one spatial axis for padding "same"."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def assert_same_values_and_gradients(
    layer: keras.layers.Layer,
    reference: Callable[[tf.Tensor], tf.Tensor],
    reference_weights: list,
    clip: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Compare outputs, and the gradients of a random linear functional of the outputs."""
    clip = tf.convert_to_tensor(clip)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(clip)
        outputs, expected = layer(clip), reference(clip)
        direction = rng.normal(size=expected.shape).astype("float32")
        loss, expected_loss = (tf.reduce_sum(x * direction) for x in (outputs, expected))
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)
    gradients = tape.gradient(loss, [clip, *(v.value for v in layer.trainable_weights)])
    expected_gradients = tape.gradient(expected_loss, [clip, *(v.value for v in reference_weights)])
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-3, atol=1e-3)
