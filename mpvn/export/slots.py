"""Slots: the states of streams on the server, in variables of the SavedModel.

    a call            lock
      stream ids      find the slot of each stream; claim one for each new stream:
                      a free one, else the one that has been idle longest, if it was long enough
      checks          before any variable changes, so a refused call changes nothing
      rows            gather; zeros for new streams
      the step
      writes          after all values are there
                      unlock

The states begin with 0 rows, so that the file does not hold zeros of all streams; the first step
makes the others. Calls run one after the other.
"""

import math
import uuid
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from mpvn.export.requirements import require
from mpvn.state import STEP


class Claim(NamedTuple):
    """The slots of the streams of a call.

    Attributes:
        streams: their ids, int64 `[B]`.
        slots: int64 `[B]`.
        new: whether a stream starts, bool `[B]`.
        steps: the number of each stream's step, int64 `[B]`.
        seen: when the stream in each slot was seen last, this call included, float64 `[streams]`.
    """

    streams: tf.Tensor
    slots: tf.Tensor
    new: tf.Tensor
    steps: tf.Tensor
    seen: tf.Tensor


class Slots(tf.Module):
    """The states of up to `streams` streams.

    Args:
        specs: the spec `[B, ...]` of each state, without the step counter.
        streams: number of slots.
        idle: seconds without a frame after which a stream may lose its slot to a new one.

    Attributes:
        ids: the stream in each slot, int64 `[streams]`.
        taken: whether there is one, bool `[streams]`.
        steps: number of its next step, int64 `[streams]`.
        seen: when it was seen last, in seconds since 1970, float64 `[streams]`.
        states: variables `[0 or streams, ...]`.
    """

    def __init__(self, specs: Mapping[str, tf.TensorSpec], streams: int, idle: float) -> None:
        super().__init__()
        self.streams = streams
        self.idle = idle
        self._lock_name = f"mpvn_{uuid.uuid4().hex}"
        self.ids = _variable(tf.zeros(streams, tf.int64))
        self.taken = _variable(tf.zeros(streams, tf.bool))
        self.steps = _variable(tf.zeros(streams, tf.int64))
        self.seen = _variable(tf.zeros(streams, tf.float64))
        self.states = {
            name: _variable(tf.zeros((0, *spec.shape[1:]), spec.dtype), (None, *spec.shape[1:]))
            for name, spec in specs.items()
        }

    def exclusively(
        self, run: Callable[[], tuple[Any, list[tf.Operation]]], after: tf.Tensor
    ) -> Any:
        """Return the values of `run`, which also returns its writes; one call at a time.

        A `tf.CriticalSection` cannot be saved.

        Args:
            run: reads and writes variables.
            after: what must be there before the lock is taken.
        """
        with tf.control_dependencies([after]):
            mutex = tf.raw_ops.MutexV2(shared_name=self._lock_name)
            lock = tf.raw_ops.MutexLock(mutex=mutex)
        with tf.control_dependencies([lock]):
            values, writes = run()
        with tf.control_dependencies(writes):
            tf.raw_ops.ConsumeMutexLock(mutex_lock=lock)
        return values

    def claim(self, streams: tf.Tensor) -> Claim:
        """Return slots for the streams of a step; fail if there are not enough."""
        same = self._same(streams)
        found, now = tf.reduce_any(same, axis=1), tf.timestamp()
        seen = tf.minimum(self.seen.read_value(), now)  # a clock may be set back
        taken = self.taken.read_value()
        claimable = ~tf.reduce_any(same, axis=0) & (~taken | (now - seen >= self.idle))
        with tf.control_dependencies(
            [self._enough(found, claimable, tf.where(taken, now - seen, 0.0))]
        ):
            turn = tf.cumsum(tf.cast(~found, tf.int32), exclusive=True)
        # Free slots first, then those that have been idle longest.
        order = tf.argsort(tf.where(claimable, tf.where(taken, seen, -1.0), now + 1.0))
        slots = tf.where(found, tf.argmax(same, axis=1), tf.cast(tf.gather(order, turn), tf.int64))
        steps = tf.where(found, self.steps.sparse_read(slots), 0)
        seen = tf.tensor_scatter_nd_update(seen, slots[:, None], tf.fill(tf.shape(slots), now))
        return Claim(streams, slots, ~found, steps, seen)

    def _same(self, streams: tf.Tensor) -> tf.Tensor:
        """Return which slot has each stream, bool `[B, streams]`."""
        return (streams[:, None] == self.ids.read_value()) & self.taken.read_value()

    def _enough(self, found: tf.Tensor, claimable: tf.Tensor, idle: tf.Tensor) -> tf.Tensor:
        """Require a slot for each new stream."""
        wanted, free = (tf.reduce_sum(tf.cast(x, tf.int32)) for x in (~found, claimable))
        rule = f"; one idle for {self.idle:g} s may lose its place" * math.isfinite(self.idle)
        text = (
            f"Too many streams. Expected at most {self.streams} at a time{rule}. Received: "
            "{} new streams for {} places; the longest pause of a stream is {} s. Reset streams "
            "that have ended, or export with more streams."
        )
        return require(wanted <= free, text, wanted, free, tf.round(tf.reduce_max(idle)))

    def read(self, claim: Claim) -> dict[str, tf.Tensor]:
        """Return the states of the streams, `[B, ...]`: zeros for new ones."""
        with tf.control_dependencies([*claim]):
            grown = self._grow()
        with tf.control_dependencies(grown):
            rows = {name: x.sparse_read(claim.slots) for name, x in self.states.items()}
        states = {
            # [B] -> [B, 1, ..., 1], to broadcast against a state
            name: tf.where(
                tf.reshape(claim.new, (-1, *[1] * (len(x.shape) - 1))), tf.zeros_like(x), x
            )
            for name, x in rows.items()
        }
        return {STEP: claim.steps, **states}

    def _grow(self) -> list[tf.Tensor]:
        """Give the states a row for each stream at the first step."""
        if not self.states:
            return []
        *others, last = self.states.values()

        def grow() -> tf.Tensor:
            with tf.control_dependencies([self._assign_zeros(state) for state in others]):
                done = self._assign_zeros(last)  # it tells that all are there
            with tf.control_dependencies([done]):
                return tf.constant(True)

        rows = tf.raw_ops.VariableShape(input=last.handle)[0]
        return [tf.cond(tf.equal(rows, 0), grow, lambda: tf.constant(False))]

    def _assign_zeros(self, state: tf.Variable) -> tf.Operation:
        zeros = tf.zeros((self.streams, *state.shape[1:]), state.dtype)
        return tf.raw_ops.AssignVariableOp(resource=state.handle, value=zeros)

    def write(self, claim: Claim, after: Mapping[str, tf.Tensor]) -> list[tf.Operation]:
        """Keep the states after a step."""
        rows = [(variable, after[name]) for name, variable in self.states.items()]
        rows += [(self.steps, after[STEP]), (self.ids, claim.streams)]
        rows += [(self.taken, tf.ones_like(claim.streams, tf.bool))]
        return [
            *(_scatter(variable, claim.slots, values) for variable, values in rows),
            tf.raw_ops.AssignVariableOp(resource=self.seen.handle, value=claim.seen),
        ]

    def free(self, streams: tf.Tensor) -> tuple[tf.Tensor, list[tf.Operation]]:
        """Free the slots of streams. Return how many steps each had run, and the writes."""
        same = self._same(streams)
        found = tf.reduce_any(same, axis=1)
        text = (
            "Unknown stream_id. Expected streams that have run a step since the server started, "
            "and that have neither been reset nor lost their places to others. Received: {}."
        )
        known = require(tf.reduce_all(found), text, tf.boolean_mask(streams, ~found))
        with tf.control_dependencies([known]):
            slots = tf.argmax(same, axis=1)
        steps = self.steps.sparse_read(slots)
        with tf.control_dependencies([steps]):
            return steps, [_scatter(self.taken, slots, tf.zeros_like(found))]


def _variable(value: tf.Tensor, shape: tuple[int | None, ...] | None = None) -> tf.Variable:
    return tf.Variable(value, trainable=False, shape=shape)


def _scatter(variable: tf.Variable, slots: tf.Tensor, rows: tf.Tensor) -> tf.Operation:
    return tf.raw_ops.ResourceScatterUpdate(resource=variable.handle, indices=slots, updates=rows)
