"""Checkpoints: everything a run needs to resume, in one file that is written atomically.

A checkpoint holds weights, optimizer states, random seeds, the number of batches, and a checksum of
all of them. The data pipeline has no state: a batch is a function of its number.

    model|N|NAME          variable N of the model
    optimizer|N|KIND      variable N of the optimizers, which are of this kind
    about                 any other values, as JSON
    checksum              SHA-256 of the names, dtypes, shapes and bytes of all others

Variables are known by their positions and not by their paths, which depend on the number of layers
that the process has built before.
"""

import dataclasses
import hashlib
import io
import json
import os
import pathlib
import re
import zipfile
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from mpvn.files import AtomicPath, writing

_ABOUT = "about"
_CHECKSUM = "checksum"
_OPTIMIZER = "optimizer|"


class CheckpointError(ValueError):
    """A file that is not a whole checkpoint."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint.

    Attributes:
        path: the file.
        arrays: the variables, by name.
        about: any other values.
    """

    path: pathlib.Path
    arrays: Mapping[str, np.ndarray]
    about: dict

    def restore(
        self, model: keras.Model, optimizers: Sequence[keras.optimizers.Optimizer] = ()
    ) -> None:
        """Assign the saved state.

        Args:
            model: a model of the same architecture.
            optimizers: built optimizers of the same kinds; empty to restore the model only.

        Raises:
            ValueError: the checkpoint belongs to another architecture. The model is not changed
                then.
        """
        state, arrays = _state(model, optimizers), self.arrays
        if not optimizers:
            arrays = {name: x for name, x in arrays.items() if not name.startswith(_OPTIMIZER)}
        faults = [f"lacks {name}" for name in state.keys() - arrays.keys()]
        faults += [f"has unknown {name}" for name in arrays.keys() - state.keys()]
        faults += [
            f"{name} is {_described(arrays[name])}, not {_described(variable)}"
            for name, variable in state.items()
            if name in arrays and _described(arrays[name]) != _described(variable)
        ]
        if faults:
            shown = "\n".join(f"  - {fault}" for fault in sorted(faults)[:5])
            raise ValueError(
                f"{self.path} belongs to another network than {model.name!r}: {len(faults)} of "
                f"{len(state)} tensors differ:\n{shown}\nBuild the network with the config of the "
                "run"
            )
        for name, variable in state.items():
            variable.assign(arrays[name])


def save_checkpoint(
    path: str | os.PathLike,
    model: keras.Model,
    optimizers: Sequence[keras.optimizers.Optimizer],
    about: dict,
    previous: str | os.PathLike | None = None,
) -> None:
    """Write the state of a model in training.

    Args:
        path: file to write, `.npz`.
        model: the model; its weights and random seeds are saved.
        optimizers: built optimizers.
        about: any other values that JSON can hold.
        previous: where an existing file at `path` is moved. Default: it is replaced. At each moment
            at least one of the two files is a whole checkpoint.

    Raises:
        WriteError: the file cannot be written.
    """
    arrays = {name: np.asarray(variable) for name, variable in _state(model, optimizers).items()}
    arrays[_ABOUT] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    arrays[_CHECKSUM] = np.frombuffer(_checksum(arrays), np.uint8)
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, **arrays)
    with writing(path), AtomicPath(path) as temporary:
        temporary.write_bytes(packed.getbuffer())
        if previous is not None and os.path.exists(path):
            os.replace(path, previous)


def read_checkpoint(path: str | os.PathLike) -> Checkpoint:
    """Read a file that `save_checkpoint` wrote.

    Raises:
        CheckpointError: the file does not exist, or is damaged.
    """
    if not os.path.exists(path):
        raise CheckpointError(f"Expected a checkpoint. Received: nothing at {path}")
    if not zipfile.is_zipfile(path):
        raise _damaged(path, "it is cut, or is not an archive")
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = dict(stored)
    except Exception as fault:  # A damaged archive raises errors of zipfile, zlib, NumPy and more.
        raise _damaged(path, f"it cannot be read ({fault})") from fault
    if _CHECKSUM not in arrays:
        raise CheckpointError(
            f"{path} has no checksum. Expected a checkpoint of this version of mpvn. Received: one "
            "of an earlier version, or another file. Train the run again in a new folder"
        )
    if arrays.pop(_CHECKSUM).tobytes() != _checksum(arrays):
        raise _damaged(path, "its content does not have the checksum that it was saved with")
    return Checkpoint(pathlib.Path(path), arrays, json.loads(arrays.pop(_ABOUT).tobytes()))


def _damaged(path: str | os.PathLike, problem: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is damaged: {problem}. Expected a whole checkpoint of a run. Restore the file "
        "from a copy, use another one (`mpvn eval --checkpoint`), or delete it and train on from "
        "the checkpoint before"
    )


def _checksum(arrays: Mapping[str, np.ndarray]) -> bytes:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()


def _described(tensor: np.ndarray | keras.Variable) -> str:
    return f"{np.dtype(tensor.dtype).name} {list(tensor.shape)}"


def _state(
    model: keras.Model, optimizers: Sequence[keras.optimizers.Optimizer]
) -> dict[str, keras.Variable]:
    """Return variables by names that do not depend on what else was built in this process."""
    # A variable without a name is called variable_7, by the number of such variables so far.
    names = [re.sub(r"_\d+$", "", variable.name) for variable in model.variables]
    state = {
        f"model|{n}|{name.replace('/', '|')}": variable
        for n, (name, variable) in enumerate(zip(names, model.variables, strict=True))
    }
    slots = [(type(each).__name__, slot) for each in optimizers for slot in each.variables]
    return state | {f"{_OPTIMIZER}{n}|{kind}": slot for n, (kind, slot) in enumerate(slots)}
