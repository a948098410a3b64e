"""Stream a video by the command, and keep what the network was shown and what it answered."""

import csv
import pathlib
from typing import NamedTuple

import numpy as np
import pytest
from command_line import mpvn

from mpvn.streaming import Stream


class Streamed(NamedTuple):
    """A stream of T frames.

    Attributes:
        frames: the frames that the network was shown, uint8 `[T, H, W, 3]`.
        seconds: their times, `[T]`.
        answers: the class with the highest score at each of them.
        scores: the scores of the classes at each of them, `[T, classes]`.
        classes: the names of the classes.
    """

    frames: np.ndarray
    seconds: np.ndarray
    answers: list[str]
    scores: np.ndarray
    classes: list[str]


def stream(video: pathlib.Path, model: pathlib.Path, *options: object) -> Streamed:
    """Run `mpvn stream VIDEO --model MODEL --answers FILE`. The file is beside the model."""
    shown: list[np.ndarray] = []
    step, path = Stream.step, model.parent / "answers.csv"

    def recorded(self: Stream, frame: np.ndarray, *arrived: object) -> object:
        shown.append(frame.copy())
        return step(self, frame, *arrived)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stream, "step", recorded)
        assert mpvn("stream", video, "--model", model, "--answers", path, *options) == 0
    header, *rows = csv.reader(path.read_text().splitlines())
    assert header[:3] == ["seconds", "answer", "probability"]
    scores = np.array([row[3:] for row in rows], np.float64)
    seconds = np.array([float(row[0]) for row in rows])
    return Streamed(np.stack(shown), seconds, [row[1] for row in rows], scores, header[3:])


def predictions(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Return the scores that `mpvn eval --predictions` wrote, by the name of the video."""
    _, *rows = csv.reader(path.read_text().splitlines())
    return {pathlib.Path(row[0]).stem: np.array(row[1:], np.float64) for row in rows}
