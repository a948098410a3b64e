"""The answers of a network: as rows of a file, as text, and for the whole video of a stream."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mpvn.cli.lines import Rows

if TYPE_CHECKING:
    import numpy as np

    from mpvn.prediction import Prediction, VideoAnswer
    from mpvn.tasks.classes import ClassTask

_NAMED = 3  # classes of the answer for the whole video
_PARTS = ("x", "y", "confidence")  # of a joint

Row = Mapping[str, Any]


class Answers:
    """Writes the answer of each step to a table, and takes their mean, as the evaluation does.

    As a context manager it completes the table, or leaves none if the block raises.

    Args:
        task: what the network predicts.
        path: file to write, such as `answers.csv`; None for no table.
        done: of a stream that may be reset, how many of its frames have rows already; a column says
            which row is the first after a reset. None for other streams.

    Raises:
        WriteError: the file cannot be written.
    """

    def __init__(self, task: "ClassTask", path: str | None = None, done: int | None = None) -> None:
        from mpvn.prediction import VideoAnswer

        self._task = task
        can_reset = done is not None
        self._rows = None if path is None else Rows(path, in_place=can_reset, keep=done or 0)
        self._reset = {"reset": int(bool(done))} if can_reset else {}
        self._video = VideoAnswer(task)

    def __enter__(self) -> "Answers":
        if self._rows is not None:
            self._rows.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        if self._rows is not None:
            self._rows.__exit__(*raised)

    def __call__(self, prediction: "Prediction") -> None:
        """Add a step.

        Raises:
            WriteError: the table cannot be written.
        """
        self._video.add(prediction)
        if self._rows is not None:
            self._rows.add({**self._reset, **step_row(prediction)})
            self._reset = dict.fromkeys(self._reset, 0)

    def __str__(self) -> str:
        """The classes with the highest mean scores, or why there is no answer for the video."""
        from mpvn.data import VideoError

        try:
            named = text(self._video.top(_NAMED))
        except VideoError as reason:
            return str(reason)
        of = "the last frame" if self._task.only_last else f"mean of {self._video.counted} frames"
        return f"answer: {named} ({of})"


def text(named: Sequence[tuple[str, float]], are_shares: bool = True) -> str:
    """Return names with their probabilities, or with numbers of unknown meaning, as text."""
    if not are_shares:
        return ", ".join(f"{name} {number:.4g}" for name, number in named)
    return ", ".join(f"{name} {100 * share:.1f} %" for name, share in named)


@dataclasses.dataclass(frozen=True)
class Shown:
    """Which answers are shown.

    Attributes:
        count: most names.
        threshold: lowest probability of an answer.
        share: what probabilities are called; another name for numbers of unknown meaning.
        scores: whether the scores of all classes are shown, too.
    """

    count: int = 1
    threshold: float = 0.0
    share: str = "probability"
    scores: bool = True


def video_row(answer: "VideoAnswer", shown: Shown) -> Row:
    """Return the answer for a video: the likeliest classes, and the scores of all."""
    row = _answer(answer.top(1, -math.inf), answer.top(shown.count, shown.threshold), shown)
    return {**row, "scores": _scores(answer.names, answer.scores)}


def step_row(prediction: "Prediction", shown: Shown = Shown()) -> Row:
    """Return what a network says about one frame: classes, joints, or numbers.

    Outputs that are neither, such as pictures, are left out.
    """
    seconds = {"seconds": round(prediction.seconds, 6)}
    if prediction.joints is not None:
        numbered = [f"joint {number}" for number in range(len(prediction.joints))]
        joints = zip(prediction.names or numbered, prediction.joints.tolist(), strict=True)
        values = {
            name: dict(zip(_PARTS, map(_rounded, each), strict=True)) for name, each in joints
        }
        return {**seconds, "joints": values}
    if prediction.shares is None or prediction.scores is None:
        return seconds
    named = prediction.top(shown.count, shown.threshold)
    answer = _answer(prediction.top(1, -math.inf), named, shown)
    scores = {"scores": _scores(prediction.names, prediction.scores)} if shown.scores else {}
    return {**seconds, **answer, **scores}


def _answer(
    best: Sequence[tuple[str, float]], named: Sequence[tuple[str, float]], shown: Shown
) -> Row:
    name, share = best[0] if best else (None, math.nan)  # NaN is never the highest
    return {
        "answer": name if share >= shown.threshold else None,
        shown.share: _rounded(share),
        "top": [{"name": name, shown.share: _rounded(share)} for name, share in named],
    }


def _scores(names: Sequence[str], scores: "np.ndarray") -> Row:
    return dict(zip(names, (_rounded(score, 9) for score in scores), strict=True))


def _rounded(number: float, digits: int = 6) -> float | None:
    """Round a number. JSON has none that is not finite."""
    return float(f"{number:.{digits}g}") if math.isfinite(number) else None
