"""Traced functions of a network: a step for each pattern of ticking clocks, and clips."""

import functools
from collections.abc import Callable, Hashable

import keras
import tensorflow as tf

from mpvn import executors
from mpvn.executors.run import State
from mpvn.plan import Plan
from mpvn.watch import LayerWatch


class TracedStep:
    """A step, traced once for any batch size.

    The traced function takes and returns a flat list of tensors. With structures, TensorFlow would
    spend a fraction of a millisecond at every call to flatten them.

    Args:
        plan: the plan to run.
        number: the number of the step; None for streams of different ages.
        settings: the last arguments of `mpvn.executors.step`.
    """

    def __init__(self, plan: Plan, number: int | None, settings: tuple) -> None:
        self._plan = plan
        self._number = number
        self._settings = settings
        tensors = [plan.graph.tensors[index] for index in plan.graph.inputs]
        specs = [tf.TensorSpec((None, *tensor.shape), tensor.dtype) for tensor in tensors]
        specs += [*plan.histories.specs.values(), tf.TensorSpec((None,), tf.int64)]
        self.function = tf.function(self._flat_step, input_signature=specs, autograph=False)
        self._concrete = self.function.get_concrete_function()

    def __call__(
        self, frames: list[tf.Tensor], slots: State, counter: tf.Tensor
    ) -> tuple[list[tf.Tensor], State, tf.Tensor]:
        """Run the step.

        Args:
            frames: one tensor `[B, ...]` per input.
            slots: the slots before the step, `[B, ...]`.
            counter: the step counter, int64 `[B]`.

        Returns:
            One tensor `[B, ...]` per output, the slots after the step, and the next step counter.
        """
        *values, counter = self._concrete(*frames, *slots.values(), counter)
        count = len(self._plan.graph.outputs)
        return values[:count], dict(zip(slots, values[count:], strict=True)), counter

    def _flat_step(self, *tensors: tf.Tensor) -> list[tf.Tensor]:
        names = self._plan.histories.specs
        count = len(self._plan.graph.inputs)
        slots = dict(zip(names, tensors[count:-1], strict=True))
        outputs, after = executors.step(
            self._plan,
            list(tensors[:count]),
            slots,
            tensors[-1] if self._number is None else self._number,
            *self._settings,
        )
        self._plan.graph.pop_losses()  # symbolic tensors, which are invalid outside this trace
        return [*outputs, *(after[name] for name in names), tensors[-1] + 1]


class TracedFunctions:
    """The traced functions of one network, created when they are first needed.

    All are dropped when a layer is no longer what it was when they were traced.

    Args:
        network: a `VideoNetwork`.
    """

    def __init__(self, network: keras.Model) -> None:
        self._plan: Plan = network.plan
        self._layers = LayerWatch(network, self._plan.graph)
        self._steps: dict[tuple, TracedStep] = {}
        self._clips: dict[tuple, Callable] = {}

    @property
    def step_count(self) -> int:
        """Number of graphs traced for steps."""
        return sum(step.function.experimental_get_tracing_count() for step in self._steps.values())

    def step(self, number: int | None, settled: int, settings: tuple) -> TracedStep:
        """Return a traced function of a step.

        Args:
            number: the number of the step; None for streams of different ages.
            settled: the number from which on steps with the same ticks share a function.
            settings: the last arguments of `mpvn.executors.step`.
        """
        self._drop_if_stale()
        key = (
            number if number is None or number < settled else self._plan.pattern(number),
            *settings,
        )
        if key not in self._steps:
            self._steps[key] = TracedStep(self._plan, number, settings)
            self._layers.update()
        return self._steps[key]

    def clip(
        self,
        run: Callable,
        clip: list[tf.Tensor],
        slots: State,
        number: int,
        training: bool,
        settings: tuple[Hashable, ...],
    ) -> tuple[list[tf.Tensor], State]:
        """Return `run(clip, slots, number=number, training=training)`, run as a traced function.

        Args:
            run: runs a clip.
            clip: one tensor `[B, T, ...]` per input.
            slots: the slots before the clip, `[B, ...]`.
            number: the number of the first step, or of one like it.
            training: as in Keras.
            settings: the settings of the network that `run` reads while it is traced.
        """
        self._drop_if_stale()
        key = (number, training, *settings)
        if key not in self._clips:
            self._clips[key] = tf.function(
                functools.partial(run, number=number, training=training),
                reduce_retracing=True,
                autograph=False,
            )
        results = self._clips[key](clip, slots)
        self._layers.update()  # layers may have assigned attributes while they were traced
        return results

    def _drop_if_stale(self) -> None:
        if self._layers.changed():
            self._steps.clear()
            self._clips.clear()
            self._layers.update()
