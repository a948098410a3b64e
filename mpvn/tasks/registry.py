"""The tasks by name, for configs."""

import types
from collections.abc import Mapping

from mpvn.tasks.action import ActionRecognition
from mpvn.tasks.autoencoding import Autoencoding
from mpvn.tasks.future_frame import FutureFrame
from mpvn.tasks.keypoints import Keypoints
from mpvn.tasks.multi_label import MultiLabelActions
from mpvn.tasks.task import Task

TASKS: Mapping[str, type[Task]] = types.MappingProxyType(
    {
        "action": ActionRecognition,
        "multi_label_action": MultiLabelActions,
        "keypoints": Keypoints,
        "autoencoding": Autoencoding,
        "future_frame": FutureFrame,
    }
)
"""Subclasses of `Task` by the name of the task."""
