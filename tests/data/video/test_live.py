"""`LiveSource`: dropped frames, counts, end of the source, errors.

The readers in these tests advance by events, so that the state of the background thread is known
whenever the consumer looks: a generator resumes only after its previous frame was published.
"""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mpvn.data import LiveSource, VideoReader, VideoWriter

TIMEOUT = 30  # seconds after which a wait counts as hung


def frame(index: int) -> np.ndarray:
    return np.full((4, 6, 3), index, np.uint8)


def number(image: np.ndarray) -> int:
    assert image.shape == (4, 6, 3)
    return int(image[0, 0, 0])


class SteppedReader:
    """Yields each burst of frames once it is allowed, and signals when it was published."""

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
                assert self.allowed[at].wait(TIMEOUT)
                for index in burst:
                    yield frame(index)
                self.published[at].set()
            assert self.allowed[-1].wait(TIMEOUT)
            if self.error is not None:
                raise self.error
        finally:
            self.finished = True

    def allow(self, at: int) -> None:
        """Allow a burst and wait until its last frame is ready."""
        self.allowed[at].set()
        if at < len(self.published):
            assert self.published[at].wait(TIMEOUT)

    def close(self) -> None:
        self.closed = True


def live_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "mpvn-live"]


@pytest.fixture(autouse=True)
def no_thread_is_left_running() -> Iterator[None]:
    yield
    assert live_threads() == []


def test_a_slow_consumer_gets_the_newest_frame() -> None:
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


def test_a_fast_consumer_gets_every_frame() -> None:
    reader = SteppedReader([[index] for index in range(20)])
    shown = []
    with LiveSource(reader) as live:
        for index in range(20):
            reader.allowed[index].set()
            shown.append(number(next(live)))
        reader.allow(20)
        assert next(live, None) is None
        assert (live.delivered, live.dropped) == (20, 0)
    assert shown == list(range(20))


def test_a_frame_has_arrived_when_it_was_ready_not_when_it_was_taken() -> None:
    reader = SteppedReader([[0], [1, 2]])
    with LiveSource(reader) as live:
        assert live.arrived is None
        reader.allowed[0].set()
        next(live)
        before = time.perf_counter()
        reader.allow(1)
        ready = time.perf_counter()
        assert number(next(live)) == 2
        assert live.arrived is not None and before < live.arrived < ready
        reader.allow(2)


def test_a_reader_error_is_raised_after_the_last_frame() -> None:
    reader = SteppedReader([[0], [1, 2]], error=OSError("cable unplugged"))
    with LiveSource(reader) as live:
        reader.allowed[0].set()
        assert number(next(live)) == 0
        reader.allow(1)
        reader.allow(2)
        assert number(next(live)) == 2
        with pytest.raises(OSError, match="cable unplugged"):
            next(live)
        with pytest.raises(StopIteration):
            next(live)


def test_an_error_before_the_first_frame() -> None:
    class Broken:
        def __iter__(self) -> Iterator[np.ndarray]:
            raise RuntimeError("no iterator")

    with LiveSource(Broken()) as live, pytest.raises(RuntimeError, match="no iterator"):
        next(live)


def test_closing_early_stops_the_thread() -> None:
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
    live.close()  # a second call does nothing


def test_a_consumer_error_stops_the_thread() -> None:
    reader = SteppedReader([[0]])
    with pytest.raises(KeyError, match="from the consumer"), LiveSource(reader) as live:
        reader.allowed[0].set()
        next(live)
        reader.allowed[1].set()
        raise KeyError("from the consumer")
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


def test_closing_without_reading() -> None:
    reader = SteppedReader([[0]])
    with LiveSource(reader):
        pass
    assert reader.closed and not reader.finished


def test_old_frames_are_freed() -> None:
    alive: list[int] = []

    class Counted(np.ndarray):
        def __del__(self) -> None:
            alive.remove(1)

    class Many:
        def __iter__(self) -> Iterator[np.ndarray]:
            for _ in range(200):
                alive.append(1)
                yield frame(0).view(Counted)
                # One is ready, and the consumer may hold another.
                assert len(alive) <= 3

    with LiveSource(Many()) as live:
        for _ in live:
            pass
        assert live.delivered + live.dropped == 200


class Timed:
    """A reader of one frame at each of the given times, in seconds."""

    def __init__(self, times: list[float]) -> None:
        self.times = times

    def __iter__(self) -> Iterator[np.ndarray]:
        return (image for _, image in self.timed())

    def timed(self) -> Iterator[tuple[float, np.ndarray]]:
        for index, seconds in enumerate(self.times):
            yield seconds, frame(index)


def test_closing_interrupts_a_realtime_wait() -> None:
    with LiveSource(Timed([0.0, 1e6]), realtime=True) as live:
        assert number(next(live)) == 0
    assert live_threads() == []


def test_realtime_drops_frames_that_a_blocked_consumer_misses() -> None:
    with LiveSource(Timed([0.0] * 5 + [1e6]), realtime=True) as live:
        seen = [number(next(live))]
        while seen[-1] < 4:
            seen.append(number(next(live)))
        assert seen == sorted(seen)
        assert live.delivered + live.dropped == 5


def test_realtime_requires_times() -> None:
    with pytest.raises(TypeError, match=r"timed\(\).*Received: list"):
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


def test_frames_come_with_their_whole_pictures(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "clip.mp4", 100) as writer:
        for index in range(6):
            writer.write(np.full((32, 48, 3), 40 * index, np.uint8))
    reader = VideoReader(tmp_path / "clip.mp4", size=(8, 8))
    with LiveSource(reader, realtime=True) as live:
        for view in live.views():
            assert (view.frame.shape, view.whole().shape) == ((8, 8, 3), (32, 48, 3))
            assert abs(view.frame.mean() - 4000 * view.seconds) < 3
            assert abs(view.whole().mean() - 4000 * view.seconds) < 3
            assert view.part[:4] == (0, 8, 32, 32)
    with pytest.raises(TypeError, match="a reader with a method views"):
        list(LiveSource([frame(0)]).views())
