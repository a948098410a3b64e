"""Checkpoints of PyTorch in the networks of `tsm`, without PyTorch.

Official ones (mit-han-lab/temporal-shift-module: offline ResNet and MobileNetV2, non-local, online
MobileNetV2), those of mmaction2, and torchvision's of ImageNet. A file names its tensors, so it
tells the architecture and which convolutions read shifted maps; all of it is checked, and every
tensor of the file and of the network accounted for, before any weight changes. It does not tell the
direction of the shift, its divisor, or the input: RGB / 255, less .485 .456 .406, over .229 .224
.225. A network that was built with `weights` brings its frames to that itself.

PyTorch's files are pickles, which can run any program. The reader here knows tensors, containers
and plain values, and refuses the rest. Besides the zip files of today it reads those from before
PyTorch 1.6, as the official ones are.
"""

import collections
import dataclasses
import io
import os
import pathlib
import pickle
import re
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import keras
import numpy as np
import tensorflow as tf
from absl import logging
from keras import layers

from keras_layers.non_local import NonLocal
from keras_layers.temporal_shift import TemporalShift
from mpvn.models.resnet import MOBILENET_BLOCKS
from mpvn.models.surgery.kernels import average_channels
from mpvn.plan.graph import read_graph


class CheckpointError(ValueError):
    """A file that is no checkpoint, or none of the network that is to take it."""


@dataclasses.dataclass(frozen=True)
class Imported:
    """What became of the tensors of a checkpoint.

    Attributes:
        layout: `"official"`, `"mmaction2"` or `"torchvision"`.
        loaded: the weight that each tensor went to, by their names.
        ignored: tensors that `model` does not have: counters of batches, a classifier of others.
        zeroed: weights that the file's network does not have, now zero.
        left: weights of `model` that keep their own values.
    """

    layout: str
    loaded: dict[str, str]
    ignored: tuple[str, ...]
    zeroed: tuple[str, ...]
    left: tuple[str, ...] = ()

    def __str__(self) -> str:
        return (
            f"{self.layout} checkpoint: loaded {len(self.loaded)} tensors, ignored "
            f"{len(self.ignored)} counters, zeroed {len(self.zeroed)} weights, "
            f"left as they were: {', '.join(self.left) or 'none'}"
        )


def import_torch(model: keras.Model, path: str | os.PathLike, *, exact: bool = True) -> Imported:
    """Gives `model` the weights of a checkpoint, all of them or none.

    Args:
        model: made by `tsm_resnet` or `tsm_mobilenet_v2`, or one of these without shifts after
            `insert_temporal_shift`.
        path: a `.pth` or `.pth.tar` file.
        exact: whether it must be the file's network. To begin training with, it may be another in
            three things: a classifier of another number of classes, and non-local blocks of which
            the file has none, keep their own weights; and of frames with other than three channels
            the first convolution takes for each the mean of its weights for red, green and blue
            (*Temporal Segment Networks*, section 3.2). The log names what is left.

    Returns:
        What went where.

    Raises:
        CheckpointError: the file cannot be read, or its tensors are not those of `model`: all that
            is missing, unknown or of another shape is listed, and a shift in other places.
        FileNotFoundError: there is no such file.
    """
    tensors = read_checkpoint(path)
    names = _Names(tensors)
    given = {name: tensors[key] for name, key in names.keys.items()}
    wanted = {weight.name: weight for weight in _weights(model)}
    left: set[str] = set()
    if not exact:
        left = _left(given, wanted)
        given |= _for_other_channels(given, wanted)
    optional = {name for name in wanted if names.layout == "mmaction2" and name.endswith(_NO_BIAS)}
    faults = list(names.faults)
    for name, value in given.items():
        shape = wanted[name].shape if name in wanted else None
        if shape is None:
            faults.append(f"{names.keys[name]}: {model.name!r} has no such weight")
        elif value.shape != shape and name not in left:
            faults.append(f"{names.keys[name]}: expected {shape}, got {value.shape}")
    absent = [name for name in wanted if name not in given and name not in left]
    faults += [f"{name}: missing" for name in absent if name not in optional]
    if names.shifts and names.shifts != (own := _shifts(model)):
        faults.append(f"shifted in the file alone: {_listed(names.shifts - own)}")
        faults.append(f"shifted in {model.name!r} alone: {_listed(own - names.shifts)}")
    if faults:
        raise CheckpointError(
            f"{path} ({names.layout} layout) does not fit {model.name!r}. Build the network with "
            f"the classes and shifts that the file was made with:\n  - " + "\n  - ".join(faults)
        )
    loaded = {}
    for name, weight in wanted.items():
        if name in left:
            continue
        weight.variable.assign(weight.turned(given.get(name, np.zeros(weight.shape))))
        if name in given:
            loaded[names.keys[name]] = weight.variable.path
    kept = tuple(weight.variable.path for name, weight in wanted.items() if name in left)
    if kept:
        logging.warning("%s begins with %s but for %s", model.name, path, ", ".join(kept))
    unused = tuple(names.keys[name] for name in given if name in left)
    return Imported(names.layout, loaded, (*names.counters, *unused), tuple(absent), kept)


