"""Everything that the rest of a run depends on, in one file that is never half written.

Weights, the optimizer's state, the state of random seeds, and how many batches have been taken. The
pipeline needs no state: its batches are a function of their number.
"""

import io
import json
import os
from collections.abc import Sequence

import keras
import numpy as np

from mpvn.files import write_atomically

_ABOUT = "about"


def save_checkpoint(
    path: str | os.PathLike,
    model: keras.Model,
    optimizers: Sequence[keras.optimizers.Optimizer],
    about: dict,
) -> None:
    """Writes the state of a model in training.

    Args:
        path: file to write, `.npz`.
        model: whose weights and seeds are written.
        optimizers: which are built.
        about: whatever else is to be known, as JSON can hold.
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
    """Gives a model the state that was saved.

    Args:
        path: of `save_checkpoint`.
        model: of the same architecture.
        optimizers: of the same kinds, if their state is to be loaded too.

    Returns:
        What `about` was.

    Raises:
        ValueError: no checkpoint, or one of another architecture; the model stays as it was.
    """
    try:
        with np.load(path) as stored:
            arrays = dict(stored)
        about = json.loads(arrays.pop(_ABOUT).tobytes())
    except (OSError, ValueError, KeyError, EOFError) as fault:
        raise ValueError(f"{path} is no checkpoint of a run: {fault}") from fault
    state = _state(model, optimizers)
    if not optimizers:
        arrays = {name: value for name, value in arrays.items() if not _is_optimizer(name)}
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
            f"{path} is of another network than {model.name!r}: {len(faults)} of "
            f"{len(state)} tensors differ:\n{shown}\nBuild the network with the run's own config"
        )
    for name, variable in state.items():
        variable.assign(arrays[name])
    return about


def _state(
    model: keras.Model, optimizers: Sequence[keras.optimizers.Optimizer]
) -> dict[str, keras.Variable]:
    """Variables by names that do not depend on how many models were made before."""
    found = {f"model/{n}/{v.name}": v for n, v in enumerate(model.variables)}
    of_optimizers = [variable for optimizer in optimizers for variable in optimizer.variables]
    found |= {f"optimizer/{n}/{v.name}": v for n, v in enumerate(of_optimizers)}
    return {name.replace("/", "|"): variable for name, variable in found.items()}


def _is_optimizer(name: str) -> bool:
    return name.startswith("optimizer|")
