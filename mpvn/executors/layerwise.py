"""Layer by layer: a clip, all ticks of a node at once, with time folded into the batch.

    for node in plan:
        inputs = the ticks of its producers that it sees, [B, n, ...] -> [B*n, ...]
        ticks = node(inputs)                              [B*n, ...] -> [B, n, ...]

A boundary is then a shift by one step along time, a clock a selection of ticks, a temporal layer a
stack of shifted copies. A recurrent layer goes through its ticks in a loop of its own. Values and
gradients are those of `unroll`, except that batch norm in training takes its statistics over all
ticks of the clip, not over each step. Feedback is not possible.

A reader looks up values in the *sequence* of a tensor: the slots from before the clip, then the
ticks in the clip. So a clip can continue from a state, and a long clip can run in chunks.
"""

import functools
from typing import Self

import tensorflow as tf

from keras_layers.folding import fold_time, unfold_time
from mpvn.executors.placed import on_device
from mpvn.executors.run import Place, Run, State, after, before, now
from mpvn.executors.segment import run_nodes
from mpvn.executors.uninformed import cut_call
from mpvn.graph.data import Node
from mpvn.plan import Plan
from mpvn.plan.clock import Clock
from mpvn.plan.history import History, Read
from mpvn.sideways.rules import SidewaysRules


def layerwise(
    plan: Plan,
    clip: list[tf.Tensor],
    state: State,
    number: int = 0,
    training: bool | None = None,
    rematerialize: bool = False,
    sideways: SidewaysRules | None = None,
) -> tuple[list[tf.Tensor], State]:
    """Run a clip.

    Args:
        plan: the plan to run.
        clip: one tensor `[B, T, ...]` per input of the frame model; T may be unknown.
        state: the slots before the clip, `[B, ...]` by name.
        number: number of the clip's first step, or of one like it.
        training: as in Keras.
        rematerialize: whether to compute segments (`mpvn.executors.segment`) again in the backward
            pass instead of keeping their activations.
        sideways: rules of the same plan, if gradients should cross boundaries by Sideways. Values
            are the same.

    Returns:
        One tensor `[B, T, ...]` per output of the frame model, and the slots after the clip.

    Raises:
        ValueError: the plan has feedback, or the clip is too short to learn from.
    """
    if plan.has_feedback:
        raise ValueError(
            "A network with feedback cannot run layer by layer, because its first layer waits for "
            'its last. Set network.executor = "unroll".'
        )
    run = _ClipRun(plan, clip, state, number, training, sideways)
    run.check_training()
    run_nodes(run, rematerialize)
    outputs = [run.seen(read, None) for read in run.edges(None)]
    outputs = [tf.ensure_shape(x, (*clip[0].shape[:2], *x.shape[2:])) for x in outputs]
    return outputs, run.state_after()


