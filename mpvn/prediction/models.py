"""What computes the outputs: a `VideoNetwork`, or a SavedModel that one was exported to.

Both take the frames of a reader and give the outputs of single steps, so that what is above does
not know which one it has. A network that looks into the future has clips only.
"""

import abc
import functools
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpvn.export.description import read_description
from mpvn.export.saved_model import STATE_IN_AND_OUT
from mpvn.metadata import Metadata, pixel_range
from mpvn.models import load_frame_model
from mpvn.models.loading import LoadedModel
from mpvn.network import VideoNetwork
from mpvn.pixels import RANGES
from mpvn.plan import Plan
from mpvn.prediction.scoring import Scoring, scoring_of
from mpvn.streaming import Stream, TimedStream
from mpvn.streaming.choice import RuntimeChoice
from mpvn.tasks import Task
from mpvn.tasks.registry import create_task, task_of
from mpvn.training.run_folder import network_file


class Model(abc.ABC):
    """A network that answers about frames.

    Attributes:
        name: its name, for messages.
        size: height and width of the frames in pixels.
        metadata: what it knows; None for nothing.
        task: what it predicts; None if it does not say.
        scoring: how its outputs become scores of names; None if they are no scores.
        is_causal: whether it can run frame by frame.
        buffer: number of frames that its stream computes in one call.
    """

    buffer: int = 1

    name: str
    size: tuple[int, int]
    metadata: Metadata | None
    task: Task | None
    scoring: Scoring | None
    is_causal: bool

    @functools.cached_property
    def stream(self) -> TimedStream:
        """A stream through the network; `restart` it for each source.

        Raises:
            ValueError: the network looks into the future.
        """
        return self.new_stream()

    @abc.abstractmethod
    def new_stream(self) -> TimedStream:
        """Return a stream through the network."""

    @abc.abstractmethod
    def clip(self, frames: np.ndarray) -> list[Any]:
        """Return the outputs of each step of a clip.

        Args:
            frames: uint8 `[T, H, W, 3]`.

        Returns:
            T times what `TimedStream.step` returns.
        """


