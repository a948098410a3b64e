"""Loader of PyTorch checkpoints into the networks of `mpvn.models.tsm`, without PyTorch.

It takes the official TSM checkpoints (mit-han-lab/temporal-shift-module: offline ResNet and
MobileNetV2, non-local, online MobileNetV2), those of mmaction2, and torchvision's of ImageNet.

The names of the tensors tell the architecture and which convolutions read shifted maps. All of it
is checked, and every tensor of the file and of the network is accounted for, before any weight
changes. A file does not tell the direction of the shift, its divisor, the form of non-local blocks
(here: embedded Gaussian; mmaction2 has others of the same names), or the range of the pixels:
RGB / 255, minus .485 .456 .406, divided by .229 .224 .225. A network that was built with
`weights=...` normalizes its frames itself.
"""

import dataclasses
import os
from collections.abc import Iterable, Iterator

import keras
import numpy as np
from absl import logging
from keras import layers

from keras_layers.non_local import NonLocal
from keras_layers.temporal_shift import TemporalShift
from mpvn.graph.reading import read_graph
from mpvn.models.surgery.kernels import average_channels
from mpvn.models.torch.names import (
    NO_BIAS,
    CheckpointNames,
    block_name,
    checkpoint_names,
    module_name,
)
from mpvn.models.torch.reader import CheckpointError, read_checkpoint, read_shapes


@dataclasses.dataclass(frozen=True)
class Imported:
    """What an import did with the tensors of a checkpoint.

    Attributes:
        layout: `"official"`, `"mmaction2"` or `"torchvision"`.
        loaded: The path of the variable that each tensor was assigned to, by the tensor's name.
        ignored: Tensors that `model` has no use for: batch counters, a classifier of other classes.
        zeroed: Weights that the checkpoint's architecture does not have, set to zero.
        unchanged: Weights of `model` that keep their values.
    """

    layout: str
    loaded: dict[str, str]
    ignored: tuple[str, ...]
    zeroed: tuple[str, ...]
    unchanged: tuple[str, ...] = ()

    def __str__(self) -> str:
        return (
            f"{self.layout} checkpoint: {len(self.loaded)} tensors loaded, {len(self.ignored)} "
            f"ignored, {len(self.zeroed)} weights set to zero, "
            f"unchanged: {', '.join(self.unchanged) or 'none'}"
        )


def import_torch(model: keras.Model, path: str | os.PathLike, *, exact: bool = True) -> Imported:
    """Load the weights of a PyTorch checkpoint into `model`: all of them, or none.

    Args:
        model: Built by `tsm_resnet` or `tsm_mobilenet_v2`, or one of these without shifts after
            `insert_temporal_shift`.
        path: A `.pth`, `.pth.tar` or `.safetensors` file. Of training checkpoints, the weights are
            read; see `read_checkpoint`.
        exact: True requires the checkpoint's own network. False, for networks that are trained
            next, allows three differences. A classifier of another number of classes keeps its
            weights, and so do non-local blocks if the file has none. If frames do not have three
            channels, the first convolution takes, for each channel, the mean of its red, green and
            blue weights (*Temporal Segment Networks*, section 3.2). A warning lists the weights
            that are not loaded.

    Returns:
        A report of the tensors loaded, ignored, set to zero and unchanged.

    Raises:
        CheckpointError: If the file cannot be read, or does not fit `model`. The message lists
            every tensor that is missing, unknown or of another shape, and misplaced shifts.
        FileNotFoundError: If the file does not exist.
    """
    tensors = read_checkpoint(path)
    names = checkpoint_names(tensors)
    values = {name: tensors[key] for name, key in names.keys.items()}
    weights = {weight.name: weight for weight in _weights(model)}
    unchanged: set[str] = set()
    if not exact:
        unchanged = _unchanged(values, weights)
        values |= _for_other_channels(values, weights)
    faults = [
        *names.duplicates,
        *_faults_of_tensors(model, names, values, weights, unchanged),
        *_faults_of_shifts(model, names),
    ]
    if faults:
        raise CheckpointError(
            f"The checkpoint {path} ({names.layout} layout) does not fit {model.name!r}. Build the "
            "network with the classes and shifts of the checkpoint:\n  - " + "\n  - ".join(faults)
        )
    for name, weight in weights.items():
        if name not in unchanged:
            weight.variable.assign(weight.transposed(values.get(name, np.zeros(weight.shape))))
    report = _report(names, values, weights, unchanged)
    if unchanged:
        paths = ", ".join(report.unchanged)
        logging.warning("%s: these weights are not loaded from %s: %s", model.name, path, paths)
    return report


