"""Jester (Materzynska et al. 2019): 148,092 videos of 27 gestures, as folders of frames."""

import os
from pathlib import Path

from mpvn.data.sets.layout import folder_among
from mpvn.data.sets.twenty_bn import frame_folders
from mpvn.data.video_set import VideoSet

_MEND = (
    "Unpack the videos so that there is root/20bn-jester-v1/1/00001.jpg, ..., and put beside that "
    "folder, or into root/labels, the lists jester-v1-labels.csv, jester-v1-train.csv and "
    "jester-v1-validation.csv."
)


def jester(root: str | os.PathLike[str], split: str = "train") -> VideoSet:
    """One split of Jester. Gestures to the left and right, or of a hand that turns, are mirrored.

    Args:
        root: The folder of `20bn-jester-v1/` and of the lists.
        split: `"train"` or `"val"`.

    Raises:
        ValueError: Folders, lists or listed videos are missing; classes are unknown.
    """
    root = folder_among([Path(root)], "Jester", _MEND)
    return frame_folders(root, "jester-v1", "Jester", split, _MEND)