def class_count(path: str | os.PathLike) -> int:
    """The number of classes that the network of a checkpoint tells apart.

    Raises:
        CheckpointError: the file cannot be read, or has no classifier.
        FileNotFoundError: there is no such file.
    """
    tensors = read_checkpoint(path)
    key = _Names(tensors).keys.get("fc.bias")
    if key is None:
        raise CheckpointError(f"{path} has no classifier: say how many classes there are to be")
    return tensors[key].size


# --- what a network that is still to be trained may have of its own -------------------------------


def _left(given: dict[str, np.ndarray], wanted: dict[str, "_Weight"]) -> set[str]:
    """Weights of a classifier of other classes, and of non-local blocks if none are given."""
    left: set[str] = set()
    if not any(".nl." in name for name in given):
        left |= {name for name in wanted if ".nl." in name}
    classifier = {"fc.weight", "fc.bias"}
    if classifier <= given.keys() & wanted.keys():
        shapes = [(given[name].shape, wanted[name].shape) for name in classifier]
        counts = {shape[:1] for shape, _ in shapes}
        if len(counts) == 1 and all(shape[1:] == own[1:] for shape, own in shapes):
            left |= {name for name in classifier if given[name].shape != wanted[name].shape}
    return left


def _for_other_channels(
    given: dict[str, np.ndarray], wanted: dict[str, "_Weight"]
) -> dict[str, np.ndarray]:
    """The first convolution, if it is given for three channels and the frames have others."""
    for name in ("conv1.weight", "features.0.0.weight"):
        if name in given and name in wanted:
            kernel, own = given[name], wanted[name].shape[1]  # [out, in, h, w]
            if kernel.shape[1:2] == (3,) and own != 3:
                return {name: average_channels(kernel, own, axis=1)}
    return {}


# --- names --------------------------------------------------------------------------------------

_NO_BIAS = ".nl.W.0.bias"
"""mmaction2's non-local blocks have no bias before their batch norm."""

_OFFICIAL = (
    (r"^(module\.)?(base_model\.)?", ""),
    (r"^(new_fc|classifier(\.1)?)\.", "fc."),
    (r"\.block\.", "."),
    (r"\.nl\.(g|phi)\.0\.", r".nl.\1."),
)
_MMACTION = (
    (r"^backbone\.", ""),
    (r"^cls_head\.(fc_cls|new_fc)\.", "fc."),
    (r"\.block\.", "."),
    (r"\.non_local_block\.(theta|phi|g)(\.0)?\.conv\.", r".nl.\1."),
    (r"\.non_local_block\.conv_out\.conv\.", ".nl.W.0."),
    (r"\.non_local_block\.conv_out\.bn\.", ".nl.W.1."),
    (r"\.downsample\.conv\.", ".downsample.0."),
    (r"\.downsample\.bn\.", ".downsample.1."),
    (r"^layer(\d)\.(\d+)\.conv\.(\d)\.(conv|bn)\.", lambda found: _mobilenet_name(*found.groups())),
)
_TORCHVISION = (
    (
        r"^features\.(\d+)\.conv\.(\d)\.(?:(\d)\.)?",
        lambda found: _flat_mobilenet_name(*found.groups()),
    ),
)
"""From a file's names, of the tensor and less `.net` where it is shifted, to those of torchvision's
ResNet and, as the authors of TSM have it, of a MobileNetV2 whose blocks are flat."""

