"""A stream over frames: what it says, what it traces, what it counts."""

import pathlib

import keras
import numpy as np
import pytest

import mpvn
from mpvn.models import ModelError, load_frame_model
from mpvn.streaming import Stream, stream_frames


def small_network() -> mpvn.VideoNetwork:
    inputs = keras.Input((16, 16, 3))
    x = inputs
    for index in range(4):
        x = keras.layers.Conv2D(4, 3, strides=2, padding="same", name=f"conv{index}")(x)
    model = keras.Model(inputs, x)
    return mpvn.VideoNetwork(model, mpvn.Plan(model, 4, clocks="auto"))


def test_a_stream_says_what_the_network_says_of_the_clip(rng: np.random.Generator) -> None:
    network = small_network()
    frames = rng.integers(0, 256, (11, 16, 16, 3), dtype=np.uint8)
    stream = Stream(network, lambda frame: frame / np.float32(255))
    seen = [outputs for _, outputs in stream_frames(stream, frames)]
    whole = network(frames[None] / np.float32(255))[0]
    np.testing.assert_allclose(np.stack(seen), whole, atol=1e-6)
    assert stream.statistics.frames == 11


def test_nothing_is_traced_after_the_warm_up(rng: np.random.Generator) -> None:
    network = small_network()
    stream = Stream(network)
    traced = network.trace_count
    assert 1 < traced <= network.plan.period
    for frame in rng.normal(size=(3 * network.plan.period, 16, 16, 3)).astype("float32"):
        stream.step(frame)
    assert network.trace_count == traced


def test_prepares_frames_as_the_application_expects(rng: np.random.Generator) -> None:
    frame = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    before = frame.copy()
    loaded = load_frame_model("mobilenetv2", size=32)
    expected = keras.applications.mobilenet_v2.preprocess_input(frame.astype("float32"))
    np.testing.assert_allclose(loaded.prepare(frame), expected)
    np.testing.assert_array_equal(frame, before)
    assert loaded.size == (32, 32)


def test_a_trained_network_is_shown_the_pixels_that_it_was_trained_with(
    tmp_path: pathlib.Path,
) -> None:
    """`mpvn train` shows networks -1..1 and writes a `VideoNetwork`. Streams of it once had 0..255,
    and said anything."""
    network = small_network()
    network.save(tmp_path / "network.keras")
    network.frame_model.save(tmp_path / "frame_model.keras")
    frame = np.array([[[0, 127.5, 255]]], "float32")
    expected = {"network": [-1, 0, 1], "frame_model": [0, 127.5, 255]}
    for name, pixels in expected.items():
        loaded = load_frame_model(tmp_path / f"{name}.keras")
        np.testing.assert_allclose(loaded.prepare(frame), [[pixels]])
        asked = load_frame_model(tmp_path / f"{name}.keras", pixels="0..1")
        np.testing.assert_allclose(asked.prepare(frame), [[[0, 0.5, 1]]])


def test_a_misspelled_network_is_answered_with_its_neighbors() -> None:
    with pytest.raises(ModelError, match="Did you mean MobileNetV2"):
        load_frame_model("MobilNetV2")
