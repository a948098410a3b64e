"""`predict`: what a network says about each frame of a source, as it comes."""

import collections
import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import keras
import numpy as np

from mpvn.data.video.frames import View
from mpvn.prediction.buffering import calls, read
from mpvn.prediction.calibration import Path, calibrated
from mpvn.prediction.models import Model, open_model
from mpvn.prediction.opened import (
    OpenClip,
    Opened,
    OpenStream,
    is_file,
    pieces,
    takes_clips,
)
from mpvn.streaming.choice import RuntimeChoice
from mpvn.tasks.classes import ClassTask
from mpvn.tasks.keypoints import Keypoints

MOST_FRAMES = 250
"""Frames of the clips of a network that looks into the future, if it does not know better."""


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """What a network says about one frame.

    Attributes:
        seconds: time of the frame, after the first one of the source. Where outputs are late by a
            known number of steps, it is the frame that they are about, not the newest one.
        outputs: the outputs of the step: NumPy arrays, in the structure of the model.
        names: names of the classes or joints; of the outputs, if the network does not know any.
        scores: what evaluation averages over a video, float32 `[classes]`: logits or probabilities.
            None if the outputs are no scores, such as joints or pictures.
        shares: probabilities `[classes]`, over the last `window` seconds; None without `scores`. Of
            a network without metadata, they are its outputs, whatever these mean.
        joints: `[joints, 3]`: x and y in pixels of the original picture, where whole numbers are
            centers of pixels, and the confidence, between 0 and 1; None for other tasks.
        counts: whether the step counts for the video. Before, outputs have not seen enough.
        latency: seconds that the step took; of a network that takes clips, a share of its clip; of
            frames in a buffer, from when the frame was read to its outputs.
        dropped: frames that the network has been too late for so far, of a live source.
        view: the frame, and the original picture as `view.whole()`; None unless asked for.
    """

    seconds: float
    outputs: Any
    names: tuple[str, ...] = ()
    scores: np.ndarray | None = None
    shares: np.ndarray | None = None
    joints: np.ndarray | None = None
    counts: bool = True
    latency: float = 0.0
    dropped: int = 0
    view: View | None = None

    def top(self, count: int = 1, threshold: float = 0.0) -> list[tuple[str, float]]:
        """Return the names of the most likely classes with their probabilities, highest first.

        Args:
            count: most classes to return.
            threshold: leave out classes of a lower probability.
        """
        return [] if self.shares is None else top(self.names, self.shares, count, threshold)


def top(
    names: Iterable[str], shares: np.ndarray, count: int, threshold: float = 0.0
) -> list[tuple[str, float]]:
    """Return names with the highest shares; see `Prediction.top`."""
    named, best = list(names), np.argsort(-shares, kind="stable")[:count].tolist()
    return [
        (named[number], float(shares[number])) for number in best if shares[number] >= threshold
    ]


