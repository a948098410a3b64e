"""I3D: the symmetric Inception equals the official network, endpoint by endpoint."""

import pathlib

import golden
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from random_weights import randomize

import mpvn
from mpvn.models import i3d_inception

ENDPOINTS = {
    "Conv3d_1a_7x7": ("stem.1a_relu", slice(0, None, 2)),
    "MaxPool3d_2a_3x3": ("stem.2a_pool", slice(0, None, 2)),
    "Conv3d_2b_1x1": ("stem.2b_relu", slice(0, None, 2)),
    "Conv3d_2c_3x3": ("stem.2c_relu", slice(0, None, 2)),
    "MaxPool3d_3a_3x3": ("stem.3a_pool", slice(0, None, 2)),
    "Mixed_3b": ("mixed_3b.join", slice(0, None, 2)),
    "Mixed_3c": ("mixed_3c.join", slice(0, None, 2)),
    "MaxPool3d_4a_3x3": ("mixed_3c.4a_pool", slice(0, None, 4)),
    **{f"Mixed_4{m}": (f"mixed_4{m}.join", slice(0, None, 4)) for m in "bcdef"},
    "MaxPool3d_5a_2x2": ("mixed_4f.5a_pool", slice(0, None, 8)),
    "Mixed_5b": ("mixed_5b.join", slice(0, None, 8)),
    "Mixed_5c": ("mixed_5c.join", slice(0, None, 8)),
}
"""Our node for each official endpoint, and the steps of a clip of 9 frames at which it ticks."""


def load_official(model: keras.Model, weights: dict[str, np.ndarray]) -> None:
    """Load weights with official names, and kernels `[out, in, time, height, width]`."""
    weights = dict(weights)
    for layer in model.layers:
        if not layer.variables:
            continue
        unit, part = layer.name.split(".")
        if unit == "head":
            kernel = weights.pop("logits.conv3d.weight")
            layer.set_weights([kernel[:, :, 0, 0, 0].T, weights.pop("logits.conv3d.bias")])
            continue
        branch, kind = part.split("_")
        official = {"1a": "Conv3d_1a_7x7", "2b": "Conv3d_2b_1x1", "2c": "Conv3d_2c_3x3"}
        prefix = official[branch] if unit == "stem" else f"{unit.capitalize()}.{branch}"
        if kind == "conv":
            kernel = weights.pop(f"{prefix}.conv3d.weight").transpose(2, 3, 4, 1, 0)
            layer.set_weights([kernel.reshape(layer.kernel.shape)])
        else:
            parts = ("weight", "bias", "running_mean", "running_var")
            layer.set_weights([weights.pop(f"{prefix}.bn.{name}") for name in parts])
    assert not weights, "tensors without a layer"


def test_every_endpoint_equals_the_official_one(shared: pathlib.Path) -> None:
    expected = golden.arrays(shared, "i3d_inception_endpoints")
    model = i3d_inception((32, 32, 3), classes=10)
    load_official(model, golden.weights(shared, "i3d_inception_endpoints"))
    outputs = {name: model.get_layer(node).output for name, (node, _) in ENDPOINTS.items()}
    outputs["logits"] = model.output
    network = mpvn.VideoNetwork(keras.Model(model.input, outputs))
    actual = network(expected["frames"].transpose(0, 2, 3, 1)[None])  # [T, C, H, W] -> [1, T, ...]
    for name, (_, ticks) in ENDPOINTS.items():
        means = np.mean(actual[name][0, ticks], axis=(1, 2)).T  # [ticks, H, W, C] -> [C, ticks]
        np.testing.assert_allclose(means, expected[f"mean_hw_{name}"], rtol=1e-4, atol=1e-4)
    # Logits are linear in the mean over two ticks, so they are the mean of the logits of each.
    prediction = actual["logits"][0, 0]
    of_each_tick = expected["logits_per_step"]  # [classes, ticks]
    np.testing.assert_allclose(prediction, of_each_tick.mean(axis=1), rtol=1e-4, atol=1e-4)


