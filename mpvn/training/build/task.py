"""The task: what the network predicts, and when its answer is due."""

import pathlib

from ml_collections import ConfigDict

from mpvn.data.sets.layout import folders_in, named
from mpvn.data.video_set import VideoSet
from mpvn.graph.data import Graph
from mpvn.metadata import Names
from mpvn.network import VideoNetwork
from mpvn.plan import Plan
from mpvn.tasks import Task
from mpvn.tasks.classes import ClassTask
from mpvn.tasks.registry import TASKS, create_task
from mpvn.training.options import unknown
from mpvn.training.run_data import describe


def build_task(config: ConfigDict, names: Names, network: VideoNetwork) -> Task:
    """Return the task of a network.

    Args:
        config: the config.
        names: names of the classes or joints; see `output_names`.
        network: the network, which says when it answers.

    Raises:
        ValueError: there is no such task, or an option does not fit it or the trainer.
    """
    if config.task.name not in TASKS:
        raise unknown("config.task.name", config.task.name, TASKS)
    task = create_task(describe(config, names), network)
    _check_outputs(config, task, names, network.plan.graph)
    if task.only_last:
        _check_last(config, network.plan)
    return task


def output_names(config: ConfigDict, videos: VideoSet) -> Names:
    """Return the names of the outputs: classes or joints; empty for tasks without them.

    Raises:
        ValueError: the data set does not have them.
    """
    if config.task.name in ("action", "multi_label_action"):
        _check_kind(config, videos)
        return {"classes": _required(config, videos, "classes")}
    if config.task.name == "keypoints":
        return {"joints": _required(config, videos, "joints")}
    return {}


def head_arguments(names: Names) -> dict[str, int]:
    """Return the size of the head, an argument of the builder of the network and of the task."""
    return {kind: len(each) for kind, each in names.items()}


def check_labels(task: Task, videos: VideoSet) -> None:
    """Raise ValueError if the task needs labels of classes, but `videos` have none."""
    if isinstance(task, ClassTask) and not videos.labeled:
        raise ValueError(
            f"{videos.name}: expected videos with labels to train on and to compute metrics. "
            "Received: videos without labels, such as those of a test split. Choose another split "
            "(config.data.train.split, config.data.evaluation.split), or write predictions with "
            "mpvn eval RUN --predictions FILE"
        )


def _check_outputs(config: ConfigDict, task: Task, names: Names, graph: Graph) -> None:
    """Raise ValueError if the network does not have the outputs of the task."""
    expected = task.output_shape(graph.tensors[graph.inputs[0]].shape)
    shapes = [graph.tensors[index].shape for index in graph.model_outputs]
    if expected is not None and not (len(shapes) == 1 and _fits(shapes[0], expected)):
        sizes = ", ".join("any" if size is None else str(size) for size in expected)
        raise ValueError(
            f"config.model.name: {config.model.name} does not fit the task {config.task.name!r}. "
            f"Expected one output of shape [{sizes}]. Received: "
            f"{', '.join(str(list(shape)) for shape in shapes)}. {_remedy(task, shapes, names)}"
        )


def _remedy(task: Task, shapes: list[tuple[int, ...]], names: Names) -> str:
    """Return how to mend outputs that do not fit the task."""
    if isinstance(task, ClassTask) and [len(shape) for shape in shapes] == [1]:
        classes = names["classes"]
        return (
            f"The network tells {shapes[0][0]} classes apart, and the videos are of {len(classes)} "
            f"({named(classes)}). Choose videos of its classes, or fine-tune it on these: "
            "mpvn train with config.model.weights, or with a .keras file as config.model.name"
        )
    return "Choose a network of this task (see mpvn models), or add such an output to the model"


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    pairs = zip(shape, expected, strict=False)
    return len(shape) == len(expected) and all(known in (None, size) for size, known in pairs)


def _check_last(config: ConfigDict, plan: Plan) -> None:
    """Raise ValueError if the last step of a clip cannot answer for it."""
    if config.training.trainer:
        raise ValueError(
            "config.task.options.answer: 'last' leaves all steps but the last one of a clip without"
            " a target. Expected config.training.trainer=None. Received: "
            f"{config.training.trainer}, which learns at every step"
        )
    if config.clip.montage > 1:
        raise ValueError(
            "config.task.options.answer: with 'last', only the last one of joined clips has a "
            f"target. Expected config.clip.montage=1. Received: {config.clip.montage}"
        )
    seen = plan.receptive_field
    if seen is not None and seen < config.clip.frames:
        raise ValueError(
            "config.task.options.answer: with 'last', the last step of a clip answers for all its "
            f"frames, but the outputs of this network see {seen} frames. Expected config.clip."
            f"frames of at most {seen}, or a network that sees more (TRN: "
            f"config.model.options.frames). Received: {config.clip.frames}"
        )


def _check_kind(config: ConfigDict, videos: VideoSet) -> None:
    """Raise ValueError if the task needs one label per video, but these may have several."""
    if config.task.name == "action" and videos.multi_label:
        raise ValueError(
            "config.task.name: the task 'action' needs videos with one label. Received: "
            f"{videos.name}, whose videos have any number of labels. Set "
            "config.task.name=multi_label_action"
        )


def _required(config: ConfigDict, videos: VideoSet, kind: str) -> tuple[str, ...]:
    """Return the names of the classes or joints of `videos`."""
    names: tuple[str, ...] = getattr(videos, kind)
    task = config.task.name
    if kind == "classes" and len(names) == 1:
        raise ValueError(
            f"config.task.name: the task {task!r} needs at least 2 classes. Received: "
            f"{videos.name} in {config.data.path!r} with one, {names[0]}. Add videos of another"
            f"{_deeper(config, names[0])}"
        )
    if not names:
        examples = {"classes": "folder, csv or ucf101", "joints": "keypoint_videos or posetrack"}
        raise ValueError(
            f"config.task.name: the task {task!r} needs {kind}. Received: {videos.name} without "
            f"any. Choose another task, or a data set that has them, such as {examples[kind]}"
        )
    return names


def _deeper(config: ConfigDict, name: str) -> str:
    """Return the remedy if the folders in the only class folder may be the classes."""
    folder = pathlib.Path(config.data.path or "", name)
    below = folders_in(folder) if config.data.name == "folder" and folder.is_dir() else []
    if len(below) < 2:
        return ""
    return f", or, if {named(below)} are the classes, set --config.data.path={folder}"
