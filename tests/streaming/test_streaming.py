"""Streams over frames: outputs, traced functions and statistics."""

import itertools

import keras
import numpy as np
import pytest
from pytest import approx

import mpvn
from mpvn.streaming import Batch, Stream, StreamStatistics, TimedStream
from mpvn.streaming.report import StreamReport
from mpvn.streaming.statistics import Spread


@pytest.fixture(scope="module")
def network() -> mpvn.VideoNetwork:
    x = inputs = keras.Input((16, 16, 3))
    for index in range(4):
        x = keras.layers.Conv2D(4, 3, strides=2, padding="same", name=f"conv{index}")(x)
    model = keras.Model(inputs, x)
    return mpvn.VideoNetwork(model, mpvn.Plan(model, 4, clocks="auto"))


class Clockwork(TimedStream):
    """A stream whose steps take given seconds, on a clock of its own."""

    def __init__(self, oldest: tuple[int, ...], seconds: list[float]) -> None:
        super().__init__()
        self.oldest, self.seconds, self.time = oldest, iter(seconds), 100.0
        self.restart()

    def forget(self) -> None: ...

    def run_step(self, frame: np.ndarray) -> None:
        self.time += next(self.seconds)


@pytest.fixture
def clockwork(monkeypatch: pytest.MonkeyPatch) -> Clockwork:
    stream = Clockwork((1, 3), [0.1, 0.5, 0.1, 0.2, 0.1, 0.3])
    monkeypatch.setattr("time.perf_counter", lambda: stream.time)
    return stream


def test_a_stream_equals_the_network_on_the_clip(
    network: mpvn.VideoNetwork, rng: np.random.Generator
) -> None:
    frames = rng.integers(0, 256, (11, 16, 16, 3), dtype=np.uint8)
    stream = Stream(network, lambda frame: frame / np.float32(255))
    outputs = [stream.step(frame) for frame in frames]
    expected = network(frames[None] / np.float32(255))[0]
    np.testing.assert_allclose(np.stack(outputs), expected, atol=1e-6)


def test_a_batch_has_the_outputs_of_its_streams_and_the_memory_of_one(
    network: mpvn.VideoNetwork, rng: np.random.Generator
) -> None:
    frames = rng.normal(size=(5, 3, 16, 16, 3)).astype("float32")
    batch = Batch(network, 3)
    outputs = np.stack([batch.step(each) for each in frames])
    np.testing.assert_allclose(
        outputs, np.swapaxes(network(np.swapaxes(frames, 0, 1)), 0, 1), atol=1e-6
    )
    assert batch.state_bytes == network.plan.cached_bytes + 8  # and the number of the step
    batch.restart()
    np.testing.assert_allclose(batch.step(frames[0]), outputs[0], atol=1e-6)
    assert batch.statistics.frames == 1


def test_the_age_of_a_stream_is_that_of_its_latest_output() -> None:
    frame = keras.Input((4, 4, 1))
    early = keras.layers.Conv2D(1, 1, name="early")(frame)
    late = keras.layers.Conv2D(1, 1, name="late")(early)
    model = keras.Model(frame, [early, late])
    plan = mpvn.Plan(model, boundaries=["late"], clocks={"late": 2}, phases={"late": 1})
    # The late output ticks at steps 1, 3, ... on the frame before, and is held for a step.
    assert Stream(mpvn.VideoNetwork(model, plan)).oldest == (2, 1)


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
    assert statistics.frames_per_second == approx(3 / 0.06)
    assert statistics.seconds == approx(2.03)
    assert statistics.percentile(50) == approx(20)


def test_merged_statistics_leave_out_the_time_between() -> None:
    parts = [StreamStatistics(), StreamStatistics()]
    for part, start in zip(parts, (1.0, 50.0), strict=True):
        part.add(start, start + 0.1)
        part.add(start + 1, start + 1.3, arrived=start)
    whole = StreamStatistics()
    for part in parts:
        whole.merge(part)
    assert (whole.frames, whole.seconds, whole.busy) == (4, approx(2.6), approx(0.8))
    assert [*whole.latencies] == approx([0.1, 0.3, 0.1, 0.3])
    assert [*whole.ages] == approx([1.3, 1.3])


def test_the_slowest_step_of_a_period_does_not_count_disturbances() -> None:
    statistics = StreamStatistics()
    for latency in (1, 2, 3, 1, 2, 3, 100, 2, 3):
        statistics.add(0, latency)
    assert statistics.unevenness(3) == approx(3 / 2)
    assert statistics.unevenness(10) is None


def test_frames_that_come_too_early_wait_for_each_other() -> None:
    """One each second; the second step takes 2.5 s, so the two after it are late."""
    statistics = StreamStatistics()
    for latency in (0.5, 2.5, 0.5, 0.5, 0.5):
        statistics.add(0, latency)
    # ready at 0.5, 3.5, 4, 4.5, 5; arrived at 0, 1, 2, 3, 4
    assert statistics.responses(1.0) == approx([0.5, 2.5, 2, 1.5, 1])


def test_ages_are_those_of_the_oldest_frame_behind_an_output(clockwork: Clockwork) -> None:
    for _ in range(6):
        clockwork.step(np.zeros(()))
        clockwork.time += 1  # until the next frame
    # Steps begin at 0, 1.1, 2.6, 3.7, 4.9, 6 and end at 0.1, 1.6, 2.7, 3.9, 5, 6.3. Even steps
    # depend on the frame before, odd ones on the frame three steps before.
    assert [*clockwork.statistics.ages] == approx([2.7 - 1.1, 3.9 - 0, 5 - 3.7, 6.3 - 2.6])


def test_frames_of_live_sources_age_while_they_wait(clockwork: Clockwork) -> None:
    for arrived in (99.5, 99.6, 99.9):
        clockwork.step(np.zeros(()), arrived)
    assert [*clockwork.statistics.ages] == approx([100.7 - 99.6])  # of step 2, on frame 1


def test_a_report_by_hand(clockwork: Clockwork) -> None:
    for _ in range(6):
        clockwork.step(np.zeros(()))
        clockwork.time += 1
    report = StreamReport.of(clockwork, rate=2.0, dropped=None)
    assert (report.frames, report.frames_per_second) == (6, approx(6 / 1.3))
    assert report.whole_frames_per_second == approx(6 / 6.3)
    assert (report.median, report.worst) == (approx(150), approx(500))
    assert report.age_steps == Spread(2.0, 3)
    assert report.age == approx(Spread(1000 * (1.6 + 3.9 + 1.3 + 3.7) / 4, 3900))
    # At 2 frames per second no frame waits for another.
    assert report.rated_age == approx(Spread(1000 * (2 / 2 + 1.3 / 6), 1000 * (3 / 2 + 0.5)))
    assert report.to_json()["age_steps"] == {"mean": 2.0, "worst": 3}
    printed = str(report)
    assert "mean 2, worst 3 steps; mean 2625, worst 3900 ms; mean 1217, worst 2000 ms" in printed
    assert "at 2 frames/s" in printed and "dropped" not in printed
    assert StreamReport.of(clockwork, rate=5.0).rated_age is None  # too slow
    assert "dropped 7 frames" in str(StreamReport.of(clockwork, dropped=7))


def test_a_stream_of_unknown_ages_reports_none() -> None:
    stream = Clockwork((), itertools.repeat(0.1))
    stream.step(np.zeros(()))
    report = StreamReport.of(stream, rate=1.0)
    assert (report.age_steps, report.age, report.rated_age) == (None, None, None)
    assert "age" not in str(report)
