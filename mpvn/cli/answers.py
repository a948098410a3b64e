"""The answers of a trained network about a video: by frame, as a table, and for the whole video."""

import contextlib
import csv
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mpvn.cli.mistakes import Mistake
from mpvn.cli.trained import Trained
from mpvn.files import AtomicPath, is_device, writing

if TYPE_CHECKING:
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
        self._steps = 0
        self._counted = 0
        self._sum = np.zeros(task.classes)

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

    def __call__(self, seconds: float, frame: Any, outputs: np.ndarray) -> None:
        """Add a step.

        Args:
            seconds: time of its frame.
            frame: the frame, which is not used.
            outputs: logits `[classes]`.

        Raises:
            WriteError: the table cannot be written.
        """
        scores = self._task.step_scores(outputs).numpy()
        if self._task.only_last:
            self._counted, self._sum = 1, scores
        elif self._steps >= self._task.first_step:
            self._counted += 1
            self._sum += scores
        self._steps += 1
        if self._write is not None and self._path is not None:
            shares = self._task.shares(scores).numpy()
            best = int(shares.argmax())
            row = [f"{seconds:.6f}", self._task.names[best], f"{shares[best]:.6g}"]
            with writing(self._path):
                self._write([*row, *(f"{score:.9g}" for score in scores)])

    def __str__(self) -> str:
        """The answer for the whole video: the classes with the highest mean scores."""
        if not self._counted:
            return f"no answer: the first step that counts is step {self._task.first_step}"
        shares = self._task.shares(self._sum / self._counted).numpy()
        best = np.argsort(-shares, kind="stable")[:_NAMED]
        named = ", ".join(f"{self._task.names[n]} {100 * shares[n]:.1f} %" for n in best)
        of = "the last frame" if self._task.only_last else f"mean of {self._counted} frames"
        return f"answer: {named} ({of})"


def answers_of(trained: Trained | None, path: str | None) -> Answers | None:
    """Return the answers of a trained network; None if it does not recognize classes.

    Raises:
        Mistake: a table is wanted of a network that does not.
    """
    from mpvn.tasks.classes import ClassTask

    if trained is not None and isinstance(trained.task, ClassTask):
        return Answers(trained.task, path)
    if path is None:
        return None
    received = "a network without metadata"
    if trained is not None:
        received = f"one of another task, {trained.metadata.task}"
    raise Mistake(
        f"--answers {path}: expected --model to be a trained network that recognizes classes, "
        f"because it has their names. Received: {received}. Leave out --answers."
    )
