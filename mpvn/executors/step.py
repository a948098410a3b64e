"""One step of a video network: one frame in, the outputs of this step and the new state out.

    step t   subnetwork 0     subnetwork 1     subnetwork 2       reads
             nodes on clock   nodes on clock   nodes on clock     own values of step t,
             (2, 0) (1, 0)    (2, 1)           (4, 2)             others' of step t-1

The nodes run in *blocks*, consecutive nodes of one subnetwork on one clock. A phase known while
tracing leaves resting blocks out of the graph; a phase that is a tensor wraps each block of a slow
clock in `tf.cond`, which skips it at run time (one graph for all phases: what an export needs).
"""

import copy
import itertools
from typing import TYPE_CHECKING

import tensorflow as tf

from mpvn.clock import Clock
from mpvn.graph import Node
from mpvn.memory import Read, Seen

if TYPE_CHECKING:
    from mpvn.plan import Plan

State = dict[str, tf.Tensor]


def step(
    plan: "Plan",
    frames: list[tf.Tensor],
    state: State,
    phase: int | tf.Tensor,
    training: bool | None = None,
) -> tuple[list[tf.Tensor], State]:
    """Runs one step.

    Args:
        plan: what to run.
        frames: one tensor `[B, ...]` per input of the frame model.
        state: the memories' slots before the step, by name.
        phase: the step's number, at least modulo the period: an int, or a scalar integer tensor.
        training: as in Keras.

    Returns:
        One tensor `[B, ...]` per output of the frame model, and the slots after the step.
    """
    run = _Step(plan, state, training)
    for tensor, frame in zip(plan.graph.inputs, frames, strict=True):
        run.put(tensor, frame)
    for block in _blocks(plan):
        run.block(block, phase)
    outputs = [run.newest(plan.memories.output_read(tensor)) for tensor in plan.graph.outputs]
    return outputs, run.state


def _blocks(plan: "Plan") -> list[list[Node]]:
    """The nodes in order, split wherever the subnetwork or the clock changes."""
    key = lambda node: (plan.subnetwork(node), plan.clock(node))  # noqa: E731
    return [list(nodes) for _, nodes in itertools.groupby(plan.graph.nodes, key)]


class _Step:
    """The values of one step while it is being computed.

    Attributes:
        before: the state before the step.
        state: the state so far.
        now: what the nodes that ticked put out, by tensor index.
    """

    def __init__(self, plan: "Plan", state: State, training: bool | None) -> None:
        self.plan = plan
        self.before = state
        self.state = dict(state)
        self.training = training
        self.now: dict[int, tf.Tensor] = {}

    def block(self, nodes: list[Node], phase: int | tf.Tensor) -> None:
        """Runs `nodes` if their clock ticks."""
        clock: Clock = self.plan.clock(nodes[0])
        ticks = clock.rate == 1 or clock.ticks(phase)
        if isinstance(ticks, bool):
            if ticks:
                self.run(nodes)
        else:
            self._run_if(ticks, nodes)

    def run(self, nodes: list[Node]) -> None:
        for node in nodes:
            with tf.device(self.plan.device(node)):
                for tensor, value in zip(node.outputs, self._call(node), strict=True):
                    self.put(tensor, value)

    def put(self, tensor: int, value: tf.Tensor) -> None:
        """`value` is the new tick of `tensor`."""
        self.now[tensor] = value
        for memory in self.plan.memories.of(tensor):
            kept = [*(self.before[slot] for slot in memory.slots[1:]), memory.keep(value)]
            self.state.update(zip(memory.slots, kept, strict=True))

    def newest(self, read: Read) -> tf.Tensor:
        """The newest value that `read` sees."""
        if read.held is None:
            return self.now[read.tensor]
        return (self.before if read.delay else self.state)[read.held.slots[-1]]

    def _older(self, read: Read) -> list[tf.Tensor]:
        """The `window - 1` ticks before the newest, oldest first."""
        memory = read.past
        if memory is None:
            return []
        if read.seen is Seen.FRESH:  # the newest is not among the slots before the step
            return [self.before[slot] for slot in memory.slots[memory.depth + 1 - read.window :]]
        state = self.before if read.delay else self.state
        return [state[slot] for slot in memory.slots[memory.depth - read.window : -1]]

    def _call(self, node: Node) -> list[tf.Tensor]:
        reads = self.plan.memories.reads(node)
        if node.feedback_source:
            return [self.newest(reads[0])]
        if node.temporal:
            (read,) = reads
            return [node.operation([*self._older(read), self.newest(read)])]
        return node.call([self.newest(read) for read in reads], self.training)

    def _run_if(self, ticks: tf.Tensor, nodes: list[Node]) -> None:
        """`run` under a condition: at rest the slots stay as they are.

        Who reads a tensor fresh ticks only when this block does, so at rest it gets an empty one.
        """
        tensors = [tensor for node in nodes for tensor in node.outputs]
        slots = [s for t in tensors for m in self.plan.memories.of(t) for s in m.slots]
        read_outside = self.plan.memories.read_outside(nodes)
        leaving = [tensor for tensor in tensors if tensor in read_outside]

        def compute():
            inner = copy.copy(self)
            inner.now, inner.state = dict(self.now), dict(self.state)
            inner.run(nodes)
            return [inner.now[t] for t in leaving], [inner.state[slot] for slot in slots]

        def rest():
            about = [self.plan.graph.tensors[t] for t in leaving]
            empty = [tf.zeros((0, *t.shape), t.dtype) for t in about]
            return empty, [self.before[slot] for slot in slots]

        values, kept = tf.cond(ticks, compute, rest)
        self.now.update(zip(leaving, values, strict=True))
        self.state.update(zip(slots, kept, strict=True))
