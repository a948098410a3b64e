"""Video networks that keep up with the camera.

frame model (Keras functional)  --Plan-->  VideoNetwork  -->  step / clip / export
"""

import keras

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        "mpvn needs Keras on TensorFlow, but Keras runs on "
        f"{keras.backend.backend()!r}. Set the environment variable KERAS_BACKEND=tensorflow "
        "before the first import of keras"
    )

from mpvn.cell import NetworkCell
from mpvn.clock import Clock
from mpvn.network import VideoNetwork
from mpvn.plan import Plan, PlanError

__version__ = "0.1.0"

__all__ = ["Clock", "NetworkCell", "Plan", "PlanError", "VideoNetwork"]
