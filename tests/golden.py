"""Outputs of official implementations, and the rule that makes their weights.

The files are in the folder of the fixture `shared`.
"""

import importlib.util
import json
import pathlib
from types import ModuleType

import numpy as np


def arrays(shared: pathlib.Path, name: str) -> dict[str, np.ndarray]:
    """Load the arrays of `name.npz`."""
    with np.load(shared / "golden" / f"{name}.npz") as stored:
        return dict(stored)


def weights(shared: pathlib.Path, name: str) -> dict[str, np.ndarray]:
    """Make the weights that gave `name.npz`, by their official names, in PyTorch's layout."""
    folder = shared / "golden"
    rule = _module(folder / "rule.py")
    tensors = json.loads((folder / f"{name}.json").read_text())["tensors"]
    return {key: rule.tensor(key, tuple(shape), kind) for key, kind, shape, *_ in tensors}


def _module(path: pathlib.Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
