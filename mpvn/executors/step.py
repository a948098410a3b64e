"""One step of a video network: one frame in, the outputs of this step and the new state out.

    step t   subnetwork 0     subnetwork 1     subnetwork 2       reads
             nodes on clock   nodes on clock   nodes on clock     own values of step t,
             (2, 0) (1, 0)    (2, 1)           (4, 2)             others' of step t-1

    for block in plan:               consecutive nodes of one subnetwork on one clock
        if block.clock ticks at t:   else its slots stay as they are
            compute its nodes from values of this step and from slots before it
            shift their outputs into the slots after it

If the phase is an int, blocks that rest are left out of the graph. If it is a tensor, each block on
a slow clock runs under `tf.cond`: one graph for all phases, as an export needs it.
"""

import itertools

import tensorflow as tf

from mpvn.executors.run import Place, Run, State, Time, after, before, now
from mpvn.executors.segment import run_segment
from mpvn.plan import Plan
from mpvn.plan.graph import Node
from mpvn.plan.history import Read, Seen


def step(
    plan: Plan,
    frames: list[tf.Tensor],
    state: State,
    phase: int | tf.Tensor,
    training: bool | None = None,
    rematerialize: bool = False,
) -> tuple[list[tf.Tensor], State]:
    """Run one step.

    Args:
        plan: the plan to run.
        frames: one tensor `[B, ...]` per input of the frame model.
        state: the slots before the step, `[B, ...]` by name.
        phase: number of the step, at least modulo the period: an int, or a scalar integer tensor.
        training: as in Keras.
        rematerialize: whether to compute blocks again in the backward pass instead of keeping their
            activations.

    Returns:
        One tensor `[B, ...]` per output of the frame model, and the slots after the step.
    """
    run = StepRun(plan, state, training, rematerialize)
    for tensor, frame in zip(plan.graph.inputs, frames, strict=True):
        run.put(tensor, frame)
    for block in _blocks(plan):
        run.run_block(block, phase)
    return run.outputs(), run.state_after()


def _blocks(plan: Plan) -> list[list[Node]]:
    """Return the nodes in order, split wherever the subnetwork or the clock changes."""
    key = lambda node: (plan.subnetwork(node), plan.clock(node))  # noqa: E731
    return [list(nodes) for _, nodes in itertools.groupby(plan.graph.nodes, key)]


class StepRun(Run):
    """The values of one step while it is being computed.

    Args:
        plan: the plan to run.
        state: the slots before the step, `[B, ...]` by name.
        training: as in Keras.
        rematerialize: as in `step`.
    """

    def __init__(
        self, plan: Plan, state: State, training: bool | None = None, rematerialize: bool = False
    ) -> None:
        slots = {place(slot): x for place in (before, after) for slot, x in state.items()}
        super().__init__(plan, training, slots)
        self._rematerialize = rematerialize

    def outputs(self) -> list[tf.Tensor]:
        """Return the outputs of the frame model, once all nodes have run."""
        return [self._window(read)[-1] for read in self.edges(None)]

    def state_after(self) -> State:
        """Return the slots as of now."""
        return {slot: self.values[after(slot)] for slot in self.plan.histories.specs}

    def run_block(self, nodes: list[Node], phase: int | tf.Tensor) -> None:
        """Run `nodes`, all of one subnetwork and clock, if the clock ticks."""
        clock = self.plan.clock(nodes[0])
        ticks = clock.rate == 1 or clock.ticks(phase)
        if not isinstance(ticks, bool):
            self._run_if(ticks, nodes)
        elif ticks:
            self.run(nodes)

    def run(self, nodes: list[Node]) -> None:
        """Run `nodes`, all of one subnetwork and clock."""
        if self._rematerialize:
            run_segment(self, nodes)
        else:
            for node in nodes:
                self.compute(node)

    def compute(self, node: Node) -> None:
        with tf.device(self.plan.device(node)):
            for tensor, value in zip(node.outputs, self._call(node), strict=True):
                self.put(tensor, value)

    def put(self, tensor: int, value: tf.Tensor) -> None:
        """Store `value` `[B, ...]`, the new tick of `tensor`, and shift it into the histories."""
        self.values[now(tensor)] = value
        for history in self.plan.histories.of(tensor):
            older = [self.values[before(slot)] for slot in history.slots[1:]]
            for slot, tick in zip(history.slots, [*older, history.keep(value)], strict=True):
                self.values[after(slot)] = tick

    def reads(self, node: Node | None) -> list[Place]:
        places = [place for read in self.edges(node) for place in _places(read)]
        if node is None:
            return places
        histories = self.plan.histories.produced_by([node])
        return places + [before(slot) for history in histories for slot in history.slots[1:]]

    def _window(self, read: Read) -> list[tf.Tensor]:
        """Return the ticks that `read` sees, oldest first."""
        return [self.values[place] for place in _places(read)]

    def _call(self, node: Node) -> list[tf.Tensor]:
        windows = [self._window(read) for read in self.edges(node)]
        if node.feedback_source:
            return windows[0]
        if node.temporal:
            return [node.operation(windows[0])]
        return node.call([newest for (newest,) in windows], self.training)

    def _run_if(self, ticks: tf.Tensor, nodes: list[Node]) -> None:
        """Run `nodes` if `ticks`; otherwise their slots stay as they are.

        Readers of the tensors themselves tick only when this block does, so at rest they get
        empty tensors.
        """
        leaving = self.leaving(nodes)

        def tick():
            branch = self.with_values(dict(self.values))
            branch.run(nodes)
            return [branch.values[place] for place in leaving]

        def rest():
            return [self._at_rest(place) for place in leaving]

        self.values.update(zip(leaving, tf.cond(ticks, tick, rest), strict=True))

    def _at_rest(self, place: Place) -> tf.Tensor:
        if place.time is Time.AFTER:
            return self.values[Place(Time.BEFORE, place.key)]
        tensor = self.plan.graph.tensors[int(place.key)]
        return tf.zeros((0, *tensor.shape), tensor.dtype)


def _places(read: Read) -> list[Place]:
    """Return the places of the ticks that `read` sees, oldest first."""
    history, slot_place = read.past, after if read.seen is Seen.HELD else before
    if read.held is None:  # the newest tick is computed in this step, not read from a slot
        slots = history.slots[history.depth + 1 - read.window :] if history else ()
        return [*map(slot_place, slots), now(read.tensor)]
    slots = history.slots[history.depth - read.window : -1] if history else ()
    return [slot_place(slot) for slot in (*slots, read.held.slots[-1])]
