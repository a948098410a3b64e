"""Submission files: predictions for a test split, in the format that its evaluation takes.

One line for each video, in the order of the list. The formats are those that the authors of
*Temporal Shift Module* submitted (`test_models.py`), and that of the readme of Charades:

    Something-Something V1, Jester    ID;CLASS         name of the class of the highest score
    Something-Something V2            ID;N;N;N;N;N     numbers of the classes of the five highest
    Charades                          ID S S S ...     scores of all classes
"""

import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from mpvn.data.video_set import VideoSet


def _best_name(classes: Sequence[str], scores: np.ndarray) -> str:
    return f";{classes[int(scores.argmax())]}"


def _best_numbers(classes: Sequence[str], scores: np.ndarray) -> str:
    return "".join(f";{number}" for number in np.argsort(-scores, kind="stable")[:5])


def _all_scores(classes: Sequence[str], scores: np.ndarray) -> str:
    return "".join(f" {score:.9g}" for score in scores)


SUBMISSIONS: Mapping[str, Callable[[Sequence[str], np.ndarray], str]] = types.MappingProxyType(
    {
        "something_something_v1": _best_name,
        "something_something_v2": _best_numbers,
        "jester": _best_name,
        "charades": _all_scores,
    }
)


def check_submission(name: str) -> None:
    """Raise ValueError if there is no submission format for the data set `name`."""
    if name not in SUBMISSIONS:
        raise ValueError(
            f"Expected a data set with a format of submissions: {', '.join(SUBMISSIONS)}. "
            f"Received: {name!r}. Write the scores of all classes instead: --predictions FILE"
        )


def submission(name: str, videos: VideoSet, numbers: np.ndarray, scores: np.ndarray) -> str:
    """Return the text of a submission file.

    A submission needs a line for each video. A video that cannot be read gets the mean scores of
    the other videos, the best guess without seeing it.

    Args:
        name: The name of the data set in `SETS`.
        videos: The videos.
        numbers: The numbers of the videos that have scores, int `[N]`.
        scores: Their scores, `[N, classes]`.

    Raises:
        ValueError: There is no format for this data set; or a score is not finite.
    """
    check_submission(name)
    bad = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if len(bad):
        raise ValueError(
            f"Expected finite scores of all videos. Received: {len(bad)} videos with others, such "
            f"as {videos.videos[int(numbers[bad[0]])].name}. Evaluate another checkpoint"
        )
    every = np.tile(scores.mean(axis=0), (len(videos.videos), 1))
    every[numbers] = scores
    lines = zip(videos.videos, every, strict=True)
    write = SUBMISSIONS[name]
    return "".join(f"{Path(video.name).stem}{write(videos.classes, s)}\n" for video, s in lines)
