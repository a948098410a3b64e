"""Streams measured in turns, without the moments when other processes are busy."""

import itertools
from collections.abc import Iterator

import keras
import numpy as np
import pytest
from pytest import approx

from mpvn.machine import OtherProcesses
from mpvn.report.speed import speed_rows
from mpvn.streaming import TimedStream, benchmark
from mpvn.streaming.benchmark import PlainKeras, batches, measure
from mpvn.streaming.report import StreamReport


class Ticking(TimedStream):
    """A stream whose steps take given seconds of a common clock, over and over."""

    clock = 0.0

    def __init__(self, oldest: tuple[int, ...], seconds: list[float]) -> None:
        super().__init__()
        self.period, self.oldest, self.seconds = len(seconds), oldest, itertools.cycle(seconds)
        self.frames: list[int] = []
        self.restart()

    def forget(self) -> None: ...

    def run_step(self, frame: np.ndarray) -> None:
        Ticking.clock += next(self.seconds)
        self.frames.append(int(frame))


@pytest.fixture
def shares(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What other processes use in each turn that is measured; nothing at the end of the list."""
    used: list[float] = []
    Ticking.clock = 10.0
    monkeypatch.setattr("time.perf_counter", lambda: Ticking.clock)
    monkeypatch.setattr(OtherProcesses, "share", lambda self: used.pop(0) if used else 0.0)
    monkeypatch.setattr(benchmark, "TURN", 1.0)
    return used


FRAMES = [np.array(number) for number in range(3)]


@pytest.mark.usefixtures("shares")
def test_turns_are_whole_periods_over_all_frames() -> None:
    streams = {"slow": Ticking((), [0.3, 0.5]), "fast": Ticking((), [0.1])}
    shown: list[float] = []
    measured = measure(streams, FRAMES, 1.5, shown.append)
    assert measured["slow"].statistics.busy == approx(2 * 1.6)
    assert measured["fast"].statistics.busy == approx(2.0, abs=0.21)
    assert streams["slow"].frames == 4 * [0, 1, 2]  # one turn of four steps to warm up
    assert shown == sorted(shown) and shown[-1] >= 1
    assert all(each.was_quiet and not each.disturbed.frames for each in measured.values())


def test_turns_in_which_others_are_busy_are_dropped(shares: list[float]) -> None:
    streams = {"one": Ticking((), [0.5]), "other": Ticking((), [1.0])}
    shares += [0.0, 0.5, 0.9, 0.04]  # one, other, one, other
    measured = measure(streams, FRAMES, 2.0)
    assert measured["one"].disturbed.busy == approx(1)
    assert measured["other"].disturbed.busy == approx(1)
    assert [each.statistics.busy for each in measured.values()] == approx([2, 2])
    assert streams["one"].statistics is measured["one"].statistics


def test_a_machine_that_is_never_quiet_is_measured_as_it_is(shares: list[float]) -> None:
    stream = Ticking((), [0.5])
    shares += [1.0] * 100
    measured = measure({"one": stream}, FRAMES, 2.0)["one"]
    assert not measured.was_quiet
    assert stream.statistics.busy == approx(2 * benchmark.PATIENCE)


@pytest.mark.parametrize("steps", [2, 7])  # of the second stream: in its warm-up, and in a turn
def test_an_interrupt_keeps_what_was_measured(steps: int, shares: list[float]) -> None:
    class Interrupted(Ticking):
        def run_step(self, frame: np.ndarray) -> None:
            super().run_step(frame)
            if len(self.frames) == steps:
                raise KeyboardInterrupt

    shares += [0.0, 0.0, 0.0]
    streams = {"one": Ticking((), [0.5]), "other": Interrupted((), [0.5])}
    if steps == 2:
        with pytest.raises(KeyboardInterrupt):
            measure(streams, FRAMES, 20.0)
        return
    measured = measure(streams, FRAMES, 20.0)
    assert [each.statistics.frames for each in measured.values()] == [6, 4]
    assert streams["other"].statistics is measured["other"].statistics


@pytest.mark.usefixtures("shares")
def test_the_turns_of_others_do_not_make_information_older() -> None:
    stream = Ticking((2,), [0.4, 0.2])
    measure({"one": stream, "other": Ticking((), [5.0])}, FRAMES, 4.0)
    # Three steps in a row, back to back: 0.4 + 0.2 + 0.4 or 0.2 + 0.4 + 0.2.
    assert {round(age, 6) for age in stream.statistics.ages} == {1.0, 0.8}


@pytest.mark.usefixtures("shares")
def test_rows_compare_with_plain_keras() -> None:
    streams = {"plain Keras": Ticking((0,), [0.2]), "ours": Ticking((1, 3), [0.05, 0.15])}
    measure(streams, FRAMES, 4.0)
    reports = {name: StreamReport.of(stream, rate=8.0) for name, stream in streams.items()}
    plain, ours = speed_rows(reports, "plain Keras")
    assert (plain["frames/s"], ours["frames/s"]) == ("5.0", "10.0")
    assert (plain["x plain Keras"], ours["x plain Keras"]) == ("1.00", "2.00")
    assert (ours["median"], ours["worst"], ours["worst/mean"]) == ("100.00", "150.00", "1.50")
    assert ours["age in steps"] == "2 / 3"
    assert plain["age at 8 frames/s"] == "too slow"
    assert list(speed_rows(reports)[0])[:3] == ["", "frames/s", "median"]


def test_plain_keras_computes_the_frame_model_in_inference(rng: np.random.Generator) -> None:
    frame = keras.Input((4, 4, 2))
    x = keras.layers.Conv2D(3, 1)(keras.layers.Dropout(0.5)(frame))
    model = keras.Model(frame, {"a": x, "b": keras.layers.ReLU()(x)})
    frames = rng.normal(size=(3, 4, 4, 2)).astype("float32")
    plain = PlainKeras(model, streams=3)
    values, expected = plain.step(frames), model(frames, training=False)
    for name in ("a", "b"):
        np.testing.assert_allclose(values[name], expected[name], atol=1e-6)
    assert StreamReport.of(plain).frames == 3


def test_batches_take_successive_frames() -> None:
    frames: Iterator[np.ndarray] = map(np.array, range(3))
    assert [batch.tolist() for batch in batches(frames, 2)] == [[0, 1], [1, 2], [2, 0]]
