"""Sideways as one layer: modules train on clips in memory that does not grow with the clip.

*Sideways: Depth-Parallel Training of Video Models* (CVPR 2020), section 3.4, step by step, and its
shortcuts (*Gradient Forward-Propagation for Large-Scale Temporal Video Modelling*, CVPR 2021). At
step t, for all modules i at once, from what was sent at step t - 1:

    x      =  merge(h[i-1], h[i-k], ...)    outputs of the modules that i reads, or the frame
    h[i]  <-  module_i(x)
    dw[i] +=  g[i] * d module_i(x) / dw     from the first step on at which i learns
    g[j]  <-  g[i] * d module_i(x) / dh[j]  sum over the readers i of j; dloss/dh for the last

The backward pass repeats these steps, again forward in time. So nothing of the past is kept but the
input clip and the gradients of the outputs.

What it does not do well: it computes everything twice, and modules see frames, not clips. Batch
norm takes its statistics over the batch at each step, including the first steps, which no frame has
reached yet. The weights of later layers learn from those steps too, unless the loss masks them.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from keras_layers.folding import swap_time
from keras_layers.pure_call import PureScope, read_variables, refuse_losses
from keras_layers.shortcut_merge import ShortcutMerge, check_shortcuts
from keras_layers.sideways_rules import check_clip, first_learning_steps, mean_factor

Tensors = list[tf.Tensor]


@keras.saving.register_keras_serializable(package="keras_layers")
class Sideways(keras.layers.Layer):
    """A chain of modules, with shortcuts, that frames and gradients cross by one module a step.

    With D modules, the output at step t belongs to frame `t - D + 1` (with shortcuts, also to later
    ones), so delay targets that change over time by `D - 1` steps. The loss should be a mean over
    steps, without weights but 1, and 0 before step `D - 1`: the layer does not see them, while
    `mpvn.VideoNetwork` follows any sample weights. Each module's gradient is then the mean over the
    steps at which it learns, module i = 0 .. D - 1 from step `2D - 2 - i` (from 0) on. On a clip of
    identical frames it equals the gradient that back-propagation gives for one frame.

    Args:
        modules: Keras layers or models, each from frames `[B, ...]` to frames, of known sizes.
        shortcuts: offsets k >= 2. Module l reads module l - k besides module l - 1, for all l > k.
            Offset 3, the paper's, keeps two clips with alternating frames apart; 2 mixes them.
        merge: how shortcuts join the main input: `"project"`, `"add"` or `"concatenate"`; see
            `ShortcutMerge`.

    Call arguments:
        inputs: clips `[B, T, ...]`.
        training: as in Keras.

    Output shape:
        `[B, T, ...]`, outputs of the last module, in the layer's compute dtype.

    Raises:
        ValueError: there are no modules, or a module occurs twice; offsets or merge are out of
            range; inputs have unknown sizes; shapes do not merge; a module adds losses, or uses
            variables that are not its own; or, when the gradient is taken, a clip is shorter than
            `2D - 1` frames.

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
                f"Layer {self.name!r}: expected at least one module, and each module only once. "
                f"Received: {[module.name for module in modules]}."
            )
        check_shortcuts(shortcuts, f"layer {self.name!r}")
        self.modules = modules
        self.shortcuts = tuple(shortcuts)
        self.merge = merge
        self.frame_shapes: list[tuple] = []  # of each module's output, once built
        self.units = [
            _Unit(module, merge, dtype=self.dtype_policy, name=f"unit_{index}")
            for index, module in enumerate(modules)
        ]

    def build(self, input_shape: tuple) -> None:
        if len(input_shape) < 3 or None in input_shape[2:]:
            raise ValueError(
                f"Layer {self.name!r}: expected clips [B, T, ...] of frames of known size. "
                f"Received: shape={tuple(input_shape)}."
            )
        self.frame_shapes = [shape[1:] for shape in self._output_shapes(input_shape)]

    def call(self, inputs, training=None):
        inputs = ops.cast(inputs, self.compute_dtype)
        scan = _Scan(self, inputs.shape[0], bool(training))
        weights = [read_variables(variables) for variables in scan.trainable]
        states = [read_variables(variables) for variables in scan.other]

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
                if id(variable) in scan.assigned:
                    variable.assign(value)
        return tf.ensure_shape(outputs, (*inputs.shape[:2], *outputs.shape[2:]))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (*input_shape[:2], *self._output_shapes(input_shape)[-1][1:])

    def sources(self, index: int) -> list[int]:
        """Return the modules that module `index` reads, the chain first; [] for the first."""
        return [index - offset for offset in (1, *self.shortcuts) if offset <= index]

    def _output_shapes(self, input_shape: tuple) -> list[tuple]:
        """Return the output shape `[B, ...]` of each module; build modules on the way."""
        shapes: list[tuple] = []
        for index, unit in enumerate(self.units):
            inputs = [shapes[source] for source in self.sources(index)]
            shapes.append(unit.compute_output_shape(inputs or [(input_shape[0], *input_shape[2:])]))
        return shapes

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
    """A module behind the merge of its inputs: a list of maps, the chain's first."""

    def __init__(self, module: keras.layers.Layer, merge: str, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.module = module
        self.merge = ShortcutMerge(merge, dtype=self.dtype_policy, name="merge")

    def build(self, input_shapes: list[tuple]) -> None:
        try:
            merged = self.merge.compute_output_shape(input_shapes)
        except ValueError as error:
            raise ValueError(f"Inputs of module {self.module.name!r}: {error}") from error
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
    """The loops of a layer over a clip: forward, and again for pseudo-gradients.

    Weights, and values of other variables, are lists of tensors for each unit.

    Attributes:
        trainable: trainable variables of each unit.
        other: its other variables.
        assigned: ids of the variables that calls of the units assigned.
    """

    def __init__(self, layer: Sideways, batch: int | None, training: bool) -> None:
        self._units = layer.units
        self.trainable = [unit.trainable_variables for unit in self._units]
        # Integers are random seeds, which Keras leaves out of SavedModels for inference.
        self.other = [
            [v for v in unit.non_trainable_variables if training or "int" not in v.dtype]
            for unit in self._units
        ]
        self.assigned: set[int] = set()
        self._training = training
        self._dtype = layer.compute_dtype
        self._sources = [layer.sources(index) for index in range(len(self._units))]
        self._shapes = [(batch, *frame) for frame in layer.frame_shapes]
        self._first_steps = first_learning_steps(len(self._units))

    def forward(
        self, clip: tf.Tensor, weights: list[Tensors], states: list[Tensors]
    ) -> tuple[tf.Tensor, list[Tensors]]:
        """Return the outputs `[B, T, ...]`, and the values of `states` after the clip."""
        steps = tf.shape(clip)[1]

        def step(time, sent, states, written):
            results = [
                self._call(index, self._inputs(index, clip[:, time], sent), weights[index], state)
                for index, state in enumerate(states)
            ]
            sent, states = ([result[n] for result in results] for n in (0, 1))
            return time + 1, sent, states, written.write(time, sent[-1])

        array = tf.TensorArray(self._dtype, steps, element_shape=self._shapes[-1])
        _, _, states, written = self._loop(steps, step, self._zeros(clip), states, array)
        return swap_time(written.stack()), states

    def backward(
        self, clip: tf.Tensor, weights: list[Tensors], states: list[Tensors], upstream: tf.Tensor
    ) -> tuple[tf.Tensor, list[Tensors]]:
        """Return pseudo-gradients of `clip` and `weights`, from those of the outputs, `upstream`.

        Raises:
            ValueError: the clip is too short.
        """
        steps = tf.shape(clip)[1]
        check_clip(steps if clip.shape[1] is None else clip.shape[1], self._first_steps, "module")

        def step(time, sent, gradients, states, sums, written):
            gradients = [*gradients[:-1], upstream[:, time]]
            sent_back = [tf.zeros_like(output) for output in sent]
            outputs, after, totals = [], [], []
            for index in range(len(self._units)):
                inputs = self._inputs(index, clip[:, time], sent)
                output, state, of_inputs, of_weights = self._gradients(
                    index, time, inputs, weights[index], states[index], gradients[index]
                )
                for source, gradient in zip(self._sources[index], of_inputs, strict=False):
                    sent_back[source] += gradient
                if index == 0:
                    written = written.write(time, of_inputs[0])
                outputs.append(output)
                after.append(state)
                totals.append([a + b for a, b in zip(sums[index], of_weights, strict=True)])
            return time + 1, outputs, sent_back, after, totals, written

        zeros = self._zeros(clip)
        sums = tf.nest.map_structure(tf.zeros_like, weights)
        frame = (clip.shape[0], *clip.shape[2:])
        array = tf.TensorArray(clip.dtype, steps, element_shape=frame)
        *_, sums, written = self._loop(steps, step, zeros, zeros, states, sums, array)
        factors = [mean_factor(steps, first) for first in self._first_steps]
        means = [
            [total * tf.cast(factor, total.dtype) for total in totals]
            for totals, factor in zip(sums, factors, strict=True)
        ]
        gradient = swap_time(written.stack())
        return gradient * tf.cast(factors[0], gradient.dtype), means

    def _gradients(
        self,
        index: int,
        time: tf.Tensor,
        inputs: Tensors,
        weights: Tensors,
        state: Tensors,
        upstream: tf.Tensor,
    ) -> tuple[tf.Tensor, Tensors, Tensors, Tensors]:
        """Call unit `index`; return output, state, gradients of inputs and of weights, masked."""
        with tf.GradientTape() as tape:
            # Copies made in this step: the tape does not see tensors from outside of the loop.
            inputs, weights = ([tf.identity(x) for x in xs] for xs in (inputs, weights))
            tape.watch([inputs, weights])
            output, state = self._call(index, inputs, weights, state)
        zero = tf.UnconnectedGradients.ZERO
        gradients = tape.gradient(output, [inputs, weights], upstream, zero)
        learns = time >= self._first_steps[index]
        of_inputs, of_weights = tf.nest.map_structure(
            lambda g: tf.where(learns, g, tf.zeros_like(g)), gradients
        )
        return output, state, of_inputs, of_weights

    def _inputs(self, index: int, frame: tf.Tensor, sent: Tensors) -> Tensors:
        """Return the inputs of unit `index`: outputs `sent` at the previous step, or the frame."""
        return [sent[source] for source in self._sources[index]] or [frame]

    def _call(
        self, index: int, inputs: Tensors, weights: Tensors, state: Tensors
    ) -> tuple[tf.Tensor, Tensors]:
        """Call unit `index` with these values of its variables; return its output and state."""
        unit, other = self._units[index], self.other[index]
        scope = PureScope([*self.trainable[index], *other], [*weights, *state])
        scope.layer = unit.module
        with scope:
            output = unit(inputs, training=self._training)
        refuse_losses(layer.name for layer, _ in scope.added_losses)
        self.assigned.update(scope.assigned)
        output = tf.ensure_shape(tf.cast(output, self._dtype), self._shapes[index])
        return output, [scope.get_current_value(variable) for variable in other]

    def _zeros(self, clip: tf.Tensor) -> Tensors:
        """Return zeros in the shape of each unit's output."""
        batch = tf.shape(clip)[0] if clip.shape[0] is None else clip.shape[0]
        return [tf.zeros((batch, *shape[1:]), self._dtype) for shape in self._shapes]

    def _loop(self, steps: tf.Tensor, step: Any, *variables: Any) -> tuple:
        """Run `step` for each step of a clip, one at a time.

        With parallel iterations, the activations of several steps would be alive at once.
        """
        loop = (tf.constant(0), *variables)
        return tf.while_loop(lambda time, *_: time < steps, step, loop, parallel_iterations=1)