class _ClipRun(Run):
    """The ticks `[B, n, ...]` of all tensors of a clip while it is being computed."""

    def __init__(
        self,
        plan: Plan,
        clip: list[tf.Tensor],
        state: State,
        number: int,
        training: bool | None,
        sideways: SidewaysRules | None,
    ) -> None:
        super().__init__(plan, training, {before(slot): x for slot, x in state.items()})
        self._number = number
        self._sideways = sideways
        self._batch = tf.shape(clip[0])[0] if clip[0].shape[0] is None else clip[0].shape[0]
        self._steps = tf.shape(clip[0])[1] if clip[0].shape[1] is None else clip[0].shape[1]
        self._cut_before = plan.cut_before  # tries out layers, so outside of any segment
        self._sequences: dict[History, tf.Tensor] = {}
        for tensor, ticks in zip(plan.graph.inputs, clip, strict=True):
            self._put(tensor, ticks)

    def check_training(self) -> None:
        """Raise an error if the clip is too short to learn from.

        A batch norm that never ticks would have no statistics to learn.
        """
        latest = max(self._clock(node).phase for node in self.plan.graph.nodes)
        if self.training and tf.is_tensor(self._steps) and latest:
            tf.debugging.assert_greater(
                self._steps,
                latest,
                f"Training: a node of the plan first ticks at step {latest}. Expected clips of "
                f"more than {latest} frames.",
            )
        if self.training and self._sideways:
            self._sideways.check(self._steps)

    def compute(self, node: Node) -> None:
        count = self._clock(node).count(self._steps)
        with on_device(self.plan, node):
            if isinstance(count, int) and count == 0:  # its phase is beyond the clip's end
                values = [self._no_ticks(tensor) for tensor in node.outputs]
            else:
                values = self._call(node, count)
        for tensor, ticks in zip(node.outputs, values, strict=True):
            self._put(tensor, ticks)

    def seen(self, read: Read, reader: Node | None) -> tf.Tensor:
        """Return the newest value that `read` sees at each tick of `reader` (None: each step).

        Returns:
            `[B, n, ...]`.
        """
        sequence = self._sequence(read.tensor, read.held)
        value = self._look_up(read, self._clock(reader), sequence, read.held)
        if self._sideways is None:
            return value
        producer = self.plan.graph.producer(read.tensor)
        return self._sideways.received(value, self.values[now(read.tensor)], producer, reader)

    def reads(self, node: Node | None) -> list[Place]:
        edges = self.edges(node)
        looked_up = [history for read in edges for history in (read.held, read.past) if history]
        shifted = [] if node is None else self.plan.histories.produced_by([node])
        slots = [slot for history in (*looked_up, *shifted) for slot in history.slots]
        return [*(now(read.tensor) for read in edges), *map(before, slots)]

    def with_values(self, values: dict[Place, tf.Tensor]) -> Self:
        run = super().with_values(values)
        run._sequences = {}
        return run

    def _call(self, node: Node, count: int | tf.Tensor) -> list[tf.Tensor]:
        """Return the outputs `[B, n, ...]` of `node` at all its `count` ticks."""
        inputs = self._inputs(node)
        if node.memory:  # all inputs before step 0 are defined for it: no call is cut
            return node.call(inputs, self.training)
        cut = self._clock(node).count(self._cut_before[node.index] - self._number)
        if cut <= 0:
            return self._call_at(node, count, inputs)
        cut = min(cut, count) if isinstance(count, int) else tf.minimum(cut, count)
        early = cut_call(
            functools.partial(self._call_at, node, cut), [ticks[:, :cut] for ticks in inputs]
        )
        if isinstance(count, int) and cut == count:
            return early
        late = self._call_at(node, count - cut, [ticks[:, cut:] for ticks in inputs])
        return [tf.concat(ticks, axis=1) for ticks in zip(early, late, strict=True)]

    def _call_at(
        self, node: Node, count: int | tf.Tensor, inputs: list[tf.Tensor]
    ) -> list[tf.Tensor]:
        """Return the outputs of one call of `node` for `count` ticks, `[B, count, ...]`."""
        folded = [fold_time(ticks) for ticks in inputs]  # [B, count, ...] -> [B*count, ...]
        outputs = [node.operation(folded)] if node.temporal else node.call(folded, self.training)
        return [unfold_time(output, self._batch, count) for output in outputs]

    def _inputs(self, node: Node) -> list[tf.Tensor]:
        """Return what `node` reads at its ticks, or its window, oldest first, `[B, n, ...]`.

        A recurrent layer also reads its memory before the clip, `[B, ...]`.
        """
        clock = self._clock(node)
        reads = self.edges(node)
        if not node.temporal:
            memory = [read.held.slots[-1] for read in reads[len(node.inputs) :] if read.held]
            inputs = [self.seen(read, node) for read in reads[: len(node.inputs)]]
            return [*inputs, *(self.values[before(slot)] for slot in memory)]
        (read,) = reads
        layer, window = node.temporal, []
        if read.past:
            past = self._sequence(read.tensor, read.past)
            for lag in range(layer.lookback, 0, -1):
                window.append(self._look_up(read, clock, past, read.past, lag))
        window.append(self.seen(read, node))
        if layer.lookahead:
            ticks = self.values[now(read.tensor)]
            future = layer.anticipate(fold_time(ticks))  # [B*n, ...]
            future = unfold_time(future, self._batch, tf.shape(ticks)[1])
            future = _pad_end(future, layer.lookahead)
            for lead in range(1, layer.lookahead + 1):
                window.append(self._look_up(read, clock, future, None, -lead))
        return window

    def _look_up(
        self, read: Read, reader: Clock, sequence: tf.Tensor, history: History | None, lag: int = 0
    ) -> tf.Tensor:
        """Return the entries of `sequence` `lag` ticks before the newest, at each reader's tick.

        At its j-th tick, step `phase + j * rate`, the newest visible tick of the producer is number
        floor((phase + j * rate - delay - producer.phase) / producer.rate), -1 before its first.
        """
        producer = self._clock(self.plan.graph.producer(read.tensor))
        first = (history.depth if history else 0) - lag
        count = reader.count(self._steps)
        since = reader.phase - read.delay - producer.phase
        if reader.rate % producer.rate == 0:
            stride = reader.rate // producer.rate
            start = first + since // producer.rate
            if start == 0 and stride == 1 and isinstance(count, int) and sequence.shape[1] == count:
                return sequence
            return sequence[:, start : start + count * stride : stride]
        positions = first + (since + tf.range(count) * reader.rate) // producer.rate
        return tf.gather(sequence, positions, axis=1)

    def _put(self, tensor: int, ticks: tf.Tensor) -> None:
        """Store `ticks` `[B, n, ...]` of `tensor`, and the slots that follow from them."""
        self.values[now(tensor)] = ticks
        for history in self.plan.histories.of(tensor):
            sequence = self._sequence(tensor, history)
            end = tf.shape(sequence)[1]
            for age, slot in enumerate(reversed(history.slots), 1):
                self.values[after(slot)] = sequence[:, end - age]

    def _sequence(self, tensor: int, history: History | None) -> tf.Tensor:
        """Return the slots of `history`, then the ticks as it keeps them, `[B, slots + n, ...]`."""
        ticks = self.values[now(tensor)]
        if history is None:
            return ticks
        if history not in self._sequences:
            if history.layer is not None:
                kept = history.keep(fold_time(ticks))  # [B*n, ...]
                ticks = unfold_time(kept, self._batch, tf.shape(ticks)[1])
            slots = [self.values[before(slot)] for slot in history.slots]
            self._sequences[history] = tf.concat([tf.stack(slots, axis=1), ticks], axis=1)
        return self._sequences[history]

    def _clock(self, node: Node | None) -> Clock:
        """Return the clock of `node`, in steps counted from the clip's start."""
        return self.plan.clock(node).starting_at(self._number)

    def _no_ticks(self, tensor: int) -> tf.Tensor:
        spec = self.plan.graph.tensors[tensor]
        return tf.zeros((self._batch, 0, *spec.shape), spec.dtype)


def _pad_end(ticks: tf.Tensor, count: int) -> tf.Tensor:
    """Append `count` zeros along time: `[B, n, ...] -> [B, n + count, ...]`."""
    return tf.pad(ticks, [[0, 0], [0, count]] + [[0, 0]] * (len(ticks.shape) - 2))
