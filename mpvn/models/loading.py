"""A frame model from what a user types: a saved file, a published network, or one of Keras's."""

import dataclasses
import difflib
import inspect
import os
import pathlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np

import mpvn.cell  # noqa: F401 (Keras must know the class to load files with one)
from mpvn.models.published import PUBLISHED
from mpvn.models.surgery.rebuild import with_preprocessing
from mpvn.network import VideoNetwork
from mpvn.pixels import RANGES
from mpvn.plan import Plan
from mpvn.plan.graph import read_graph
from mpvn.plan.units import UNIT_SEPARATOR

SIZE = 224
"""Height and width of the frames for networks that do not say."""


class ModelError(ValueError):
    """A model that cannot be had, or that takes no frames; the message says how to mend it."""


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A model over one frame, and what to feed it.

    Attributes:
        model: functional Keras model, or whatever was saved.
        prepare: from frames uint8 `[..., H, W, 3]` to the model's input, float32.
        plan: the plan that was saved with it, if it was saved as a `VideoNetwork`.
        partition: how a plan of it is cut unless told otherwise; see `Plan`.
    """

    model: keras.Model
    prepare: Callable[[np.ndarray], np.ndarray]
    plan: Plan | None = None
    partition: str = "equal"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames in pixels.

        Raises:
            ModelError: the model does not take one RGB frame of fixed size.
        """
        shapes = [tuple(tensor.shape[1:]) for tensor in self.model.inputs]
        fits = len(shapes) == 1 and len(shapes[0]) == 3 and shapes[0][2] == 3
        if not fits or None in shapes[0]:
            raise ModelError(
                "streaming a video needs a model with one input of shape [batch, height, width, 3] "
                f"of fixed size. Received: {self.model.name!r} with inputs of shape "
                f"{', '.join(str([None, *shape]) for shape in shapes)}. Build the model over one "
                "RGB frame"
            )
        return shapes[0][:2]

    def over_clips(self) -> keras.Model:
        """The model over frames of clips for training: float32 between -1 and 1.

        What `prepare` makes of pixels is made within it, by a layer before its own where that is
        another range; channels are turned round where the model takes blue first. A model over
        other frames than RGB is as it was.
        """
        if [tuple(tensor.shape[3:]) for tensor in self.model.inputs] != [(3,)]:
            return self.model
        # What becomes of black, red, green and blue: all that an affine change is.
        colors = np.reshape(255 * np.eye(4, 3, -1), (4, 1, 1, 3)).astype(np.uint8)
        black, *pure = np.asarray(self.prepare(colors), np.float64)[:, 0, 0]
        halves = (np.stack(pure) - black) / 2  # [colors, channels of the model]
        turned = np.abs(halves[0]).argmax() == 2
        scale = np.diag(halves[::-1] if turned else halves)
        offset = black + scale
        if np.allclose([scale, offset], [[1.0], [0.0]], atol=1e-6):
            return self.model
        # In the unit of the first layer, so that plans have no other units than before.
        unit, separator, _ = read_graph(self.model).names[0].partition(UNIT_SEPARATOR)
        change = keras.layers.Rescaling(
            scale.tolist(), offset.tolist(), name=f"{unit}.pixels" if separator else "pixels"
        )
        return with_preprocessing(
            self.model, lambda frame: change(keras.ops.flip(frame, -1) if turned else frame)
        )


