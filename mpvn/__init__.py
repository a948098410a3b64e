"""Video networks that keep up with the camera.

    frame model (Keras functional)  --Plan-->  VideoNetwork  -->  step / clip / export

Importing the package makes its classes known to Keras, which needs them to load files. Only the
command `mpvn` imports them when they are first used: `mpvn --help` does not wait for TensorFlow.
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

_HOMES = {
    "Clock": "mpvn.plan.clock",
    "Plan": "mpvn.plan",
    "PlanError": "mpvn.plan",
    "VideoNetwork": "mpvn.network",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mpvn' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


# While `python -m mpvn.cli` looks for its module, the program is still called "-m".
if sys.argv[0] != "-m" and pathlib.Path(sys.argv[0]).stem != "mpvn":
    for _home in sorted(
        {*_HOMES.values(), "mpvn.cell", "mpvn.tasks"}
    ):  # which Keras must know, too
        importlib.import_module(_home)