_MMACTION_RESNET = ((r"\bconv(\d)\.conv\.", r"conv\1."), (r"\bconv(\d)\.bn\.", r"bn\1."))
_MMACTION_MOBILENET = (
    (r"^conv1\.conv\.", "features.0.0."),
    (r"^conv1\.bn\.", "features.0.1."),
    (r"^conv2\.conv\.", "features.18.0."),
    (r"^conv2\.bn\.", "features.18.1."),
)


def _mobilenet_name(stage: str, block: str, number: str, kind: str) -> str:
    before = sum(count for _, _, count, _ in MOBILENET_BLOCKS[: int(stage) - 1])
    part = 3 * int(number) + (kind == "bn")
    return f"features.{1 + before + int(block)}.conv.{part}."


def _flat_mobilenet_name(block: str, part: str, inner: str | None) -> str:
    """Of torchvision, which nests all but the last convolution of a block, and its batch norm."""
    last = 1 if block == "1" else 2
    number = 2 * last + int(part) if inner is None else 3 * int(part) + int(inner)
    return f"features.{block}.conv.{number}."


class _Names:
    """The names of a checkpoint, as torchvision has them.

    Attributes:
        layout: `"official"`, `"mmaction2"` or `"torchvision"`.
        keys: the file's name of each weight.
        shifts: blocks that are shifted, and where: `"layer1.0 residual"`.
        counters: names of tensors that count batches.
        faults: weights that the file has twice.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        keys = list(keys)
        self.layout = "official"
        rules: tuple = _OFFICIAL
        if any(key.startswith("backbone.") for key in keys):
            self.layout = "mmaction2"
            mobilenet = any(key.startswith("backbone.conv2.") for key in keys)
            rules = (*_MMACTION, *(_MMACTION_MOBILENET if mobilenet else _MMACTION_RESNET))
        elif any(re.match(r"(module\.)?(fc\.|features\.\d+\.conv\.\d\.\d)", key) for key in keys):
            self.layout = "torchvision"
            rules = (*_OFFICIAL, *_TORCHVISION)
        self.counters = tuple(key for key in keys if key.endswith(".num_batches_tracked"))
        self.keys: dict[str, str] = {}
        self.shifts: set[str] = set()
        self.faults: list[str] = []
        for key in keys:
            if key in self.counters:
                continue
            name = key.replace(".net.", ".", 1)
            for pattern, replacement in rules:
                name = re.sub(pattern, replacement, name)
            if name in self.keys:
                self.faults.append(f"{key}: the same weight as {self.keys[name]}")
            self.keys[name] = key
            block = re.match(r"layer\d\.\d+|features\.\d+", name)
            if ".net." in key and block:
                outside = re.search(r"layer\d\.\d+\.net\.", key)
                self.shifts.add(f"{block[0]} {'in_place' if outside else 'residual'}")


# --- the network's weights by torchvision's names -----------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Weight:
    """A weight of the network: torchvision's name and shape, and how the axes are turned."""

    name: str
    variable: keras.Variable
    axes: tuple[int, ...]
    """Of torchvision's tensor, those that become ours in order; others are of size 1."""
    rank: int

    @property
    def shape(self) -> tuple[int, ...]:
        sizes = dict(zip(self.axes, self.variable.shape, strict=True))
        return tuple(sizes.get(axis, 1) for axis in range(self.rank))

    def turned(self, value: np.ndarray) -> np.ndarray:
        others = tuple(axis for axis in range(self.rank) if axis not in self.axes)
        return value.transpose(*self.axes, *others).reshape(self.variable.shape)


