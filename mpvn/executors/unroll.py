"""Time-major: a clip, step after step (*Massively Parallel Video Networks*, figure 11).

A loop over whole periods, with the period's steps laid out in its body so that each knows its
phase; the steps that are left follow. The only executor for networks with feedback, and the one
whose graph does not grow with the clip.
"""

import functools
from typing import TYPE_CHECKING

import tensorflow as tf

from mpvn.executors.step import State, step

if TYPE_CHECKING:
    from mpvn.plan import Plan


def unroll(
    plan: "Plan",
    clip: list[tf.Tensor],
    state: State,
    phase: int = 0,
    training: bool | None = None,
    rematerialize: bool = False,
) -> tuple[list[tf.Tensor], State]:
    """Runs a clip.

    Args:
        plan: what to run.
        clip: one tensor `[B, T, ...]` per input of the frame model; T may be unknown.
        state: the histories' slots before the clip, by name.
        phase: number of the clip's first step, modulo the period.
        training: as in Keras.
        rematerialize: whether blocks are computed again in the backward pass, not kept for it.

    Returns:
        One tensor `[B, T, ...]` per output of the frame model, and the slots after the clip.

    Raises:
        ValueError: in training, a layer adds a loss of its own: one for each step, inside a loop
            that they cannot leave.
    """
    length = clip[0].shape[1]
    steps = tf.shape(clip[0])[1] if length is None else length
    run = _Unroll(plan, clip, phase, training, rematerialize)
    # Of steps side by side in the backward pass, the insides would be held side by side.
    parallel_iterations = 1 if rematerialize else 10
    tensors = [plan.graph.tensors[index] for index in plan.graph.outputs]
    written = [
        tf.TensorArray(tensor.dtype, size=steps, element_shape=(None, *tensor.shape))
        for tensor in tensors
    ]
    shapes = (
        tf.TensorShape([]),
        {name: plan.histories.specs[name].shape for name in state},
        [tf.TensorShape(None)] * len(written),
    )
    plan.graph.pop_losses()
    whole = steps // plan.period * plan.period
    if length is None or length >= 2 * plan.period:
        _, state, written = tf.while_loop(
            lambda time, *_: time < whole,
            run.period,
            (tf.constant(0), state, written),
            shape_invariants=shapes,
            maximum_iterations=None if length is None else length // plan.period,
            parallel_iterations=parallel_iterations,
        )
    else:
        whole = 0
    if length is not None:
        for time in range(whole, length):
            state, written = run.step(time, time, state, written)
    elif plan.period > 1:
        _, state, written = tf.while_loop(
            lambda time, *_: time < steps,
            run.left_over,
            (whole, state, written),
            shape_invariants=shapes,
            parallel_iterations=parallel_iterations,
        )
    adding = plan.graph.pop_losses()
    if adding and training:
        raise ValueError(
            f"the layers {', '.join(adding)} add losses (an activity regularizer, or add_loss), "
            "which a clip that runs step by step cannot collect. Set executor = 'layerwise' "
            "(not possible with feedback), or take these losses out"
        )
    return [_stack(array, clip[0]) for array in written], state


class _Unroll:
    """The bodies of the loops: what has been written at `time` becomes what has been after."""

    def __init__(
        self,
        plan: "Plan",
        clip: list[tf.Tensor],
        phase: int,
        training: bool | None,
        rematerialize: bool,
    ) -> None:
        self._plan = plan
        self._frames = [_unstack(tensor) for tensor in clip]
        self._phase = phase
        self._training = training
        self._rematerialize = rematerialize

    def step(self, time, offset: int, state: State, written: list) -> tuple[State, list]:
        """The step at `time`, whose phase is that of the clip's step `offset`."""
        now = [array.read(time) for array in self._frames]
        phase = (self._phase + offset) % self._plan.period
        outputs, state = step(self._plan, now, state, phase, self._training, self._rematerialize)
        arrays = zip(written, outputs, strict=True)
        return state, [array.write(time, value) for array, value in arrays]

    def period(self, time, state: State, written: list) -> tuple:
        """A whole period from `time` on."""
        for offset in range(self._plan.period):
            state, written = self.step(time + offset, offset, state, written)
        return time + self._plan.period, state, written

    def left_over(self, time, state: State, written: list) -> tuple:
        """One of the steps after the last whole period; its phase is known when it runs."""
        steps = [
            functools.partial(self.step, time, offset, state, written)
            for offset in range(self._plan.period - 1)
        ]
        return time + 1, *tf.switch_case(time % self._plan.period, steps)


def _unstack(clip: tf.Tensor) -> tf.TensorArray:
    """[B, T, ...] -> an array of T frames [B, ...]."""
    time_major = tf.transpose(clip, [1, 0, *range(2, len(clip.shape))])
    array = tf.TensorArray(clip.dtype, size=tf.shape(time_major)[0], clear_after_read=False)
    return array.unstack(time_major)


def _stack(array: tf.TensorArray, clip: tf.Tensor) -> tf.Tensor:
    """An array of T frames [B, ...] -> [B, T, ...]."""
    time_major = array.stack()
    frames = tf.transpose(time_major, [1, 0, *range(2, len(time_major.shape))])
    return tf.ensure_shape(frames, (*clip.shape[:2], *frames.shape[2:]))
