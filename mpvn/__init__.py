"""Video networks that keep up with the camera.

    frame model (Keras functional)  --Plan-->  VideoNetwork  -->  step / clip / export

Public names are imported when they are first used, so that `mpvn --help` and `mpvn.data` do not
wait for TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mpvn.cell import NetworkCell
    from mpvn.clock import Clock
    from mpvn.network import VideoNetwork
    from mpvn.plan import Plan, PlanError

__version__ = "0.1.0"

__all__ = ["Clock", "NetworkCell", "Plan", "PlanError", "VideoNetwork"]

_HOMES = {
    "Clock": "mpvn.clock",
    "NetworkCell": "mpvn.cell",
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