def class_count(path: str | os.PathLike) -> int:
    """Return the number of classes of a checkpoint's network.

    Raises:
        CheckpointError: If the file cannot be read, or has no classifier.
        FileNotFoundError: If the file does not exist.
    """
    shapes = read_shapes(path)
    key = checkpoint_names(shapes).keys.get("fc.bias")
    if key is None or len(shapes[key]) != 1:
        raise CheckpointError(f"The checkpoint {path} has no classifier. Set the number of classes")
    return shapes[key][0]


# --- the weights of a network --------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Weight:
    """A weight of the network, and the transposition from torchvision's tensor to its value.

    Attributes:
        name: The name in torchvision.
        variable: The weight.
        axes: Axes of torchvision's tensor in the order of ours; its other axes have size 1.
        rank: Rank of torchvision's tensor.
    """

    name: str
    variable: keras.Variable
    axes: tuple[int, ...]
    rank: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of torchvision's tensor."""
        sizes = dict(zip(self.axes, self.variable.shape, strict=True))
        return tuple(sizes.get(axis, 1) for axis in range(self.rank))

    def transposed(self, value: np.ndarray) -> np.ndarray:
        """torchvision's tensor in the layout of `variable`."""
        others = tuple(axis for axis in range(self.rank) if axis not in self.axes)
        return value.transpose(*self.axes, *others).reshape(self.variable.shape)


def _weights(model: keras.Model) -> Iterator[_Weight]:
    mobilenet = _is_mobilenet(model)
    for layer in model.layers:
        if not layer.weights:  # dropout has a seed, which is a variable
            continue
        if isinstance(layer, layers.GroupNormalization):
            raise CheckpointError(
                "PyTorch checkpoints are of networks with batch norm. Expected a model built with "
                f"norm='batch'. Received: {model.name!r}, which has the group norm {layer.name!r}"
            )
        try:
            module = module_name(layer.name, mobilenet)
        except ValueError:
            raise CheckpointError(
                "PyTorch checkpoints load into the networks of mpvn.models.tsm. "
                f"Received: {model.name!r}, which has a layer {layer.name!r}"
            ) from None
        yield from _weights_of_layer(layer, module)


def _weights_of_layer(layer: keras.layers.Layer, module: str) -> Iterator[_Weight]:
    if isinstance(layer, layers.BatchNormalization):
        parts = ("weight", "bias", "running_mean", "running_var")
        for part, variable in zip(parts, layer.weights, strict=True):
            yield _Weight(f"{module}.{part}", variable, (0,), 1)
    elif isinstance(layer, NonLocal):
        for part in (layer.theta, layer.phi, layer.g):  # [out, in, 1, 1, 1] -> [in, out]
            yield _Weight(f"{module}.{part.name}.weight", part.kernel, (1, 0), 5)
            yield _Weight(f"{module}.{part.name}.bias", part.bias, (0,), 1)
    elif isinstance(layer, layers.Dense):  # [out, in] -> [in, out]
        yield _Weight(f"{module}.weight", layer.kernel, (1, 0), 2)
        yield _Weight(f"{module}.bias", layer.bias, (0,), 1)
    elif isinstance(layer, layers.DepthwiseConv2D):  # [c, 1, h, w] -> [h, w, c, 1]
        yield _Weight(f"{module}.weight", layer.kernel, (2, 3, 0, 1), 4)
    else:
        if module.endswith(".nl.W.0"):  # [out, in, 1, h, w] -> [h, w, in, out]
            yield _Weight(f"{module}.weight", layer.kernel, (3, 4, 1, 0), 5)
        else:  # [out, in, h, w] -> [h, w, in, out]
            yield _Weight(f"{module}.weight", layer.kernel, (2, 3, 1, 0), 4)
        if layer.use_bias:
            yield _Weight(f"{module}.bias", layer.bias, (0,), 1)


