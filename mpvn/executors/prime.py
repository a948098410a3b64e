"""Primed memories: a stream starts as if its first frame had always been there.

    for node in plan:                     the first frame, once through all nodes, undelayed
        value = node(values)
        every slot of node = value        what the slot's history keeps of it

Then the outputs mean something from the first step on, and no layer sees zeros that come from no
frame. (*Massively Parallel Video Networks* starts from zeros; this is our option.) Without
feedback and recurrent layers, a primed stream is one whose first frame was repeated for long enough
before it. A feedback node reads zeros while memories are primed. A recurrent layer starts as if it
had seen that frame once: its memory is one tick old, not the limit of many, which may not exist.

In training, batch norm takes the statistics of the first frames for their own normalization, as it
does for a step. Priming changes no variable and adds no loss: a frame counts once, when its step
comes.
"""

import tensorflow as tf

from keras_layers.pure_call import DiscardedUpdates
from mpvn.executors.frame import FrameRun
from mpvn.executors.run import Place, Run, State, after
from mpvn.graph.data import Node
from mpvn.plan import Plan

STARTS = ("zeros", "primed")
"""What the memories of a stream hold before its first step."""


def check_start(start: object) -> str:
    """Return `start` if it is one of `STARTS`; raise ValueError otherwise."""
    if start not in STARTS:
        raise ValueError(f"Invalid start. Expected one of {STARTS}. Received: {start!r}.")
    return str(start)


def prime(
    plan: Plan,
    frames: list[tf.Tensor],
    training: bool | None = None,
    rematerialize: bool = False,
) -> State:
    """Return the slots with which streams start.

    Args:
        plan: the plan to run.
        frames: the first frames, one tensor `[B, ...]` per input of the frame model.
        training: as in Keras.
        rematerialize: whether to compute segments again in the backward pass instead of keeping
            their activations.

    Returns:
        The slots before step 0, `[B, ...]` by name. Gradients flow to `frames` and weights.
    """
    with DiscardedUpdates():
        run = _PrimingRun(plan, frames, training)
        run.run(rematerialize)
    return {slot: run.values[after(slot)] for slot in plan.histories.specs}


def prime_new(
    plan: Plan,
    frames: list[tf.Tensor],
    state: State,
    new: tf.Tensor,
    training: bool | None = None,
) -> State:
    """Return the slots before a step at which some streams of a batch start.

    Only the frames of new streams are computed, and nothing if there are none.

    Args:
        plan: the plan to run.
        frames: `[B, ...]` for each input of the frame model.
        state: the slots of all streams, `[B, ...]` by name.
        new: bool `[B]`, True for each stream that starts.
        training: as in Keras.

    Returns:
        The slots, primed by `frames` for new streams.
    """

    def primed() -> State:
        streams = tf.where(new)  # [n, 1]
        slots = prime(plan, [tf.gather_nd(frame, streams) for frame in frames], training)
        return {
            name: tf.tensor_scatter_nd_update(slot, streams, slots[name])
            for name, slot in state.items()
        }

    return tf.cond(tf.reduce_any(new), primed, lambda: dict(state))


def start_primed(
    plan: Plan,
    frames: list[tf.Tensor],
    state: State,
    number: int | tf.Tensor,
    training: bool | None = None,
    rematerialize: bool = False,
) -> State:
    """Return the slots before a step, primed by `frames` for the streams whose step is 0.

    Args:
        plan: the plan to run.
        frames: `[B, ...]` for each input of the frame model.
        state: the slots, `[B, ...]` by name.
        number: number of the step: an int for all streams, or int64 `[B]`.
        training: as in Keras.
        rematerialize: as in `prime`.
    """
    if not isinstance(number, int):
        return prime_new(plan, frames, state, number == 0, training)
    return state if number else prime(plan, frames, training, rematerialize)


class _PrimingRun(FrameRun):
    """A frame that fills all slots of its histories."""

    def put(self, tensor: int, value: tf.Tensor) -> None:
        super().put(tensor, value)
        for history in self.plan.histories.of(tensor):
            kept = history.keep(value)
            self.values.update({after(slot): kept for slot in history.slots})

    def fills(self, node: Node) -> list[Place]:
        return Run.fills(self, node)
