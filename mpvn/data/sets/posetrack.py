"""PoseTrack 2018 (Andriluka et al. 2018): joints of people in videos. One person per video is read.

This is the person with the most annotated frames. The video is cut to the frames from the first to
the last annotation of this person. Frames in between without annotation have no visible joints.
"""

import os
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from mpvn.data.sets.files import FileVideo
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
            than those of other videos, or no person.
    """
    check_choice("split", split, ("train", "val"))
    root = find_folder([Path(root)], "PoseTrack", _REMEDY)
    folder = find_folder([root / "annotations" / split], "annotations", _REMEDY)
    paths = sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))
    names: tuple[str, ...] = ()
    videos: list[FileVideo] = []
    problems = [] if paths else ["Expected JSON files. Received: none"]
    for path in paths:
        try:
            file = _AnnotationFile(root, read_json(path, dict, _REMEDY))
            names = names or file.joints
            if file.joints != names:
                raise _AnnotationError(
                    f"expected the joints of the previous files, {names}. Received: {file.joints}"
                )
            videos.append(file.video())
        except _AnnotationError as error:
            problems.append(f"{path.name}: {error}")
    raise_problems(str(folder), problems, _REMEDY)
    return VideoSet(f"PoseTrack 2018 {split}", videos, joints=names)


class _AnnotationError(Exception):
    """A problem with one file of annotations."""


class _AnnotationFile:
    """The annotations of one video."""

    def __init__(self, root: Path, content: Mapping[str, Any]) -> None:
        self._images = _entries(content, "images", ("id", "file_name"))
        self._people = _entries(content, "annotations", ("image_id", "track_id", "keypoints"))
        categories = _entries(content, "categories", ("keypoints",))
        if len(categories) != 1 or not self._images:
            raise _AnnotationError(
                "expected images, and one category with keypoints. Received: "
                f"{len(self._images)} images, {len(categories)} categories"
            )
        self.joints = tuple(str(name) for name in categories[0]["keypoints"])
        folders = {Path(str(image["file_name"])).parent for image in self._images}
        if len(folders) > 1:
            raise _AnnotationError(
                f"expected all images in one folder. Received: {sorted(map(str, folders))}"
            )
        self._folder = root / folders.pop()

    def video(self) -> FileVideo:
        """Return the frames and joints of the person with the most annotated frames."""
        frame_numbers = self._frame_numbers()
        tracks: dict[Any, dict[int, Joints]] = {}
        for person in self._people:
            if person["image_id"] not in frame_numbers:
                raise _AnnotationError(
                    f"a person refers to the image {person['image_id']}, which does not exist"
                )
            joints = self._joints(person["keypoints"])
            if joints is not None:
                frames = tracks.setdefault(person["track_id"], {})
                frames.setdefault(frame_numbers[person["image_id"]], joints)
        if not tracks:
            raise _AnnotationError("expected a person with keypoints. Received: none")
        frames = max(tracks.values(), key=len)  # The first person if several have the most frames.
        first, last = min(frames), max(frames)
        joints = np.zeros((last + 1 - first, 1, len(self.joints), 3), np.float32)
        for frame, values in frames.items():
            joints[frame - first, 0] = values
        period = Fraction(1, DEFAULT_FPS)
        return FileVideo(
            self._folder,
            start=first * period,
            end=(last + 1) * period,
            fps=DEFAULT_FPS,
            joints=joints,
        )

    def _frame_numbers(self) -> dict[Any, int]:
        """Return the position of each image in its folder, by image identifier."""
        if not self._folder.is_dir() or not has_images(self._folder):
            raise _AnnotationError(f"expected a folder of images {self._folder}")
        numbers = {path.name: number for number, path in enumerate(images_in(self._folder))}
        names = [(image["id"], Path(str(image["file_name"])).name) for image in self._images]
        missing = [name for _, name in names if name not in numbers]
        if missing:
            raise _AnnotationError(
                f"{len(missing)} images are missing in {self._folder}, such as {missing[0]}"
            )
        return {identifier: numbers[name] for identifier, name in names}

    def _joints(self, keypoints: Sequence[float]) -> Joints | None:
        """Return joints `[joints, 3]`; None if the person has no keypoints."""
        if not keypoints:
            return None
        try:
            values = np.array(keypoints, np.float32)
        except (TypeError, ValueError) as error:
            raise _AnnotationError(
                f"expected numbers as keypoints. Received: {keypoints!r}"
            ) from error
        if values.size != 3 * len(self.joints):
            raise _AnnotationError(
                f"expected {3 * len(self.joints)} keypoints. Received: {values.size}"
            )
        joints = values.reshape(-1, 3)  # [3 joints] -> [joints, 3]
        joints[:, 2] = joints[:, 2] > 0
        return joints


def _entries(content: Mapping[str, Any], name: str, keys: Sequence[str]) -> list[dict[str, Any]]:
    """Return the list `name` of `content`, whose entries must have these keys."""
    entries = content.get(name)
    if not isinstance(entries, list):
        raise _AnnotationError(f"expected a list {name}. Received: {type(entries).__name__}")
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict) or not set(keys) <= entry.keys():
            raise _AnnotationError(f"{name}, entry {index}: expected {', '.join(keys)}")
    return entries