def predict(
    network: "Model | keras.Model | str | os.PathLike[str]",
    source: str | os.PathLike[str],
    *,
    over_time: bool = False,
    window: float = 0.0,
    fps: float | Fraction | None = None,
    pictures: bool = False,
    runtime: str | None = None,
    precision: str = "float32",
    threads: int | None = None,
    calibration: Path | Iterable[Path] | None = None,
    buffer: int | None = None,
    **options: Any,
) -> Iterator[Prediction]:
    """Yield what a network says about a source, frame by frame, as it comes.

    The network is shown the source at the rate that it was trained at, and cropped and scaled as in
    its evaluation. `VideoAnswer` makes the answer for the video out of the steps: the one that
    evaluation gives.

    Args:
        network: a `VideoNetwork`, the path of a `.keras` file, of the folder of a run or of an
            exported SavedModel; see `open_model`. Open it once for several sources.
        source: a video file, a folder of images, a camera, a URL, a pipe; see `VideoReader`.
        over_time: whether to follow the whole source. False: networks whose evaluation takes a clip
            of each video, such as 8 frames spread over it, are shown that clip of a file. Others,
            and sources that cannot be read twice, are followed anyway.
        window: seconds over which `shares` are averaged; 0: each step alone.
        fps: frames per second, in place of those of the training.
        pictures: whether predictions have a `view`. A list of many of them needs much memory.
        runtime, precision, threads: what runs the steps; see `RuntimeChoice`. By default a network
            from a file runs by `"auto"`, and one in memory by itself.
        calibration: for int8: videos like those that the network will see; see
            `calibration_clips`.
        buffer: number of frames to compute in one call; see `RuntimeChoice`. The predictions are
            the same but for rounding, and come up to `buffer - 1` frames later. Not for sources
            whose frames arrive in real time.
        **options: further arguments of `VideoReader`, such as `strict` and `live`.

    Raises:
        ValueError: the network cannot be loaded or run so, or cannot answer about this kind of
            source.
        VideoError: the source cannot be read; while iterating, too.

    Example:
        >>> for prediction in mpvn.predict("runs/actions", "walk.mp4"):
        ...     print(prediction.seconds, prediction.top(3))
    """
    choice = None
    if (runtime, precision, threads, calibration, buffer) != (None, "float32", None, None, None):
        choice = RuntimeChoice(runtime or "auto", precision, threads, buffer=buffer)
    model = open_model(network, choice=choice)
    if calibration is not None:
        model = calibrated(model, calibration)
    predictor = Predictor(model, window, pictures)
    with predictor.open(source, over_time=over_time, fps=fps, **options) as opened:
        yield from predictor.predict(opened)


class _Step(NamedTuple):
    """A step: its number since the start of its clip or stream, what it was shown and said."""

    number: int
    view: View
    outputs: Any
    latency: float