def _weights(model: keras.Model) -> Iterator[_Weight]:
    mobilenet = any(layer.name == "block1.project_conv" for layer in model.layers)
    for layer in model.layers:
        if not layer.variables:
            continue
        try:
            module = _module(layer.name, mobilenet)
        except ValueError:
            raise CheckpointError(
                f"{model.name!r} is none of the networks of `tsm`: it has a layer {layer.name!r}"
            ) from None
        if isinstance(layer, layers.BatchNormalization):
            parts = ("weight", "bias", "running_mean", "running_var")
            for part, variable in zip(parts, layer.variables, strict=True):
                yield _Weight(f"{module}.{part}", variable, (0,), 1)
        elif isinstance(layer, NonLocal):
            for part in (layer.theta, layer.phi, layer.g):
                yield _Weight(f"{module}.{part.name}.weight", part.kernel, (1, 0), 5)
                yield _Weight(f"{module}.{part.name}.bias", part.bias, (0,), 1)
        elif isinstance(layer, layers.Dense):
            yield _Weight(f"{module}.weight", layer.kernel, (1, 0), 2)
            yield _Weight(f"{module}.bias", layer.bias, (0,), 1)
        elif isinstance(layer, layers.DepthwiseConv2D):  # [c, 1, h, w] -> [h, w, c, 1]
            yield _Weight(f"{module}.weight", layer.kernel, (2, 3, 0, 1), 4)
        else:  # a convolution, [out, in, h, w] -> [h, w, in, out]
            rank = 5 if module.endswith(".nl.W.0") else 4
            axes = (2, 3, 1, 0) if rank == 4 else (3, 4, 1, 0)
            yield _Weight(f"{module}.weight", layer.kernel, axes, rank)
            if layer.use_bias:
                yield _Weight(f"{module}.bias", layer.bias, (0,), 1)


def _module(name: str, mobilenet: bool) -> str:
    """Torchvision's name of the layer that is called `name` in `tsm`."""
    unit, _, part = name.partition(".")
    norm = int(part.endswith("bn"))
    if name == "head.logits":
        return "fc"
    if mobilenet:
        number = {"stem": 0, "last": 18}.get(unit)
        if number is not None:
            return f"features.{number}.{norm}"
        number = int(unit.removeprefix("block"))
        first = ("depthwise", "project") if number == 1 else ("expand", "depthwise", "project")
        return f"features.{number}.conv.{3 * first.index(part.partition('_')[0]) + norm}"
    if unit == "stem":
        return "bn1" if norm else "conv1"
    stage, block = re.findall(r"\d+", unit)
    prefix = f"layer{int(stage) - 1}.{int(block) - 1}"
    if part.startswith("nl"):
        return f"{prefix}.nl" + ("" if part == "nl" else f".W.{norm}")
    if part.startswith("0"):
        return f"{prefix}.downsample.{norm}"
    return f"{prefix}.{'bn' if norm else 'conv'}{part[0]}"


def _shifts(model: keras.Model) -> set[str]:
    """As `_Names.shifts`."""
    mobilenet = any(layer.name == "block1.project_conv" for layer in model.layers)
    graph, found = read_graph(model), set()
    for node in graph.nodes:
        if isinstance(node.operation, TemporalShift):
            readers = [other for other in graph.nodes if node in graph.producers(other)]
            unit = readers[0].name.partition(".")[0]
            if mobilenet:
                block = f"features.{unit.removeprefix('block')}"
            else:
                block = ".".join(_module(f"{unit}.1_conv", False).split(".")[:2])
            found.add(f"{block} {'residual' if len(readers) == 1 else 'in_place'}")
    return found


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"


# --- the file -----------------------------------------------------------------------------------

_MAGIC = 0x1950A86A20F9469CFC6C
"""First value of a file from before PyTorch 1.6."""

_DTYPES = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "BFloat16Storage": tf.bfloat16.as_numpy_dtype,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


