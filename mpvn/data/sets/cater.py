"""CATER (Girdhar and Ramanan 2020): rendered videos, with the task of finding a hidden object.

Only one of its three tasks gives a video a single label: localization, the cell of a grid on the
floor where the small golden object, the snitch, is at the end. The other two, `actions_present` and
`actions_order_uniq`, give a video several labels. They are not implemented and raise an error.
"""

import os
from pathlib import Path

from mpvn.data.sets.files import FileVideo
from mpvn.data.sets.layout import (
    PathCache,
    check_choice,
    find_file,
    find_folder,
    raise_problems,
    read_lines,
)
from mpvn.data.video_set import NO_MIRROR, VideoSet

_GRID_SIDES = {"localize": 6, "localize_4x4": 4, "localize_8x8": 8}
_MULTI_LABEL_TASKS = ("actions_present", "actions_order_uniq")
_SPLITS = ("train", "val", "train_subsetT", "train_subsetV")
_REMEDY = (
    "Unpack videos.zip and lists.zip of the same version from "
    "https://github.com/rohitgirdhar/CATER into one folder, so that it contains "
    "videos/CATER_new_000001.avi, ... and lists/localize/train.txt and val.txt. For localization, "
    "use the version all_actions or all_actions_cameramotion."
)


def cater(
    root: str | os.PathLike[str], split: str = "train", *, task: str = "localize"
) -> VideoSet:
    """Read one split of CATER's localization task.

    Class `n` is column `n % side` and row `n // side` of the grid: 36 classes for 6 x 6 cells. The
    corner from which the camera looks at the grid varies, so no cell has a mirror image.

    Args:
        root: The folder that contains `videos/` and `lists/`.
        split: `"train"` or `"val"`; or `"train_subsetT"` or `"train_subsetV"`, two parts of
            `"train"`.
        task: `"localize"`; or `"localize_4x4"` or `"localize_8x8"`, with other grids.

    Raises:
        ValueError: Folders, lists or listed videos are missing; labels are out of range; the task
            is unknown, or gives a video several labels.
    """
    if task in _MULTI_LABEL_TASKS:
        raise ValueError(
            f"task: expected one of {', '.join(_GRID_SIDES)}. Received: {task!r}, which gives a "
            "video several labels and is not implemented."
        )
    side = _GRID_SIDES[check_choice("task", task, _GRID_SIDES)]
    check_choice("split", split, _SPLITS)
    root = find_folder([Path(root)], "CATER", _REMEDY)
    folder = find_folder([root / "videos"], "the videos", _REMEDY)
    path = find_file([root / "lists" / task / f"{split}.txt"], "a list of videos", _REMEDY)
    paths = PathCache()
    videos: list[FileVideo] = []
    problems: list[str] = []
    for line, text in read_lines(path, _REMEDY):
        name, _, label = text.rpartition(" ")
        video = folder / Path(name).name
        if not name or not label.isdecimal() or int(label) >= side * side:
            problems.append(
                f"line {line}: expected a video and a label in 0 .. {side * side - 1}. "
                f"Received: {text!r}"
            )
        elif not paths.exists(video):
            problems.append(f"line {line}: {video} does not exist")
        else:
            videos.append(FileVideo(video, int(label)))
    raise_problems(str(path), problems, _REMEDY)
    classes = tuple(f"column {n % side}, row {n // side}" for n in range(side * side))
    return VideoSet(f"CATER {task} {split}", videos, classes, (NO_MIRROR,) * len(classes))
