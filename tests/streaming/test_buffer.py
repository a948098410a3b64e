"""Streams that compute several frames in one call: equal values, honest ages, refused choices."""

import itertools
from typing import Any

import keras
import numpy as np
import pytest
from pytest import approx
from random_weights import randomize

import mpvn
from keras_layers import TemporalConv3D
from mpvn.runtime import record
from mpvn.streaming import Stream, StreamStatistics
from mpvn.streaming.report import StreamReport

BUFFER = 3
"""Frames of a call, which are not whole periods."""


@pytest.fixture(scope="module", params=["zeros", "primed"])
def network(request: pytest.FixtureRequest) -> mpvn.VideoNetwork:
    """A period of two steps."""
    frame = keras.Input((6, 6, 3))
    first = x = keras.layers.Conv2D(4, 3, padding="same", name="first")(frame)
    x = keras.layers.BatchNormalization()(x)
    x = TemporalConv3D(4, (2, 3, 3), padding="same", activation="tanh", name="second")(x)
    x = keras.layers.Conv2D(4, 3, padding="same", name="third")(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Add()([first, x]))
    model = keras.Model(frame, {"scores": keras.layers.Dense(3)(x), "mean": x})
    randomize(model, np.random.default_rng(1))
    plan = mpvn.Plan(model, boundaries=["second", "third"], clocks=[1, 2, 2])
    return mpvn.VideoNetwork(model, plan, start=request.param)


@pytest.fixture(scope="module")
def stream(network: mpvn.VideoNetwork) -> Stream:
    return Stream(
        network, lambda frame: frame / np.float32(255), runtime="tensorflow", buffer=BUFFER
    )


def in_calls(stream: Stream, frames: np.ndarray) -> tuple[list[Any], list[int]]:
    """Return the outputs of a new stream, and the numbers of frames in its calls."""
    stream.restart()
    outputs: list[Any] = []
    sizes: list[int] = []
    while len(outputs) < len(frames):
        call = frames[len(outputs) :][: stream.buffer]
        outputs += stream.steps(call)
        sizes.append(len(call))
    return outputs, sizes


def test_buffers_have_the_outputs_of_single_frames(
    network: mpvn.VideoNetwork, stream: Stream, rng: np.random.Generator
) -> None:
    frames = rng.integers(0, 256, (2 * BUFFER + 2, 6, 6, 3), dtype=np.uint8)
    expected = network(frames[None] / np.float32(255))
    with record(stream._network) as events:
        outputs, sizes = in_calls(stream, frames)
    assert sizes == [BUFFER, BUFFER, 2] and stream.statistics.frames == len(frames)
    assert [event.steps for event in events if event.unit is None] == [
        (0,),
        (BUFFER,),
        (2 * BUFFER,),
    ]
    for name, values in expected.items():
        found = np.stack([each[name] for each in outputs])
        np.testing.assert_allclose(found, values[0], rtol=1e-5, atol=1e-6)
    again, _ = in_calls(stream, frames[:1])
    np.testing.assert_allclose(again[0]["scores"], outputs[0]["scores"], rtol=1e-6)


def test_frames_wait_for_the_last_of_their_buffer(
    network: mpvn.VideoNetwork, stream: Stream, rng: np.random.Generator, monkeypatch: Any
) -> None:
    ticks = itertools.count()  # the clock is read twice in each call
    monkeypatch.setattr("time.perf_counter", lambda: float(next(ticks)))
    in_calls(stream, rng.integers(0, 256, (3 * BUFFER, 6, 6, 3), dtype=np.uint8))
    oldest = Stream(network).oldest
    ages = [oldest[n % 2] + wait for n, wait in enumerate([2, 1, 0, 2, 1, 0])]
    assert stream.ages == (*ages,)
    # A call begins at 0, 2, 4 and ends 1 later; the oldest frame of a step is in an earlier call.
    calls = [call for call in range(3) for _ in range(BUFFER)]
    steps = [n for n in range(len(calls)) if oldest[n % 2] <= n]
    assert [*stream.statistics.ages] == [
        2 * calls[n] + 1 - 2 * calls[n - oldest[n % 2]] for n in steps
    ]
    report = StreamReport.of(stream)
    assert report.age_steps == approx((np.mean(oldest) + 1, max(ages)))
    assert f"{BUFFER} frames in one call" in report.runtime and report.unevenness is None


def test_responses_at_a_rate_wait_for_the_buffer() -> None:
    """Frames come at 0, 0.1, 0.2, 0.3 and 0.4 s; calls of 2, 2 and 1 take 0.1, 0.3 and 0.1 s."""
    statistics = StreamStatistics()
    for start, seconds, frames in ((5, 0.1, 2), (6, 0.3, 2), (7, 0.1, 1)):
        statistics.add_call(start, start + seconds, [None] * frames)
    assert statistics.frames == 5 and statistics.busy == approx(0.5)
    # The second call begins at 0.3, its last frame, and ends at 0.6; the third ends at 0.7.
    assert statistics.responses(10) == approx([0.2, 0.1, 0.4, 0.3, 0.3])


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"runtime": "tensorflow", "buffer": 0}, "Invalid buffer. Expected a positive int"),
        ({"runtime": "network", "buffer": 4}, "Expected a compiled runtime beside .* buffer"),
    ],
)
def test_buffers_that_cannot_be_are_refused(
    choice: dict[str, Any], message: str, network: mpvn.VideoNetwork
) -> None:
    with pytest.raises(ValueError, match=message):
        Stream(network, **choice)
