"""Published networks with pretrained weights, loaded for one of three uses.

    "all"       to use the network: the weights must fit it exactly, its classifier included
    "fitting"   to train it on: what fits is loaded; see `import_torch` with `exact=False`
    "none"      to load a checkpoint of a run, which has every weight: no file is read

All three build the same network, and so do its weights later, without their first file.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
from absl import logging

from mpvn.metadata import Metadata
from mpvn.models.published import PUBLISHED, Architecture
from mpvn.models.torch.load import class_count, import_torch
from mpvn.models.torch.reader import CheckpointError, class_names
from mpvn.models.weights import WEIGHTS, Weights, published_weights, weights_file

LOADINGS = ("all", "fitting", "none")
"""How weights are loaded, as above."""


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """A published network with pretrained weights.

    Attributes:
        model: The frame model.
        random: Whether some of its weights are random.
        metadata: What is known about its classes and clips; None if nothing is.
        remarks: What does not come from the weights, for the terminal.
    """

    model: keras.Model
    random: bool
    metadata: Metadata | None = None
    remarks: tuple[str, ...] = ()


def build_pretrained(
    name: str,
    shape: tuple[int, int, int],
    weights: str,
    options: Mapping[str, Any],
    loading: str = "all",
) -> Pretrained:
    """Build a published network with weights.

    Args:
        name: A name in `PUBLISHED`.
        shape: Height, width and channels of the frames.
        weights: A name in `WEIGHTS`, `"imagenet"`, or the path of a file.
        options: Arguments of the network's builder. Those that the weights need are the default.
        loading: One of `LOADINGS`.

    Raises:
        ValueError: If there are no such weights, or they do not fit.
    """
    architecture = PUBLISHED[name]
    if architecture.application is not None:
        return _of_application(architecture, shape, weights, options, loading)
    weights, published = _check(name, weights)
    options = {**(published.options if published else {}), **options}
    if loading == "none":
        classes = {"classes": published.classes} if published else {}
        options = {**classes, **architecture.of_weights, **options}
        return Pretrained(architecture.build(shape, **options), True)
    path = weights_file(weights)
    _check_file(name, path)
    if loading == "fitting":
        model = architecture.build(shape, weights=path, **options)
        return Pretrained(model, True, remarks=_remarks(path, model.output_shape[-1]))
    options = {"classes": class_count(path), **architecture.of_weights, **options}
    model = architecture.build(shape, **options)
    import_torch(model, path)
    return Pretrained(model, False, _metadata(path, published, shape, options["classes"]))


def classes_of_weights(weights: str) -> tuple[str, ...]:
    """Return the names of the classes, in order, that weights are known to have; else empty.

    Args:
        weights: A name in `WEIGHTS`, `"imagenet"`, or the path of a PyTorch checkpoint.
    """
    published = published_weights(weights)
    if weights == "imagenet" or (published and (published.names or weights in WEIGHTS)):
        return published.names if published else ()
    return class_names(weights)


def _of_application(
    architecture: Architecture,
    shape: tuple[int, int, int],
    weights: str,
    options: Mapping[str, Any],
    loading: str,
) -> Pretrained:
    """Build a network with the weights of `keras.applications`."""
    if loading == "none":
        return Pretrained(architecture.build(shape, **{**architecture.of_weights, **options}), True)
    model = architecture.build(shape, weights=weights, **options)
    has_top = model.output_shape[-1] == 1000 and (
        architecture.application != "VGG16" or shape[:2] == (224, 224)
    )
    return Pretrained(model, not has_top)


def _check(name: str, weights: str) -> tuple[str, Weights | None]:
    """Return the weights by their name in `WEIGHTS` or their path; what is known of them.

    Raises:
        ValueError: The network has no such weights.
    """
    image = PUBLISHED[name].torchvision
    if image is None:
        others = [key for key, value in PUBLISHED.items() if value.application or value.torchvision]
        raise ValueError(
            f"There are no pretrained weights for {name}. Networks that have them: "
            f"{', '.join(others)}"
        )
    if weights == "imagenet":
        weights = f"{image}_imagenet"
    published = published_weights(weights)
    if published and published.network not in (name, image):
        raise ValueError(
            f"The weights {weights} belong to another network than {name}. Expected one of "
            f"{', '.join(names_of_weights(name))}. Received: weights of {published.network}"
        )
    return weights, published


def names_of_weights(name: str) -> list[str]:
    """Return the names in `WEIGHTS` of those of a published network."""
    networks = {name, PUBLISHED[name].torchvision}
    return [key for key, weights in WEIGHTS.items() if weights.network in networks]


def _check_file(name: str, path: pathlib.Path) -> None:
    if not path.is_file():
        raise ValueError(
            f"{name}: there are no weights {str(path)!r}. Expected a file of TSM's authors, of "
            f"mmaction2 or of torchvision ({PUBLISHED[name].torchvision}), or a name of published "
            f"weights, which are downloaded: imagenet, {', '.join(names_of_weights(name))}"
        )


def _remarks(path: pathlib.Path, classes: int) -> tuple[str, ...]:
    """Say if the classifier does not come from a file."""
    try:
        count = class_count(path)
    except CheckpointError:
        return (f"there is no classifier in {path}: that of {classes} classes is random",)
    if count == classes:
        return ()
    return (
        f"the classifier of {count} classes in {path} is replaced by a random one of {classes}",
    )


def _metadata(
    path: pathlib.Path, published: Weights | None, shape: tuple[int, int, int], classes: int
) -> Metadata | None:
    """Return what is known about a network with the weights of a file."""
    names = (published.names if published else ()) or class_names(path)
    if len(names) != classes:
        if names:
            logging.warning("%s has %d names for %d classes", path, len(names), classes)
        names = ()
    known: dict[str, Any] = {"task": "action", "names": {"classes": names}} if names else {}
    if published and published.frames:
        # TSM is tested on frames of 256 pixels, whose center of 224 is cropped.
        side = min(shape[:2]) * 256 // 224
        clips = {"frames": published.frames, "sampling": published.sampling, "shorter_side": side}
        known |= clips
    return known and Metadata(**known, size=shape[:2], channels=shape[2], pixels="-1..1") or None
