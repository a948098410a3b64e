"""JHMDB (Jhuang et al. 2013): 928 videos of 21 actions, with the joints of one person.

Its joints are in MATLAB files, which SciPy reads. They are annotated whether they can be seen or
not; visible are here those within the picture.
"""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from mpvn.data.sets.files import FileVideo
from mpvn.data.sets.hmdb51 import read_fold
from mpvn.data.sets.layout import folder_among, has_images, raise_faults
from mpvn.data.video.image_folder import images_in
from mpvn.data.video_set import Joints, VideoSet

JOINTS = (
    "neck",
    "belly",
    "face",
    "right_shoulder",
    "left_shoulder",
    "right_hip",
    "left_hip",
    "right_elbow",
    "left_elbow",
    "right_knee",
    "left_knee",
    "right_wrist",
    "left_wrist",
    "right_ankle",
    "left_ankle",
)
"""The 15 joints, in the order of the files."""

_FPS = 30.0  # Of HMDB51, from which the videos are.
_MEND = (
    "Unpack Rename_Images.tar.gz, joint_positions.zip and splits.zip, of "
    "http://jhmdb.is.tue.mpg.de, in one folder: it then holds Rename_Images/CLASS/VIDEO/00001.png, "
    "joint_positions/CLASS/VIDEO/joint_positions.mat and splits/CLASS_test_split1.txt, ..."
)


def jhmdb(root: str | os.PathLike[str], split: str = "train", fold: int = 1) -> VideoSet:
    """One fold of JHMDB, with classes and joints.

    Args:
        root: The folder of `Rename_Images/`, `joint_positions/` and `splits/`.
        split: `"train"` or `"test"`.
        fold: 1, 2 or 3.

    Raises:
        ValueError: Folders, lists, frames or joints are missing; not every frame has its joints.
        ImportError: SciPy is not installed.
    """
    root = folder_among([Path(root)], "JHMDB", _MEND)
    images = folder_among([root / "Rename_Images"], "folders of frames", _MEND)
    positions = folder_among([root / "joint_positions"], "joints", _MEND)
    lists = read_fold(folder_among([root / "splits"], "lists", _MEND), split, fold, _MEND)
    videos: list[FileVideo] = []
    faults: list[str] = []
    for label, name in enumerate(lists):
        for video in lists[name]:
            stem = video.removesuffix(".avi")
            folder = images / name / stem
            path = positions / name / stem / "joint_positions.mat"
            if not folder.is_dir() or not has_images(folder):
                faults.append(f"{folder}: expected a folder of images")
            elif not path.is_file():
                faults.append(f"there is no {path}")
            else:
                joints, fault = _joints(path, images_in(folder))
                faults += [fault] if fault else []
                videos.append(FileVideo(folder, label, fps=_FPS, joints=joints))
    raise_faults(str(root), faults, _MEND)
    return VideoSet(f"JHMDB {split} {fold}", videos, tuple(lists), joints=JOINTS)


def _joints(path: Path, images: list[Path]) -> tuple[Joints, str]:
    """Joints `[frames, 15, 3]`, and what is wrong with them."""
    positions = _load(path).get("pos_img", np.empty(0))  # [2, 15, frames], x and y from 1 on
    expected = (2, len(JOINTS), len(images))
    joints = np.zeros((len(images), len(JOINTS), 3), np.float32)
    if positions.shape != expected:
        what = f"expected pos_img {list(expected)}, received {list(positions.shape)}"
        return joints, f"{path}: {what}"
    if not np.isfinite(positions).all():
        return joints, f"{path}: expected finite positions, received others"
    with Image.open(images[0]) as image:
        size = image.size  # Width and height, as x and y.
    # The middle of the first pixel is 1 in MATLAB.
    joints[..., :2] = positions.transpose(2, 1, 0) - 1  # [2, 15, frames] -> [frames, 15, 2]
    from_corner = joints[..., :2] + 0.5
    joints[..., 2] = ((from_corner >= 0) & (from_corner < size)).all(axis=-1)
    return joints, ""


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        import scipy.io
    except ImportError as error:
        raise ImportError(
            f"{path} is a MATLAB file: expected SciPy to read it, received none. "
            "Install it with `pip install scipy`."
        ) from error
    try:
        return scipy.io.loadmat(path)
    except (ValueError, OSError, NotImplementedError) as error:
        raise ValueError(
            f"{path}: expected a MATLAB file, received another ({error}). {_MEND}"
        ) from error
