"""`VideoNetwork`: a frame model and a plan as one Keras model, for clips and for streams."""

import os
from typing import Any

import keras
import tensorflow as tf

from keras_layers.boundary import GRADIENTS, check_gradient
from mpvn import executors
from mpvn.cell import NetworkCell
from mpvn.cluster.devices import present_devices
from mpvn.executors.choose import CLIP_EXECUTORS, check_executor, choose_executor
from mpvn.executors.placed import backward_on_devices
from mpvn.executors.prime import check_start
from mpvn.executors.run import State
from mpvn.executors.uninformed import counted_output
from mpvn.export import export_network
from mpvn.graph.calls import get_mask, set_mask
from mpvn.metadata import Metadata
from mpvn.placement import place
from mpvn.plan import Plan
from mpvn.sideways.rules import SidewaysRules, weighted
from mpvn.state import zero_slots
from mpvn.stateful import StatefulModel

LEGACY_FILE = (
    "Cannot save {name!r}: Keras's HDF5 files cannot hold a network. Expected a path that ends in "
    ".keras. Received: {received}. For the weights alone, use save_weights('x.weights.h5')."
)


@keras.saving.register_keras_serializable(package="mpvn")
class VideoNetwork(StatefulModel):
    """A depth-parallel, multi-rate video network, built from an image model.

    Call the network on a clip to get the outputs of every step, and train it with `compile` and
    `fit`. Use `step` to run it frame by frame. Both compute the same values.

    Args:
        frame_model: a functional Keras model over one frame, or over a structure of frames. The
            network shares its layers and weights, unless the plan names devices where they are not:
            then it rebuilds them there.
        plan: a `Plan` of `frame_model`. None means one subnetwork without clocks.
        executor: how to run a clip. `"unroll"`: step by step. `"layerwise"`: layer by layer.
            `"auto"`: layer by layer if batch norm trains, otherwise by the size of the activations;
            networks with feedback always run step by step.
        rematerialize: whether the backward pass computes activations again, one segment of the
            network at a time, instead of keeping them. Values and gradients are the same. It saves
            memory and costs about a third more computation. Segments are the units of the model
            (`mpvn.executors.segment`), however many of them a subnetwork has; step by step, what a
            subnetwork computes in one step.
        gradient: `"exact"` is back-propagation. With `"sideways"`, subnetworks send gradients one
            step later in time instead of one step earlier, shortcuts included (*Sideways*, CVPR
            2020, section 3; *Skip-Sideways*, CVPR 2021). Values are the same. Each subnetwork's
            gradient is the mean over the steps at which it learns. In `fit` of the network itself
            it is that of `SidewaysTrainer(network, latency=0)`, whatever the sample weights; a
            model around the network, or a loop of your own, counts all steps. It needs whole clips
            of at least 2D - 1 frames for D subnetworks, and runs layer by layer.
        start: what the memories of a stream hold before its first step. `"zeros"`: zeros, as in the
            papers. `"primed"`: what the frame model computes for the first frame, as if that frame
            had always been there; then outputs mean something from the first step on. The first
            step of a stream costs one run of the whole frame model more.
        metadata: what the network knows about its inputs and outputs, such as the names of its
            classes; see `mpvn.Metadata`. It is saved and exported with the network.

    Call arguments:
        inputs: clips `[B, T, ...]`, in the structure of the frame model's inputs.
        training: as in Keras. `fit` passes True, `predict` and `evaluate` False, and `step` and
            `run` are inference unless they are told otherwise. None, the default of a direct call,
            leaves it to each layer: dropout and batch norm are then in inference, but augmentation
            such as `RandomFlip` is in training. Call `network(clip, training=False)` to infer.
            Random layers draw numbers for each frame.

    Output shape:
        `[B, T, ...]` for each output of the frame model: its value at every step.

    Raises:
        PlanError: the plan does not fit the model.
        DeviceError: a device of the plan does not exist.
        ValueError: an unknown executor, gradient or start, or one that cannot run the plan, or an
            input of the wrong shape.

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
        start: str = "zeros",
        metadata: Metadata | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("name", f"video_{getattr(frame_model, 'name', 'network')}")
        super().__init__(**kwargs)
        plan = Plan(frame_model) if plan is None else plan
        if not isinstance(plan, Plan):
            raise TypeError(f"Invalid plan. Expected a Plan or None. Received: {plan!r}.")
        if plan.graph.model is not frame_model:
            plan = plan.over(frame_model)
        if any(plan.devices):
            frame_model = place(frame_model, plan)
            plan = plan.over(frame_model)
        self.autocast = False  # the frame model casts its inputs itself
        self.frame_model = frame_model
        self.plan = plan
        self._sideways: SidewaysRules | None = None
        self.executor = executor
        self.rematerialize = rematerialize
        self._start = check_start(start)
        self.gradient = gradient
        self.metadata = metadata
        self.built = True

    @property
    def executor(self) -> str:
        """How to run a clip: `"auto"`, `"unroll"` or `"layerwise"`."""
        return self._executor

    @executor.setter
    def executor(self, name: str) -> None:
        self._executor = check_executor(name, self.plan, bool(self._sideways))

    @property
    def rematerialize(self) -> bool:
        """Whether the backward pass computes activations again instead of keeping them."""
        return self._rematerialize

    @rematerialize.setter
    def rematerialize(self, value: bool) -> None:
        if not isinstance(value, bool):
            raise ValueError(f"Invalid rematerialize. Expected True or False. Received: {value!r}.")
        self._rematerialize = value

    @property
    def gradient(self) -> str:
        """How gradients cross boundaries in training: `"exact"` or `"sideways"`."""
        return GRADIENTS[self._sideways is not None]

    @gradient.setter
    def gradient(self, name: str) -> None:
        rules = SidewaysRules(self.plan, self.start) if check_gradient(name) == "sideways" else None
        check_executor(self.executor, self.plan, bool(rules))
        self._sideways = rules

    @property
    def start(self) -> str:
        """What the memories of a stream hold before its first step: `"zeros"` or `"primed"`."""
        return self._start

    @property
    def metadata(self) -> Metadata | None:
        """What the network knows about its inputs and outputs; None for nothing."""
        return self._metadata

    @metadata.setter
    def metadata(self, value: Metadata | None) -> None:
        if value is not None and not isinstance(value, Metadata):
            raise TypeError(f"Invalid metadata. Expected a Metadata or None. Received: {value!r}.")
        self._metadata = value

    @property
    def settings(self) -> tuple:
        return self.executor, self.gradient

    @property
    def first_informed_step(self) -> int:
        """The first step at which every output depends on a frame: 0 if the start is primed."""
        return 0 if self.start == "primed" else self.plan.first_informed_step

    # --- clips and streams ------------------------------------------------------------------

    @tf.autograph.experimental.do_not_convert
    def call(self, inputs: Any, training: bool | None = None) -> Any:
        clip = self.convert_inputs(inputs, "clip")
        slots = zero_slots(self.plan, tf.shape(clip[0])[0])
        outputs, _ = self.run_clip(clip, slots, 0, training)
        return self.graph.pack_outputs(outputs)

    def run_clip(
        self, clip: list[tf.Tensor], slots: State, number: int, training: bool | None
    ) -> tuple[list[tf.Tensor], State]:
        rematerialize = self._rematerializes(training)
        if self.start == "primed":
            first = [frames[:, 0] for frames in clip]
            slots = executors.start_primed(self.plan, first, slots, number, training, rematerialize)
            number = self.plan.after_cuts(number)
        arguments = self.plan, clip, slots, number, training, rematerialize
        batch, steps = clip[0].shape[:2]
        sideways = bool(self._sideways)
        executor = choose_executor(self.executor, self.plan, batch, steps, training, sideways)
        if executor == "layerwise":
            return executors.layerwise(*arguments, self._sideways)
        return CLIP_EXECUTORS[executor](*arguments)

    def cell(self, **kwargs: Any) -> NetworkCell:
        """Return this network as a cell for `keras.layers.RNN`; see `mpvn.cell` for its limits.

        Args:
            **kwargs: arguments of `keras.layers.Layer`.

        Raises:
            ValueError: the network is not causal, has several inputs or outputs, or has a period
                above 256.
        """
        return NetworkCell(self, **kwargs)

    def over(self, plan: Plan) -> "VideoNetwork":
        """Return a network of the same layers and settings by another plan of `frame_model`."""
        settings = self.executor, self.rematerialize, self.gradient, self.start, self.metadata
        return VideoNetwork(self.frame_model, plan, *settings, name=self.name)

    def export(
        self,
        filepath: str | os.PathLike[str],
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        """Write a file that streams without this package.

        Args:
            filepath: folder to create.
            format: one of `mpvn.export.FORMATS`. A SavedModel has the signatures `step` and `clip`;
                see `mpvn.export.signatures`, and `mpvn.export.names` for the names of tensors.
            verbose: whether to print the signatures. None means True, as in Keras.
            input_signature: specs of the clips `[B, T, ...]`, in the structure of the frame model's
                inputs, to fix B or T, or to take frames of another dtype. None leaves B and T open.
            **kwargs: options of the format; for a SavedModel, those of
                `mpvn.export.saved_model.write_saved_model`, such as `streams=64` for states on the
                server, and `images="jpeg"`. docs/export.md has those of `"litert"`, `"onnx"` and
                `"openvino"`, which are for devices.

        Raises:
            FileExistsError: `filepath` exists.
            TypeError: an unknown option, or an `input_signature` without specs.
            ValueError: an unknown format, an `input_signature` or an option that does not fit the
                network, or a network that looks into the future and so cannot stream.
        """
        export_network(self, filepath, format, verbose, input_signature, **kwargs)

    # --- training ---------------------------------------------------------------------------

    def make_train_function(self, force: bool = False) -> Any:
        build_optimizer(self)
        return super().make_train_function(force)

    @tf.autograph.experimental.do_not_convert
    def train_step(self, data: Any) -> dict[str, Any]:
        x, y, sample_weight = _with_steps(data)
        with weighted(sample_weight), backward_on_devices(self.plan):
            return super().train_step((x, y, sample_weight))

    @tf.autograph.experimental.do_not_convert
    def test_step(self, data: Any) -> dict[str, Any]:
        return super().test_step(_with_steps(data))

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tf.Tensor | None:
        y_pred = self.counted_outputs(y_pred, sample_weight)
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def counted_outputs(self, outputs: Any, sample_weight: Any) -> Any:
        """Return outputs for a loss; see `mpvn.executors.uninformed.counted_output`.

        Args:
            outputs: those of a call on clips.
            sample_weight: as in `fit`: None, a tensor, or a structure like `outputs`.
        """
        values, steps = keras.tree.flatten(outputs), self.first_informed_step
        weights = [sample_weight] * len(values)
        if keras.tree.is_nested(sample_weight):
            try:
                keras.tree.assert_same_structure(sample_weight, outputs)
            except (TypeError, ValueError):
                return outputs  # weights of some outputs, by a rule of Keras
            weights = keras.tree.flatten(sample_weight)
        pairs = zip(values, weights, strict=True)
        counted = [x if weight is None else counted_output(x, weight, steps) for x, weight in pairs]
        for value, output in zip(counted, values, strict=True):
            set_mask(value, get_mask(output))
        return keras.tree.pack_sequence_as(outputs, counted)

    # --- Keras ------------------------------------------------------------------------------

    @property
    def output_names(self) -> list[str]:
        """The names of the outputs, by which `compile` finds losses and metrics.

        Like any subclassed model, the network of a subclassed frame model has none.
        """
        return self.frame_model.output_names

    def build(self, input_shape: Any) -> None:
        """Do nothing: the frame model is built."""

    def compute_output_shape(self, input_shape: Any) -> Any:
        first = keras.tree.flatten(keras.tree.map_shape_structure(tf.TensorShape, input_shape))[0]
        tensors = [self.graph.tensors[index] for index in self.graph.model_outputs]
        return self.graph.pack_outputs([(*first[:2], *tensor.shape) for tensor in tensors])

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        clip = self.convert_inputs(inputs, "clip")
        tensors = [self.graph.tensors[index] for index in self.graph.outputs]
        return self.graph.pack_outputs(
            [keras.KerasTensor((*clip[0].shape[:2], *t.shape), dtype=t.dtype) for t in tensors]
        )

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Write a `.keras` file; see `keras.Model.save`.

        Raises:
            ValueError: the path ends in `.h5` or `.hdf5`.
        """
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(LEGACY_FILE.format(name=self.name, received=repr(str(filepath))))
        super().save(filepath, *args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        if _writes_legacy_file():
            raise ValueError(LEGACY_FILE.format(name=self.name, received="an HDF5 file"))
        return {
            **super().get_config(),
            "frame_model": keras.saving.serialize_keras_object(self.frame_model),
            "plan": self.plan.get_config(),
            "executor": self.executor,
            "rematerialize": self.rematerialize,
            "gradient": self.gradient,
            "start": self.start,
            "metadata": self.metadata and self.metadata.to_json(),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "VideoNetwork":
        config = dict(config)
        frame_model = keras.saving.deserialize_keras_object(
            config.pop("frame_model"), custom_objects=custom_objects
        )
        plan = Plan.from_config(frame_model, config.pop("plan"))
        if any(plan.devices):
            plan = plan.with_devices(present_devices(plan.devices, plan.subnetworks))
        metadata = config.pop("metadata", None)
        return cls(frame_model, plan, metadata=metadata and Metadata.from_json(metadata), **config)


def _with_steps(data: Any) -> tuple[Any, Any, Any]:
    """Return clips, targets and weights, those of whole clips `[B]` as `[B, 1]`.

    Keras would broadcast them along the last axis of a loss `[B, T]`.
    """
    x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
    if weights is not None:
        weights = keras.tree.map_structure(
            lambda w: w[:, None] if w is not None and w.shape.rank == 1 else w, weights
        )
    return x, y, weights


def _writes_legacy_file() -> bool:
    """Return whether Keras asks for configs for an HDF5 file.

    `keras.saving.save_model` writes such files without a call of `VideoNetwork.save`. Only the
    configs of layers within models differ: they do not name the module of a layer.
    """
    model = keras.Sequential([keras.layers.Identity(name="layer")], name="model")
    return "module" not in model.get_config()["layers"][0]


def build_optimizer(model: keras.Model) -> None:
    """Create the variables of an optimizer: TensorFlow traces a function that creates any twice."""
    strategy = model.distribute_strategy
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        raise ValueError(
            "Keras 3 cannot fit a model whose variables are shared between hosts. Expected "
            "tf.distribute.MirroredStrategy, or none. Received: MultiWorkerMirroredStrategy. Train "
            "with mpvn train --config.training.strategy=multi_worker, which has a loop of its own"
        )
    variables, optimizer = model.trainable_variables, model.optimizer
    if variables and optimizer is not None and not optimizer.built:
        optimizer.build(variables)
