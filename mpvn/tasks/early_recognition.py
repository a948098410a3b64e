"""Early recognition: accuracy against the observed share of a video.

*Temporal Shift Module* (online recognition): after each frame, the prediction of an online network
is the mean over the frames so far. A network that relates the frames itself, such as TRN, predicts
with its newest output instead.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from mpvn.tasks.classes import Answer, Average, check_answer, check_average
from mpvn.tasks.recognition import among_top
from mpvn.tasks.task import check_count

TENTHS = tuple(range(10, 101, 10))
"""10 % to 100 %."""


def online_accuracy(
    logits: Sequence[npt.ArrayLike],
    labels: Sequence[int],
    percents: Sequence[int] = TENTHS,
    *,
    top: int = 1,
    average: Average = "logits",
    answer: Answer = "mean",
) -> dict[int, float]:
    """Compute the accuracy after each observed share of the videos.

    Args:
        logits: one array `[T, classes]` per video; T may differ between videos.
        labels: one label per video.
        percents: observed shares in percent, integers from 1 to 100. Numbers of frames are rounded
            up: 10 % of 15 frames are 2 frames.
        top: number of predicted classes; ties count as wrong, as in `ClipAccuracy`.
        average: what to average over the frames, as in `ClipAccuracy`.
        answer: `"mean"` over the frames so far, or the output of the `"last"` one.

    Returns:
        Share of correct videos, by percent.

    Raises:
        ValueError: if there are no videos, or an argument is out of range.
    """
    arrays = [np.asarray(video_logits, np.float64) for video_logits in logits]
    _check(arrays, labels, percents, top)
    check_average(average)
    check_answer(answer)
    shares = np.array(percents)
    correct = np.zeros(len(shares))
    for array, label in zip(arrays, labels, strict=True):
        scores = tf.nn.softmax(array).numpy() if average == "probabilities" else array
        observed = -(-len(array) * shares // 100)  # [P], rounded up
        # [T, classes] -> answers after the observed frames [P, classes]
        answers = scores[observed - 1]
        if answer == "mean":
            answers = scores.cumsum(axis=0)[observed - 1] / observed[:, None]
        correct += among_top(answers, np.full(len(shares), label), top).numpy()
    return dict(zip(percents, (correct / len(arrays)).tolist(), strict=True))


def _check(
    arrays: Sequence[np.ndarray], labels: Sequence[int], percents: Sequence[int], top: int
) -> None:
    check_count("top", top, 1)
    if not arrays or len(arrays) != len(labels):
        raise ValueError(
            "Expected at least one video, and one label per video. "
            f"Received: {len(arrays)} videos, {len(labels)} labels"
        )
    classes = arrays[0].shape[-1:]
    for number, (array, label) in enumerate(zip(arrays, labels, strict=True)):
        if array.ndim != 2 or not len(array) or array.shape[1:] != classes:
            raise ValueError(
                f"Video {number}: expected logits [T, classes] with the classes of video 0. "
                f"Received: shape {array.shape}; shape of video 0: {arrays[0].shape}"
            )
        if not 0 <= label < array.shape[1]:
            raise ValueError(
                f"Video {number}: expected a label below {array.shape[1]}. Received: {label}"
            )
    if not len(percents) or not all(isinstance(p, int) and 1 <= p <= 100 for p in percents):
        raise ValueError(f"percents must be ints from 1 to 100. Received: {tuple(percents)}")
