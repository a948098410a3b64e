"""`VideoNetwork`: a frame model and a plan, as one Keras model over clips and over streams."""

import functools
from typing import Any

import keras
import tensorflow as tf

from keras_layers.boundary import GRADIENTS, check_gradient
from mpvn import executors
from mpvn.executors.choose import check_executor, choose_executor
from mpvn.executors.run import State
from mpvn.placement import place
from mpvn.plan import Plan
from mpvn.plan.graph import Graph, Tensor
from mpvn.sideways.rules import SidewaysRules

STEP = "step"
"""Name of the state's step counter, the only tensor of a state without a batch axis."""


@keras.saving.register_keras_serializable(package="mpvn")
class VideoNetwork(keras.Model):
    """A depth-parallel, multi-rate video network made of an image model.

    Called on a clip it gives the outputs of every step, and trains with plain `compile` and `fit`;
    `step` runs it frame by frame. Both compute the same values.

    Args:
        frame_model: a functional Keras model over one frame, or a structure of frames. Its layers
            and weights are shared, unless the plan names devices: then they are rebuilt there.
        plan: a `Plan` of `frame_model`, or None for one subnetwork without clocks.
        executor: how a clip runs: `"unroll"` (step by step), `"layerwise"` (layer by layer), or
            `"auto"`, which sweeps where batch norm is trained, and else chooses by size. Networks
            with feedback always unroll.
        rematerialize: whether training keeps of each subnetwork only what enters and leaves it, and
            computes its inside again in the backward pass, a subnetwork at a time. Values and
            gradients are the same; memory is saved for about a third more computation.
        gradient: `"exact"`, back-propagation; or `"sideways"`: subnetworks send gradients one step
            later in time instead of one step earlier, shortcuts included (*Sideways*, CVPR 2020,
            section 3; *Skip-Sideways*, CVPR 2021). Values are the same. Each subnetwork's gradient
            is the mean over the steps at which it learns, if the loss is a mean over all steps;
            whole clips only, by the sweep executor, of at least 2D - 1 frames for D subnetworks.

    Call arguments:
        inputs: clips `[B, T, ...]`, in the structure of the frame model's inputs.
        training: as in Keras.

    Output shape:
        `[B, T, ...]` for each output of the frame model: at step t, what the network holds then.

    Raises:
        PlanError: the plan was made for another model.
        ValueError: an unknown executor or gradient, or one that cannot run the plan, or an input of
            the wrong shape.

    Example:
        >>> import numpy as np
        >>> model = keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3))
        >>> network = VideoNetwork(model, Plan(model, subnetworks=4))
        >>> state = network.initial_state(batch_size=1)
        >>> scores, state = network.step(np.zeros((1, 32, 32, 3), "float32"), state)
        >>> tuple(scores.shape)
        (1, 1000)
    """

    def __init__(
        self,
        frame_model: keras.Model,
        plan: Plan | None = None,
        executor: str = "auto",
        rematerialize: bool = False,
        gradient: str = "exact",
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("name", f"video_{getattr(frame_model, 'name', 'network')}")
        super().__init__(**kwargs)
        plan = Plan(frame_model) if plan is None else plan
        if not isinstance(plan, Plan):
            raise TypeError(f"plan must be a Plan or None. Received: {plan!r}")
        if plan.graph.model is not frame_model:
            plan = plan.over(frame_model)
        if any(plan.devices):
            frame_model = place(frame_model, plan)
            plan = plan.over(frame_model)
        self.autocast = False  # inputs go to the frame model in its own dtype
        self.frame_model = frame_model
        self.plan = plan
        self._sideways: SidewaysRules | None = None
        self.executor = executor
        self.rematerialize = rematerialize
        self.gradient = gradient
        self._traced = _Traced(self)
        self.built = True

    @property
    def graph(self) -> Graph:
        """The frame model's nodes and tensors."""
        return self.plan.graph

    @property
    def executor(self) -> str:
        """How a clip runs: `"auto"`, `"unroll"` or `"layerwise"`."""
        return self._executor

    @executor.setter
    def executor(self, name: str) -> None:
        self._executor = check_executor(name, self.plan, bool(self._sideways))

    @property
    def rematerialize(self) -> bool:
        """Whether training computes subnetworks a second time rather than keep their insides."""
        return self._rematerialize

    @rematerialize.setter
    def rematerialize(self, value: bool) -> None:
        if not isinstance(value, bool):
            raise ValueError(f"rematerialize must be True or False. Received: {value!r}")
        self._rematerialize = value

    @property
    def gradient(self) -> str:
        """How gradients cross the boundaries in training: `"exact"` or `"sideways"`."""
        return GRADIENTS[self._sideways is not None]

    @gradient.setter
    def gradient(self, name: str) -> None:
        sideways = SidewaysRules(self.plan) if check_gradient(name) == "sideways" else None
        check_executor(self.executor, self.plan, bool(sideways))
        self._sideways = sideways

    # --- clips ------------------------------------------------------------------------------

    @tf.autograph.experimental.do_not_convert
    def call(self, inputs: Any, training: bool | None = None) -> Any:
        clip = self.values(inputs, "clip")
        outputs, _ = self._run(clip, self._zeros(tf.shape(clip[0])[0]), 0, training)
        return self.graph.pack_outputs(outputs)

    def run(self, clip: Any, state: State, training: bool = False) -> tuple[Any, State]:
        """Runs a piece of a longer clip: `state` is where the last piece ended.

        Args:
            clip: `[B, T, ...]`, in the structure of the frame model's inputs.
            state: from `initial_state`, `step` or `run`.

        Returns:
            The outputs `[B, T, ...]`, and the state after the piece.
        """
        values = self.values(clip, "clip")
        slots = self._slots(state, values)
        phase = tf.get_static_value(state[STEP])
        if phase is None:
            raise ValueError(
                "run needs to know the phase at which the clip begins: call it eagerly, or give "
                "it a state whose step counter is a constant. Inside a tf.function use step"
            )
        outputs, after = self._traced.clip(int(phase) % self.plan.period, training)(values, slots)
        steps = tf.shape(values[0])[1]
        after[STEP] = state[STEP] + tf.cast(steps, state[STEP].dtype)
        return self.graph.pack_outputs(outputs), after

    def _run(
        self, clip: list[tf.Tensor], slots: State, phase: int, training: bool | None
    ) -> tuple[list[tf.Tensor], State]:
        arguments = self.plan, clip, slots, phase, training, self._twice(training)
        batch, steps = clip[0].shape[:2]
        sideways = bool(self._sideways)
        executor = choose_executor(self.executor, self.plan, batch, steps, training, sideways)
        if executor == "layerwise":
            return executors.layerwise(*arguments, self._sideways)
        return executors.unroll(*arguments)

    def _twice(self, training: bool | None) -> bool:
        """Whether segments are computed again for a gradient: in inference nobody asks for one."""
        return self.rematerialize and bool(training)

    # --- streams ----------------------------------------------------------------------------

    def initial_state(self, batch_size: int, phase: int = 0) -> State:
        """The state of streams that have seen nothing: zeros.

        Args:
            batch_size: number of streams.
            phase: the step at which they begin, modulo the plan's period.

        Returns:
            A flat dict of tensors by name: the step counter `"step"` (int64 scalar, one for the
            batch, for the clocks are common), and slots `[batch_size, ...]`.
        """
        self.check_streams()
        return {STEP: tf.constant(phase, tf.int64), **self._zeros(batch_size)}

    @tf.autograph.experimental.do_not_convert
    def step(self, frame: Any, state: State, training: bool = False) -> tuple[Any, State]:
        """Runs one step.

        Called eagerly it runs one traced function per distinct pattern of ticking clocks; inside a
        `tf.function` it becomes part of the caller's graph, with slow clocks under conditions.

        Args:
            frame: `[B, ...]`, in the structure of the frame model's inputs.
            state: from `initial_state` or the last `step`.

        Returns:
            The outputs `[B, ...]` of this step, and the new state.

        Raises:
            ValueError: the frame or the state does not fit the network.
        """
        frames = self.values(frame, "frame")
        slots, counter = self._slots(state, frames), state[STEP]
        if tf.executing_eagerly():
            run = self._traced.step(int(counter), training)
            outputs, after, after[STEP] = run(frames, slots, counter)
        else:
            outputs, after = executors.step(
                self.plan, frames, slots, counter, training, self._twice(training)
            )
            after[STEP] = counter + 1
        return self.graph.pack_outputs(outputs), after

    def reset(self, state: State, streams: Any) -> State:
        """`state` with some streams begun anew, at the phase that the batch has reached.

        Args:
            state: as from `step`.
            streams: bool `[B]`, True for each stream that begins anew.
        """
        streams = tf.convert_to_tensor(streams)
        if streams.dtype != tf.bool or streams.shape.rank != 1:
            raise ValueError(
                "streams must be one bool per stream, True for those that begin anew. "
                f"Received: {streams.dtype.name} of shape {tuple(streams.shape)}"
            )
        self._slots(state, [streams])
        after = {STEP: state[STEP]}
        for name, value in state.items():
            if name != STEP:
                chosen = tf.reshape(streams, (-1, *[1] * (len(value.shape) - 1)))
                after[name] = tf.where(chosen, tf.zeros_like(value), value)
        return after

    @property
    def trace_count(self) -> int:
        """How many graphs `step` has traced so far."""
        return self._traced.count

    def cell(self, **kwargs: Any) -> keras.layers.Layer:
        """This network as a cell for `keras.layers.RNN`; see `mpvn.NetworkCell`."""
        from mpvn.cell import NetworkCell

        return NetworkCell(self, **kwargs)

    def export(self, path: str) -> None:
        """Writes a SavedModel that streams without this package; see `mpvn.export`."""
        from mpvn.export import export_network

        export_network(self, path)

    # --- Keras ------------------------------------------------------------------------------

    def build(self, input_shape: Any) -> None:
        """Nothing to build: the frame model is."""

    def compute_output_shape(self, input_shape: Any) -> Any:
        shapes = keras.tree.map_shape_structure(tuple, input_shape)
        first = shapes if isinstance(shapes, tuple) else keras.tree.flatten_shape(shapes)[0]
        found = [(*first[:2], *self.graph.tensors[t].shape) for t in self.graph.outputs]
        return self.graph.pack_outputs(found)

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        clip = self.values(inputs, "clip")
        found = [self.graph.tensors[t] for t in self.graph.outputs]
        return self.graph.pack_outputs(
            [keras.KerasTensor((*clip[0].shape[:2], *t.shape), dtype=t.dtype) for t in found]
        )

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "frame_model": keras.saving.serialize_keras_object(self.frame_model),
            "plan": self.plan.get_config(),
            "executor": self.executor,
            "rematerialize": self.rematerialize,
            "gradient": self.gradient,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "VideoNetwork":
        config = dict(config)
        frame_model = keras.saving.deserialize_keras_object(
            config.pop("frame_model"), custom_objects=custom_objects
        )
        return cls(frame_model, Plan(frame_model, **config.pop("plan")), **config)

    # --- checks -----------------------------------------------------------------------------

    def values(self, structure: Any, what: str) -> list:
        """One tensor per input, of the input's dtype; raises for another structure or shape."""
        leading = 1 if what == "frame" else 2
        expected = [self.graph.tensors[index] for index in self.graph.inputs]
        try:
            values = self.graph.pack_inputs(structure)
        except KeyError as missing:
            raise ValueError(f"the {what} lacks the input {missing}") from None
        if len(values) != len(expected):
            raise ValueError(
                f"expected {len(expected)} inputs, {_shapes(expected, leading)}. "
                f"Received: {len(values)}"
            )
        converted = []
        for value, tensor in zip(values, expected, strict=True):
            if not isinstance(value, keras.KerasTensor):
                value = tf.convert_to_tensor(value)
                if value.dtype != tensor.dtype:
                    value = tf.cast(value, tensor.dtype)
            shape = tuple(value.shape)
            fits = len(shape) == leading + len(tensor.shape) and all(
                size in (None, own) for size, own in zip(shape[leading:], tensor.shape, strict=True)
            )
            if fits and leading == 2 and shape[1] == 0:
                raise ValueError(f"a clip needs at least one frame. Received: shape {shape}")
            if not fits:
                raise ValueError(
                    f"expected a {what} of shape {_shapes(expected, leading)} for {self.name!r}. "
                    f"Received: {shape}"
                    + (". A clip has a time axis after the batch axis" if leading == 2 else "")
                )
            converted.append(value)
        return converted

    def _slots(self, state: State, beside: list) -> State:
        """The slots of `state`; raises where they are not this network's, or of another batch."""
        specs = self.plan.histories.specs
        if set(state) != {STEP, *specs}:
            lacking = sorted({STEP, *specs} - set(state))
            extra = sorted(set(state) - {STEP, *specs})
            raise ValueError(
                f"not a state of {self.name!r}: lacks {lacking[:3]}, has unknown {extra[:3]}. "
                "Begin with initial_state(batch_size)"
            )
        batch = beside[0].shape[0]
        for name in specs:
            held = state[name].shape[0]
            if held != batch and None not in (held, batch):
                raise ValueError(
                    f"the state is of {held} streams, but {batch} streams were given. Begin with "
                    f"initial_state({batch})"
                )
        return {name: state[name] for name in specs}

    def _zeros(self, batch_size: Any) -> State:
        return {
            name: tf.zeros((batch_size, *spec.shape[1:]), spec.dtype)
            for name, spec in self.plan.histories.specs.items()
        }

    def check_streams(self) -> None:
        """Raises ValueError if the network cannot stream."""
        if not self.plan.causal:
            raise ValueError(
                f"{self.name!r} looks into the future (symmetric temporal padding) and cannot "
                'stream. Build it with temporal_padding="causal"'
            )


def _shapes(tensors: list[Tensor], leading: int) -> str:
    """Shapes of `tensors` behind a batch axis and, with two `leading` axes, a time axis."""
    axes = ["B", "T"][:leading]
    return ", ".join(f"[{', '.join(map(str, [*axes, *t.shape]))}]" for t in tensors)


class _TracedStep:
    """A step of one pattern of ticking clocks, traced once, with the batch axis open.

    Its tensors go in and out flat: the runtime takes a fraction of a millisecond to look through a
    structure, and does so at every call.
    """

    def __init__(self, plan: Plan, phase: int, training: bool, rematerialize: bool) -> None:
        self._plan = plan
        self._phase = phase
        self._training = training
        self._rematerialize = rematerialize
        tensors = [plan.graph.tensors[index] for index in plan.graph.inputs]
        specs = [tf.TensorSpec((None, *tensor.shape), tensor.dtype) for tensor in tensors]
        specs += [*plan.histories.specs.values(), tf.TensorSpec((), tf.int64)]
        self.function = tf.function(self._flat, input_signature=specs, autograph=False)
        self._run = self.function.get_concrete_function()

    def __call__(
        self, frames: list[tf.Tensor], slots: State, counter: tf.Tensor
    ) -> tuple[list[tf.Tensor], State, tf.Tensor]:
        """Outputs, slots after the step, and the number of the next step."""
        *values, counter = self._run(*frames, *slots.values(), counter)
        count = len(self._plan.graph.outputs)
        return values[:count], dict(zip(slots, values[count:], strict=True)), counter

    def _flat(self, *tensors: tf.Tensor) -> list[tf.Tensor]:
        names = self._plan.histories.specs
        first = len(self._plan.graph.inputs)
        slots = dict(zip(names, tensors[first:-1], strict=True))
        outputs, after = executors.step(
            self._plan,
            list(tensors[:first]),
            slots,
            self._phase,
            self._training,
            self._rematerialize,
        )
        self._plan.graph.pop_losses()  # tensors of this trace, of no use outside
        return [*outputs, *(after[name] for name in names), tensors[-1] + 1]


class _Traced:
    """The traced functions of a network: a step per pattern of clocks, a clip per first phase."""

    def __init__(self, network: VideoNetwork) -> None:
        self._network = network
        self._steps: dict[tuple, _TracedStep] = {}
        self._clips: dict[tuple, Any] = {}

    @property
    def count(self) -> int:
        """How many graphs steps have been traced to."""
        return sum(step.function.experimental_get_tracing_count() for step in self._steps.values())

    def step(self, number: int, training: bool) -> _TracedStep:
        """The step of that number."""
        plan, twice = self._network.plan, self._network._twice(training)
        key = (plan.pattern(number), training, twice)
        if key not in self._steps:
            self._steps[key] = _TracedStep(plan, number % plan.period, training, twice)
        return self._steps[key]

    def clip(self, phase: int, training: bool) -> Any:
        """A run of a clip whose first step has that phase."""
        network = self._network
        key = (phase, training, network.executor, network.gradient, network._twice(training))
        if key not in self._clips:
            self._clips[key] = tf.function(
                functools.partial(self._network._run, phase=phase, training=training),
                reduce_retracing=True,
                autograph=False,
            )
        return self._clips[key]
