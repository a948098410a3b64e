"""Files as PyTorch writes them, of networks as others name them; without PyTorch.

Names, shapes and their order are spelt out below from the official networks, not taken from ours.
"""

import collections
import io
import pathlib
import pickle
import struct
import sys
import types
import unittest.mock
import zipfile
from typing import Any

import numpy as np

# --- files as torch.save writes them ------------------------------------------------------------


class Storage:
    """The values of one or more tensors."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = np.ascontiguousarray(values).ravel()


class View:
    """A tensor of some of the values of a storage."""

    def __init__(self, storage: Storage, offset: int, shape: tuple, strides: tuple) -> None:
        self.arguments = (storage, offset, shape, strides, False, collections.OrderedDict())


def write(saved: Any, path: pathlib.Path, legacy: bool = False) -> pathlib.Path:
    """Writes an object as `torch.save` does: today's format, or the one before PyTorch 1.6."""
    content, storages = _pickled(saved, legacy)
    if not legacy:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", content)
            archive.writestr("archive/byteorder", "little")
            for key, storage in enumerate(storages):
                archive.writestr(f"archive/data/{key}", storage.values.tobytes())
        return path
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    keys = [str(key) for key in range(len(storages))]
    first = [pickle.dumps(v, 2) for v in (0x1950A86A20F9469CFC6C, 1001, system)]
    values = [struct.pack("<q", s.values.size) + s.values.tobytes() for s in storages]
    path.write_bytes(b"".join([*first, content, pickle.dumps(keys, 2), *values]))
    return path


