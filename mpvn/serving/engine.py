"""Runs many streams through one network: slots by stream id, batches within a deadline.

    submit(stream_id, frames) -> future      any thread
    worker thread:  drop what is too late
                    batch = the stream whose turn it is, and those that tick together with it
                    outputs, states = network.step(frames, states)

A stream computes what it would compute alone. It never lags: few of its frames wait, and the newest
ones are kept; if there is too much to do, streams take turns. A frame that is dropped was never
seen by the network, so the step number of the stream does not advance, and the next answer says how
many were dropped before it.

A batch has streams that tick together only: units of others gather and scatter rows, which took up
to four times as long as the streams one after the other. On a CPU, one stream uses all cores, and a
batch that ticks together takes as long as its streams do. So `batch` is 1 there by default.
"""

import concurrent.futures
import functools
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import tensorflow as tf

from mpvn.serving.answer import AnswerFuture
from mpvn.serving.errors import Closed, StepFailed
from mpvn.serving.frames import Frames, check_stream_id
from mpvn.serving.slots import Slots
from mpvn.serving.statistics import Statistics
from mpvn.serving.stepping import answers_of, step_batch
from mpvn.serving.units import recorded
from mpvn.serving.waiting import Queue, Waiting, tell_dropped
from mpvn.state import earliest_alike

GPU_BATCH = 8
"""Streams of a batch on a GPU, by default."""

_RECENT = 1.0  # seconds in which a stream was used, if a batch waits for it
_MEMORY = 0.8  # of the pace: the share that is not from the last batch


