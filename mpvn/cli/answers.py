"""The answers of a trained network about a video: by frame, as a table, and for the whole video."""

import contextlib
import csv
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mpvn.files import AtomicPath, is_device, writing

if TYPE_CHECKING:
    from mpvn.prediction import Prediction
    from mpvn.tasks.classes import ClassTask

_NAMED = 3  # classes of the answer for the whole video


class Answers:
    """Writes the answer of each step to a table, and takes their mean, as the evaluation does.

    As a context manager it completes the table, or leaves none if the block raises.

    Args:
        task: what the network predicts.
        path: file to write, such as `answers.csv`; None for no table.

    Raises:
        WriteError: the file cannot be written.
    """

    def __init__(self, task: "ClassTask", path: str | None = None) -> None:
        self._task = task
        self._path = path
        self._stack = contextlib.ExitStack()
        self._write: Callable[[list[str]], object] | None = None
        from mpvn.prediction import VideoAnswer

        self._video = VideoAnswer(task)

    def __enter__(self) -> "Answers":
        if self._path is None:
            return self
        with writing(self._path), contextlib.ExitStack() as stack:
            target = self._path
            if not is_device(target):
                target = str(stack.enter_context(AtomicPath(target)))
            # Line by line: the reader of a pipe sees each answer when it is there.
            file = open(target, "w", buffering=1, newline="", encoding="utf-8")
            stack.enter_context(file)
            self._write = csv.writer(file, lineterminator="\n").writerow
            self._write(["seconds", "answer", "probability", *self._task.names])
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *raised: Any) -> None:
        with writing(str(self._path)):  # Closing a file writes what did not fit on the disk before.
            self._stack.__exit__(*raised)

    def __call__(self, prediction: "Prediction") -> None:
        """Add a step.

        Raises:
            WriteError: the table cannot be written.
        """
        self._video.add(prediction)
        if self._write is not None and self._path is not None and prediction.scores is not None:
            ((name, share),) = prediction.top()
            row = [f"{prediction.seconds:.6f}", name, f"{share:.6g}"]
            with writing(self._path):
                self._write([*row, *(f"{score:.9g}" for score in prediction.scores)])

    def __str__(self) -> str:
        """The answer for the whole video: the classes with the highest mean scores."""
        if not self._video.counted:
            return f"no answer: the first step that counts is step {self._task.first_step}"
        best = self._video.top(_NAMED)
        named = ", ".join(f"{name} {100 * share:.1f} %" for name, share in best)
        of = "the last frame" if self._task.only_last else f"mean of {self._video.counted} frames"
        return f"answer: {named} ({of})"
