"""Jester (Materzynska et al. 2019): 148,092 videos of 27 gestures, as folders of frames."""

import os
from pathlib import Path

from mpvn.data.sets.layout import find_folder
from mpvn.data.sets.twenty_bn import read_frame_folders
from mpvn.data.video_set import VideoSet

_REMEDY = (
    "Unpack the videos so that root/20bn-jester-v1/1/00001.jpg, ... exist. Put the lists "
    "jester-v1-labels.csv, jester-v1-train.csv and jester-v1-validation.csv into root or "
    "root/labels."
)


def jester(root: str | os.PathLike[str], split: str = "train") -> VideoSet:
    """Read one split of Jester. Gestures to the left and right, or of a turning hand, are mirrored.

    Args:
        root: The folder that contains `20bn-jester-v1/` and the lists.
        split: `"train"`, `"val"` or `"test"`, whose videos have no labels.

    Raises:
        ValueError: Folders, lists or listed videos are missing, or classes are unknown.
    """
    root = find_folder([Path(root)], "Jester", _REMEDY)
    return read_frame_folders(root, "jester-v1", "Jester", split, _REMEDY)
