"""Step by step: a clip, one step after another (*Massively Parallel Video Networks*, figure 11).

    for t in range(T):
        outputs[t], state = step(frames[t], state, number=t)

First the steps that have cut calls (`mpvn.executors.uninformed`), if the plan has any; then a loop
over whole periods, whose body contains all steps of a period, so that each knows its phase; then
the remaining steps. Between devices, a body contains several periods (`mpvn.executors.repeat`). The
only executor for networks with feedback, and the one whose graph does not grow with the clip.
"""

import functools

import tensorflow as tf

from keras_layers.folding import swap_time
from keras_layers.pure_call import refuse_losses
from mpvn.executors.repeat import steps_at_once
from mpvn.executors.run import State
from mpvn.executors.step import step
from mpvn.plan import Plan

Arrays = list[tf.TensorArray]


def unroll(
    plan: Plan,
    clip: list[tf.Tensor],
    state: State,
    number: int = 0,
    training: bool | None = None,
    rematerialize: bool = False,
) -> tuple[list[tf.Tensor], State]:
    """Run a clip.

    Args:
        plan: the plan to run.
        clip: one tensor `[B, T, ...]` per input of the frame model; T may be unknown.
        state: the slots before the clip, `[B, ...]` by name.
        number: number of the clip's first step, or of one like it.
        training: as in Keras.
        rematerialize: whether to compute blocks again in the backward pass instead of keeping their
            activations.

    Returns:
        One tensor `[B, T, ...]` per output of the frame model, and the slots after the clip.

    Raises:
        ValueError: in training, a layer adds a loss: one at each step, inside a loop that it
            cannot leave.
    """
    run = _Unroll(plan, clip, number, training, rematerialize)
    plan.graph.pop_losses()  # forget those of earlier calls
    state, outputs = run.steps_with_cuts(state, run.output_arrays())
    time, state, outputs = run.whole_periods(state, outputs)
    state, outputs = run.remaining_steps(time, state, outputs)
    adding = plan.graph.pop_losses()
    if training:
        refuse_losses(
            adding,
            'Set executor="layerwise" (not possible with feedback), or remove these losses.',
        )
    return [_stack(array, clip[0]) for array in outputs], state


class _Unroll:
    """The loops over a clip. `time` is the step in the clip; outputs are written to arrays."""

    def __init__(
        self,
        plan: Plan,
        clip: list[tf.Tensor],
        number: int,
        training: bool | None,
        rematerialize: bool,
    ) -> None:
        self._plan = plan
        self._frames = [_unstack(tensor) for tensor in clip]
        self._length = clip[0].shape[1]
        self._steps = tf.shape(clip[0])[1] if self._length is None else self._length
        self._number = number
        self._cut_steps = max(0, plan.settled_step - number)
        self._training = training
        self._rematerialize = rematerialize

    def output_arrays(self) -> Arrays:
        tensors = [self._plan.graph.tensors[index] for index in self._plan.graph.outputs]
        return [
            tf.TensorArray(tensor.dtype, size=self._steps, element_shape=(None, *tensor.shape))
            for tensor in tensors
        ]

    def steps_with_cuts(self, state: State, outputs: Arrays) -> tuple[State, Arrays]:
        """Run the steps of the clip that have cut calls, each by itself."""
        for time in range(self._cut_steps):
            if self._length is None:
                state, outputs = self._step_if_any(time, state, outputs)
            elif time < self._length:
                state, outputs = self._step(time, time, state, outputs)
        return state, outputs

    def whole_periods(self, state: State, outputs: Arrays) -> tuple[int, State, Arrays]:
        """Run the next whole periods of the clip in loops; return the time after them."""
        period, time = self._plan.period, self._cut_steps
        at_once = max(1, steps_at_once(self._plan) // period) * period
        time, state, outputs = self._turns(time, at_once, state, outputs)
        if self._length is None and at_once > period:
            time, state, outputs = self._turns(time, period, state, outputs)
        return time, state, outputs

    def _turns(
        self, first: int, size: int, state: State, outputs: Arrays
    ) -> tuple[int, State, Arrays]:
        """Run the steps from `first` on in a loop whose turns have `size` steps, whole periods."""
        length = self._length
        if length is not None and length - first < 2 * size:
            return first, state, outputs  # a loop is not worth it

        def run_turn(time, state, outputs):
            for offset in range(size):
                alike = self._cut_steps + offset
                state, outputs = self._step(time + offset, alike, state, outputs)
            return time + size, state, outputs

        left = tf.maximum(self._steps - first, 0) if length is None else length - first
        end = first + left // size * size
        iterations = None if length is None else left // size
        _, state, outputs = self._loop(first, end, run_turn, state, outputs, iterations)
        return end, state, outputs

    def remaining_steps(self, time: int, state: State, outputs: Arrays) -> tuple[State, Arrays]:
        """Run the steps from `time` on, fewer than two turns of the loop."""
        if self._length is not None:
            for later in range(time, self._length):
                state, outputs = self._step(later, later, state, outputs)
            return state, outputs
        period, first = self._plan.period, self._cut_steps
        if period == 1:
            return state, outputs

        def run_step(time, state, outputs):  # its phase is known only at run time
            steps = [
                functools.partial(self._step, time, first + offset, state, outputs)
                for offset in range(period - 1)
            ]
            return time + 1, *tf.switch_case((time - first) % period, steps)

        _, state, outputs = self._loop(time, self._steps, run_step, state, outputs)
        return state, outputs

    def _step_if_any(self, time: int, state: State, outputs: Arrays) -> tuple[State, Arrays]:
        """Run the step at `time` if the clip, of unknown length, has one."""

        def run_step(_, state, outputs):
            return time + 1, *self._step(time, time, state, outputs)

        end = tf.minimum(time + 1, self._steps)
        _, state, outputs = self._loop(time, end, run_step, state, outputs)
        return state, outputs

    def _step(self, time, offset: int, state: State, outputs: Arrays) -> tuple[State, Arrays]:
        """Run the step at `time`, which is like the clip's step `offset`."""
        frames = [array.read(time) for array in self._frames]
        number = self._number + offset
        values, state = step(self._plan, frames, state, number, self._training, self._rematerialize)
        return state, [a.write(time, value) for a, value in zip(outputs, values, strict=True)]

    def _loop(self, start, end, body, state: State, outputs: Arrays, iterations=None) -> tuple:
        specs = self._plan.histories.specs
        shapes = (
            tf.TensorShape([]),
            {name: specs[name].shape for name in state},
            [tf.TensorShape(None)] * len(outputs),
        )
        return tf.while_loop(
            lambda time, *_: time < end,
            body,
            (tf.convert_to_tensor(start), state, outputs),
            shape_invariants=shapes,
            maximum_iterations=iterations,
            # With parallel iterations, the backward pass would keep the activations of several
            # steps at once.
            parallel_iterations=1 if self._rematerialize else 10,
        )


def _unstack(clip: tf.Tensor) -> tf.TensorArray:
    """[B, T, ...] -> an array of T frames [B, ...]."""
    frames = swap_time(clip)
    array = tf.TensorArray(clip.dtype, size=tf.shape(frames)[0], clear_after_read=False)
    return array.unstack(frames)


def _stack(array: tf.TensorArray, clip: tf.Tensor) -> tf.Tensor:
    """An array of T frames [B, ...] -> [B, T, ...], with batch and length of `clip`."""
    frames = swap_time(array.stack())
    return tf.ensure_shape(frames, (*clip.shape[:2], *frames.shape[2:]))