def keras_i3d(model: keras.Model) -> keras.Model:
    """The same network over whole clips, built from Keras's 3D layers with TensorFlow's padding."""
    clip = x = keras.Input((None, *model.input_shape[1:]))

    def unit(x: keras.KerasTensor, name: str, strides: int = 1) -> keras.KerasTensor:
        kernel = model.get_layer(f"{name}_conv").kernel.shape
        size = kernel[0] if len(kernel) == 5 else 1
        options = {"padding": "same", "use_bias": False, "name": f"{name}_conv"}
        x = layers.Conv3D(kernel[-1], size, strides, **options)(x)
        x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_norm")(x)
        return layers.ReLU()(x)

    def pool(x: keras.KerasTensor, size: tuple, strides: tuple) -> keras.KerasTensor:
        return layers.MaxPooling3D(size, strides, padding="same")(x)

    x = pool(unit(x, "stem.1a", 2), (1, 3, 3), (1, 2, 2))
    x = pool(unit(unit(x, "stem.2b"), "stem.2c"), (1, 3, 3), (1, 2, 2))
    for module in ("3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c"):
        if module == "4b":
            x = pool(x, (3, 3, 3), (2, 2, 2))
        if module == "5b":
            x = pool(x, (2, 2, 2), (2, 2, 2))
        name = f"mixed_{module}"
        branches = [unit(x, f"{name}.b0")]
        branches += [unit(unit(x, f"{name}.b{b}a"), f"{name}.b{b}b") for b in (1, 2)]
        branches.append(unit(pool(x, (3, 3, 3), (1, 1, 1)), f"{name}.b3b"))
        x = layers.Concatenate()(branches)
    x = layers.AveragePooling3D((2, *x.shape[2:4]), (1, 1, 1))(x)
    means = layers.Reshape((-1, x.shape[-1]))(x)
    reference = keras.Model(clip, layers.Dense(model.output_shape[-1], name="head.logits")(means))
    for layer in reference.layers:
        if layer.variables:
            values = model.get_layer(layer.name).get_weights()
            shapes = [variable.shape for variable in layer.variables]
            layer.set_weights([v.reshape(s) for v, s in zip(values, shapes, strict=True)])
    return reference


@pytest.fixture(scope="module")
def networks() -> tuple[keras.Model, keras.Model]:
    """A narrow frame model, and its network in Keras."""
    model = i3d_inception((32, 32, 3), classes=5, width=0.125)
    randomize(model, np.random.default_rng(5))
    return model, keras_i3d(model)


@pytest.mark.parametrize(("frames", "phase"), [(9, 0), (17, 0), (16, 3)])
def test_windows_equal_tensorflows_padding(
    frames: int,
    phase: int,
    networks: tuple[keras.Model, keras.Model],
    rng: np.random.Generator,
) -> None:
    """Clips of 8n + 1 frames need no phase; clips of 8n frames need a plan that starts later."""
    model, reference = networks
    clip = tf.constant(rng.normal(size=(2, frames, 32, 32, 3)), tf.float32)
    expected = reference(clip)
    network = mpvn.VideoNetwork(model, mpvn.Plan(model, phases=[phase]))
    actual = network(clip)[:, phase::8][:, :-1]
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4 * np.std(expected))


def test_blocks_of_frames_and_pixels_become_channels() -> None:
    """I3D* of *Skip-Sideways*."""
    model = i3d_inception((64, 64, 3), classes=5, width=0.05, block=(2, 4, 4))
    assert model.get_layer("stem.1a_conv").kernel.shape[-2] == 2 * 4 * 4 * 3
    assert model.get_layer("stem.space_time_to_depth").temporal_padding == "symmetric"
    assert mpvn.Plan(model).clock_of["head.logits"].rate == 16