def _pickled(saved: Any, legacy: bool) -> tuple[bytes, list[Storage]]:
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    kinds = {"f4": "FloatStorage", "f8": "DoubleStorage", "f2": "HalfStorage", "i8": "LongStorage"}
    for name in kinds.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2(*arguments: Any) -> None: ...

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = (
        "torch._utils",
        "_rebuild_tensor_v2",
    )
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2

    storages: list[Storage] = []

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing: Any) -> Any:
            if not isinstance(thing, Storage):
                return None
            if thing not in storages:
                storages.append(thing)
            kind = getattr(torch, kinds[thing.values.dtype.str[1:]])
            key = str(storages.index(thing))
            entry = ("storage", kind, key, "cuda:0", thing.values.size)
            return (*entry, None) if legacy else entry

        def reducer_override(self, thing: Any) -> Any:
            if isinstance(thing, np.ndarray):
                strides = tuple(step // thing.itemsize for step in thing.strides)
                thing = View(Storage(thing), 0, thing.shape, strides)
            if isinstance(thing, View):
                return utils._rebuild_tensor_v2, thing.arguments
            return NotImplemented

    buffer = io.BytesIO()
    with unittest.mock.patch.dict(sys.modules, {"torch": torch, "torch._utils": utils}):
        Pickler(buffer, protocol=2).dump(saved)
    return buffer.getvalue(), storages


# --- the official layouts -----------------------------------------------------------------------

State = dict[str, np.ndarray]


class Layout:
    """Collects the tensors of a network under the names of one of the two code bases."""

    def __init__(self, seed: int = 0, mmaction: bool = False) -> None:
        self.state: State = {}
        self.mmaction = mmaction
        self.prefix = "backbone." if mmaction else "module.base_model."
        self._rng = np.random.default_rng(seed)

    def put(self, name: str, *shape: int) -> None:
        self.state[name] = self._rng.uniform(0.5, 1.5, shape).astype("float32")

    def norm(self, name: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            self.put(f"{self.prefix}{name}.{part}", channels)
        self.state[f"{self.prefix}{name}.num_batches_tracked"] = np.array(7, "int64")

    def conv(self, name: str, *shape: int) -> None:
        self.put(f"{self.prefix}{name}.weight", *shape)

    def head(self, classes: int, channels: int) -> State:
        name = "cls_head.fc_cls" if self.mmaction else "module.new_fc"
        self.put(f"{name}.weight", classes, channels)
        self.put(f"{name}.bias", classes)
        return self.state


def resnet_state(
    mmaction: bool = False,
    shift: bool = True,
    non_local: bool = False,
    seed: int = 0,
    inner: tuple[int, ...] = (8, 8, 16, 32),
    groups: int = 1,
    blocks: tuple[int, ...] = (3, 4, 6, 3),
) -> State:
    """ResNet-50 of width 0.05: 8 channels in conv1, and these in the stages."""
    outer = (16, 32, 56, 104)
    layout = Layout(seed, mmaction)
    conv, norm = (".conv", ".bn") if mmaction else ("", "")
    net = ".net" if shift else ""
    layout.conv(f"conv1{conv}", 8, 3, 7, 7)
    layout.norm("conv1.bn" if mmaction else "bn1", 8)
    read = 8
    for stage, count in enumerate(blocks):
        for block in range(count):
            wrapped = non_local and stage in (1, 2) and block % 2 == 0
            name = outside = f"layer{stage + 1}.{block}"
            name += ".block" if wrapped else ""
            shapes = ((inner[stage], read, 1, 1), (inner[stage], inner[stage] // groups, 3, 3),
                      (outer[stage], inner[stage], 1, 1))  # fmt: skip
            for number, shape in enumerate(shapes, 1):
                layout.conv(f"{name}.conv{number}{conv}{net if number == 1 else ''}", *shape)
                bn = f"{name}.conv{number}{norm}" if mmaction else f"{name}.bn{number}"
                layout.norm(bn, shape[0])
            if block == 0:
                layout.conv(f"{name}.downsample{conv or '.0'}", outer[stage], read, 1, 1)
                layout.norm(f"{name}.downsample{norm or '.1'}", outer[stage])
            read = outer[stage]
            if wrapped:
                nl = f"{outside}.{'non_local_block' if mmaction else 'nl'}"
                for part in ("g.0", "theta", "phi.0"):
                    layout.conv(f"{nl}.{part}{conv}", read // 2, read, 1, 1, 1)
                    layout.put(f"{layout.prefix}{nl}.{part}{conv}.bias", read // 2)
                last = f"{nl}.conv_out.conv" if mmaction else f"{nl}.W.0"
                layout.conv(last, read, read // 2, 1, 1, 1)
                if not mmaction:
                    layout.put(f"{layout.prefix}{last}.bias", read)
                layout.norm(f"{nl}.conv_out.bn" if mmaction else f"{nl}.W.1", read)
    return layout.head(5, read)


def mobilenet_state(mmaction: bool = False, online: bool = False, seed: int = 0) -> State:
    """MobileNetV2 of width 0.05: 8 channels in most places, 16 in the last block."""
    layout = Layout(seed, mmaction)
    if online:
        layout.prefix = ""
    # In mmaction a shift wraps convolution and batch norm; officially the convolution.
    layout.conv("conv1.conv" if mmaction else "features.0.0", 8, 3, 3, 3)
    layout.norm("conv1.bn" if mmaction else "features.0.1", 8)
    number, read = 0, 8
    for stage, count in enumerate((1, 2, 3, 4, 3, 3, 1), 1):
        outer = 16 if stage == 7 else 8
        for block in range(count):
            number += 1
            strided = block == 0 and stage in (2, 3, 4, 6)
            shifted = not online and not strided and number > 1 and read == outer
            inner = 8 if stage == 1 else 6 * read
            shapes = [(inner, 1, 3, 3), (outer, inner, 1, 1)]
            if stage > 1:
                shapes.insert(0, (inner, read, 1, 1))
            for index, shape in enumerate(shapes):
                net = ".net" if shifted and index == 0 else ""
                if mmaction:
                    name = f"layer{stage}.{block}.conv.{index}{net}"
                    names = (f"{name}.conv", f"{name}.bn")
                else:
                    name = f"features.{number}.conv."
                    names = (f"{name}{3 * index}{net}", f"{name}{3 * index + 1}")
                layout.conv(names[0], *shape)
                layout.norm(names[1], shape[0])
            read = outer
    layout.conv("conv2.conv" if mmaction else "features.18.0", 1280, 16, 1, 1)
    layout.norm("conv2.bn" if mmaction else "features.18.1", 1280)
    state = layout.head(5, 1280)
    for part in ("weight", "bias"):
        if online:
            state[f"classifier.{part}"] = state.pop(f"module.new_fc.{part}")
    return state


def torchvision_resnet_state(**options: Any) -> State:
    """As `resnet_state`, under the names of torchvision."""
    state = resnet_state(shift=False, **options)
    return {
        key.removeprefix("module.base_model.").replace("module.new_fc.", "fc."): value
        for key, value in state.items()
    }


def torchvision_mobilenet_state(**options: Any) -> State:
    """As `mobilenet_state`, under the names of torchvision, which nests convolution and batch norm
    but for the last of a block."""
    first = {"0": "0.0", "1": "0.1", "3": "1", "4": "2"}
    others = {"0": "0.0", "1": "0.1", "3": "1.0", "4": "1.1", "6": "2", "7": "3"}
    state = {}
    for key, value in mobilenet_state(online=True, **options).items():
        name = key.replace("classifier.", "classifier.1.")
        if ".conv." in name:
            block, _, inside = name.partition(".conv.")
            part, _, rest = inside.partition(".")
            nested = (first if block == "features.1" else others)[part]
            name = f"{block}.conv.{nested}.{rest}"
        state[name] = value
    return state


def calm(state: State) -> State:
    """`state` with convolutions of such size that what a network says is neither 0 nor infinite."""
    return {
        key: value
        if value.ndim < 2
        else ((value - 1) * np.sqrt(24 / value[0].size)).astype("float32")
        for key, value in state.items()
    }
