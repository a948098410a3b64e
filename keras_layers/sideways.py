"""Sideways as one layer: modules that train on clips in memory that does not grow with the clip.

*Sideways: Depth-Parallel Training of Video Models* (CVPR 2020), section 3, step after step, and its
shortcuts (*Gradient Forward-Propagation for Large-Scale Temporal Video Modelling*, CVPR 2021):

    at step t, all at once        module i reads   what the modules before it sent at step t - 1
                                  module i takes   the gradients that its readers sent at step t - 1
                                  module i sends   its output up, and down the product of what it
                                                   took with its Jacobian at what it reads now

The backward pass runs the same steps forward in time once more, so of the past nothing is kept but
the clip that came in and the gradients that come with the outputs.

What it does not do well: everything is computed twice, and modules see frames, not clips. Batch
norm takes its statistics over the batch at each step, the first steps included, which no frame has
reached. The weights of layers behind this one learn from those steps too, unless the loss leaves
them out.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops
from keras.src.backend import AutocastScope  # no public way to read a variable in its own dtype

from keras_layers.shortcut_merge import ShortcutMerge, check_shortcuts

Tensors = list[tf.Tensor]


@keras.saving.register_keras_serializable(package="keras_layers")
class Sideways(keras.layers.Layer):
    """A chain of modules, with shortcuts, that passes frames and gradients on by one module a step.

    At step t the output is of frame `t - D + 1` (with shortcuts: and fresher ones) for D modules,
    so targets that change over time must be moved `D - 1` steps. The loss should be a mean over
    steps; each module's gradient is then the mean over the steps at which it learns: module
    i = 1 .. D from step `2 * D - i`, counted from 1, on. On a clip of equal frames it is what
    back-propagation gives for one frame.

    Args:
        modules: Keras layers or models, each from frames `[B, ...]` to frames, of known sizes.
        shortcuts: offsets k >= 2. Module l reads module l - k besides module l - 1, for all l > k:
            offset 3, the paper's, keeps two clips apart whose frames alternate, 2 mixes them.
        merge: how shortcuts join the main input: `"project"`, `"add"` or `"concatenate"`; see
            `ShortcutMerge`.

    Call arguments:
        inputs: clips `[B, T, ...]`.
        training: as in Keras.

    Output shape:
        `[B, T, ...]` of the last module, in the layer's compute dtype.

    Raises:
        ValueError: no modules, one twice, offsets or merge out of range, inputs of unknown size,
            shapes that do not merge, a module that adds losses, or, when the gradient is taken, a
            clip shorter than `2 * D - 1`.

    Example:
        >>> layer = Sideways([keras.layers.Dense(3, "tanh") for _ in range(4)], shortcuts=[3])
        >>> tuple(layer(keras.ops.ones((2, 7, 5))).shape)
        (2, 7, 3)
    """

    def __init__(
        self,
        modules: Sequence[keras.layers.Layer],
        shortcuts: Sequence[int] = (),
        merge: str = "project",
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        modules, shortcuts = list(modules), sorted(set(shortcuts))
        if not modules or len({id(module) for module in modules}) < len(modules):
            raise ValueError(
                f"layer {self.name!r} needs modules, each only once. Received: "
                f"{[module.name for module in modules]}"
            )
        check_shortcuts(shortcuts, f"layer {self.name!r}")
        self.modules = modules
        self.shortcuts = tuple(shortcuts)
        self.merge = merge
        self.frames_made: list[tuple] = []  # shape of what each module makes of a frame, once built
        self.units = [
            _Unit(module, merge, dtype=self.dtype_policy, name=f"unit_{index}")
            for index, module in enumerate(modules)
        ]

    def build(self, input_shape: tuple) -> None:
        if len(input_shape) < 3 or None in input_shape[2:]:
            raise ValueError(
                f"layer {self.name!r} takes clips [B, T, ...] of frames of known size. Received: "
                f"shape={tuple(input_shape)}"
            )
        self.frames_made = [shape[1:] for shape in self._output_shapes(input_shape)]

    def call(self, inputs, training=None):
        inputs = ops.cast(inputs, self.compute_dtype)
        scan = _Scan(self, inputs.shape[0], bool(training))
        with AutocastScope(None):
            weights, states = (
                [[tf.convert_to_tensor(v.value) for v in variables] for variables in of_units]
                for of_units in (scan.trained, scan.other)
            )

        @tf.custom_gradient
        def run(clip, weights, states):
            outputs, after = scan.forward(clip, weights, states)

            def backward(upstream, *_):
                gradient, sums = scan.backward(clip, weights, states, upstream)
                return gradient, sums, tf.nest.map_structure(lambda _: None, states)

            return (outputs, after), backward

        outputs, after = run(inputs, weights, states)
        for variables, values in zip(scan.other, after, strict=True):
            for variable, value in zip(variables, values, strict=True):
                if id(variable) in scan.changed:
                    variable.assign(value)
        return tf.ensure_shape(outputs, (*inputs.shape[:2], *outputs.shape[2:]))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (*input_shape[:2], *self._output_shapes(input_shape)[-1][1:])

    def sources(self, index: int) -> list[int]:
        """The modules that module `index` reads, the chain's first; the first module reads none."""
        return [index - k for k in (1, *self.shortcuts) if k <= index]

    def _output_shapes(self, input_shape: tuple) -> list[tuple]:
        """Shape `[B, ...]` of what each module makes of a frame; units are built on the way."""
        made: list[tuple] = []
        for index, unit in enumerate(self.units):
            read = [made[source] for source in self.sources(index)]
            made.append(unit.compute_output_shape(read or [(input_shape[0], *input_shape[2:])]))
        return made

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "modules": [keras.saving.serialize_keras_object(module) for module in self.modules],
            "shortcuts": self.shortcuts,
            "merge": self.merge,
        }

    @classmethod
    def from_config(cls, config: dict) -> "Sideways":
        modules = [keras.saving.deserialize_keras_object(m) for m in config["modules"]]
        return cls(**{**config, "modules": modules})