class NetworkModel(Model):
    """A `VideoNetwork` in memory.

    Args:
        loaded: its frame model, and what to feed it.
        network: the network.
        names: names of its outputs, if it does not know them itself.
        choice: what runs its streams; None for the network itself. Clips run in Keras.

    Attributes:
        network: the argument.
        choice: what runs its streams from now on.
        prepare: scales frames uint8 `[..., H, W, 3]` to the network's input.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        network: VideoNetwork,
        names: Sequence[str] = (),
        choice: RuntimeChoice | None = None,
    ) -> None:
        self.choice = choice or RuntimeChoice()
        self.prepare = loaded.prepare
        self.network = network
        self.name = loaded.model.name
        self.size = loaded.size
        self.metadata = known = network.metadata
        self.task = create_task(known, network) if known and known.task is not None else None
        graph = network.graph
        shapes = [graph.tensors[index].shape for index in graph.model_outputs]
        self.scoring = scoring_of(self.task, shapes, names)
        self.is_causal = network.plan.causal
        if self.choice.buffer is not None and not self.is_causal:
            raise ValueError(
                f"{self.name!r} looks into the future (symmetric temporal padding), so it reads "
                f"whole clips anyway. Expected no buffer. Received: {self.choice.buffer}. Leave "
                "it out"
            )

    @property
    def buffer(self) -> int:  # type: ignore[override]
        return self.choice.buffer or 1

    def new_stream(self) -> TimedStream:
        return Stream(self.network, self.prepare, **vars(self.choice))

    @functools.cached_property
    def _run(self) -> Any:
        return tf.function(self.network, reduce_retracing=True)

    def clip(self, frames: np.ndarray) -> list[Any]:
        outputs = self._run(tf.constant(self.prepare(frames)[None]))
        values = keras.tree.map_structure(lambda value: value[0].numpy(), outputs)
        # One structure of arrays [T, ...] -> T structures of arrays [...]
        return [
            keras.tree.map_structure(lambda value, step=step: value[step], values)
            for step in range(len(frames))
        ]


class ExportedModel(Model):
    """A SavedModel that `VideoNetwork.export` wrote, run by its `init_states` and `step`.

    Args:
        folder: the folder of the SavedModel.
        pixels: range of the pixels, a key of `mpvn.pixels.RANGES`; by default, the one that its
            metadata have, or -1..1.

    Raises:
        ValueError: it is another SavedModel, or it does not take one stream of RGB frames.
    """

    def __init__(self, folder: str | os.PathLike[str], pixels: str = "") -> None:
        path = pathlib.Path(folder)
        description = read_description(path)
        if description["form"] != STATE_IN_AND_OUT or description.get("images"):
            images = ", which takes whole pictures" * bool(description.get("images"))
            raise ValueError(
                f"{path}: expected a SavedModel with its {STATE_IN_AND_OUT}, exported without "
                f"images. Received: one with its {description['form']}{images}. Send frames to it "
                "through a server, or give the .keras file"
            )
        self._loaded = tf.saved_model.load(str(path))
        self._signatures = self._loaded.signatures
        step = description["signatures"]["step"]
        self._outputs = _originals(step["outputs"])
        self._states = {name: state["next"] for name, state in description["states"].items()}
        stored = description["metadata"]
        self.metadata = known = stored and Metadata.from_json(stored)
        pixels = pixel_range(known, pixels)
        self._prepare = RANGES[pixels]
        self._input, self._spec = self._only_input(path, [*_originals(step["inputs"])], pixels)
        self.name = path.name
        self.size = tuple(self._spec.shape[1:3])
        self.task = None
        if known and known.task is not None:
            latency = description["latency"] if known.latency is None else known.latency
            self.task = task_of(known, latency, description["first_informed_step"])
        specs = self._signatures["step"].structured_outputs
        self.scoring = scoring_of(self.task, [specs[name].shape[1:] for name in self._outputs])
        self.is_causal = True

    def new_stream(self) -> TimedStream:
        return _ExportedStream(self.initial, self.step)

    def clip(self, frames: np.ndarray) -> list[Any]:
        self.stream.restart()
        return [self.stream.step(frame) for frame in frames]

    def initial(self) -> dict[str, tf.Tensor]:
        """Return the states of a new stream."""
        return self._signatures["init_states"](batch_size=tf.constant(1, tf.int32))

    def step(self, frame: np.ndarray, states: dict[str, tf.Tensor]) -> tuple[Any, dict]:
        """Return the outputs of a step, without a batch axis, and the states after it."""
        prepared = tf.cast(self._prepare(frame)[None], self._spec.dtype)
        values = self._signatures["step"](**{self._input: prepared}, **states)
        outputs = {wish: values[name].numpy()[0] for name, wish in self._outputs.items()}
        after = {name: values[out] for name, out in self._states.items()}
        return (next(iter(outputs.values())) if len(outputs) == 1 else outputs), after

    def _only_input(
        self, path: pathlib.Path, names: list[str], pixels: str
    ) -> tuple[str, tf.TensorSpec]:
        """Return the name of the input, and its spec."""
        specs = self._signatures["step"].structured_input_signature[1]
        shapes = [specs[name].shape for name in names]
        fits = len(names) == 1 and len(shapes[0]) == 4 and shapes[0][3] == 3
        if not fits or None in shapes[0][1:] or shapes[0][0] not in (None, 1):
            raise ValueError(
                f"{path}: expected one input of shape (1, height, width, 3) or (None, height, "
                f"width, 3), a stream of RGB frames. Received: "
                f"{', '.join(str(tuple(shape)) for shape in shapes)}"
            )
        spec = specs[names[0]]
        if not spec.dtype.is_floating and pixels != "0..255":
            raise ValueError(
                f"{path}: expected an input of floats, because pixels are scaled to {pixels}. "
                f"Received: {spec.dtype.name}. Export the network without input_signature"
            )
        return names[0], spec


class _ExportedStream(TimedStream):
    """A stream through a SavedModel."""

    runtime = "TensorFlow, a SavedModel"

    def __init__(self, initial: Any, step: Any) -> None:
        super().__init__()
        self._initial, self._step = initial, step
        self.restart()
        self.state_bytes = sum(state.numpy().nbytes for state in self._states.values())

    def forget(self) -> None:
        self._states = self._initial()

    def run_step(self, frame: np.ndarray) -> Any:
        outputs, self._states = self._step(frame, self._states)
        return outputs


def is_exported(path: object) -> bool:
    """Return whether there is a SavedModel at a path."""
    return os.path.isfile(os.path.join(str(path), "saved_model.pb"))


def open_model(
    network: "Model | keras.Model | str | os.PathLike[str]",
    pixels: str = "",
    choice: RuntimeChoice | None = None,
) -> Model:
    """Return what computes the outputs of a network.

    Args:
        network: a `VideoNetwork`; a functional image model of Keras; the path of a `.keras` file,
            of the folder of a run, or of a SavedModel that `network.export` wrote; or the name of a
            network, as in `mpvn.models.load_frame_model`.
        pixels: range of the pixels; by default, the one that the network expects.
        choice: what runs its streams. By default, what is usually fastest for a network from a
            path or by name, and the network itself for one in memory, whose weights may change.

    Raises:
        ValueError: there is no such network, it does not read frames of one size, or there is a
            choice for what has made one: a SavedModel, or a model that is open.
    """
    if isinstance(network, Model) or is_exported(network):
        if choice is not None:
            raise ValueError(
                f"{network}: expected no choice of a runtime: a SavedModel and an open model have "
                f"theirs. Received: {choice}. Leave it out"
            )
        return network if isinstance(network, Model) else ExportedModel(network, pixels)
    if isinstance(network, VideoNetwork):
        loaded = LoadedModel.of(network, pixels)
        return NetworkModel(loaded, network, choice=choice)
    if isinstance(network, keras.Model):
        loaded = LoadedModel(network, RANGES[pixels or "0..255"])
    else:
        loaded = load_frame_model(network_file(network), pixels=pixels)
        choice = choice or RuntimeChoice("auto")
    plan = loaded.plan or Plan(loaded.model, **loaded.plan_defaults)
    return NetworkModel(loaded, loaded.network(plan), choice=choice)


def _originals(tensors: dict[str, dict]) -> dict[str, str]:
    """Return the original name of each tensor of a signature that belongs to the network."""
    return {name: each["original"] for name, each in tensors.items() if "original" in each}