def _shifts(model: keras.Model) -> set[str]:
    """The shifted blocks of `model`, in the form of `CheckpointNames.shifts`."""
    mobilenet = _is_mobilenet(model)
    graph, shifts = read_graph(model), set()
    for node in graph.nodes:
        if isinstance(node.operation, TemporalShift):
            readers = [other for other in graph.nodes if node in graph.producers(other)]
            unit = readers[0].name.partition(".")[0]
            placement = "residual" if len(readers) == 1 else "in_place"
            shifts.add(f"{block_name(unit, mobilenet)} {placement}")
    return shifts


def _is_mobilenet(model: keras.Model) -> bool:
    return any(layer.name == "block1.project_conv" for layer in model.layers)


# --- differences that are allowed before training ------------------------------------------------


def _unchanged(values: dict[str, np.ndarray], weights: dict[str, _Weight]) -> set[str]:
    """Names of a classifier of other classes, and of non-local blocks if the file has none."""
    unchanged: set[str] = set()
    if not any(".nl." in name for name in values):
        unchanged |= {name for name in weights if ".nl." in name}
    classifier = {"fc.weight", "fc.bias"}
    if classifier <= values.keys() & weights.keys():
        shapes = [(values[name].shape, weights[name].shape) for name in classifier]
        class_counts = {theirs[:1] for theirs, _ in shapes}
        if len(class_counts) == 1 and all(theirs[1:] == ours[1:] for theirs, ours in shapes):
            unchanged |= {name for name in classifier if values[name].shape != weights[name].shape}
    return unchanged


def _for_other_channels(
    values: dict[str, np.ndarray], weights: dict[str, _Weight]
) -> dict[str, np.ndarray]:
    """The first kernel, averaged, if the file's reads three channels and the network's others."""
    for name in ("conv1.weight", "features.0.0.weight"):
        if name in values and name in weights:
            kernel, channels = values[name], weights[name].shape[1]  # [out, in, h, w]
            if kernel.shape[1:2] == (3,) and channels != 3:
                return {name: average_channels(kernel, channels, axis=1)}
    return {}


# --- checks and report ---------------------------------------------------------------------------


def _faults_of_tensors(
    model: keras.Model,
    names: CheckpointNames,
    values: dict[str, np.ndarray],
    weights: dict[str, _Weight],
    unchanged: set[str],
) -> Iterator[str]:
    for name, value in values.items():
        if name not in weights:
            yield f"{names.keys[name]}: {model.name!r} has no such weight"
        elif value.shape != weights[name].shape and name not in unchanged:
            yield (
                f"{names.keys[name]}: expected shape {weights[name].shape}. Received: {value.shape}"
            )
    for name in weights:
        optional = names.layout == "mmaction2" and name.endswith(NO_BIAS)
        if name not in values and name not in unchanged and not optional:
            yield f"{name}: missing"


def _faults_of_shifts(model: keras.Model, names: CheckpointNames) -> Iterator[str]:
    """A file without `.net` does not say whether its network shifts."""
    shifts = _shifts(model)
    if names.shifts and names.shifts != shifts:
        yield f"blocks shifted only in the checkpoint: {_listed(names.shifts - shifts)}"
        yield f"blocks shifted only in {model.name!r}: {_listed(shifts - names.shifts)}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _report(
    names: CheckpointNames,
    values: dict[str, np.ndarray],
    weights: dict[str, _Weight],
    unchanged: set[str],
) -> Imported:
    path_of = {name: weight.variable.path for name, weight in weights.items()}
    return Imported(
        names.layout,
        {names.keys[name]: path_of[name] for name in values if name not in unchanged},
        (*names.counters, *(names.keys[name] for name in values if name in unchanged)),
        tuple(name for name in weights if name not in values and name not in unchanged),
        tuple(path_of[name] for name in weights if name in unchanged),
    )
