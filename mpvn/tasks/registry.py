"""The tasks by name, and the task of a trained network."""

import types
from collections.abc import Mapping
from typing import Any

from mpvn.metadata import Metadata
from mpvn.network import VideoNetwork
from mpvn.plan import Plan
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


def create_task(metadata: Metadata, network: VideoNetwork) -> Task:
    """Return what a network predicts, as its metadata say.

    Args:
        metadata: those of the network; `metadata.task` is not None.
        network: the network, also under another plan: the plan says when it answers.

    Raises:
        ValueError: there is no such task, or one of its options does not fit.
    """
    informed = network.first_informed_step
    return task_of(metadata, prediction_latency(metadata, network.plan), informed)


def task_of(metadata: Metadata, latency: int, first_informed_step: int) -> Task:
    """Return the task of metadata, from when the network answers; see `create_task`.

    Args:
        metadata: those of the network.
        latency: steps from a frame to the output that is about it.
        first_informed_step: the first step at which the outputs depend on a frame.

    Raises:
        ValueError: as `create_task`.
    """
    if metadata.task is None or metadata.task not in TASKS:
        raise ValueError(
            f"Invalid metadata. Expected a task of {', '.join(TASKS)}. Received: {metadata.task!r}."
        )
    arguments: dict[str, Any] = dict(metadata.options)
    for kind, names in metadata.names.items():
        arguments |= {kind: len(names), "names": tuple(names)}
    if "joints" in metadata.names:
        arguments["frame_size"] = metadata.size
    return TASKS[metadata.task](
        **arguments,
        latency=latency,
        first_informed_step=first_informed_step if metadata.mask_uninformed else 0,
    )


def prediction_latency(metadata: Metadata, plan: Plan) -> int:
    """Return the steps from a frame to the output that is about it.

    Where the metadata do not give it, these are the steps after which the network answers, along
    the slowest path.
    """
    given = metadata.latency
    return plan.information_latency[1] if given is None else given
