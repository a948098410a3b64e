"""Video networks that keep up with the camera.

    frame model (Keras functional)  --Plan-->  VideoNetwork  -->  step / clip / export

`import mpvn` registers the package's classes with Keras, so that `keras.models.load_model` can load
files with them. Only the command `mpvn` imports them lazily, so that `mpvn --help` does not wait
for TensorFlow. The modules of the package, such as `mpvn.models`, are imported when they are used.
"""

import importlib
import pathlib
import pkgutil
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mpvn.metadata import Metadata
    from mpvn.network import VideoNetwork
    from mpvn.plan import Plan, PlanError
    from mpvn.plan.clock import Clock
    from mpvn.prediction.calibration import calibration_clips
    from mpvn.prediction.predictor import predict

__version__ = "0.1.0"

__all__ = [
    "Clock",
    "Metadata",
    "Plan",
    "PlanError",
    "VideoNetwork",
    "calibration_clips",
    "predict",
]

_MODULE_OF = {
    "Clock": "mpvn.plan.clock",
    "Metadata": "mpvn.metadata",
    "Plan": "mpvn.plan",
    "PlanError": "mpvn.plan",
    "VideoNetwork": "mpvn.network",
    "calibration_clips": "mpvn.prediction.calibration",
    "predict": "mpvn.prediction.predictor",
}


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(importlib.import_module(_MODULE_OF[name]), name)
    if name in _submodules():
        return importlib.import_module(f"mpvn.{name}")
    raise AttributeError(f"module 'mpvn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_submodules()})


def _submodules() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(__path__)]


def _is_command() -> bool:
    """Return whether this process is the command `mpvn`, or `python -m mpvn.cli`.

    If in doubt, it is not: then the package imports slowly, but loads every file. A user's script
    may have the name of the command.
    """
    arguments = getattr(sys, "argv", None) or [""]  # an embedded Python may have none
    if arguments[0] == "-m":  # Python still looks for the module that it was asked to run
        return sys.orig_argv[-len(arguments)].removeprefix("-m") == "mpvn.cli"
    program = pathlib.Path(arguments[0])
    return program.name == "mpvn" and program.is_file() and b"mpvn.cli" in program.read_bytes()


if not _is_command():
    for _module in ("mpvn.network", "mpvn.tasks"):  # they register classes with Keras
        importlib.import_module(_module)
