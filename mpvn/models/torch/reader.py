"""Reader for checkpoint files (`.pth`, `.pth.tar`, `.safetensors`), without PyTorch.

It reads the zip format of PyTorch 1.6 and later, the format before it, in which the official TSM
checkpoints are written, and safetensors. Of a training checkpoint it reads the weights only;
nothing in a file is executed, see `mpvn.models.torch.unpickler`.

It does not read the tar files of the first PyTorch versions, big-endian files, sparse or quantized
tensors, or models that were pickled whole.
"""

import contextlib
import io
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from mpvn.models.torch import safetensors
from mpvn.models.torch.class_names import find_class_names
from mpvn.models.torch.unpickler import Inert, Tensor, Unpickler

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""First value of a file from before PyTorch 1.6."""

STATES = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "module",
    "state_dict_ema",
    "ema_state_dict",
    "model_ema",
)
"""Keys of training checkpoints under which the weights are. The first that a file has counts, so
averaged weights (EMA) are read where there are no others."""


class CheckpointError(ValueError):
    """A file that is not a checkpoint, or not a checkpoint of this network."""


def read_checkpoint(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read the weights of a file that `torch.save` or safetensors wrote.

    Args:
        path: A file that contains a state dict, or a dict with one under a key of `STATES`.

    Returns:
        The tensors by their names in the file, in the file's shapes and dtypes. Entries of the
        state dict that are not tensors are left out.

    Raises:
        CheckpointError: If the file is damaged, or contains something else.
        FileNotFoundError: If the file does not exist.
    """
    with _opened(path) as file:
        return {name: file.read(tensor) for name, tensor in _tensors(file.saved).items()}


def read_shapes(path: str | os.PathLike) -> dict[str, tuple[int, ...]]:
    """Read the shapes of the tensors that `read_checkpoint` reads, without their values.

    Raises:
        CheckpointError, FileNotFoundError: As `read_checkpoint`.
    """
    with _opened(path) as file:
        return {name: tensor.shape for name, tensor in _tensors(file.saved).items()}


def class_names(path: str | os.PathLike) -> tuple[str, ...]:
    """Read the names of the classes, in order, of a file that has them; see `find_class_names`.

    Returns:
        The names; empty if the file has none.

    Raises:
        CheckpointError, FileNotFoundError: As `read_checkpoint`.
    """
    with _opened(path) as file:
        return find_class_names(file.saved)


class _File(NamedTuple):
    """An open file.

    Attributes:
        saved: The saved object, with a `Tensor` for each of its tensors.
        read: Returns the values of one.
    """

    saved: Any
    read: Callable[[Tensor], np.ndarray]


@contextlib.contextmanager
def _opened(path: str | os.PathLike) -> Iterator[_File]:
    """Open a file. Errors in the block are those of the file."""
    with open(path, "rb") as file:
        try:
            yield _open(file)
        except CheckpointError as error:
            raise CheckpointError(f"Cannot read the checkpoint {path}. {error}") from None
        except Exception as error:  # a damaged pickle raises errors of any kind
            raise CheckpointError(
                f"Cannot read the checkpoint {path}. It is damaged, truncated, or not written by "
                f"torch.save ({type(error).__name__}: {error})"
            ) from error


def _open(file: BinaryIO) -> _File:
    head = file.read(16)
    file.seek(0)
    if head.startswith(b"PK\x03\x04"):
        return _open_zip(file)
    if safetensors.is_header(head):
        return _File(*safetensors.open_tensors(file))
    if tarfile.is_tarfile(file):
        raise CheckpointError(
            "It is a tar file of the first PyTorch versions. Rewrite it in PyTorch with "
            "torch.save(torch.load(path), path)"
        )
    file.seek(0)
    return _open_legacy(file)


def _open_zip(file: BinaryIO) -> _File:
    archive = zipfile.ZipFile(file)
    (pickled,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
    folder = pickled.removesuffix("data.pkl")
    if f"{folder}byteorder" in archive.namelist():
        _check_little_endian(archive.read(f"{folder}byteorder") == b"little")
    saved = Unpickler(io.BytesIO(archive.read(pickled))).load()
    return _File(saved, lambda x: x.read(archive.read(f"{folder}data/{x.storage.key}")))


def _open_legacy(file: BinaryIO) -> _File:
    """Reads four pickles (magic number, version, system, saved object), storage keys, storages."""
    if Unpickler(file).load() != _LEGACY_MAGIC:
        raise CheckpointError("It was not written by torch.save")
    Unpickler(file).load()
    _check_little_endian(Unpickler(file).load()["little_endian"])
    unpickler = Unpickler(file)
    saved = unpickler.load()
    parts: dict[str, tuple[int, int]] = {}  # begin and size in bytes
    for key in Unpickler(file).load():
        (count,) = np.frombuffer(file.read(8), np.int64)
        parts[key] = file.tell(), int(count) * np.dtype(unpickler.dtypes[key]).itemsize
        file.seek(parts[key][1], os.SEEK_CUR)
    if file.tell() > file.seek(0, os.SEEK_END):
        raise CheckpointError("It is truncated")

    def read(tensor: Tensor) -> np.ndarray:
        begin, size = parts[tensor.storage.key]
        file.seek(begin)
        return tensor.read(file.read(size))

    return _File(saved, read)


def _check_little_endian(little: bool) -> None:
    if not little:
        raise CheckpointError("It is big-endian. Expected a little-endian file")


def _tensors(saved: Any) -> dict[str, Tensor]:
    """Return the tensors of the state dict in `saved`, by name.

    Raises:
        CheckpointError: There is no state dict, or some tensors cannot be read.
    """
    state = _state_dict(saved)
    if not isinstance(state, Mapping):
        what = f"an object of {state.path}" if isinstance(state, Inert) else type(state).__name__
        raise CheckpointError(
            f"Expected a state dict: tensors by name. Received: {what}. Save the weights by "
            "torch.save(model.state_dict(), path)"
        )
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    others = [
        f"{name} by {value.path}"
        for name, value in state.items()
        if isinstance(value, Inert) and "_rebuild_" in value.path
    ]
    if others:
        raise CheckpointError(f"Expected dense tensors. Received: {', '.join(others[:3])}")
    if not tensors:
        keys = ", ".join(str(key) for key in list(state)[:8]) or "nothing"
        raise CheckpointError(
            "Expected a state dict: tensors by name, alone or in a dict under one of "
            f"{', '.join(STATES)}. Received: a dict of {keys}"
        )
    return tensors


def _state_dict(saved: Any) -> Any:
    """Return the innermost state dict that a training checkpoint wraps."""
    for kind in (Mapping, Inert):
        for key in STATES if isinstance(saved, Mapping) else ():
            if isinstance(saved.get(key), kind):
                return _state_dict(saved[key])
    return saved
