"""PoseTrack 2018 (Andriluka et al. 2018): people's joints in videos, of one person each.

Of each video the person is taken who is annotated in most frames, from the first to the last of
these. Frames between them that are not annotated have no visible joints.
"""

import os
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from mpvn.data.sets.files import FileVideo
from mpvn.data.sets.layout import choice, folder_among, has_images, raise_faults, read_json
from mpvn.data.video.image_folder import images_in
from mpvn.data.video.rates import DEFAULT_FPS
from mpvn.data.video_set import Joints, VideoSet

_MEND = (
    "Unpack images and annotations of PoseTrack 2018 in one folder: it then holds "
    "images/train/000001_bonn_train/000000.jpg, ... and annotations/train/000001_bonn_train.json, "
    "with images, annotations (keypoints, track_id, image_id) and categories."
)


def posetrack(root: str | os.PathLike[str], split: str = "train") -> VideoSet:
    """One split of PoseTrack 2018, without classes. The frame rate, which it does not tell, is 25.

    Args:
        root: The folder of `images/` and `annotations/`.
        split: `"train"` or `"val"`.

    Raises:
        ValueError: Folders or images are missing; annotations are of another form, name joints
            that other files do not, or are of nobody.
    """
    choice("split", split, ("train", "val"))
    root = folder_among([Path(root)], "PoseTrack", _MEND)
    folder = folder_among([root / "annotations" / split], "annotations", _MEND)
    paths = sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))
    names: tuple[str, ...] = ()
    videos: list[FileVideo] = []
    faults = [] if paths else ["there are no JSON files"]
    for path in paths:
        try:
            file = _File(root, read_json(path, dict, _MEND))
            names = names or file.joints
            if file.joints != names:
                raise _Fault(f"expected the joints {names}, as before, received {file.joints}")
            videos.append(file.video())
        except _Fault as fault:
            faults.append(f"{path.name}: {fault}")
    raise_faults(str(folder), faults, _MEND)
    return VideoSet(f"PoseTrack 2018 {split}", videos, joints=names)


class _Fault(Exception):
    """What is wrong with one file."""


class _File:
    """The annotations of one video."""

    def __init__(self, root: Path, content: Mapping[str, Any]) -> None:
        self._images = _entries(content, "images", ("id", "file_name"))
        self._people = _entries(content, "annotations", ("image_id", "track_id", "keypoints"))
        categories = _entries(content, "categories", ("keypoints",))
        if len(categories) != 1 or not self._images:
            raise _Fault("expected images, and one category with keypoints")
        self.joints = tuple(str(name) for name in categories[0]["keypoints"])
        folders = {Path(str(image["file_name"])).parent for image in self._images}
        if len(folders) > 1:
            raise _Fault(f"expected images of one folder, received {sorted(map(str, folders))}")
        self._folder = root / folders.pop()

    def video(self) -> FileVideo:
        """The frames of the person who is annotated in most, and the joints."""
        found = self._frames()
        tracks: dict[Any, dict[int, Joints]] = {}
        for person in self._people:
            if person["image_id"] not in found:
                raise _Fault(f"there is no image {person['image_id']}, which has a person")
            joints = self._joints(person["keypoints"])
            if joints is not None:
                frames = tracks.setdefault(person["track_id"], {})
                frames.setdefault(found[person["image_id"]], joints)
        if not tracks:
            raise _Fault("expected a person with keypoints, received none")
        frames = max(tracks.values(), key=len)  # The first of several.
        first, last = min(frames), max(frames)
        joints = np.zeros((last + 1 - first, len(self.joints), 3), np.float32)
        for frame, values in frames.items():
            joints[frame - first] = values
        period = Fraction(1, DEFAULT_FPS)
        return FileVideo(
            self._folder,
            start=first * period,
            end=(last + 1) * period,
            fps=DEFAULT_FPS,
            joints=joints,
        )

    def _frames(self) -> dict[Any, int]:
        """Number of the frame in its folder, by identifier of the image."""
        if not self._folder.is_dir() or not has_images(self._folder):
            raise _Fault(f"there is no folder of images {self._folder}")
        numbers = {path.name: number for number, path in enumerate(images_in(self._folder))}
        named = [(image["id"], Path(str(image["file_name"])).name) for image in self._images]
        missing = [name for _, name in named if name not in numbers]
        if missing:
            raise _Fault(f"{len(missing)} images are not in {self._folder}, as {missing[0]}")
        return {identifier: numbers[name] for identifier, name in named}

    def _joints(self, keypoints: Sequence[float]) -> Joints | None:
        """Joints `[joints, 3]`; None of a person who is there without any."""
        if not keypoints:
            return None
        try:
            values = np.array(keypoints, np.float32)
        except (TypeError, ValueError) as error:
            raise _Fault(f"expected numbers as keypoints, received {keypoints!r}") from error
        if values.size != 3 * len(self.joints):
            raise _Fault(f"expected {3 * len(self.joints)} keypoints, received {values.size}")
        joints = values.reshape(-1, 3)  # [3 joints] -> [joints, 3]
        joints[:, 2] = joints[:, 2] > 0
        return joints


def _entries(content: Mapping[str, Any], name: str, keys: Sequence[str]) -> list[dict[str, Any]]:
    entries = content.get(name)
    if not isinstance(entries, list):
        raise _Fault(f"expected a list {name}, received {type(entries).__name__}")
    for at, entry in enumerate(entries):
        if not isinstance(entry, dict) or not set(keys) <= entry.keys():
            raise _Fault(f"{name}, entry {at}: expected {', '.join(keys)}")
    return entries
