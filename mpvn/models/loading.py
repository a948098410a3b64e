"""Frame models by name: a saved file, a published network, or a network of `keras.applications`."""

import contextlib
import dataclasses
import difflib
import os
import pathlib
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from mpvn.arguments import argument_kinds, check_kind
from mpvn.cell import NetworkCell
from mpvn.graph.reading import read_graph
from mpvn.metadata import Metadata, pixel_range
from mpvn.models.applications import (
    Prepare,
    application_builders,
    download_errors,
    preprocessing,
)
from mpvn.models.hub import PREFIX, load_preset
from mpvn.models.pretrained import build_pretrained
from mpvn.models.published import PLAN, PUBLISHED
from mpvn.models.surgery.rebuild import with_preprocessing
from mpvn.network import VideoNetwork
from mpvn.pixels import RANGES
from mpvn.plan import Plan, PlanError
from mpvn.plan.assignment import parse_assignment
from mpvn.plan.cost import Costs
from mpvn.plan.saved import read_plan
from mpvn.plan.units import UNIT_SEPARATOR

SIZE = 224
"""Default height and width of the frames."""

_SAVED_CLASSES = {
    keras.saving.get_registered_name(saved): saved for saved in (NetworkCell, VideoNetwork)
}
"""Classes of this package that saved models may contain, by the names in the files."""


_WEIGHTS_FILES = (".pth", ".tar", ".pt", ".ckpt", ".safetensors", ".h5", ".npz")