class Predictor:
    """A network that answers about sources, one after the other.

    Args:
        model: the network; see `open_model`.
        window, pictures: as in `predict`.
    """

    def __init__(self, model: Model, window: float = 0.0, pictures: bool = False) -> None:
        if not window >= 0:
            raise ValueError(f"window: expected seconds, 0 or more. Received: {window}")
        self.model = model
        self._window = window
        self._pictures = pictures

    def open(
        self,
        source: str | os.PathLike[str],
        *,
        over_time: bool = False,
        fps: float | Fraction | None = None,
        realtime: bool = False,
        **options: Any,
    ) -> Opened:
        """Open a source, as `predict` does.

        Raises:
            VideoError: the source cannot be read.
            ValueError: the network cannot answer about this kind of source.
        """
        known, follows = self.model.metadata, over_time or fps is not None or realtime
        by_clips = takes_clips(known) and isinstance(self.model.task, ClassTask)
        if known is not None and by_clips and not follows and is_file(source):
            return OpenClip(known, self.model.size, source)
        opened = OpenStream(self.model, source, fps, realtime, **options)
        if self.model.buffer > 1 and (opened.is_live or opened.drops):
            opened.close()
            raise ValueError(
                f"Invalid buffer. Frames of {os.fspath(source)} arrive in real time, and answers "
                "about them would wait for later frames. Expected a source that waits, such as a "
                f"file. Received: {self.model.buffer} frames in a buffer. Leave the buffer out"
            )
        return opened

    def predict(
        self,
        opened: Opened,
        before_read: Callable[[], object] | None = None,
        views: Iterator[View] | None = None,
    ) -> Iterator[Prediction]:
        """Yield what the network says about an open source.

        An error of the source comes after the predictions about all frames before it.

        Args:
            opened: the source.
            before_read: called before frames are read; it may raise KeyboardInterrupt, which ends
                the source as an error of it does.
            views: the frames of the source, if not all are shown.
        """
        smoothing, scoring = Smoothing(self._window), self.model.scoring
        first = self.model.task.first_step if self.model.task is not None else 0
        shown = opened.views() if views is None else views
        views = read(shown, before_read or (lambda: None))
        for step in self._steps(opened, views):
            prediction = self._read(step)
            counts = step.number >= first
            shares = None
            if scoring is not None and prediction.scores is not None:
                scores = smoothing(step.view.seconds, prediction.scores)
                shares = np.asarray(scoring.shares(scores))
            yield dataclasses.replace(
                prediction, counts=counts, shares=shares, dropped=opened.dropped
            )

    def _read(self, step: _Step) -> Prediction:
        """Read the outputs of a step by the task."""
        task, scoring, view = self.model.task, self.model.scoring, step.view
        kept = view if self._pictures else None
        plain = Prediction(view.seconds, step.outputs, latency=step.latency, view=kept)
        if scoring is not None:
            scores = np.asarray(scoring.step_scores(step.outputs))
            return dataclasses.replace(plain, names=scoring.names, scores=scores)
        if isinstance(task, Keypoints):
            joints = task.predicted_joints(step.outputs)[0].numpy()
            return dataclasses.replace(plain, names=task.names, joints=view.part.back(joints))
        return plain

    def _steps(self, opened: Opened, views: Iterator[View]) -> Iterator[_Step]:
        """Yield steps, each with the frame that its outputs are about."""
        latency = self.model.task.latency if self.model.task is not None else 0
        waiting: collections.deque[View] = collections.deque()
        for step in self._computed(opened, views):
            if step.number == 0:
                waiting.clear()
            waiting.append(step.view)
            if step.number >= latency:
                yield step._replace(view=waiting.popleft())

    def _computed(self, opened: Opened, views: Iterator[View]) -> Iterator[_Step]:
        """Yield steps as they are computed, each with the newest frame."""
        if not self.model.is_causal:
            return self._clips(views)
        return self._stream(opened, views) if self.model.buffer == 1 else self._buffered(views)

    def _stream(self, opened: Opened, views: Iterator[View]) -> Iterator[_Step]:
        stream = self.model.stream
        stream.restart()
        for number, view in enumerate(views):
            outputs = stream.step(view.frame, opened.arrived)
            yield _Step(number, view, outputs, stream.statistics.latencies[-1])

    def _buffered(self, views: Iterator[View]) -> Iterator[_Step]:
        """Run a stream on several frames in one call."""
        stream, number = self.model.stream, 0
        stream.restart()
        for frames in calls(views, stream.buffer):
            outputs = stream.steps([frame.view.frame for frame in frames])
            end = time.perf_counter()
            for frame, values in zip(frames, outputs, strict=True):
                yield _Step(number, frame.view, values, end - frame.time)
                number += 1

    def _clips(self, views: Iterator[View]) -> Iterator[_Step]:
        """Run a network that looks into the future on one clip after the other."""
        known = self.model.metadata
        length = known and (known.frames if takes_clips(known) else known.evaluated)
        for clip, had in pieces(views, length or MOST_FRAMES):
            start = time.perf_counter()
            outputs = self.model.clip(np.stack([view.frame for view in clip]))
            latency = (time.perf_counter() - start) / len(clip)
            for number, view in enumerate(clip):
                if number >= had:
                    yield _Step(number, view, outputs[number], latency)


class Smoothing:
    """The mean of scores over the last seconds.

    Args:
        window: seconds; 0 gives each step alone.
    """

    def __init__(self, window: float) -> None:
        self._window = window
        self._recent: collections.deque[tuple[float, np.ndarray]] = collections.deque()

    def __call__(self, seconds: float, scores: np.ndarray) -> np.ndarray:
        """Add the scores of a step, and return the mean over the steps of the window.

        Args:
            seconds: time of the step, not before that of the last one.
            scores: `[classes]`.
        """
        self._recent.append((seconds, scores))
        while len(self._recent) > 1 and self._recent[0][0] <= seconds - self._window:
            self._recent.popleft()
        recent = np.stack([each for _, each in self._recent])
        return recent.mean(axis=0, dtype=np.float64)
