"""Copies the weights of a model to the layers of another model that have the same names.

2D kernels become temporal kernels where the target has temporal layers, and first layers may read
frames with another number of channels; see `mpvn.models.surgery.kernels`.
"""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
from keras import layers

from keras_layers import TemporalConv3D
from mpvn.graph.reading import read_graph
from mpvn.models.surgery.kernels import average_channels, check_inflation, inflate_kernel


@dataclasses.dataclass(frozen=True)
class Transfer:
    """Which layers received weights from another model, by name.

    Attributes:
        copied: Layers that received weights of the same shapes.
        inflated: Layers whose kernels received a time axis.
        averaged: Layers that read frames with another number of channels, and whose kernels
            received the mean over the channels of the source. Some of them are also inflated.
        skipped: Other layers of the target, with the reasons why they kept their weights.
        unused: Layers of the source whose weights were not used.
    """

    copied: tuple[str, ...]
    inflated: tuple[str, ...]
    averaged: tuple[str, ...]
    skipped: dict[str, str]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        lines = [
            f"copied {len(self.copied)} layers, inflated {len(self.inflated)}, "
            f"averaged {len(self.averaged)}, skipped {len(self.skipped)}"
        ]
        lines += [f"  {name}: {reason}" for name, reason in self.skipped.items()]
        if self.unused:
            lines.append(f"unused: {', '.join(self.unused)}")
        return "\n".join(lines)


def transfer_weights(
    source: keras.Model,
    target: keras.Model,
    *,
    names: Callable[[str], str] | None = None,
    inflation: str = "center",
) -> Transfer:
    """Copy weights from `source` to the layers of `target` with the same names, where they fit.

    Each layer receives all its weights or none.

    Args:
        source: A functional model, such as one of `keras.applications`.
        target: A functional model. Its weights change in place.
        names: Function from the name of a layer of `target` to the name of its source layer.
            Defaults to the same name.
        inflation: `"center"` or `"mean"`: how 2D kernels become temporal kernels; see
            `mpvn.models.surgery.kernels.INFLATIONS`.

    Returns:
        The layers that were copied, inflated, averaged, skipped and not used.

    Raises:
        ValueError: If `inflation` is unknown, or no layer fits.
    """
    check_inflation(inflation)
    source_layers, source_readers = layers_with_weights(source), _readers_of_frames(source)
    target_readers = _readers_of_frames(target)
    fits: dict[str, _Fit] = {}
    skipped: dict[str, str] = {}
    for name, layer in layers_with_weights(target).items():
        source_name = names(name) if names else name
        if source_name not in source_layers:
            skipped[name] = f"{source.name!r} has no layer {source_name!r} with weights"
            continue
        read_frames = source_name in source_readers and name in target_readers
        try:
            fits[name] = _fit(
                source_name, source_layers[source_name], layer, read_frames, inflation
            )
        except ValueError as error:
            skipped[name] = str(error)
    if not fits:
        reasons = "\n".join(f"  - {name}: {reason}" for name, reason in list(skipped.items())[:5])
        raise ValueError(
            f"No layer of {target.name!r} fits a layer of {source.name!r}. Expected the same names "
            f"and shapes, except for the time axis and the channels of frames:\n{reasons}"
        )
    for fit in fits.values():
        for variable, value in fit.values:
            variable.assign(value)
    used = {fit.source for fit in fits.values()}
    return Transfer(
        copied=tuple(n for n, fit in fits.items() if not fit.inflates and not fit.averages),
        inflated=tuple(name for name, fit in fits.items() if fit.inflates),
        averaged=tuple(name for name, fit in fits.items() if fit.averages),
        skipped=skipped,
        unused=tuple(name for name in source_layers if name not in used),
    )


def layers_with_weights(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """Return the layers of `model` by name; layers of nested models are called `outer/inner`."""
    calls = [call for node in read_graph(model).nodes for call in node.calls]
    return {c.name: c.operation for c in calls if getattr(c.operation, "variables", None)}


@dataclasses.dataclass(frozen=True)
class _Fit:
    """The values that a layer receives from its source layer."""

    source: str
    values: list[tuple[keras.Variable, np.ndarray]]
    inflates: bool
    averages: bool


def _fit(
    name: str,
    source: keras.layers.Layer,
    target: keras.layers.Layer,
    read_frames: bool,
    inflation: str,
) -> _Fit:
    """Fit the weights of the layer `source`, called `name`, to the layer `target`.

    Raises:
        ValueError: If they do not fit.
    """
    variables = {variable.name: variable for variable in source.variables}
    expected = {variable.name for variable in target.variables}
    if expected != set(variables):
        raise ValueError(
            f"has the weights {', '.join(sorted(expected))}, the source layer has "
            f"{', '.join(sorted(variables))}"
        )
    inflates = isinstance(source, layers.Conv2D) and isinstance(target, TemporalConv3D)
    averages = read_frames and _have_other_channels(source, target)
    values = []
    for variable in target.variables:
        value = np.asarray(variables[variable.name])
        if variable.name == "kernel" and averages:
            value = average_channels(value, variable.shape[-2], axis=-2)
        if variable.name == "kernel" and inflates:
            value = inflate_kernel(value, target.window, target.lookback, inflation)
        if value.shape != tuple(variable.shape):
            raise ValueError(
                f"{variable.name} has shape {tuple(variable.shape)}, in the source layer "
                f"{tuple(value.shape)}"
            )
        values.append((variable, value))
    return _Fit(name, values, inflates, averages)


def _have_other_channels(source: keras.layers.Layer, target: keras.layers.Layer) -> bool:
    """Return whether both layers are ungrouped convolutions, of different input channels."""
    for layer in (source, target):
        is_convolution = isinstance(layer, (layers.Conv2D, TemporalConv3D))
        if not is_convolution or getattr(layer, "groups", 1) > 1:
            return False
    return source.kernel.shape[-2] != target.kernel.shape[-2]


def _readers_of_frames(model: keras.Model) -> set[str]:
    """Return the names of the layers with weights that no other layer with weights precedes."""
    graph = read_graph(model)
    weightless: set[int] = set()  # nodes that pass on frames, at most in another shape
    readers = set()
    for node in graph.nodes:
        sources = graph.sources(node)  # empty for feedback
        if sources and all(source is None or source.index in weightless for source in sources):
            if node.variables:
                readers.add(node.name)
            else:
                weightless.add(node.index)
    return readers
