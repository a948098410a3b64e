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
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from mpvn.executors.remat import Place, run_segment
from mpvn.plan.clock import Clock
from mpvn.plan.graph import Node
from mpvn.plan.history import Read, Seen

if TYPE_CHECKING:
    from mpvn.plan import Plan

State = dict[str, tf.Tensor]


def step(
    plan: "Plan",
    frames: list[tf.Tensor],
    state: State,
    phase: int | tf.Tensor,
    training: bool | None = None,
    rematerialize: bool = False,
) -> tuple[list[tf.Tensor], State]:
    """Runs one step.

    Args:
        plan: what to run.
        frames: one tensor `[B, ...]` per input of the frame model.
        state: the histories' slots before the step, by name.
        phase: the step's number, at least modulo the period: an int, or a scalar integer tensor.
        training: as in Keras.
        rematerialize: whether blocks are computed again in the backward pass, not kept for it.

    Returns:
        One tensor `[B, ...]` per output of the frame model, and the slots after the step.
    """
    run = StepRun(plan, state, training, rematerialize)
    for tensor, frame in zip(plan.graph.inputs, frames, strict=True):
        run.put(tensor, frame)
    for block in _blocks(plan):
        run.block(block, phase)
    return run.outputs(), run.after()


def _blocks(plan: "Plan") -> list[list[Node]]:
    """The nodes in order, split wherever the subnetwork or the clock changes."""
    key = lambda node: (plan.subnetwork(node), plan.clock(node))  # noqa: E731
    return [list(nodes) for _, nodes in itertools.groupby(plan.graph.nodes, key)]


class StepRun:
    """The values of one step while it is being computed.

    Attributes:
        values: what the nodes that ticked put out, ("now", tensor); the slots before the step,
            ("before", slot), and so far, ("after", slot).
    """

    def __init__(
        self,
        plan: "Plan",
        state: State,
        training: bool | None = None,
        rematerialize: bool = False,
    ) -> None:
        self.plan = plan
        self.training = training
        self.rematerialize = rematerialize
        self.values: dict[Place, tf.Tensor] = {}
        for time in ("before", "after"):
            self.values.update({(time, slot): value for slot, value in state.items()})

    def outputs(self) -> list[tf.Tensor]:
        """The outputs of the frame model, once all nodes have run."""
        histories = self.plan.histories
        return [self.seen(histories.output_read(tensor))[-1] for tensor in self.plan.graph.outputs]

    def after(self) -> State:
        """The slots so far."""
        return {slot: self.values["after", slot] for slot in self.plan.histories.specs}

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
        """Runs `nodes`, all of one subnetwork and clock."""
        if self.rematerialize:
            run_segment(self, nodes)
        else:
            for node in nodes:
                self.node(node)

    def node(self, node: Node) -> None:
        with tf.device(self.plan.device(node)):
            for tensor, value in zip(node.outputs, self._call(node), strict=True):
                self.put(tensor, value)

    def put(self, tensor: int, value: tf.Tensor) -> None:
        """`value` is the new tick of `tensor`."""
        self.values["now", tensor] = value
        for history in self.plan.histories.of(tensor):
            kept = [*(self.values["before", s] for s in history.slots[1:]), history.keep(value)]
            for slot, tick in zip(history.slots, kept, strict=True):
                self.values["after", slot] = tick

    def seen(self, read: Read) -> list[tf.Tensor]:
        """The ticks that `read` sees, oldest first."""
        return [self.values[place] for place in _places(read)]

    def entering(self, nodes: list[Node]) -> list[Place]:
        """Where `nodes` look for what they do not make themselves."""
        histories = self.plan.histories
        reads = [read for node in nodes for read in histories.reads(node)]
        places = [place for read in reads for place in _places(read)]
        places += [("before", slot) for h in histories.produced_by(nodes) for slot in h.slots[1:]]
        made = {("now", tensor) for node in nodes for tensor in node.outputs}
        return [place for place in dict.fromkeys(places) if place not in made]

    def leaving(self, nodes: list[Node]) -> list[Place]:
        """Where others look for what `nodes` make: who reads it fresh, and the next step."""
        histories = self.plan.histories
        fresh = {read.tensor for read in histories.reads_outside(nodes) if read.held is None}
        tensors = [tensor for node in nodes for tensor in node.outputs if tensor in fresh]
        slots = [slot for history in histories.produced_by(nodes) for slot in history.slots]
        return [("now", tensor) for tensor in tensors] + [("after", slot) for slot in slots]

    def _call(self, node: Node) -> list[tf.Tensor]:
        windows = [self.seen(read) for read in self.plan.histories.reads(node)]
        if node.feedback_source:
            return windows[0]
        if node.temporal:
            return [node.operation(windows[0])]
        return node.call([newest for (newest,) in windows], self.training)

    def _run_if(self, ticks: tf.Tensor, nodes: list[Node]) -> None:
        """`run` under a condition: at rest the slots stay as they are.

        Who reads a tensor fresh ticks only when this block does, so at rest it gets an empty one.
        """
        leaving = self.leaving(nodes)

        def compute():
            inner = copy.copy(self)
            inner.values = dict(self.values)
            inner.run(nodes)
            return [inner.values[place] for place in leaving]

        def rest():
            return [self._at_rest(*place) for place in leaving]

        self.values.update(zip(leaving, tf.cond(ticks, compute, rest), strict=True))

    def _at_rest(self, kind: str, of: Any) -> tf.Tensor:
        if kind == "after":
            return self.values["before", of]
        about = self.plan.graph.tensors[of]
        return tf.zeros((0, *about.shape), about.dtype)


def _places(read: Read) -> list[Place]:
    """Where the ticks that `read` sees are, oldest first."""
    history, time = read.past, "after" if read.seen is Seen.HELD else "before"
    if read.held is None:  # the newest is not among the slots before the step
        slots = history.slots[history.depth + 1 - read.window :] if history else ()
        return [*((time, slot) for slot in slots), ("now", read.tensor)]
    slots = history.slots[history.depth - read.window : -1] if history else ()
    return [(time, slot) for slot in (*slots, read.held.slots[-1])]
