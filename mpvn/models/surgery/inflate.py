"""Inflation: an image network's weights, in a network that sees several frames.

A kernel over time is filled from a 2D kernel so that a video of one picture, shown over and over,
gives what the picture gives (*Quo Vadis, Action Recognition?*, 2017):

- `"center"`: the tap of the present frame gets the kernel, the others zeros. Every frame of every
  video then gives what it gives alone, and training decides how far to look.
- `"mean"`: every tap gets the kernel over the number of taps.

A convolution of frames of other channels, optical flow after RGB, gets for each of its own channels
the mean over the others' (*Temporal Segment Networks*, section 3.2: cross modality).
"""

import dataclasses
import os
import warnings
from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import layers

from keras_layers import TemporalConv3D
from mpvn.plan.graph import read_graph

INFLATIONS = ("center", "mean")


@dataclasses.dataclass(frozen=True)
class Transfer:
    """What became of the layers that have weights.

    Attributes:
        copied: layers that got weights of the same shapes.
        inflated: layers whose kernel got an axis of time.
        averaged: layers of the frames themselves, of other channels, whose kernel got the mean over
            those of the source's; some are also inflated.
        left: why other layers of the target kept their own weights, by name.
        unused: layers of the source that went nowhere.
    """

    copied: tuple[str, ...]
    inflated: tuple[str, ...]
    averaged: tuple[str, ...]
    left: dict[str, str]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        lines = [
            f"copied {len(self.copied)} layers, inflated {len(self.inflated)}, "
            f"averaged {len(self.averaged)}, left {len(self.left)} as they were"
        ]
        lines += [f"  {name}: {reason}" for name, reason in self.left.items()]
        if self.unused:
            lines.append(f"not used: {', '.join(self.unused)}")
        return "\n".join(lines)


def transfer_weights(
    source: keras.Model,
    target: keras.Model,
    *,
    names: Callable[[str], str] | None = None,
    inflation: str = "center",
) -> Transfer:
    """Gives the layers of `target` the weights of their namesakes in `source`, where they fit.

    A layer is taken over as a whole or not at all.

    Args:
        source: a functional model, such as one of `keras.applications`.
        target: a functional model; its weights change in place.
        names: from the name of a layer of `target` to that in `source`; default: the same.
        inflation: `"center"` or `"mean"`, as above.

    Returns:
        What was copied, inflated, averaged, left and not used.

    Raises:
        ValueError: an unknown inflation, or models of which no layer fits.
    """
    if inflation not in INFLATIONS:
        raise ValueError(f"inflation must be one of {INFLATIONS}. Received: {inflation!r}")
    givers, takers = _layers_with_weights(source), _layers_with_weights(target)
    of_frames = _readers_of_frames(source), _readers_of_frames(target)
    assignments: list[tuple[keras.Variable, np.ndarray]] = []
    copied: list[str] = []
    inflated: list[str] = []
    averaged: list[str] = []
    left: dict[str, str] = {}
    used: set[str] = set()
    for name, layer in takers.items():
        wanted = names(name) if names else name
        if wanted not in givers:
            left[name] = f"{source.name!r} has no layer {wanted!r} with weights"
            continue
        giver = givers[wanted]
        grows = isinstance(giver, layers.Conv2D) and isinstance(layer, TemporalConv3D)
        averages = wanted in of_frames[0] and name in of_frames[1] and _averages(giver, layer)
        try:
            values = _fitted(giver, layer, inflation if grows else "", averages)
        except ValueError as misfit:
            left[name] = str(misfit)
            continue
        assignments += values
        used.add(wanted)
        if grows:
            inflated.append(name)
        if averages:
            averaged.append(name)
        if not grows and not averages:
            copied.append(name)
    if not assignments:
        reasons = "\n".join(f"  - {name}: {reason}" for name, reason in list(left.items())[:5])
        raise ValueError(
            f"no layer of {target.name!r} fits one of {source.name!r}. Expected layers of the same "
            f"names and shapes, but for time and the channels of frames:\n{reasons}"
        )
    for variable, value in assignments:
        variable.assign(value)
    unused = tuple(name for name in givers if name not in used)
    return Transfer(tuple(copied), tuple(inflated), tuple(averaged), left, unused)


