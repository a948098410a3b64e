"""PoseTrack 2018 (Andriluka et al. 2018): joints of all people in videos.

Not all frames are labeled: of most videos the middle ones, and of the others every fourth. A video
is cut to its longest run of labeled frames (`is_labeled`), because people in the others are
unknown. Without `is_labeled`, these are the frames from the first to the last one with people.
"""

import os
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mpvn.data.sets.files import FileVideo
from mpvn.data.sets.keypoint_files import with_visibility
from mpvn.data.sets.keypoint_formats import Content, FormatError, parse
from mpvn.data.sets.layout import (
    check_choice,
    find_folder,
    has_images,
    raise_problems,
    read_json,
)
from mpvn.data.video.image_series import images_in
from mpvn.data.video.timeline import DEFAULT_FPS
from mpvn.data.video_set import Joints, VideoSet

_REMEDY = (
    "Unpack the images and annotations of PoseTrack 2018 into one folder, so that it contains "
    "images/train/000001_bonn_train/000000.jpg, ... and annotations/train/000001_bonn_train.json, "
    "with images, annotations (keypoints, track_id, image_id) and categories."
)


def posetrack(root: str | os.PathLike[str], split: str = "train") -> VideoSet:
    """Read one split of PoseTrack 2018, which has joints but no classes.

    The data set does not state a frame rate; 25 frames per second are assumed.

    Args:
        root: The folder that contains `images/` and `annotations/`.
        split: `"train"` or `"val"`.

    Raises:
        ValueError: Folders or images are missing; annotations have another format, different joints
            than those of other videos, or no people.
    """
    check_choice("split", split, ("train", "val"))
    root = find_folder([Path(root)], "PoseTrack", _REMEDY)
    folder = find_folder([root / "annotations" / split], "annotations", _REMEDY)
    paths = sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))
    names: tuple[str, ...] = ()
    sections: list[_Section] = []
    problems = [] if paths else ["Expected JSON files. Received: none"]
    for path in paths:
        try:
            annotations = read_json(path, dict, _REMEDY)
            content = with_visibility(parse(annotations, path.stem), 0)
            names = names or content.names
            if content.names != names:
                raise FormatError(
                    f"expected the joints of the previous files, {names}. Received: {content.names}"
                )
            sections.append(_read(root, content, annotations))
        except FormatError as error:
            problems.append(f"{path.name}: {error}")
    raise_problems(str(folder), problems, _REMEDY)
    people = max(len(each) for section in sections for each in section.people)
    videos = [section.video(people, len(names)) for section in sections]
    return VideoSet(f"PoseTrack 2018 {split}", videos, joints=names, people=people)


class _Section(NamedTuple):
    """Consecutive labeled frames of a folder of images, and the people of each of them."""

    folder: Path
    first: int
    people: list[list[Joints]]

    def video(self, people: int, count: int) -> FileVideo:
        """Return the video, with places for this number of people of `count` joints."""
        joints = np.zeros((len(self.people), people, count, 3), np.float32)
        for places, frame in zip(joints, self.people, strict=True):
            places[: len(frame)] = np.reshape(frame, (-1, count, 3))
        period = Fraction(1, DEFAULT_FPS)
        return FileVideo(
            self.folder,
            start=self.first * period,
            end=(self.first + len(self.people)) * period,
            fps=DEFAULT_FPS,
            joints=joints,
        )


def _read(root: Path, content: Content, annotations: Mapping[str, Any]) -> _Section:
    """Return the longest run of labeled frames of a video."""
    folders = {frame.video for frame in content.frames}
    if len(folders) != 1:
        raise FormatError(f"expected images in one folder. Received: {sorted(folders) or 'none'}")
    folder = root / folders.pop()
    numbers = _numbers(folder, [frame.name for frame in content.frames])
    people = {numbers[frame.name]: frame.people for frame in content.frames}
    shown = [number for number, each in people.items() if each]
    if not shown:
        raise FormatError("expected a person with keypoints. Received: none")
    labeled = {
        numbers[frame.name]
        for frame, image in zip(content.frames, annotations["images"], strict=True)
        if image.get("is_labeled")
    }
    run = _longest_run(labeled or set(range(min(shown), max(shown) + 1)))
    return _Section(folder, run.start, [people.get(number, []) for number in run])


def _numbers(folder: Path, names: list[str]) -> dict[str, int]:
    """Return the position of each image in its folder, by its name."""
    if not has_images(folder):
        raise FormatError(f"expected a folder of images {folder}")
    numbers = {path.name: number for number, path in enumerate(images_in(folder))}
    missing = [name for name in names if name not in numbers]
    if missing:
        raise FormatError(f"{len(missing)} images are missing in {folder}, such as {missing[0]}")
    return numbers


def _longest_run(numbers: set[int]) -> range:
    """Return the longest run of consecutive numbers, the first of several."""
    starts = [number for number in sorted(numbers) if number - 1 not in numbers]
    ends = [number + 1 for number in sorted(numbers) if number + 1 not in numbers]
    return max(map(range, starts, ends), key=len)
