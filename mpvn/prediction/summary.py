"""Answers about more than one frame: for a whole video, and for intervals of equal answers."""

import dataclasses
import math
from collections.abc import Iterable, Iterator

import numpy as np

from mpvn.data import VideoError
from mpvn.prediction.predictor import Prediction, top
from mpvn.prediction.scoring import Scoring


class VideoAnswer:
    """The answer for a video: the mean over its steps that count, or its last step.

    It is the answer of evaluation, if the network was shown what evaluation shows it.

    Args:
        scoring: how its outputs become scores, as `open_model(...).scoring` says.

    Attributes:
        names: names of the classes.
        steps: number of steps that were added.
        counted: number of steps in the mean.

    Example:
        >>> answer = VideoAnswer(model.scoring)
        >>> for prediction in predict(model, "walk.mp4"):
        ...     answer.add(prediction)
        >>> answer.top(3)
    """

    def __init__(self, scoring: Scoring) -> None:
        self._scoring = scoring
        self.names = scoring.names
        self.steps = 0
        self.counted = 0
        self._sum = np.zeros(len(scoring.names))

    def add(self, prediction: Prediction) -> None:
        """Add a step."""
        self.steps += 1
        if not prediction.counts or prediction.scores is None:
            return
        if self._scoring.only_last:
            self.counted, self._sum = 1, prediction.scores.astype(np.float64)
        else:
            self.counted += 1
            self._sum = self._sum + prediction.scores

    @property
    def scores(self) -> np.ndarray:
        """The scores `[classes]`, float32, as evaluation gives them.

        Raises:
            VideoError: no step counts, or outputs are not finite.
        """
        if not self.counted:
            raise VideoError(
                "no answer: the video is too short. Expected more than "
                f"{self._scoring.first_step} frames, the first step that counts. Received: "
                f"{self.steps} steps. Use a longer video"
            )
        mean = (self._sum / self.counted).astype(np.float32)
        if not np.isfinite(mean).all():
            raise VideoError(
                "no answer: outputs of the network are NaN or infinite. Expected numbers. Check "
                "its weights, and the range of its pixels (--pixels)"
            )
        return mean

    @property
    def shares(self) -> np.ndarray:
        """The probabilities `[classes]`. Raises as `scores`."""
        return np.asarray(self._scoring.shares(self.scores))

    def top(self, count: int = 1, threshold: float = 0.0) -> list[tuple[str, float]]:
        """Return the most likely classes, as in `Prediction.top`. Raises as `scores`."""
        return top(self._scoring.names, self.shares, count, threshold)


@dataclasses.dataclass(frozen=True)
class Interval:
    """A time in which a class is an answer.

    Attributes:
        start, end: in seconds. It ends where the first frame without the answer is shown; at the
            end of the source, the shortest time between two steps after its last one.
        name: name of the class.
        share: its mean probability.
    """

    start: float
    end: float
    name: str
    share: float


@dataclasses.dataclass
class _Begun:
    start: float
    total: float = 0.0
    steps: int = 0


def intervals(
    predictions: Iterable[Prediction], count: int = 1, threshold: float = 0.0
) -> Iterator[Interval]:
    """Yield the intervals of equal answers, each when it ends.

    A class is an answer at a step if it is among the `count` most likely ones and its probability
    reaches the threshold. Steps that do not count have no answer.

    Args:
        predictions: in the order of time.
        count: most answers at one time.
        threshold: lowest probability of an answer.
    """
    begun: dict[str, _Begun] = {}
    last, period = 0.0, math.inf
    for prediction in predictions:
        now = prediction.seconds
        period, last = min(period, (now - last) or period), now
        answers = dict(prediction.top(count, threshold)) if prediction.counts else {}
        yield from _ended(begun, [name for name in begun if name not in answers], now)
        for name, share in answers.items():
            interval = begun.setdefault(name, _Begun(now))
            interval.total, interval.steps = interval.total + share, interval.steps + 1
    yield from _ended(begun, list(begun), last + (0.0 if period == math.inf else period))


def _ended(begun: dict[str, _Begun], names: list[str], end: float) -> Iterator[Interval]:
    for name in names:
        interval = begun.pop(name)
        yield Interval(interval.start, end, name, interval.total / interval.steps)