def application(name: str, weights: str | os.PathLike, include_top: bool) -> keras.Model:
    """The network of `keras.applications` by that name, to take weights from.

    Args:
        name: such as `"ResNet50"`.
        weights: `"imagenet"` (downloaded by Keras), or a weights file.
        include_top: whether with its classifier of 1000 classes; a file must be of the same kind.

    Raises:
        ValueError: the file is missing or of another network.
    """
    builder = getattr(keras.applications, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of layers that the file does not have
            return builder(weights=weights, include_top=include_top, input_shape=(224, 224, 3))
    except (ValueError, UserWarning, OSError) as refused:
        first_line = str(refused).strip().splitlines()[0]
        kind = "with its classifier" if include_top else "without its classifier (notop)"
        raise ValueError(
            f"{weights} does not hold the weights of keras.applications.{name} {kind}: {first_line}"
        ) from refused


def inflate(
    model: keras.Model,
    temporal_kernel: int = 3,
    where: Sequence[str] | None = None,
    *,
    temporal_padding: str = "causal",
    inflation: str = "center",
) -> keras.Model:
    """The temporal twin of an image model: some of its convolutions see several frames.

    Args:
        model: a functional model over one frame; it stays as it is.
        temporal_kernel: frames that the convolutions of the twin see, at least 1.
        where: names of the `Conv2D` layers to inflate; default: all whose kernels are larger than
            1x1.
        temporal_padding: `"causal"`, or `"symmetric"` for whole clips and one subnetwork.
        inflation: `"center"` or `"mean"`, as above.

    Returns:
        A model of the same layer names, with weights of its own.

    Raises:
        ValueError: `where` names what cannot be inflated, or nothing can.
    """
    convolutions = {
        name: layer
        for name, layer in _layers_with_weights(model).items()
        if isinstance(layer, layers.Conv2D)
        and layer.groups == 1
        and layer.data_format == "channels_last"
    }
    if where is None:
        chosen = {name for name, layer in convolutions.items() if max(layer.kernel_size) > 1}
    else:
        chosen = set(where)
    unknown = sorted(chosen - set(convolutions))
    if unknown or not chosen:
        raise ValueError(
            f"inflating {model.name!r}: expected names of ungrouped, channels-last Conv2D layers "
            f"such as {', '.join(list(convolutions)[:3]) or '(it has none)'}. "
            f"Received: {', '.join(unknown) or 'none'}"
        )
    ids = {id(convolutions[name]) for name in chosen}

    def twin_of(layer: keras.layers.Layer) -> keras.layers.Layer:
        if id(layer) in ids:
            return _temporal(layer, temporal_kernel, temporal_padding)
        return layer.__class__.from_config(layer.get_config())

    twin = keras.models.clone_model(model, clone_function=twin_of, recursive=True)
    transfer_weights(model, twin, inflation=inflation)
    return twin


def _temporal(layer: layers.Conv2D, kernel: int, padding: str) -> TemporalConv3D:
    """`layer` over `kernel` frames."""
    config = layer.get_config()
    for name in ("data_format", "groups"):
        del config[name]
    config["kernel_size"] = (kernel, *config["kernel_size"])
    config["strides"] = (1, *config["strides"])
    return TemporalConv3D.from_config({**config, "temporal_padding": padding})


def _layers_with_weights(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """The layers of `model` by name, those within nested models as `outer/inner`."""
    nodes = read_graph(model).nodes
    return {n.name: n.operation for n in nodes if getattr(n.operation, "variables", None)}


def _readers_of_frames(model: keras.Model) -> set[str]:
    """Names of the layers before which nothing has weights."""
    graph = read_graph(model)
    plain: set[int] = set()  # nodes that pass on frames, at most in another shape
    readers = set()
    for node in graph.nodes:
        sources = graph.sources(node)  # none of a feedback
        if sources and all(source is None or source.index in plain for source in sources):
            if node.variables:
                readers.add(node.name)
            else:
                plain.add(node.index)
    return readers


def _averages(giver: keras.layers.Layer, taker: keras.layers.Layer) -> bool:
    """Whether the kernels of two convolutions are of other channels."""
    kinds = (layers.Conv2D, TemporalConv3D)
    for layer in (giver, taker):
        if not isinstance(layer, kinds) or getattr(layer, "groups", 1) > 1:
            return False
    return giver.kernel.shape[-2] != taker.kernel.shape[-2]


def averaged(kernel: np.ndarray, channels: int, axis: int) -> np.ndarray:
    """A kernel for frames of so many `channels`: of each, the mean over those of `kernel`.

    Args:
        kernel: of a convolution, in any layout.
        channels: of the new one.
        axis: where in the kernel they are.
    """
    return np.repeat(kernel.mean(axis=axis, keepdims=True), channels, axis=axis)


def _fitted(
    giver: keras.layers.Layer, taker: keras.layers.Layer, inflation: str, averages: bool
) -> list[tuple[keras.Variable, np.ndarray]]:
    """A value of `giver` for every variable of `taker`; raises ValueError for what does not fit.

    Args:
        giver, taker: layers of the same kind, but for time.
        inflation: how the kernel gets an axis of time; empty if it does not.
        averages: whether the kernel gets the channels of `taker`, each the mean of the `giver`'s.
    """
    given = {variable.name: variable for variable in giver.variables}
    wanted = {variable.name for variable in taker.variables}
    if wanted != set(given):
        raise ValueError(f"has {', '.join(sorted(wanted))}, not {', '.join(sorted(given))}")
    values = []
    for variable in taker.variables:
        value = np.asarray(given[variable.name])
        if variable.name == "kernel" and averages:
            value = averaged(value, variable.shape[-2], axis=-2)
        if variable.name == "kernel" and inflation:
            value = _grown(value, taker, inflation)
        if value.shape != tuple(variable.shape):
            raise ValueError(
                f"{variable.name} is {tuple(variable.shape)}, not {tuple(value.shape)}"
            )
        values.append((variable, value))
    return values


def _grown(kernel: np.ndarray, layer: TemporalConv3D, inflation: str) -> np.ndarray:
    """[h, w, in, out] -> [k, h, w, in, out]."""
    if inflation == "mean":
        return np.repeat(kernel[None], layer.window, axis=0) / layer.window
    grown = np.zeros((layer.window, *kernel.shape), kernel.dtype)
    grown[layer.lookback] = kernel
    return grown
