"""Streams over frames: outputs, traced functions and statistics."""

import keras
import numpy as np
import pytest

import mpvn
from mpvn.streaming import Stream, StreamStatistics


@pytest.fixture(scope="module")
def network() -> mpvn.VideoNetwork:
    x = inputs = keras.Input((16, 16, 3))
    for index in range(4):
        x = keras.layers.Conv2D(4, 3, strides=2, padding="same", name=f"conv{index}")(x)
    model = keras.Model(inputs, x)
    return mpvn.VideoNetwork(model, mpvn.Plan(model, 4, clocks="auto"))


def test_a_stream_equals_the_network_on_the_clip(
    network: mpvn.VideoNetwork, rng: np.random.Generator
) -> None:
    frames = rng.integers(0, 256, (11, 16, 16, 3), dtype=np.uint8)
    stream = Stream(network, lambda frame: frame / np.float32(255))
    outputs = [stream.step(frame) for frame in frames]
    expected = network(frames[None] / np.float32(255))[0]
    np.testing.assert_allclose(np.stack(outputs), expected, atol=1e-6)


def test_a_stream_traces_nothing_after_its_start(
    network: mpvn.VideoNetwork, rng: np.random.Generator
) -> None:
    stream = Stream(network)
    traced = network.trace_count
    assert 1 < traced <= network.plan.period
    for frame in rng.normal(size=(3 * network.plan.period, 16, 16, 3)).astype("float32"):
        stream.step(frame)
    assert network.trace_count == traced
    assert stream.statistics.frames == len(stream.statistics.latencies) == 3 * network.plan.period


def test_statistics_by_hand() -> None:
    statistics = StreamStatistics()
    assert (statistics.frames_per_second, statistics.percentile(50)) == (0.0, 0.0)
    for start, latency in ((7.0, 0.01), (8.0, 0.02), (9.0, 0.03)):
        statistics.add(start, start + latency)
    assert statistics.frames_per_second == pytest.approx(3 / 0.06)
    assert statistics.seconds == pytest.approx(2.03)
    assert statistics.percentile(50) == pytest.approx(20)
