"""Early recognition: how much of a video an online network must see to know what it is.

*Temporal Shift Module* (section 5, online recognition): after each frame, the prediction is the
mean of what was said of the frames so far. Accuracy is then a curve over the share of the video
that was seen.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from mpvn.tasks.action import Average, among_top, check_average
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
) -> dict[int, float]:
    """Accuracy by the share of each video that was seen.

    Args:
        logits: of each video `[T, classes]`, in which T may differ from video to video.
        labels: of each video.
        percents: the shares, whole percents from 1 to 100. Of a frame that is seen in part, the
            whole counts: at 10 %, 2 frames of 15.
        top: how many classes may be named; ties count against the network, as in `ClipAccuracy`.
        average: what is averaged over the frames, as in `ClipAccuracy`.

    Returns:
        Share of videos that are right, by percent.

    Raises:
        ValueError: no videos, or arguments out of range.
    """
    arrays = [np.asarray(of_video, np.float64) for of_video in logits]
    _check(arrays, labels, percents, top)
    check_average(average)
    shares = np.array(percents)
    right = np.zeros(len(shares))
    for array, label in zip(arrays, labels, strict=True):
        said = tf.nn.softmax(array).numpy() if average == "probabilities" else array
        seen = -(-len(array) * shares // 100)  # [P]
        # Sums over the first frames [T, classes] -> means at the shares [P, classes]
        means = said.cumsum(axis=0)[seen - 1] / seen[:, None]
        right += among_top(means, np.full(len(shares), label), top).numpy()
    return dict(zip(percents, (right / len(arrays)).tolist(), strict=True))


def _check(
    arrays: Sequence[np.ndarray], labels: Sequence[int], percents: Sequence[int], top: int
) -> None:
    check_count("top", top, 1)
    if not arrays or len(arrays) != len(labels):
        raise ValueError(
            "expected at least one video, and a label for each. "
            f"Received: {len(arrays)} videos, {len(labels)} labels"
        )
    classes = arrays[0].shape[-1:]
    for number, (array, label) in enumerate(zip(arrays, labels, strict=True)):
        if array.ndim != 2 or not len(array) or array.shape[1:] != classes:
            raise ValueError(
                f"video {number}: expected logits of every frame and class, and of as many classes "
                f"as video 0 has. Received: shapes {array.shape}, of video 0 {arrays[0].shape}"
            )
        if not 0 <= label < array.shape[1]:
            raise ValueError(
                f"video {number}: its label must be in 0..{array.shape[1] - 1}. Received: {label}"
            )
    if not len(percents) or not all(isinstance(p, int) and 1 <= p <= 100 for p in percents):
        raise ValueError(f"percents must be ints from 1 to 100. Received: {tuple(percents)}")
