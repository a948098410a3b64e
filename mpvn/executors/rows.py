"""One step of streams of different ages: each block computes the streams whose clock ticks.

    ticks [B]     for each clock: which streams tick at this step
    entering      [B, ...] -> [n, ...]      gather the n streams that tick
    block         on a batch of n           skipped if n is 0
    slots         [n, ...] -> [B, ...]      scatter into the slots before the step

One graph for all mixtures of ages. A tensor of a slow block stays `[n, ...]`: whoever reads it in
the same step ticks no more often, so it needs no other streams.
"""

from typing import NamedTuple

import tensorflow as tf

from mpvn.executors.run import Place, Time, before
from mpvn.executors.step_run import StepRun
from mpvn.graph.data import Node
from mpvn.plan import Plan
from mpvn.plan.clock import EVERY_STEP, Clock


class Ticking(NamedTuple):
    """The streams that tick at a step.

    Attributes:
        any: bool scalar, whether there are any.
        rows: int64 `[n]`, their rows.
        positions: int64 `[B]`, the position in `rows` of each stream that ticks.
    """

    any: tf.Tensor
    rows: tf.Tensor
    positions: tf.Tensor


class Rows:
    """The ticks of all clocks at one step of streams of different ages.

    Args:
        run: the step.
        counter: int64 `[B]`, the number of each stream's step.
    """

    def __init__(self, run: StepRun, counter: tf.Tensor) -> None:
        if run.plan.period > 1:
            check_parts(run.plan)
        self._run = run
        self._counter = counter
        self._ticking = {
            clock: _ticking(clock.ticks(counter))
            for clock in run.plan.distinct_clocks
            if clock.rate > 1
        }

    def run_block(self, nodes: list[Node]) -> None:
        """Run `nodes`, all of one subnetwork and clock, for the streams that tick."""
        run, clock = self._run, self._run.plan.clock(nodes[0])
        if clock == EVERY_STEP:
            run.run(nodes)
            return
        entering = {place: self._positions(place, clock) for place in run.entering(nodes)}
        leaving = run.leaving(nodes)
        rows = self._ticking[clock].rows

        def tick():
            branch = run.with_values(
                {place: _gather(run.values[place], index) for place, index in entering.items()}
            )
            branch.number = tf.gather(self._counter, rows)
            branch.run(nodes)
            return [self._leave(place, branch.values[place], rows) for place in leaving]

        def rest():
            return [self._at_rest(place) for place in leaving]

        with tf.device(run.plan.device(nodes[0])):
            values = tf.cond(self._ticking[clock].any, tick, rest)
        run.values.update(zip(leaving, values, strict=True))

    def _positions(self, place: Place, clock: Clock) -> tf.Tensor | None:
        """Return where the streams that tick on `clock` are in a value; None if it has no other."""
        producer = EVERY_STEP
        if place.time is Time.NOW:
            producer = self._run.plan.clock(self._run.plan.graph.producer(int(place.key)))
        if producer == clock:
            return None
        rows = self._ticking[clock].rows
        if producer == EVERY_STEP:
            return rows
        return tf.gather(self._ticking[producer].positions, rows)

    def _leave(self, place: Place, value: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        """Return a slot `[B, ...]` with the values of the streams that tick; a tensor as it is."""
        if place.time is not Time.AFTER:
            return value
        slot = self._run.values[before(str(place.key))]
        return tf.tensor_scatter_nd_update(slot, rows[:, None], value)

    def _at_rest(self, place: Place) -> tf.Tensor:
        """Return a slot as it was; of a tensor, the values of no streams."""
        if place.time is Time.AFTER:
            return self._run.values[before(str(place.key))]
        tensor = self._run.plan.graph.tensors[int(place.key)]
        return tf.zeros((0, *tensor.shape), tensor.dtype)


def check_parts(plan: Plan) -> None:
    """Raise ValueError if the frame model cannot compute a part of a batch."""
    size = plan.graph.batch_size
    if size not in (None, 1):
        raise ValueError(
            f"{plan.graph.model.name!r} takes batches of {size} only, so slow clocks need streams "
            "of one age. Received: streams of different ages. Start them together, use clocks of "
            "rate 1, or build the frame model for any batch size."
        )


def _ticking(ticks: tf.Tensor) -> Ticking:
    """Return the streams for which `ticks` (bool `[B]`) is True."""
    positions = tf.cumsum(tf.cast(ticks, tf.int64)) - 1
    return Ticking(tf.reduce_any(ticks), tf.where(ticks)[:, 0], positions)


def _gather(value: tf.Tensor, positions: tf.Tensor | None) -> tf.Tensor:
    return value if positions is None else tf.gather(value, positions)
