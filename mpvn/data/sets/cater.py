"""CATER (Girdhar and Ramanan 2020): rendered videos; the task of finding a hidden object.

Of its three tasks one gives a video a single label: in which cell of a grid on the floor the small
golden object, the snitch, is in the end. The two of naming all actions, `actions_present` and
`actions_order_uniq`, give a video several labels. A `Video` has one, so they are refused.
"""

import os
from pathlib import Path

from mpvn.data.sets.files import FileVideo
from mpvn.data.sets.layout import (
    Listing,
    choice,
    file_among,
    folder_among,
    raise_faults,
    read_lines,
)
from mpvn.data.video_set import NO_MIRROR, VideoSet

_GRIDS = {"localize": 6, "localize_4x4": 4, "localize_8x8": 8}
_SEVERAL_LABELS = ("actions_present", "actions_order_uniq")
_SPLITS = ("train", "val", "train_subsetT", "train_subsetV")
_MEND = (
    "Unpack videos.zip and lists.zip of one version, for localization all_actions or "
    "all_actions_cameramotion, of https://github.com/rohitgirdhar/CATER in one folder: it then "
    "holds videos/CATER_new_000001.avi, ... and lists/localize/train.txt and val.txt."
)


def cater(root: str | os.PathLike[str], split: str = "train", task: str = "localize") -> VideoSet:
    """One split of CATER's localization.

    Class `n` is column `n % side` and row `n // side` of the grid, 36 classes of 6 x 6 cells. The
    camera looks at the grid from a corner that varies, so that no cell has a mirror image.

    Args:
        root: The folder of `videos/` and `lists/`.
        split: `"train"` or `"val"`; or `"train_subsetT"` and `"train_subsetV"`, parts of the first.
        task: `"localize"`, or `"localize_4x4"` or `"localize_8x8"`, of other grids.

    Raises:
        ValueError: Folders, lists or listed videos are missing; labels are out of range; the task
            gives a video several labels.
    """
    if task in _SEVERAL_LABELS:
        raise ValueError(
            f"task: {task!r} gives a video several labels, and a video here has one. "
            f"Expected one of {', '.join(_GRIDS)}"
        )
    side = _GRIDS[choice("task", task, _GRIDS)]
    choice("split", split, _SPLITS)
    root = folder_among([Path(root)], "CATER", _MEND)
    folder = folder_among([root / "videos"], "the videos", _MEND)
    path = file_among([root / "lists" / task / f"{split}.txt"], "a list of videos", _MEND)
    listing = Listing()
    videos: list[FileVideo] = []
    faults: list[str] = []
    for line, text in read_lines(path, _MEND):
        name, _, number = text.rpartition(" ")
        video = folder / Path(name).name
        if not name or not number.isdecimal() or int(number) >= side * side:
            faults.append(
                f"line {line}: expected a video and a label in 0 .. {side * side - 1}, "
                f"received {text!r}"
            )
        elif not listing.has(video):
            faults.append(f"line {line}: there is no {video}")
        else:
            videos.append(FileVideo(video, int(number)))
    raise_faults(str(path), faults, _MEND)
    classes = tuple(f"column {n % side}, row {n // side}" for n in range(side * side))
    return VideoSet(f"CATER {task} {split}", videos, classes, (NO_MIRROR,) * len(classes))