class _Unit(keras.layers.Layer):
    """A module and the merge before it; takes a list, what the chain sent first."""

    def __init__(self, module: keras.layers.Layer, merge: str, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.module = module
        self.merge = ShortcutMerge(merge, dtype=self.dtype_policy, name="merge")

    def build(self, input_shapes: list[tuple]) -> None:
        try:
            merged = self.merge.compute_output_shape(input_shapes)
        except ValueError as fault:
            raise ValueError(f"before the module {self.module.name!r}: {fault}") from fault
        self.merge.build(input_shapes)
        if not self.module.built:
            self.module.build(merged)

    def call(self, inputs, training=None):
        return self.module(self.merge(inputs), training=training)

    def compute_output_shape(self, input_shapes: list[tuple]) -> tuple:
        if not self.built:
            self.build(input_shapes)
        merged = self.merge.compute_output_shape(input_shapes)
        frame = keras.KerasTensor(merged, self.compute_dtype)
        return tuple(self.module.compute_output_spec(frame).shape)


class _Scan:
    """The steps of a layer over a clip, forward alone or with pseudo-gradients.

    Weights, and values of variables that are not trained, are lists of tensors for each unit.
    """

    def __init__(self, layer: Sideways, batch: int | None, training: bool) -> None:
        self.units = layer.units
        self.trained = [unit.trainable_variables for unit in self.units]
        # Integers are states of random numbers, which Keras hides from SavedModels of inference.
        self.other = [
            [v for v in unit.non_trainable_variables if training or "int" not in v.dtype]
            for unit in self.units
        ]
        self.changed: set[int] = set()  # ids of the variables that calls give new values
        self._training = training
        self._dtype = layer.compute_dtype
        self._sources = [layer.sources(index) for index in range(len(self.units))]
        self._made = [(batch, *frame) for frame in layer.frames_made]
        depth = len(self.units)
        # gamma: 2D - i for i = 1 .. D, from step 1; here 2D - 2 - index, from step 0
        self._starts = [2 * depth - 2 - index for index in range(depth)]

    def forward(
        self, clip: tf.Tensor, weights: list[Tensors], states: list[Tensors]
    ) -> tuple[tf.Tensor, list[Tensors]]:
        """Outputs `[B, T, ...]`, and the values of `states` after the clip."""
        steps = tf.shape(clip)[1]

        def step(time, held, states, written):
            now, states = self._step(clip[:, time], held, weights, states)
            return time + 1, now, states, written.write(time, now[-1])

        array = tf.TensorArray(self._dtype, steps, element_shape=self._made[-1])
        loop = (tf.constant(0), self._zeros(clip), states, array)
        _, _, states, written = self._run(steps, step, loop)
        return time_swapped(written.stack()), states

    def backward(
        self, clip: tf.Tensor, weights: list[Tensors], states: list[Tensors], upstream: tf.Tensor
    ) -> tuple[tf.Tensor, list[Tensors]]:
        """Pseudo-gradients of `clip` and of `weights`; `upstream` is that of the outputs."""
        self._check_length(clip)
        steps = tf.shape(clip)[1]

        def step(time, held, taken, states, sums, written):
            sent = [tf.zeros_like(gradient) for gradient in taken]
            now, after, added = [], [], []
            taken = [*taken[:-1], upstream[:, time]]
            for index in range(len(self.units)):
                with tf.GradientTape() as tape:
                    # Tensors of this step, or the tape would not see them enter the loop.
                    read = [tf.identity(x) for x in self._read(index, clip[:, time], held)]
                    own = [tf.identity(weight) for weight in weights[index]]
                    tape.watch([read, own])
                    output, state = self._apply(index, read, own, states[index])
                products = tape.gradient(output, [read, own], taken[index], _ZERO)
                gamma = time >= self._starts[index]
                down, of_weights = tf.nest.map_structure(
                    lambda g, gamma=gamma: tf.where(gamma, g, tf.zeros_like(g)), products
                )
                for source, gradient in zip(self._sources[index], down, strict=False):
                    sent[source] += gradient
                if index == 0:
                    written = written.write(time, down[0])
                now.append(output)
                after.append(state)
                added.append([total + g for total, g in zip(sums[index], of_weights, strict=True)])
            return time + 1, now, sent, after, added, written

        frame = (clip.shape[0], *clip.shape[2:])
        array = tf.TensorArray(clip.dtype, steps, element_shape=frame)
        zeros = self._zeros(clip)
        sums = tf.nest.map_structure(tf.zeros_like, weights)
        loop = (tf.constant(0), zeros, zeros, states, sums, array)
        *_, sums, written = self._run(steps, step, loop)
        # From the loss's mean over all steps to the mean over those at which a module learns.
        learning = [tf.maximum(steps - start, 1) for start in self._starts]
        means = [
            [total * _ratio(steps, count, total.dtype) for total in totals]
            for totals, count in zip(sums, learning, strict=True)
        ]
        gradient = time_swapped(written.stack())
        return gradient * _ratio(steps, learning[0], gradient.dtype), means

    def _step(self, frame, held, weights, states) -> tuple[Tensors, list[Tensors]]:
        """What each unit makes of what it reads, and the values of `states` after it."""
        done = [
            self._apply(index, self._read(index, frame, held), weights[index], states[index])
            for index in range(len(self.units))
        ]
        return [output for output, _ in done], [state for _, state in done]

    def _read(self, index: int, frame: tf.Tensor, held: Tensors) -> Tensors:
        """What unit `index` reads: what was held after the last step."""
        return [held[source] for source in self._sources[index]] or [frame]

    def _apply(
        self, index: int, read: Tensors, weights: Tensors, state: Tensors
    ) -> tuple[tf.Tensor, Tensors]:
        """Calls unit `index` with these values of its variables; its output, and values after."""
        unit, other = self.units[index], self.other[index]
        variables = [*self.trained[index], *other]
        values = zip(variables, [*weights, *state], strict=True)
        with keras.StatelessScope(values, collect_losses=True) as scope:
            output = unit(read, training=self._training)
        if scope.losses:
            raise ValueError(
                f"the module {unit.module.name!r} adds losses (an activity regularizer, or "
                "add_loss), one for each step, which cannot leave the loop over steps. Take them "
                "out"
            )
        known = {id(variable) for variable in other}
        for variable in unit.non_trainable_variables:
            if id(variable) not in known and scope.get_current_value(variable) is not None:
                raise ValueError(
                    f"the module {unit.module.name!r} draws random numbers in inference, the same "
                    "at every step. Call it with training=True"
                )
        after = [scope.get_current_value(variable) for variable in other]
        for variable, old, new in zip(other, state, after, strict=True):
            if new is not old:
                self.changed.add(id(variable))
        output = tf.cast(output, self._dtype)
        return tf.ensure_shape(output, self._made[index]), after

    def _zeros(self, clip: tf.Tensor) -> Tensors:
        """What all units hold before the first step."""
        batch = tf.shape(clip)[0] if clip.shape[0] is None else clip.shape[0]
        return [tf.zeros((batch, *own[1:]), self._dtype) for own in self._made]

    def _run(self, steps: tf.Tensor, step: Any, loop: tuple) -> tuple:
        # One step at a time: several side by side would hold their insides side by side.
        return tf.while_loop(lambda time, *_: time < steps, step, loop, parallel_iterations=1)

    def _check_length(self, clip: tf.Tensor) -> None:
        depth, steps = len(self.units), clip.shape[1]
        sentence = (
            f"Sideways over D = {depth} modules learns from clips of at least 2D - 1 = "
            f"{2 * depth - 1} frames, for the first module's first gradient comes at that step. "
            "Take longer clips or fewer modules"
        )
        if steps is None:
            tf.debugging.assert_greater_equal(tf.shape(clip)[1], 2 * depth - 1, sentence)
        elif steps < 2 * depth - 1:
            raise ValueError(f"{sentence}. Received: clips of {steps} frames")


_ZERO = tf.UnconnectedGradients.ZERO


def _ratio(all_steps: tf.Tensor, steps: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    return tf.cast(tf.cast(all_steps, tf.float64) / tf.cast(steps, tf.float64), dtype)


def time_swapped(x: tf.Tensor) -> tf.Tensor:
    """[T, B, ...] -> [B, T, ...], and back."""
    return tf.transpose(x, [1, 0, *range(2, len(x.shape))])
