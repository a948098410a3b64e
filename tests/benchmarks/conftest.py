"""Imports the benchmarks' scripts, which are no package."""

import importlib.util
import pathlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[pathlib.Path], ModuleType]]:
    """Return a function that imports a script; forget the modules beside it afterwards."""
    monkeypatch.setattr(sys, "path", [*sys.path])

    def import_script(path: pathlib.Path) -> ModuleType:
        sys.path[:0] = [str(path.parent), str(BENCHMARKS)]
        spec = importlib.util.spec_from_file_location("script", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield import_script
    for name, module in list(sys.modules.items()):
        if str(BENCHMARKS) in str(getattr(module, "__file__", "")):
            del sys.modules[name]
