"""How outputs become scores of names: by a task, or as plain numbers where nothing is known."""

import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from mpvn.tasks import Task
from mpvn.tasks.classes import ClassTask

_IMAGENET = 1000  # classes


class Scoring(Protocol):
    """From the outputs of a step to scores and probabilities of classes; see `ClassTask`."""

    names: tuple[str, ...]
    first_step: int
    only_last: bool

    def step_scores(self, outputs: Any) -> Any:
        """Return what is averaged over steps, `[classes]`."""

    def shares(self, scores: Any) -> Any:
        """Return the probabilities `[classes]`, from scores or a mean of them."""


class Numbers:
    """The outputs of a network that does not know what they are: a vector, as it is.

    Args:
        count: length of the vector.
        names: names of its numbers; by default, "output 0" and so on.

    Raises:
        ValueError: there are more or fewer names.
    """

    first_step = 0
    only_last = False

    def __init__(self, count: int, names: Sequence[str] = ()) -> None:
        if names and len(names) != count:
            raise ValueError(f"Expected {count} names, one per output. Received: {len(names)}")
        self.names = tuple(names) or tuple(f"output {number}" for number in range(count))

    def step_scores(self, outputs: Any) -> np.ndarray:
        return np.asarray(outputs, np.float32)

    def shares(self, scores: Any) -> np.ndarray:
        return np.asarray(scores, np.float32)


def scoring_of(
    task: Task | None, shapes: Sequence[Sequence[int | None]], names: Sequence[str] = ()
) -> Scoring | None:
    """Return how outputs are scored; None if they are no scores, such as pictures.

    Args:
        task: what the network predicts; None if it does not say.
        shapes: shapes of its outputs, without batch and time.
        names: names of the numbers of a network without a task.
    """
    if isinstance(task, ClassTask):
        return task
    if task is not None or len(shapes) != 1 or len(shapes[0]) != 1 or shapes[0][0] is None:
        return None
    return Numbers(shapes[0][0], names if len(names) == shapes[0][0] else ())


def imagenet_names() -> tuple[str, ...]:
    """Return the names of ImageNet's classes if Keras has downloaded them before; else none.

    They belong to the networks of `keras.applications` with image weights. Nothing is downloaded.
    """
    home = os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")
    path = pathlib.Path(home) / "models" / "imagenet_class_index.json"
    if not path.is_file():
        return ()
    numbered = json.loads(path.read_text("utf-8"))
    return tuple(numbered[str(number)][1].replace("_", " ") for number in range(_IMAGENET))
