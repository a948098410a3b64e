"""Dropping, counting, ending and failing of LiveSource.

Readers made here step by events, so that what the thread has done when the consumer looks is
certain: a generator is asked for its next frame only after the one before has been published.
"""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mpvn.data import LiveSource, VideoReader, VideoWriter

PATIENCE = 30  # Seconds until a wait counts as hung; nothing waits so long when all is well.


def frame(index: int) -> np.ndarray:
    return np.full((4, 6, 3), index, np.uint8)


def number(image: np.ndarray) -> int:
    assert image.shape == (4, 6, 3)
    return int(image[0, 0, 0])


class SteppedReader:
    """Gives `bursts` of frames: each once allowed, and tells when all of it was published."""

    def __init__(self, bursts: list[list[int]], error: Exception | None = None) -> None:
        self.bursts = bursts
        self.allowed = [threading.Event() for _ in range(len(bursts) + 1)]
        self.published = [threading.Event() for _ in bursts]
        self.error = error
        self.finished = False
        self.closed = False

    def __iter__(self) -> Iterator[np.ndarray]:
        try:
            for at, burst in enumerate(self.bursts):
                assert self.allowed[at].wait(PATIENCE)
                for index in burst:
                    yield frame(index)
                self.published[at].set()
            assert self.allowed[-1].wait(PATIENCE)
            if self.error is not None:
                raise self.error
        finally:
            self.finished = True

    def allow(self, at: int) -> None:
        """Lets a burst through and waits until its last frame lies ready."""
        self.allowed[at].set()
        if at < len(self.published):
            assert self.published[at].wait(PATIENCE)

    def close(self) -> None:
        self.closed = True


def live_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "mpvn-live"]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert live_threads() == []


def test_a_slow_consumer_gets_the_newest() -> None:
    reader = SteppedReader([[0], [1, 2, 3, 4], [5], [6, 7]])
    with LiveSource(reader) as live:
        reader.allowed[0].set()
        assert number(next(live)) == 0
        reader.allow(1)
        assert number(next(live)) == 4
        assert (live.delivered, live.dropped) == (2, 3)
        reader.allow(2)
        assert number(next(live)) == 5
        reader.allow(3)
        reader.allow(4)
        assert [number(image) for image in live] == [7]
        assert (live.delivered, live.dropped) == (4, 4)
    assert reader.closed


def test_a_consumer_that_keeps_up_gets_all() -> None:
    reader = SteppedReader([[index] for index in range(20)])
    seen = []
    with LiveSource(reader) as live:
        for index in range(20):
            reader.allowed[index].set()
            seen.append(number(next(live)))
        reader.allow(20)
        assert next(live, None) is None
        assert (live.delivered, live.dropped) == (20, 0)
    assert seen == list(range(20))


def test_an_error_of_the_reader_reaches_the_consumer_after_its_last_frame() -> None:
    reader = SteppedReader([[0], [1, 2]], error=OSError("the cable came off"))
    with LiveSource(reader) as live:
        reader.allowed[0].set()
        assert number(next(live)) == 0
        reader.allow(1)
        reader.allow(2)
        assert number(next(live)) == 2
        with pytest.raises(OSError, match="the cable came off"):
            next(live)
        with pytest.raises(StopIteration):
            next(live)


def test_an_error_at_the_very_start() -> None:
    class Broken:
        def __iter__(self) -> Iterator[np.ndarray]:
            raise RuntimeError("no iterator")

    with LiveSource(Broken()) as live, pytest.raises(RuntimeError, match="no iterator"):
        next(live)


def test_leaving_early_stops_and_joins() -> None:
    class Endless:
        stopped = False

        def __iter__(self) -> Iterator[np.ndarray]:
            try:
                while True:
                    yield frame(1)
            finally:
                self.stopped = True

    reader = Endless()
    with LiveSource(reader) as live:
        next(live)
    assert reader.stopped
    assert live_threads() == []
    assert next(live, None) is None
    live.close()  # Twice does no harm.


def test_an_exception_of_the_consumer_stops_and_joins() -> None:
    reader = SteppedReader([[0]])
    with pytest.raises(KeyError, match="mine"), LiveSource(reader) as live:
        reader.allowed[0].set()
        next(live)
        reader.allowed[1].set()
        raise KeyError("mine")
    assert reader.finished and reader.closed
    assert live_threads() == []


def test_every_decoded_frame_is_counted() -> None:
    reader = SteppedReader([[0], [1, 2, 3]])
    with LiveSource(reader) as live:
        reader.allowed[0].set()
        next(live)
        reader.allow(1)
        reader.allowed[2].set()
    assert (live.delivered, live.dropped) == (1, 3)


def test_never_started() -> None:
    reader = SteppedReader([[0]])
    with LiveSource(reader):
        pass
    assert reader.closed and not reader.finished


def test_old_frames_are_not_kept() -> None:
    held: list[int] = []

    class Counted(np.ndarray):
        def __del__(self) -> None:
            held.remove(1)

    class Many:
        def __iter__(self) -> Iterator[np.ndarray]:
            for _ in range(200):
                held.append(1)
                yield frame(0).view(Counted)
                # One lies ready, one may be in the hands of the loop.
                assert len(held) <= 3

    with LiveSource(Many()) as live:
        for _ in live:
            pass
        assert live.delivered + live.dropped == 200


class Timed:
    """Frames at given seconds."""

    def __init__(self, times: list[float]) -> None:
        self.times = times

    def __iter__(self) -> Iterator[np.ndarray]:
        return (image for _, image in self.timed())

    def timed(self) -> Iterator[tuple[float, np.ndarray]]:
        for index, seconds in enumerate(self.times):
            yield seconds, frame(index)


def test_realtime_does_not_wait_out_a_long_gap_when_closed() -> None:
    with LiveSource(Timed([0.0, 1e6]), realtime=True) as live:
        assert number(next(live)) == 0
    assert live_threads() == []


def test_realtime_drops_what_a_blocked_consumer_misses() -> None:
    with LiveSource(Timed([0.0] * 5 + [1e6]), realtime=True) as live:
        seen = [number(next(live))]
        while seen[-1] < 4:
            seen.append(number(next(live)))
        assert seen == sorted(seen)
        assert live.delivered + live.dropped == 5


def test_realtime_needs_times() -> None:
    with pytest.raises(TypeError, match=r"timed\(\).*received list"):
        LiveSource([frame(0)], realtime=True)


@pytest.mark.parametrize("realtime", [False, True])
def test_a_file(tmp_path: Path, realtime: bool) -> None:
    with VideoWriter(tmp_path / "clip.mp4", 100) as writer:
        for index in range(20):
            writer.write(np.full((32, 32, 3), 10 * index, np.uint8))
    with LiveSource(VideoReader(tmp_path / "clip.mp4"), realtime=realtime) as live:
        seen = [round(float(image.mean()) / 10) for image in live]
        assert seen[-1] == 19
        assert seen == sorted(set(seen))
        assert live.delivered + live.dropped == 20
        assert live.delivered == len(seen)
