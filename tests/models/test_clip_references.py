"""3D networks equal TensorFlow's 3D convolutions and pools over a whole clip."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from published_networks import assert_close, small_model

import mpvn
from keras_layers import TemporalConv3D
from mpvn.models import vgg

Size = tuple[int, int, int]


def pad(x: tf.Tensor, kernel: Size, causal: bool, value: float = 0.0) -> tf.Tensor:
    """Pad `[B, T, H, W, C]` by half a kernel on each side; in time all before it, if causal."""
    time = (kernel[0] - 1, 0) if causal else ((kernel[0] - 1) // 2, kernel[0] // 2)
    space = [(size // 2, (size - 1) // 2) for size in kernel[1:]]
    return tf.pad(x, [(0, 0), time, *space, (0, 0)], constant_values=value)


class Reference:
    """Runs the layers of a frame model over clips, with TensorFlow's 3D operations.

    Args:
        model: The frame model.
        causal: Whether its windows end at the present frame.
    """

    def __init__(self, model: keras.Model, causal: bool) -> None:
        self.model = model
        self.causal = causal

    def convolve(self, x: tf.Tensor, name: str, stride: int = 1, time: int = 1) -> tf.Tensor:
        layer = self.model.get_layer(name)
        kernel = tf.convert_to_tensor(layer.kernel)
        kernel = kernel if isinstance(layer, TemporalConv3D) else kernel[None]
        x = pad(x, kernel.shape[:3], self.causal)
        x = tf.nn.conv3d(x, kernel, [1, time, stride, stride, 1], "VALID")
        return x if layer.bias is None else x + layer.bias

    def pool(self, x: tf.Tensor, size: Size, strides: Size) -> tf.Tensor:
        x = pad(x, size, self.causal, x.dtype.min)
        return tf.nn.max_pool3d(x, [1, *size, 1], [1, *strides, 1], "VALID")

    def apply(self, x: tf.Tensor, name: str) -> tf.Tensor:
        """Apply a layer without a window in time."""
        y = self.model.get_layer(name)(tf.reshape(x, (-1, *x.shape[2:])))  # [B*T, ...]
        return tf.reshape(y, (*x.shape[:2], *y.shape[1:]))


def logits(model: keras.Model, clip: np.ndarray) -> np.ndarray:
    return np.asarray(mpvn.VideoNetwork(model)(clip))


# --- 3D VGG ---------------------------------------------------------------------------------------


def vgg_3d(model: keras.Model, clip: np.ndarray, kernel: int, causal: bool) -> tf.Tensor:
    """*Skip-Sideways*, supplement: convolutions and pools of `kernel` x 3 x 3."""
    reference, x, layer = Reference(model, causal), tf.constant(clip), 0
    for stage, (_, count) in enumerate(vgg.VGG16, 1):
        for number in range(1, count + 1):
            name = f"unit{layer // 2 + 1}.block{stage}_conv{number}"
            x = tf.nn.relu(reference.apply(reference.convolve(x, name), f"{name}_norm"))
            layer += 1
        # TensorFlow's "same" padding in space: nothing before an even size, one pixel after it.
        x = tf.pad(x, [(0, 0), (0, 0), (0, 1), (0, 1), (0, 0)])
        x = pad(x, (kernel, 1, 1), causal)
        x = tf.nn.max_pool3d(x, [1, kernel, 3, 3, 1], [1, 1, 2, 2, 1], "VALID")
    x = tf.reshape(x, (*x.shape[:2], -1))
    for name in ("unit7.fc1", "unit8.fc2", "unit8.predictions"):
        x = reference.apply(x, name)
    return x


@pytest.mark.parametrize(
    ("name", "kernel"), [("vgg_3d", 3), ("causal_vgg_3d", 3), ("causal_vgg_3d", 2)]
)
def test_3d_vgg(name: str, kernel: int, rng: np.random.Generator) -> None:
    model = small_model(name, width=0.05, temporal_kernel=kernel, classes=5)
    clip = rng.normal(size=(1, 5, 32, 32, 3)).astype("float32")
    assert_close(logits(model, clip), vgg_3d(model, clip, kernel, "causal" in name).numpy())


# --- I3D on ResNet-50 -----------------------------------------------------------------------------


def i3d_resnet50(
    model: keras.Model, clip: np.ndarray, strides: Size, causal: bool, conv5_strides: int
) -> tf.Tensor:
    """*Non-local Neural Networks*, table 1, with any temporal strides; PyTorch's layout."""
    reference = Reference(model, causal)
    first, second, third = strides
    x = reference.convolve(tf.constant(clip), "stem.conv", 2, first)
    x = tf.nn.relu(reference.apply(x, "stem.bn"))
    x = reference.pool(x, (3 if second > 1 else 1, 3, 3), (second, 2, 2))
    for stage, count in ((2, 3), (3, 4), (4, 6), (5, 3)):
        for number in range(1, count + 1):
            unit = f"conv{stage}_block{number}"
            stride = {2: 1, 5: conv5_strides}.get(stage, 2) if number == 1 else 1
            shortcut = x
            if number == 1:
                shortcut = reference.convolve(x, f"{unit}.0_conv", stride)
                shortcut = reference.apply(shortcut, f"{unit}.0_bn")
            for part in (1, 2, 3):
                x = reference.convolve(x, f"{unit}.{part}_conv", stride if part == 2 else 1)
                x = reference.apply(x, f"{unit}.{part}_bn")
                x = tf.nn.relu(x if part < 3 else x + shortcut)
        if stage == 2 and third > 1:
            x = reference.pool(x, (3, 1, 1), (third, 1, 1))
    return reference.apply(tf.reduce_mean(x, axis=(2, 3)), "head.logits")


@pytest.mark.parametrize(
    ("variant", "strides", "causal", "conv5_strides"),
    [
        ("3x3x3", (2, 1, 2), False, 2),
        ("3x1x1", (2, 2, 2), False, 2),
        ("3x1x1", (1, 1, 2), True, 1),
    ],
)
def test_i3d_resnet50(
    variant: str, strides: Size, causal: bool, conv5_strides: int, rng: np.random.Generator
) -> None:
    options = {"temporal_padding": "causal"} if causal else {}
    if strides == (1, 1, 2):
        options |= {"temporal_strides": strides, "conv5_strides": conv5_strides}
    model = small_model(f"i3d_resnet50_{variant}", width=0.05, classes=5, **options)
    clip = rng.normal(size=(1, 11, 32, 32, 3)).astype("float32")
    expected = i3d_resnet50(model, clip, strides, causal, conv5_strides).numpy()
    period = int(np.prod(strides))
    assert expected.shape[1] == -(-11 // period)
    assert_close(logits(model, clip)[:, ::period], expected)