class Engine:
    """Streams by id over a network.

    Args:
        network: a `CompiledNetwork`, or a causal `VideoNetwork`. Only the engine steps it.
        streams: most streams at a time.
        batch: most streams of a batch. None: 1, or `GPU_BATCH` where there is a GPU. A compiled
            network computes larger batches than it was compiled for in pieces.
        wait: seconds that a frame waits for others to fill its batch, at most.
        deadline: seconds from the arrival of a frame to its answer. Frames that cannot be answered
            in that time are dropped.
        idle: seconds without a frame after which the slot of a stream may be given to another one.
        depth: most frames of a stream that wait. If another one comes, the oldest goes.
        statistics: counts what happens; None for new ones.
        clock: returns the time in seconds.
        start: whether to start the thread that runs steps. False: `run_due` runs them.

    Attributes:
        network: the argument.
        frames: checks frames.
        deadline: the argument.
        batch: most streams of a batch.
        capacity: most streams at a time.
        statistics: the counts so far.
    """

    def __init__(
        self,
        network: Any,
        *,
        streams: int = 64,
        batch: int | None = None,
        wait: float = 0.0,
        deadline: float = 1.0,
        idle: float = 60.0,
        depth: int = 2,
        statistics: Statistics | None = None,
        clock: Callable[[], float] = time.monotonic,
        start: bool = True,
    ) -> None:
        _check("streams", streams, 1)
        _check("depth", depth, 1)
        batch = default_batch() if batch is None else batch
        _check("batch", batch, 1)
        for name, value in (("wait", wait), ("deadline", deadline), ("idle", idle)):
            _check(name, value, 0)
        if wait >= deadline:
            raise ValueError(
                f"Invalid wait. Expected less than the deadline, {deadline} s. Received: {wait} s."
            )
        self.statistics = statistics or Statistics()
        self.network = network
        self.frames = Frames(network.graph)
        self._slots = Slots(streams, idle)
        period, settled = network.plan.period, network.settled_step
        alike = functools.partial(earliest_alike, settled=settled, period=period)
        self._queue = Queue(batch, wait, depth, alike)
        self.batch = batch
        self.capacity = streams
        self.deadline = deadline
        self._clock = clock
        self._pace = 0.0  # seconds that a frame takes
        self._closing = False
        self._running: list[Waiting] = []
        self._changed = threading.Condition()
        self._stepping = threading.Lock()  # so that units are recorded of one step alone
        self._thread = threading.Thread(target=self._work, name="mpvn engine", daemon=True)
        if start:
            self._thread.start()

    # --- any thread -------------------------------------------------------------------------

    def submit(
        self, stream_id: int, frames: Any, deadline: float | None = None, units: bool = False
    ) -> AnswerFuture:
        """Let the network see the next frame of a stream. A new id begins a new stream.

        Args:
            stream_id: any integer of 64 bits.
            frames: a frame `[...]` for each input, in the structure of the frame model's inputs:
                the numbers that the network takes. They are copied.
            deadline: seconds from now to the answer, if that is less than the engine's.
            units: whether the answer tells when units ran.

        Returns:
            The future of the answer. It raises `FrameDropped`, `StepFailed` or `Closed`. Cancel it
            if nobody waits for it any more.

        Raises:
            InvalidRequest: the id is no integer, or the frame does not fit the network.
            NoFreeSlot: there are too many streams.
            Closed: the engine is closed.
        """
        (future,) = self.submit_all({stream_id: frames}, deadline, units)
        return future

    def submit_all(
        self, frames: Mapping[int, Any], deadline: float | None = None, units: bool = False
    ) -> list[AnswerFuture]:
        """Let the network see the next frames of several streams: of all, or of none.

        Args:
            frames: those of each stream, by its id; see `submit`.
            deadline, units: as in `submit`.

        Raises:
            InvalidRequest, NoFreeSlot, Closed: as in `submit`; then no stream has changed.
        """
        checked = {
            check_stream_id(stream_id): self.frames.check(f"Stream {stream_id}", each)
            for stream_id, each in frames.items()
        }
        limit = self.deadline if deadline is None else min(deadline, self.deadline)
        with self._changed:
            if self._closing:
                raise Closed("The server stops. Expected a running one. No frame was seen.")
            now = self._clock()
            slots = self._slots.take([*checked], now)
            waiting = [
                Waiting(slot, each, now, now + limit, units, concurrent.futures.Future())
                for slot, each in zip(slots, checked.values(), strict=True)
            ]
            for slot in slots:
                slot.busy += 1
            gone = [old for frame in waiting if (old := self._queue.add(frame))]
            self._discard(gone, "queue")
            self._changed.notify_all()
        tell_dropped(gone, "queue", "newer frames of its stream wait")
        return [frame.future for frame in waiting]

    def step_apart(self, frames: Any, state: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Run a step of streams that have no slots, between those of others; see `network.step`."""
        with self._stepping:
            return self.network.step(frames, state)

    def reset(self, stream_id: int) -> int:
        """Forget a stream and free its slot. Its frames that wait are dropped.

        A step that runs meanwhile is answered, and does not count.

        Returns:
            How many steps it had run; 0 for an unknown stream.

        Raises:
            InvalidRequest: the id is no integer.
        """
        with self._changed:
            slot = self._slots.free(check_stream_id(stream_id))
            gone = [] if slot is None else self._queue.remove_of(slot)
            self._discard(gone, "reset")
        tell_dropped(gone, "reset", "its stream was reset")
        return 0 if slot is None else slot.steps

    def check_room(self, stream_ids: Collection[int]) -> None:
        """Raise `NoFreeSlot` if there is no room for streams now, before work is put into them."""
        with self._changed:
            self._slots.given_up(stream_ids, self._clock())

    def has(self, stream_id: int) -> bool:
        """Return whether a stream has a slot."""
        with self._changed:
            return self._slots.has(stream_id)

    def note_dropped(self, reason: str) -> None:
        """Count a frame that was dropped before it was submitted."""
        with self._changed:
            self.statistics.add_dropped(reason)

    @property
    def streams(self) -> int:
        """The number of streams that have a slot."""
        return len(self._slots)

    @property
    def waiting(self) -> int:
        """The number of frames that wait."""
        return len(self._queue)

    @property
    def reclaimed(self) -> int:
        """The number of slots of idle streams that were given to others so far."""
        return self._slots.reclaimed

    @property
    def is_running(self) -> bool:
        """Whether the thread that runs steps is there."""
        return self._thread.is_alive()

    def close(self, grace: float = 0.0) -> None:
        """Take no more frames. Those that wait are run for `grace` seconds; the rest fails."""
        end = time.monotonic() + grace
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            while self._thread.is_alive() and (self._queue or self._running):
                left = end - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
        self._close_queue()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    # --- the thread that runs steps ---------------------------------------------------------

    def run_due(self) -> int:
        """Run all batches whose time has come; return how many. For an engine without a thread."""
        count = 0
        while self._turn(block=False):
            count += 1
        return count

    def _work(self) -> None:
        try:
            while self._turn(block=True):
                pass
        finally:
            self._close_queue()

    def _turn(self, block: bool) -> bool:
        """Drop late frames and run the next batch; return whether there was something to do.

        Args:
            block: whether to wait until there is, or the engine is closed.
        """
        with self._changed:
            late, batch = self._next()
            while block and not (late or batch):
                if self._closing and not self._queue:
                    return False
                due = self._queue.due()
                self._changed.wait(None if due is None else max(0.0, due - self._clock()))
                late, batch = self._next()
            self._running = batch
        tell_dropped(late, "deadline", "it could not be answered in time")
        if batch:
            self._run(batch)
        return bool(late or batch)

    def _next(self) -> tuple[list[Waiting], list[Waiting]]:
        """Return frames that are too late, and the next batch. The lock is held."""
        now = self._clock()
        late = self._discard(self._queue.remove_late(now, self._pace), "deadline")
        others = 0 if self._closing else self._slots.used_since(now - _RECENT)
        while batch := self._queue.take(now, others):
            wanted = [f for f in batch if f.future.set_running_or_notify_cancel()]
            self._discard([frame for frame in batch if frame not in wanted], "canceled")
            if wanted:
                return late, wanted
        return late, []

    def _run(self, batch: list[Waiting]) -> None:
        """Run a step of the streams of a batch, and answer."""
        start = self._clock()
        try:
            with (
                self._stepping,
                recorded(self.network, any(frame.units for frame in batch)) as events,
            ):
                outputs, states = step_batch(self.network, self.frames, batch)
            seconds = self._clock() - start
            answers = answers_of(batch, outputs, start, seconds, events)
        except Exception as error:  # of any kind: the engine goes on
            self._finish_failed(batch)
            failed = StepFailed(f"The step failed: {error} No stream of it has changed.")
            failed.__cause__ = error
            for frame in batch:
                frame.future.set_exception(failed)
            return
        self._finish(batch, states, [answer.wait for answer in answers], seconds)
        for frame, answer in zip(batch, answers, strict=True):
            frame.future.set_result(answer)

    def _finish(
        self,
        batch: list[Waiting],
        states: Sequence[dict[str, Any]],
        waits: list[float],
        seconds: float,
    ) -> None:
        """Keep the states after a step, and count it."""
        pace = seconds / len(batch)
        with self._changed:
            for frame, state in zip(batch, states, strict=True):
                slot = frame.slot
                slot.state = state
                slot.steps += 1
                slot.busy -= 1
                slot.dropped = 0
            self._pace = pace + _MEMORY * (self._pace - pace) * bool(self._pace)
            self.statistics.add_batch(waits, seconds)
            self._stop_running()

    def _finish_failed(self, batch: list[Waiting]) -> None:
        with self._changed:
            for frame in batch:
                frame.slot.busy -= 1
            self.statistics.add_failed(len(batch))
            self._stop_running()

    def _close_queue(self) -> None:
        """Take no more frames, and refuse those that wait."""
        with self._changed:
            self._closing = True
            gone = self._discard(self._queue.remove_of(), "closing")
            self._changed.notify_all()
        for frame in gone:
            frame.fail(Closed("The server stops. The frame was not seen."))

    # --- with the lock held -----------------------------------------------------------------

    def _stop_running(self) -> None:
        self._running = []
        self._changed.notify_all()

    def _discard(self, frames: list[Waiting], reason: str) -> list[Waiting]:
        """Note that the network will not see frames, and return them."""
        for frame in frames:
            frame.slot.busy -= 1
            frame.slot.dropped += 1
            self.statistics.add_dropped(reason)
        return frames


def default_batch() -> int:
    """Return the number of streams of a batch that is usually best on this machine."""
    return GPU_BATCH if tf.config.list_logical_devices("GPU") else 1


def _check(name: str, value: float, least: int) -> None:
    if isinstance(value, bool) or not value >= least or (least and not isinstance(value, int)):
        expected = "a positive int" if least else "seconds, 0 or more"
        raise ValueError(f"Invalid {name}. Expected {expected}. Received: {value!r}.")
