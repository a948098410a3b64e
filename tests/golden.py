"""Outputs of official implementations, and the rule of their weights, of the fixture `shared`."""

import importlib.util
import json
import pathlib
from types import ModuleType

import numpy as np


def arrays(shared: pathlib.Path, name: str) -> dict[str, np.ndarray]:
    """The arrays of `name.npz`."""
    with np.load(shared / "golden" / f"{name}.npz") as stored:
        return dict(stored)


def weights(shared: pathlib.Path, name: str) -> dict[str, np.ndarray]:
    """The weights that made `name.npz`, by their names there, in PyTorch's layout."""
    folder = shared / "golden"
    rule = _module(folder / "rule.py")
    listed = json.loads((folder / f"{name}.json").read_text())["tensors"]
    return {key: rule.tensor(key, tuple(shape), kind) for key, kind, shape, *_ in listed}


def _module(path: pathlib.Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