def load_frame_model(
    name: str | os.PathLike,
    size: int | None = None,
    weights: str | None = None,
    pixels: str = "",
    options: Mapping[str, Any] | None = None,
    channels: int = 3,
) -> LoadedModel:
    """Loads the frame model called `name`.

    Args:
        name: path of a `.keras` file (of a frame model, or of a `VideoNetwork`), a name in
            `PUBLISHED`, or the name of a network of `keras.applications`, upper or lower case.
        size: height and width of the frames, not for saved models; default 224.
        weights: not for saved models: None (random), `"imagenet"` (downloaded), or a path.
        pixels: a key of `mpvn.pixels.RANGES`; the default is what the weights were trained with,
            -1..1 for published networks without weights and for saved `VideoNetwork`s, as `mpvn
            train` writes them, and 0..255 for other saved models.
        options: arguments of the function that makes the network, not for saved models.
        channels: of the frames, not for saved models: 3 are RGB.

    Raises:
        ModelError: no such file or network, a file that is no Keras model, or options that the
            network does not take.
    """
    path = pathlib.Path(name)
    if path.suffix == ".keras" or path.exists():
        if size is not None or weights is not None or options:
            raise ModelError(
                f"{path} is a saved model: it has its own frame size, weights and options. Leave "
                "out --size, --weights and --option, or name a network"
            )
        loaded = _load_file(path)
        if isinstance(loaded, VideoNetwork):
            return LoadedModel(loaded.frame_model, RANGES[pixels or "-1..1"], loaded.plan)
        return LoadedModel(loaded, RANGES[pixels or "0..255"])
    key = str(name).lower()
    shape = (size or SIZE, size or SIZE, channels)
    if key in PUBLISHED:
        return _published(key, shape, weights, pixels, dict(options or {}))
    builder = _application(str(name))
    model = _build(builder, shape, {"weights": weights, **(options or {})})
    return LoadedModel(model, RANGES[pixels] if pixels else _preprocessing(builder))


def _published(
    name: str, shape: tuple[int, int, int], weights: str | None, pixels: str, options: dict
) -> LoadedModel:
    architecture = PUBLISHED[name]
    prepare = RANGES[pixels or "-1..1"]
    if weights is not None:
        sources = {known: at.application or at.torchvision for known, at in PUBLISHED.items()}
        if not sources[name]:
            raise ModelError(
                f"there are no image weights for {name}; leave out --weights, or choose one of "
                f"{', '.join(known for known, source in sources.items() if source)}"
            )
        if architecture.torchvision and not pathlib.Path(weights).is_file():
            raise ModelError(
                f"there is no file {weights}: the weights of {name} come as a file of PyTorch, of "
                f"torchvision's {architecture.torchvision}, of the authors of TSM, or of mmaction2"
            )
        options["weights"] = weights
        if architecture.application and not pixels:
            prepare = _preprocessing(getattr(keras.applications, architecture.application))
    return LoadedModel(_build(architecture.build, shape, options), prepare, partition="units")


def _build(builder: Callable[..., keras.Model], shape: tuple, options: dict) -> keras.Model:
    parameters = inspect.signature(builder).parameters.values()
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    known = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD and p.name != "input_shape"]
    for option in options:
        if option not in known and not takes_any:
            raise ModelError(f"there is no option {option!r}. {_known(option, known)}")
    try:
        return builder(input_shape=shape, **options)
    except (TypeError, ValueError) as refused:
        raise ModelError(str(refused)) from refused


def _load_file(path: pathlib.Path) -> keras.Model:
    try:
        return keras.saving.load_model(path, compile=False)
    except FileNotFoundError:
        raise ModelError(f"there is no file {path}") from None
    except Exception as fault:  # Keras raises many kinds for files it cannot read
        first_line = next(iter(str(fault).strip().splitlines()), type(fault).__name__)
        raise ModelError(
            f"{path} could not be loaded as a Keras model: {first_line}. Expected a file written "
            "by model.save('name.keras'), of registered layers"
        ) from fault


def _application(name: str) -> Callable[..., keras.Model]:
    networks = {
        known.lower(): builder
        for known, builder in vars(keras.applications).items()
        if inspect.isfunction(builder) and "input_shape" in inspect.signature(builder).parameters
    }
    if name.lower() in networks:
        return networks[name.lower()]
    spelt = sorted(builder.__name__ for builder in networks.values())
    raise ModelError(
        f"{name!r} is neither a file, nor a published network, nor one of keras.applications. "
        f"{_known(name, [*PUBLISHED, *spelt])}"
    )


def _known(name: str, known: Iterable[str]) -> str:
    """What might have been meant by `name`."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(close)}?" if close else f"Known are {', '.join(known)}"


def _preprocessing(builder: Callable) -> Callable[[np.ndarray], np.ndarray]:
    """`preprocess_input` of a Keras application on float32 copies: some of them write in place."""
    preprocess = sys.modules[builder.__module__].preprocess_input
    return lambda frame: np.asarray(preprocess(frame.astype(np.float32)))
