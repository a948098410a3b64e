"""The non-local operation equals the authors' implementation, and streams equal clips."""

import json
import pathlib
import re

import golden
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from random_weights import randomize

import mpvn
from keras_layers import NonLocal


def channels_last(frames: np.ndarray) -> np.ndarray:
    return np.moveaxis(frames, 1, -1)


def non_local_weights(shared: pathlib.Path, name: str) -> dict[str, np.ndarray]:
    """Return the weights of one block by their name in the authors' implementation."""
    specs = json.loads((shared / "golden" / "non_local.json").read_text())[name]
    rule = golden._module(shared / "golden" / "rule.py")
    return {key: rule.tensor(key, tuple(shape), kind) for key, kind, shape, *_ in specs}


def non_local_block(
    weights: dict[str, np.ndarray], frames: int, subsample: tuple[int, int]
) -> keras.Model:
    """Build a non-local block from `NonLocal` and Keras layers, and load `weights`."""
    unused = {re.sub(r"^(g|phi)\.0\.", r"\1.", name): value for name, value in weights.items()}
    frame = keras.Input((None, None, 8))
    attention = NonLocal(
        frames=frames,
        subsample=subsample,
        temporal_padding="causal" if frames == 1 else "symmetric",
    )
    x = attention(frame)
    for name in ("theta", "phi", "g"):
        kernel = unused.pop(f"{name}.weight")
        kernel = kernel.reshape(kernel.shape[:2]).T
        getattr(attention, name).set_weights([kernel, unused.pop(f"{name}.bias")])
    has_norm = "W.0.weight" in unused
    out = layers.Conv2D(8, 1)
    x = out(x)
    kernel = unused.pop("W.0.weight" if has_norm else "W.weight")
    kernel = kernel.reshape(kernel.shape[:2]).T
    out.set_weights([kernel[None, None], unused.pop("W.0.bias" if has_norm else "W.bias")])
    if has_norm:
        norm = layers.BatchNormalization(epsilon=1e-5)
        x = norm(x)
        parts = ("weight", "bias", "running_mean", "running_var")
        norm.set_weights([unused.pop(f"W.1.{part}") for part in parts])
    assert not unused
    return keras.Model(frame, layers.Add()([frame, x]))


@pytest.mark.parametrize("batch_norm", [0, 1])
@pytest.mark.parametrize("subsampled", [0, 1])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_the_block_equals_the_authors_implementation(
    dimensions: int, subsampled: int, batch_norm: int, shared: pathlib.Path
) -> None:
    name = f"nl{dimensions}d_sub{subsampled}_bn{batch_norm}"
    stored = golden.arrays(shared, "non_local")
    inputs, expected = (channels_last(stored[f"{name}_{part}"]) for part in ("in", "out"))
    if dimensions == 1:
        inputs, expected = inputs[:, :, None], expected[:, :, None]
    block = (1 + subsampled, 1 if dimensions == 1 else 1 + subsampled)
    weights = non_local_weights(shared, name)
    model = non_local_block(weights, inputs.shape[1] if dimensions == 3 else 1, block)
    if dimensions < 3:
        np.testing.assert_allclose(model(inputs), expected, rtol=1e-5, atol=1e-6)
        return
    attention, *others = model.layers[1:]
    x = attention(inputs)  # [B, T, H, W, f] -> [B*T, H, W, f]
    x = tf.reshape(x, (-1, *x.shape[2:]))
    for layer in others[:-1]:
        x = layer(x)
    outputs = inputs + np.reshape(x, inputs.shape)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


def attend_by_definition(layer: NonLocal, clip: np.ndarray, time: int, seen: range) -> np.ndarray:
    """Return the output for frame `time`, which attends to the frames `seen`."""
    (phi, phi_bias), (g, g_bias), (theta, theta_bias) = (
        part.get_weights() for part in (layer.phi, layer.g, layer.theta)
    )
    frames = clip[:, seen.start : seen.stop].reshape(len(clip), -1, clip.shape[-1])
    query = clip[:, time].reshape(len(clip), -1, clip.shape[-1]) @ theta + theta_bias
    scores = np.exp(query @ np.swapaxes(frames @ phi + phi_bias, 1, 2))
    response = scores @ (frames @ g + g_bias) / scores.sum(-1, keepdims=True)
    return response.reshape(*clip[:, time].shape[:-1], -1)


@pytest.mark.parametrize("temporal_padding", ["causal", "symmetric"])
def test_a_frame_attends_only_to_the_frames_of_its_window_in_every_executor(
    temporal_padding: str, rng: np.random.Generator
) -> None:
    frame = keras.Input((3, 4, 6))
    layer = NonLocal(frames=3, subsample=1, temporal_padding=temporal_padding)
    model = keras.Model(frame, layer(frame))
    randomize(model, rng)
    clip = rng.normal(size=(2, 5, 3, 4, 6)).astype("float32")
    ahead = 3 if temporal_padding == "symmetric" else 1
    expected = np.stack(
        [
            attend_by_definition(layer, clip, time, range(max(0, time - 2), min(5, time + ahead)))
            for time in range(5)
        ],
        axis=1,
    )
    network = mpvn.VideoNetwork(model)
    for executor in ("layerwise",) if temporal_padding == "symmetric" else ("layerwise", "unroll"):
        network.executor = executor
        np.testing.assert_allclose(network(clip), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer(clip), expected, rtol=1e-4, atol=1e-5)
    if temporal_padding == "causal":
        state = network.initial_state(2)
        for time in range(5):
            outputs, state = network.step(clip[:, time], state)
            np.testing.assert_allclose(outputs, expected[:, time], rtol=1e-4, atol=1e-5)


def test_a_single_key_gets_all_the_weight(rng: np.random.Generator) -> None:
    """Keras once warned of its softmax over one value, as in maps of one block of pixels."""
    layer = NonLocal(filters=3)
    frames = rng.normal(size=(2, 2, 2, 4)).astype("float32")
    outputs = layer(frames)
    values = np.max(np.asarray(layer.g(frames)), axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(outputs, np.broadcast_to(values, outputs.shape), rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": 0}, "filters=0"),
        ({"frames": 0}, "frames=0"),
        ({"subsample": (2, 2, 2)}, r"subsample.*height, width.*Received: \(2, 2, 2\)"),
        ({"subsample": 4}, "at least 4 pixels. Received: 3"),
    ],
)
def test_invalid_arguments_and_inputs_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NonLocal(**arguments)(keras.Input((3, 8, 6)))
