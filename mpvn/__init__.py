"""Video networks that keep up with the camera.

    frame model (Keras functional)  --Plan-->  VideoNetwork  -->  step / clip / export

`import mpvn` registers the package's classes with Keras, so that `keras.models.load_model` can load
files with them. Only the command `mpvn` imports them lazily, so that `mpvn --help` does not wait
for TensorFlow.
"""

import importlib
import pathlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mpvn.network import VideoNetwork
    from mpvn.plan import Plan, PlanError
    from mpvn.plan.clock import Clock

__version__ = "0.1.0"

__all__ = ["Clock", "Plan", "PlanError", "VideoNetwork"]

_MODULES = {
    "Clock": "mpvn.plan.clock",
    "Plan": "mpvn.plan",
    "PlanError": "mpvn.plan",
    "VideoNetwork": "mpvn.network",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'mpvn' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def _is_command() -> bool:
    """Return whether this process is the command `mpvn`."""
    # With `python -m mpvn.cli`, sys.argv[0] is still "-m" when Python imports this package.
    return sys.argv[0] == "-m" or pathlib.Path(sys.argv[0]).stem == "mpvn"


if not _is_command():
    for _module in ("mpvn.network", "mpvn.tasks"):  # they register classes with Keras
        importlib.import_module(_module)
