"""Checkpoints: everything a run needs to resume, in one file that is written atomically.

A checkpoint holds weights, optimizer states, random seeds and the number of batches. The data
pipeline has no state: a batch is a function of its number.
"""

import io
import json
import os
from collections.abc import Sequence

import keras
import numpy as np

from mpvn.files import write_atomically

_ABOUT = "about"
_OPTIMIZER = "optimizer|"


def save_checkpoint(
    path: str | os.PathLike,
    model: keras.Model,
    optimizers: Sequence[keras.optimizers.Optimizer],
    about: dict,
) -> None:
    """Write the state of a model in training.

    Args:
        path: file to write, `.npz`.
        model: the model; its weights and random seeds are saved.
        optimizers: built optimizers.
        about: any other values that JSON can hold.
    """
    arrays = {name: np.asarray(variable) for name, variable in _state(model, optimizers).items()}
    arrays[_ABOUT] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, **arrays)
    write_atomically(path, packed.getvalue())


def load_checkpoint(
    path: str | os.PathLike,
    model: keras.Model,
    optimizers: Sequence[keras.optimizers.Optimizer] = (),
) -> dict:
    """Restore a saved state.

    Args:
        path: file written by `save_checkpoint`.
        model: a model of the same architecture.
        optimizers: optimizers of the same kinds; empty to load the model only.

    Returns:
        The saved `about`.

    Raises:
        ValueError: the file is not a checkpoint, or belongs to another architecture. The model is
            not changed then.
    """
    try:
        with np.load(path) as stored:
            arrays = dict(stored)
        about = json.loads(arrays.pop(_ABOUT).tobytes())
    except (OSError, ValueError, KeyError, EOFError) as fault:
        raise ValueError(f"{path} is not a checkpoint of a run: {fault}") from fault
    state = _state(model, optimizers)
    if not optimizers:
        arrays = {name: x for name, x in arrays.items() if not name.startswith(_OPTIMIZER)}
    faults = [f"lacks {name}" for name in state.keys() - arrays.keys()]
    faults += [f"has unknown {name}" for name in arrays.keys() - state.keys()]
    faults += [
        f"{name} has shape {arrays[name].shape}, not {tuple(variable.shape)}"
        for name, variable in state.items()
        if name in arrays and arrays[name].shape != tuple(variable.shape)
    ]
    if faults:
        shown = "\n".join(f"  - {fault}" for fault in sorted(faults)[:5])
        raise ValueError(
            f"{path} belongs to another network than {model.name!r}: {len(faults)} of "
            f"{len(state)} tensors differ:\n{shown}\nBuild the network with the config of the run"
        )
    for name, variable in state.items():
        variable.assign(arrays[name])
    return about


def _state(
    model: keras.Model, optimizers: Sequence[keras.optimizers.Optimizer]
) -> dict[str, keras.Variable]:
    """Return variables by names that do not depend on what else was built in this process."""
    state = {f"model/{n}/{v.name}": v for n, v in enumerate(model.variables)}
    of_optimizers = [variable for optimizer in optimizers for variable in optimizer.variables]
    state |= {f"optimizer/{n}/{v.name}": v for n, v in enumerate(of_optimizers)}
    return {name.replace("/", "|"): variable for name, variable in state.items()}
