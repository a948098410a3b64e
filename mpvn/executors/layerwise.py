"""Layer-major: a clip, layer after layer, all ticks of a node at once with time in the batch.

A boundary is then a shift by one step along time, a clock a choice of ticks, a temporal layer a
stack of shifted copies. Values and gradients are those of `unroll` (batch norm in training takes
its statistics over all ticks of the clip, not step by step). It cannot close a feedback.

What a reader sees is looked up in the *sequence* of a tensor: the slots kept from before the clip,
then the clip's ticks. So a clip may go on from a state, and long clips may run in chunks.
"""

import itertools
from typing import TYPE_CHECKING

import tensorflow as tf

from mpvn.executors.remat import Place, run_segment
from mpvn.plan.clock import Clock
from mpvn.plan.graph import Node
from mpvn.plan.history import History, Read
from mpvn.sideways.rules import SidewaysRules

if TYPE_CHECKING:
    from mpvn.executors.step import State
    from mpvn.plan import Plan


def layerwise(
    plan: "Plan",
    clip: list[tf.Tensor],
    state: "State",
    phase: int = 0,
    training: bool | None = None,
    rematerialize: bool = False,
    sideways: SidewaysRules | None = None,
) -> tuple[list[tf.Tensor], "State"]:
    """Runs a clip; arguments and results as `unroll`, whose blocks are segments of all clocks here.

    With `sideways`, of the same plan, values are the same and gradients are Sideways'.

    Raises:
        ValueError: the plan has feedback, or the clip is too short to learn from.
    """
    if plan.has_feedback:
        raise ValueError(
            "a network with feedback cannot run layer after layer, for its first layer waits for "
            'its last. Set network.executor = "unroll"'
        )
    run = _LayerwiseRun(plan, clip, state, phase, training, sideways)
    run.check_training()
    for _, nodes in itertools.groupby(plan.graph.nodes, plan.subnetwork):
        if rematerialize:
            run_segment(run, list(nodes))
        else:
            for node in nodes:
                run.node(node)
    reads = [plan.histories.output_read(tensor) for tensor in plan.graph.outputs]
    outputs = [run.seen(read, None) for read in reads]
    return [tf.ensure_shape(o, (*clip[0].shape[:2], *o.shape[2:])) for o in outputs], run.after()


