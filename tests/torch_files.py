"""Writer of PyTorch checkpoint files for tests, without PyTorch."""

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

KINDS = {"f4": "FloatStorage", "f8": "DoubleStorage", "f2": "HalfStorage", "i8": "LongStorage"}
"""PyTorch's storage classes, by NumPy's dtype."""


class Storage:
    """The values of one or more tensors."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = np.ascontiguousarray(values).ravel()


class View:
    """A tensor that has some of the values of a storage."""

    def __init__(self, storage: Storage, offset: int, shape: tuple, strides: tuple) -> None:
        self.arguments = (storage, offset, shape, strides, False, collections.OrderedDict())


def write(saved: Any, path: pathlib.Path, legacy: bool = False) -> pathlib.Path:
    """Write an object as `torch.save` does, in the zip format or in that before PyTorch 1.6."""
    content, storages = pickled(saved, legacy)
    if legacy:
        _write_legacy(path, content, storages)
    else:
        write_zip(path, content, storages)
    return path


def write_zip(path: pathlib.Path, content: bytes, storages: list[Storage]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/byteorder", "little")
        for key, storage in enumerate(storages):
            archive.writestr(f"archive/data/{key}", storage.values.tobytes())


def _write_legacy(path: pathlib.Path, content: bytes, storages: list[Storage]) -> None:
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    header = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, system)]
    keys = pickle.dumps([str(key) for key in range(len(storages))], 2)
    values = [struct.pack("<q", s.values.size) + s.values.tobytes() for s in storages]
    path.write_bytes(b"".join([*header, content, keys, *values]))


def pickled(saved: Any, legacy: bool) -> tuple[bytes, list[Storage]]:
    """The pickle of an object as PyTorch makes it, and the storages that it refers to."""
    torch, utils = _torch_modules()
    storages: list[Storage] = []

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            if not isinstance(value, Storage):
                return None
            if value not in storages:
                storages.append(value)
            kind = getattr(torch, KINDS[value.values.dtype.str[1:]])
            key = str(storages.index(value))
            entry = ("storage", kind, key, "cuda:0", value.values.size)
            return (*entry, None) if legacy else entry

        def reducer_override(self, value: Any) -> Any:
            if isinstance(value, np.ndarray):
                strides = tuple(step // value.itemsize for step in value.strides)
                value = View(Storage(value), 0, value.shape, strides)
            if isinstance(value, View):
                return utils._rebuild_tensor_v2, value.arguments
            return NotImplemented

    buffer = io.BytesIO()
    with unittest.mock.patch.dict(sys.modules, {"torch": torch, "torch._utils": utils}):
        Pickler(buffer, protocol=2).dump(saved)
    return buffer.getvalue(), storages


def _torch_modules() -> tuple[types.ModuleType, types.ModuleType]:
    """Stand-ins for `torch` and `torch._utils`, so that pickles can refer to their contents."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in KINDS.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2(*arguments: Any) -> None: ...

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    return torch, utils
