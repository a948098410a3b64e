"""The values of one step while it is being computed, for streams that tick together."""

import functools

import tensorflow as tf

from mpvn.executors.placed import on_device
from mpvn.executors.run import Place, Run, State, after, before, now
from mpvn.executors.segment import run_segment
from mpvn.executors.uninformed import call_unless_cut
from mpvn.graph.data import Node
from mpvn.plan import Plan
from mpvn.plan.history import Read, Seen


class StepRun(Run):
    """The values of one step while it is being computed.

    Args:
        plan: the plan to run.
        state: the slots before the step, `[B, ...]` by name.
        training: as in Keras.
        rematerialize: as in `step`.
        number: number of the step: an int for all streams, or int `[B]`, one for each.

    Attributes:
        number: the argument.
    """

    def __init__(
        self,
        plan: Plan,
        state: State,
        training: bool | None = None,
        rematerialize: bool = False,
        number: int | tf.Tensor = 0,
    ) -> None:
        slots = {place(slot): x for place in (before, after) for slot, x in state.items()}
        super().__init__(plan, training, slots)
        self._rematerialize = rematerialize
        self.number = number
        self._cut_before = plan.cut_before  # tries out layers, so outside of any segment

    def outputs(self) -> list[tf.Tensor]:
        """Return the outputs of the frame model, once all nodes have run."""
        return [self._window(read)[-1] for read in self.edges(None)]

    def run(self, nodes: list[Node]) -> None:
        """Run `nodes`, all of one subnetwork and clock."""
        if self._rematerialize:
            run_segment(self, nodes)
        else:
            for node in nodes:
                self.compute(node)

    def compute(self, node: Node) -> None:
        with on_device(self.plan, node):
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
        inputs = [tick for read in self.edges(node) for tick in self._window(read)]
        if node.feedback_source:
            return inputs
        call = functools.partial(self._call_on, node)
        return call_unless_cut(call, inputs, self.number, self._cut_before[node.index])

    def _call_on(self, node: Node, inputs: list[tf.Tensor]) -> list[tf.Tensor]:
        return [node.operation(inputs)] if node.temporal else node.call(inputs, self.training)


def _places(read: Read) -> list[Place]:
    """Return the places of the ticks that `read` sees, oldest first."""
    history, slot_place = read.past, after if read.seen is Seen.HELD else before
    if read.held is None:  # the newest tick is computed in this step, not read from a slot
        slots = history.slots[history.depth + 1 - read.window :] if history else ()
        return [*map(slot_place, slots), now(read.tensor)]
    slots = history.slots[history.depth - read.window : -1] if history else ()
    return [slot_place(slot) for slot in (*slots, read.held.slots[-1])]