class _LayerwiseRun:
    """The ticks of all tensors of a clip while it is being computed.

    Attributes:
        values: `[B, n, ...]`, the n ticks of a tensor within the clip, ("ticks", tensor); the slots
            before the clip, ("before", slot), and after it, ("after", slot); what readers look up,
            ("sequence", history).
    """

    def __init__(self, plan, clip, state, phase, training, sideways) -> None:
        self.plan = plan
        self.phase = phase
        self.training = training
        self.sideways = sideways
        self.batch = tf.shape(clip[0])[0] if clip[0].shape[0] is None else clip[0].shape[0]
        self.steps = tf.shape(clip[0])[1] if clip[0].shape[1] is None else clip[0].shape[1]
        self.values: dict[Place, tf.Tensor] = {("before", s): v for s, v in state.items()}
        for tensor, ticks in zip(plan.graph.inputs, clip, strict=True):
            self._put(tensor, ticks)

    def check_training(self) -> None:
        """Refuses clips too short to learn from.

        Where a node never ticks there are no statistics that a batch norm could learn.
        """
        latest = max(self._clock(node).phase for node in self.plan.graph.nodes)
        if self.training and tf.is_tensor(self.steps) and latest:
            tf.debugging.assert_greater(
                self.steps,
                latest,
                f"training needs clips of more than {latest} frames, for a node of the plan ticks "
                f"first at step {latest}",
            )
        if self.training and self.sideways:
            self.sideways.check(self.steps)

    def node(self, node: Node) -> None:
        """Computes all ticks of `node`."""
        count = self._clock(node).count(self.steps)
        with tf.device(self.plan.device(node)):
            if isinstance(count, int) and count == 0:  # phase beyond the clip: it never ticks
                values = [self._none(tensor) for tensor in node.outputs]
            else:
                values = [self._unfold(value, count) for value in self._call(node)]
        for tensor, ticks in zip(node.outputs, values, strict=True):
            self._put(tensor, ticks)

    def seen(self, read: Read, reader: Node | None) -> tf.Tensor:
        """`[B, n, ...]`: the newest value that `read` sees at each tick of `reader` (None: all)."""
        sequence = self._sequence(read.tensor, read.held)
        value = self._look_up(read, self._clock(reader), sequence, read.held)
        if self.sideways is None:
            return value
        producer = self.plan.graph.producer(read.tensor)
        return self.sideways.received(value, self.values["ticks", read.tensor], producer, reader)

    def after(self) -> "State":
        """The slots after the clip."""
        return {slot: self.values["after", slot] for slot in self.plan.histories.specs}

    def entering(self, nodes: list[Node]) -> list[Place]:
        """Where `nodes` look for what they do not make themselves."""
        histories = self.plan.histories
        made = {tensor for node in nodes for tensor in node.outputs}
        reads = [read for node in nodes for read in histories.reads(node)]
        tensors = dict.fromkeys(read.tensor for read in reads if read.tensor not in made)
        looked_up = [history for read in reads for history in (read.held, read.past) if history]
        histories_used = dict.fromkeys([*looked_up, *histories.produced_by(nodes)])
        slots = [slot for history in histories_used for slot in history.slots]
        return [("ticks", tensor) for tensor in tensors] + [("before", slot) for slot in slots]

    def leaving(self, nodes: list[Node]) -> list[Place]:
        """Where others look for what `nodes` make, in this clip and after it."""
        histories = self.plan.histories
        outside = {read.tensor for read in histories.reads_outside(nodes)}
        tensors = [tensor for node in nodes for tensor in node.outputs if tensor in outside]
        slots = [slot for history in histories.produced_by(nodes) for slot in history.slots]
        return [("ticks", tensor) for tensor in tensors] + [("after", slot) for slot in slots]

    def _call(self, node: Node) -> list[tf.Tensor]:
        clock = self._clock(node)
        reads = self.plan.histories.reads(node)
        if not node.temporal:
            return node.call([_fold(self.seen(read, node)) for read in reads], self.training)
        (read,) = reads
        layer, window = node.temporal, []
        if read.past:
            past = self._sequence(read.tensor, read.past)
            for lag in range(layer.lookback, 0, -1):
                window.append(self._look_up(read, clock, past, read.past, lag))
        window.append(self.seen(read, node))
        if layer.lookahead:
            ticks = self.values["ticks", read.tensor]
            future = self._unfold(layer.anticipate(_fold(ticks)), tf.shape(ticks)[1])
            future = _padded(future, layer.lookahead)
            for lead in range(1, layer.lookahead + 1):
                window.append(self._look_up(read, clock, future, None, -lead))
        return [node.operation([_fold(value) for value in window])]

    def _look_up(
        self, read: Read, reader: Clock, sequence: tf.Tensor, history: History | None, lag: int = 0
    ) -> tf.Tensor:
        """Entries of `sequence` that a reader sees at its ticks, `lag` ticks before the newest.

        At its j-th tick, step `phase + j * rate`, the newest visible tick of the producer is number
        floor((phase + j * rate - delay - producer.phase) / producer.rate), -1 before its first.
        """
        producer = self._clock(self.plan.graph.producer(read.tensor))
        first = (history.depth if history else 0) - lag
        count = reader.count(self.steps)
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
        """`ticks` are those of `tensor`: keeps them, and what its histories keep of them."""
        self.values["ticks", tensor] = ticks
        for history in self.plan.histories.of(tensor):
            sequence = self._sequence(tensor, history)
            end = tf.shape(sequence)[1]
            for age, slot in enumerate(reversed(history.slots), 1):
                self.values["after", slot] = sequence[:, end - age]

    def _sequence(self, tensor: int, history: History | None) -> tf.Tensor:
        """The slots of `history`, then the clip's ticks as the history keeps them."""
        ticks = self.values["ticks", tensor]
        if history is None:
            return ticks
        if ("sequence", history) not in self.values:
            if history.layer is not None:
                ticks = self._unfold(history.keep(_fold(ticks)), tf.shape(ticks)[1])
            slots = [self.values["before", slot] for slot in history.slots]
            sequence = tf.concat([tf.stack(slots, axis=1), ticks], axis=1)
            self.values["sequence", history] = sequence
        return self.values["sequence", history]

    def _clock(self, node: Node | None) -> Clock:
        """Clock of `node` in steps of the clip."""
        return self.plan.clock(node).starting_at(self.phase)

    def _none(self, tensor: int) -> tf.Tensor:
        about = self.plan.graph.tensors[tensor]
        return tf.zeros((self.batch, 0, *about.shape), about.dtype)

    def _unfold(self, value: tf.Tensor, count) -> tf.Tensor:
        """[B*n, ...] -> [B, n, ...]."""
        return tf.reshape(value, (self.batch, count, *value.shape[1:]))


def _fold(value: tf.Tensor) -> tf.Tensor:
    """[B, n, ...] -> [B*n, ...]."""
    return tf.reshape(value, (-1, *value.shape[2:]))


def _padded(ticks: tf.Tensor, count: int) -> tf.Tensor:
    """`ticks` with `count` zeros after them."""
    return tf.pad(ticks, [[0, 0], [0, count]] + [[0, 0]] * (len(ticks.shape) - 2))
