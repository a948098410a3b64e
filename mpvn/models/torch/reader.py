"""Reader for PyTorch checkpoint files (`.pth`, `.pth.tar`), without PyTorch.

A checkpoint is a pickle, and a pickle can run any program. The unpickler here builds tensors,
containers and plain values, and refuses everything else.

It reads the zip format of PyTorch 1.6 and later, and the format before it, in which the official
TSM checkpoints are written. It does not read the tar files of the first PyTorch versions,
big-endian files, or views of other storages.
"""

import collections
import dataclasses
import io
import os
import pathlib
import pickle
import tarfile
import zipfile
from typing import Any, BinaryIO

import numpy as np
import tensorflow as tf

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
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


class CheckpointError(ValueError):
    """A file that is not a checkpoint, or not a checkpoint of this network."""


def read_checkpoint(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read the tensors of a file that `torch.save` wrote.

    Args:
        path: A file that contains a state dict, or a dict with one under `"state_dict"`.

    Returns:
        The tensors by their names in the file, in the file's shapes and dtypes.

    Raises:
        CheckpointError: If the file is damaged, contains something else, or would import code.
        FileNotFoundError: If the file does not exist.
    """
    content = pathlib.Path(path).read_bytes()
    try:
        saved, storages = _read(content)
        state = saved.get("state_dict", saved)
        tensors = {key: value for key, value in state.items() if isinstance(value, _Tensor)}
        if not tensors or len(tensors) < len(state):
            raise CheckpointError("Expected a state dict of tensors only")
        return {key: tensor.read(storages) for key, tensor in tensors.items()}
    except CheckpointError as error:
        raise CheckpointError(f"Cannot read the checkpoint {path}. {error}") from None
    except Exception as error:  # a damaged pickle raises errors of any kind
        raise CheckpointError(
            f"Cannot read the checkpoint {path}. It is damaged, truncated, or not written by "
            f"torch.save ({type(error).__name__}: {error})"
        ) from error


def _read(content: bytes) -> tuple[Any, dict[str, bytes]]:
    """The saved object, with `_Tensor`s for its tensors, and the bytes of each storage."""
    if zipfile.is_zipfile(io.BytesIO(content)):
        return _read_zip(content)
    if tarfile.is_tarfile(io.BytesIO(content)):
        raise CheckpointError(
            "It is a tar file of the first PyTorch versions. Rewrite it in PyTorch with "
            "torch.save(torch.load(path), path)"
        )
    return _read_legacy(io.BytesIO(content))


def _read_zip(content: bytes) -> tuple[Any, dict[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (pickled,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        folder = pickled.removesuffix("data.pkl")
        if f"{folder}byteorder" in archive.namelist():
            _check_little_endian(archive.read(f"{folder}byteorder") == b"little")
        saved = _Unpickler(io.BytesIO(archive.read(pickled))).load()
        stored = [name for name in archive.namelist() if name.startswith(f"{folder}data/")]
        return saved, {name.removeprefix(f"{folder}data/"): archive.read(name) for name in stored}


def _read_legacy(file: BinaryIO) -> tuple[Any, dict[str, bytes]]:
    """Reads four pickles (magic number, version, system, saved object), storage keys, storages."""
    if _Unpickler(file).load() != _LEGACY_MAGIC:
        raise CheckpointError("It was not written by torch.save")
    _Unpickler(file).load()
    _check_little_endian(_Unpickler(file).load()["little_endian"])
    unpickler = _Unpickler(file)
    saved, storages = unpickler.load(), {}
    for key in _Unpickler(file).load():
        (count,) = np.frombuffer(file.read(8), np.int64)
        storages[key] = file.read(int(count) * np.dtype(unpickler.dtypes[key]).itemsize)
    return saved, storages


def _check_little_endian(little: bool) -> None:
    if not little:
        raise CheckpointError("It is big-endian. Expected a little-endian file")


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """The place of a tensor in a storage, in elements."""

    storage: tuple[str, type]  # key and dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def read(self, storages: dict[str, bytes]) -> np.ndarray:
        key, dtype = self.storage
        values: np.ndarray = np.frombuffer(storages[key], dtype)[self.offset :]
        last = sum((size - 1) * step for size, step in zip(self.shape, self.strides, strict=True))
        valid = min(self.offset, *self.shape, *self.strides, 0) >= 0
        if not valid or (0 not in self.shape and last >= len(values)):
            raise CheckpointError(f"A tensor of shape {self.shape} lies outside its storage")
        strides = [step * values.itemsize for step in self.strides]
        return np.lib.stride_tricks.as_strided(values, self.shape, strides).copy()


def _build_tensor(storage: tuple, offset: int, shape: tuple, strides: tuple, *_: Any) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


class _Unpickler(pickle.Unpickler):
    """Builds tensors, containers and plain values. Refuses every other class or function."""

    _ALLOWED = {
        **{("torch", name): dtype for name, dtype in _DTYPES.items()},
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("torch", "Size"): tuple,
        ("torch._utils", "_rebuild_tensor"): _build_tensor,
        ("torch._utils", "_rebuild_tensor_v2"): _build_tensor,
        ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
    }

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="utf-8")
        self.dtypes: dict[str, type] = {}  # of the storages, by key

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise CheckpointError(
                f"It would import {module}.{name}. Expected tensors and plain values only"
            )
        return self._ALLOWED[module, name]

    def persistent_load(self, saved: Any) -> tuple[str, type]:
        kind, dtype, key, *_ = saved
        view = saved[5] if len(saved) > 5 else None
        if kind != "storage" or view is not None:
            raise CheckpointError(f"Expected whole storages. Received: a view, or a {kind!r}")
        self.dtypes[key] = dtype
        return key, dtype