def read_checkpoint(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The tensors of a file that `torch.save` wrote, of a state dict or of a dict that holds one.

    Args:
        path: of the file, in today's format or in that from before PyTorch 1.6.

    Raises:
        CheckpointError: the file is damaged, holds something else, or would import code.
        FileNotFoundError: there is no such file.
    """
    content = pathlib.Path(path).read_bytes()
    try:
        if zipfile.is_zipfile(io.BytesIO(content)):
            saved, storages = _read_zip(content)
        elif tarfile.is_tarfile(io.BytesIO(content)):
            raise CheckpointError(
                "it is a tar file, as the first versions of PyTorch wrote; write it anew there by "
                "torch.save(torch.load(path), path)"
            )
        else:
            saved, storages = _read_legacy(io.BytesIO(content))
        state = saved.get("state_dict", saved)
        tensors = {key: value for key, value in state.items() if isinstance(value, _Tensor)}
        if not tensors or len(tensors) < len(state):
            raise CheckpointError("its state dict does not consist of tensors")
        return {key: tensor.read(storages) for key, tensor in tensors.items()}
    except CheckpointError as fault:
        raise CheckpointError(f"{path} is no checkpoint that can be read: {fault}") from None
    except Exception as fault:  # a damaged pickle raises errors of any kind
        raise CheckpointError(
            f"{path} is no checkpoint that can be read: it is damaged, cut off, or was not written "
            f"by torch.save ({type(fault).__name__}: {fault})"
        ) from fault


def _read_zip(content: bytes) -> tuple[Any, dict[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (pickled,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        folder = pickled.removesuffix("data.pkl")
        if archive.namelist().count(f"{folder}byteorder"):
            _check_little_endian(archive.read(f"{folder}byteorder") == b"little")
        saved = _Unpickler(io.BytesIO(archive.read(pickled))).load()
        stored = [name for name in archive.namelist() if name.startswith(f"{folder}data/")]
        return saved, {name.removeprefix(f"{folder}data/"): archive.read(name) for name in stored}


def _read_legacy(file: BinaryIO) -> tuple[Any, dict[str, bytes]]:
    """Four pickles (a magic number, the version, the system, what was saved), keys, storages."""
    if _Unpickler(file).load() != _MAGIC:
        raise CheckpointError("it was not written by torch.save")
    _Unpickler(file).load()
    _check_little_endian(_Unpickler(file).load()["little_endian"])
    unpickler = _Unpickler(file)
    saved, storages = unpickler.load(), {}
    for key in _Unpickler(file).load():
        (count,) = np.frombuffer(file.read(8), np.int64)
        storages[key] = file.read(int(count) * np.dtype(unpickler.storages[key]).itemsize)
    return saved, storages


def _check_little_endian(is_so: bool) -> None:
    if not is_so:
        raise CheckpointError("it is big-endian")


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """Where a tensor lies within a storage, in elements."""

    storage: tuple[str, type]
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def read(self, storages: dict[str, bytes]) -> np.ndarray:
        key, dtype = self.storage
        values: np.ndarray = np.frombuffer(storages[key], dtype)[self.offset :]
        reach = sum((size - 1) * step for size, step in zip(self.shape, self.strides, strict=True))
        sane = (
            self.offset >= 0
            and min(self.shape, default=1) >= 0
            and min(self.strides, default=0) >= 0
        )
        if not sane or (0 not in self.shape and reach >= len(values)):
            raise CheckpointError(f"a tensor of shape {self.shape} lies outside its storage")
        strides = [step * values.itemsize for step in self.strides]
        return np.lib.stride_tricks.as_strided(values, self.shape, strides).copy()


class _Unpickler(pickle.Unpickler):
    """Reads tensors, containers and plain values; whatever else a pickle asks for is refused."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="utf-8")
        self.storages: dict[str, type] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        known = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch", "Size"): tuple,
            ("torch._utils", "_rebuild_tensor"): _rebuilt,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuilt,
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
        }
        if (module, name) not in known:
            raise CheckpointError(f"it would import {module}.{name}; only tensors are read")
        return known[module, name]

    def persistent_load(self, saved: Any) -> tuple[str, type]:
        kind, dtype, key, *_ = saved
        view = saved[5] if len(saved) > 5 else None
        if kind != "storage" or view is not None:
            raise CheckpointError(f"it holds a {kind} that is no whole storage")
        self.storages[key] = dtype
        return key, dtype


def _rebuilt(storage: tuple, offset: int, shape: tuple, strides: tuple, *_: Any) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))