class ModelError(ValueError):
    """A model that does not exist, cannot be loaded, or does not read frames."""


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A model over one frame, and what to feed it.

    Attributes:
        model: A functional Keras model, or another kind of model in the file.
        prepare: Scales frames uint8 `[..., H, W, 3]` to the model's input, float32.
        plan: The saved plan, if the file contains a `VideoNetwork`.
        plan_defaults: Default arguments of its plans; see `Plan`.
        start: How memories start; see `VideoNetwork`.
        metadata: What the network knows, if its file contains a `VideoNetwork`, or its weights are
            of known classes or clips.
        random: Whether its weights, or some of them, are random.
        guessed: Whether the range of its input is a guess: 0..255, for a saved image model.
        remarks: What was changed in the model, for the terminal.
    """

    model: keras.Model
    prepare: Prepare
    plan: Plan | None = None
    plan_defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    start: str = "zeros"
    metadata: Metadata | None = None
    random: bool = False
    guessed: bool = False
    remarks: tuple[str, ...] = ()

    @staticmethod
    def of(network: VideoNetwork, pixels: str | None = None) -> "LoadedModel":
        """Return the frame model of a network with its plan, its start, and what it knows."""
        known = network.metadata
        prepare = RANGES[pixel_range(known, pixels)]
        return LoadedModel(
            network.frame_model, prepare, network.plan, start=network.start, metadata=known
        )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames in pixels.

        Raises:
            ModelError: If the model does not read one RGB frame of a fixed size.
        """
        shapes = [tuple(tensor.shape[1:]) for tensor in self.model.inputs]
        if len(shapes) != 1 or len(shapes[0]) != 3 or shapes[0][2] != 3 or None in shapes[0]:
            raise ModelError(
                "Streaming a video needs a model with one input of shape [batch, height, width, 3] "
                f"and a fixed frame size. Received: {self.model.name!r} with inputs of shape "
                f"{', '.join(str([None, *shape]) for shape in shapes)}"
            )
        return shapes[0][:2]

    def network(self, plan: Plan) -> VideoNetwork:
        """Return the network that runs the model by a plan.

        Raises:
            ValueError: If the model cannot run by the plan.
        """
        return VideoNetwork(self.model, plan, start=self.start, metadata=self.metadata)

    def plan_arguments(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of `Plan`: `options`, with the defaults in place of None.

        An assignment may be text; see `parse_assignment`.
        """
        given = {name: value for name, value in options.items() if value is not None}
        if isinstance(given.get("assignment"), str):
            given["assignment"] = parse_assignment(given["assignment"])
        return {**self.plan_defaults, **given}

    def make_plan(self, options: Mapping[str, Any], costs: Costs | None = None) -> Plan:
        """Return the plan that options describe.

        Args:
            options: as in `plan_arguments`; or `file`, the path of a plan of its own, and no other.
            costs: as in `Plan`.

        Raises:
            PlanError: the model cannot have this plan.
        """
        given = {name: value for name, value in options.items() if value is not None}
        path = given.pop("file", None)
        if path is None:
            return Plan(self.model, costs=costs, **self.plan_arguments(options))
        if given:
            received = ", ".join(f"{name}={value!r}" for name, value in given.items())
            raise PlanError(
                f"The file {path} has all of a plan. Expected no other options of the plan. "
                f"Received: {received}. Leave them out"
            )
        return Plan.from_config(self.model, read_plan(path)).with_costs(costs)

    def over_clips(self) -> keras.Model:
        """Return the model with an input in -1..1, the range of clips for training.

        If `prepare` scales to another range, a layer before the first computes that range from
        -1..1, and channels are flipped for models that read blue first. A model whose frames are
        not RGB is returned unchanged.
        """
        if [tuple(tensor.shape[3:]) for tensor in self.model.inputs] != [(3,)]:
            return self.model
        scale, offset, flipped = _rescaling(self.prepare)
        if np.allclose([scale, offset], [[1.0], [0.0]], atol=1e-6):
            return self.model
        # In the unit of the first layer: a new unit would change plans that cut between units.
        unit, separator, _ = read_graph(self.model).names[0].partition(UNIT_SEPARATOR)
        rescale = keras.layers.Rescaling(
            scale.tolist(), offset.tolist(), name=f"{unit}.pixels" if separator else "pixels"
        )
        return with_preprocessing(
            self.model, lambda frame: rescale(keras.ops.flip(frame, -1) if flipped else frame)
        )


def _rescaling(prepare: Prepare) -> tuple[np.ndarray, np.ndarray, bool]:
    """Scale and offset `[channels]` from -1..1 to `prepare`'s range; whether blue comes first."""
    # `prepare` is affine in each channel, so its values of black and pure colors determine it.
    colors = np.reshape(255 * np.eye(4, 3, -1), (4, 1, 1, 3)).astype(np.uint8)
    black, *pure = np.asarray(prepare(colors), np.float64)[:, 0, 0]
    halves = (np.stack(pure) - black) / 2  # [colors, channels of the model]
    flipped = bool(np.abs(halves[0]).argmax() == 2)
    scale = np.diag(halves[::-1] if flipped else halves)
    return scale, black + scale, flipped


def load_frame_model(
    name: str | os.PathLike,
    size: int | None = None,
    weights: str | None = None,
    pixels: str | None = None,
    options: Mapping[str, Any] | None = None,
    channels: int = 3,
    loading: str = "all",
) -> LoadedModel:
    """Load or build the frame model called `name`.

    Args:
        name: Path of a `.keras` file (of a frame model, or of a `VideoNetwork`), a name in
            `PUBLISHED`, the name of a network of `keras.applications` in upper or lower case, or
            `hub:` and a preset of keras-hub.
        size: Height and width of the frames; default 224. Not for saved models.
        weights: None (random), `"imagenet"` or a name in `WEIGHTS` (downloaded), or a path. Not for
            saved models.
        pixels: Range of the model's input, a key of `mpvn.pixels.RANGES`. The default is the range
            that the weights were trained with: -1..1 for saved `VideoNetwork`s, as `mpvn train`
            writes them, and for published networks without weights; 0..255 for other saved models.
        options: Arguments of the function that builds the network. Not for saved models.
        channels: Channels of the frames; 3 for RGB. Not for saved models.
        loading: How weights are loaded: `"all"`, `"fitting"` or `"none"`; see
            `mpvn.models.pretrained`.

    Returns:
        The model, and the function that scales frames for it.

    Raises:
        ModelError: If there is no such file or network, the file is not a Keras model, or the
            network does not have one of the options, or not of this type.
    """
    path = pathlib.Path(name)
    if is_saved_model(name):
        if size is not None or weights is not None or options:
            raise ModelError(
                f"{path} is a saved model. Expected no size, weights or options. Received: "
                f"size={size}, weights={weights!r}, options={dict(options or {})}. Leave them out, "
                "or name a network"
            )
        return _load_preset(name, pixels) if is_preset(name) else _load_file(path, pixels)
    size = SIZE if size is None else size
    if size < 1:
        raise ModelError(f"{name}: expected a size of at least 1 pixel. Received: {size}")
    shape = (size, size, channels)
    options = dict(options or {})
    _check_options(network_builder(str(name)), options)
    if str(name).lower() in PUBLISHED:
        return _build_published(str(name).lower(), shape, weights, pixels, options, loading)
    builder = _application(str(name))
    source = None if loading == "none" else weights
    model = _build(builder, shape, {"weights": source, **options})
    prepare = RANGES[pixels] if pixels else preprocessing(builder)
    return LoadedModel(model, prepare, random=weights is None)


def is_saved_model(name: str | os.PathLike) -> bool:
    """Return whether a model has its weights: it is the path of a file, or a preset."""
    path = pathlib.Path(name)
    return path.suffix == ".keras" or path.exists() or is_preset(name)


def is_preset(name: str | os.PathLike) -> bool:
    """Return whether a model is a preset of keras-hub."""
    return str(name).startswith(PREFIX)


def is_published(name: str | os.PathLike) -> bool:
    """Return whether a model is the name of a published network."""
    return not is_saved_model(name) and str(name).lower() in PUBLISHED


def _load_file(path: pathlib.Path, pixels: str | None) -> LoadedModel:
    if path.suffix in _WEIGHTS_FILES:
        raise ModelError(
            f"{path} is a file of weights. Expected a model: a .keras file, or the name of the "
            f"network that the weights are for, such as tsm_resnet50 with --weights {path}"
        )
    if not path.exists():
        raise ModelError(f"The file {path} does not exist")
    if not zipfile.is_zipfile(path):
        raise ModelError(
            f"{path} could not be loaded as a Keras model. Expected a file written by "
            "model.save('name.keras'), or the name of a network. Received: "
            f"{'a folder' if path.is_dir() else 'a file that is no .keras archive, or cut'}"
        )
    try:
        model = keras.saving.load_model(path, custom_objects=_SAVED_CLASSES, compile=False)
    except Exception as error:  # Keras raises many kinds for files that it cannot read
        first_line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ModelError(
            f"{path} could not be loaded as a Keras model: {first_line}. Expected a file written "
            "by model.save('name.keras'), with registered layers only"
        ) from error
    if isinstance(model, VideoNetwork):
        return LoadedModel.of(model, pixels)
    return LoadedModel(model, RANGES[pixels or "0..255"], guessed=not pixels)


def _load_preset(name: str | os.PathLike, pixels: str | None) -> LoadedModel:
    with _model_errors():
        model, prepare = load_preset(str(name))
    if pixels or prepare is None:
        prepare = RANGES[pixels or "0..255"]
        return LoadedModel(model, prepare, guessed=not pixels)
    return LoadedModel(model, prepare)


def _build_published(
    name: str,
    shape: tuple[int, int, int],
    weights: str | None,
    pixels: str | None,
    options: dict,
    loading: str,
) -> LoadedModel:
    architecture, defaults = PUBLISHED[name], plan_defaults(name)
    prepare = RANGES[pixels or "-1..1"]
    if weights is None:
        model = _build(architecture.build, shape, options)
        return LoadedModel(model, prepare, plan_defaults=defaults, random=True)
    if architecture.application and not pixels:
        prepare = preprocessing(getattr(keras.applications, architecture.application))
    with _model_errors():
        built = build_pretrained(name, shape, weights, options, loading)
    return LoadedModel(
        built.model,
        prepare,
        plan_defaults=defaults,
        metadata=built.metadata,
        random=built.random,
        remarks=built.remarks,
    )


def _check_options(builder: Callable[..., keras.Model], options: Mapping[str, Any]) -> None:
    kinds = argument_kinds(builder)
    known = [name for name in kinds if name != "input_shape"]
    for option, value in options.items():
        if option not in known:
            raise ModelError(f"There is no option {option!r}. {_suggestion(option, known)}")
        try:
            check_kind(value, kinds[option], f"option {option!r}")
        except ValueError as error:
            raise ModelError(str(error)) from error


def _build(
    builder: Callable[..., keras.Model], shape: tuple[int, int, int], options: dict
) -> keras.Model:
    with _model_errors():
        return builder(input_shape=shape, **options)


@contextlib.contextmanager
def _model_errors() -> Iterator[None]:
    """Raise the errors of a function that builds a network as `ModelError`."""
    try:
        with download_errors():
            yield
    except (TypeError, ValueError) as error:
        raise ModelError(str(error)) from error


def network_builder(name: str) -> Callable[..., keras.Model]:
    """Return the function that builds a published network or one of `keras.applications`.

    Raises:
        ModelError: no such network.
    """
    key = name.lower()
    return PUBLISHED[key].build if key in PUBLISHED else _application(name)


def plan_defaults(name: str) -> Mapping[str, Any]:
    """Return the default arguments of the plans of the network called `name`."""
    return PLAN if name.lower() in PUBLISHED else {}


def _application(name: str) -> Callable[..., keras.Model]:
    builders = application_builders()
    if name.lower() in builders:
        return builders[name.lower()]
    if os.path.dirname(name) or pathlib.Path(name).suffix:
        raise ModelError(
            f"There is no model at {name}. Expected a .keras file, the folder of a run, or the "
            "name of a network. Check the path"
        )
    spelled = sorted(builder.__name__ for builder in builders.values())
    raise ModelError(
        f"{name!r} is neither a file, nor a published network, nor one of keras.applications. "
        f"{_suggestion(name, [*PUBLISHED, *spelled])}"
    )


def _suggestion(name: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(close)}?" if close else f"Known are {', '.join(known)}"
