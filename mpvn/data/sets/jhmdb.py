"""JHMDB (Jhuang et al. 2013): 928 videos of 21 actions, with the joints of one person.

The joints are in MATLAB files, which SciPy reads. The annotations include hidden joints. Here, a
joint is visible if it is inside the picture.
"""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from mpvn.data.sets.files import FileVideo
from mpvn.data.sets.hmdb51 import read_fold
from mpvn.data.sets.layout import find_folder, has_images, raise_problems
from mpvn.data.video.image_series import images_in
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

_FPS = 30.0  # The frame rate of HMDB51, the source of the videos.
_REMEDY = (
    "Unpack Rename_Images.tar.gz, joint_positions.zip and splits.zip from "
    "http://jhmdb.is.tue.mpg.de into one folder, so that it contains "
    "Rename_Images/CLASS/VIDEO/00001.png, joint_positions/CLASS/VIDEO/joint_positions.mat and "
    "splits/CLASS_test_split1.txt, ..."
)


def jhmdb(root: str | os.PathLike[str], split: str = "train", *, fold: int = 1) -> VideoSet:
    """Read one fold of JHMDB, with classes and joints.

    Args:
        root: The folder that contains `Rename_Images/`, `joint_positions/` and `splits/`.
        split: `"train"` or `"test"`.
        fold: 1, 2 or 3.

    Raises:
        ValueError: Folders, lists, frames or joints are missing, or not every frame has joints.
        ImportError: SciPy is not installed.
    """
    root = find_folder([Path(root)], "JHMDB", _REMEDY)
    images = find_folder([root / "Rename_Images"], "folders of frames", _REMEDY)
    positions = find_folder([root / "joint_positions"], "joints", _REMEDY)
    lists = read_fold(find_folder([root / "splits"], "lists", _REMEDY), split, fold, _REMEDY)
    videos: list[FileVideo] = []
    problems: list[str] = []
    for label, name in enumerate(lists):
        for video in lists[name]:
            stem = video.removesuffix(".avi")
            folder = images / name / stem
            path = positions / name / stem / "joint_positions.mat"
            if not has_images(folder):
                problems.append(f"{folder}: expected a folder of images")
            elif not path.is_file():
                problems.append(f"{path} does not exist")
            else:
                joints, problem = _read_joints(path, images_in(folder))
                problems += [problem] if problem else []
                videos.append(FileVideo(folder, label, fps=_FPS, joints=joints[:, None]))
    raise_problems(str(root), problems, _REMEDY)
    return VideoSet(f"JHMDB {split} {fold}", videos, tuple(lists), joints=JOINTS)


def _read_joints(path: Path, images: list[Path]) -> tuple[Joints, str]:
    """Return joints `[frames, 15, 3]`, and the problem with them, if any."""
    positions = _load(path).get("pos_img", np.empty(0))  # [2, 15, frames], x and y from 1 on
    expected = (2, len(JOINTS), len(images))
    joints = np.zeros((len(images), len(JOINTS), 3), np.float32)
    if positions.shape != expected:
        return joints, (
            f"{path}: expected pos_img of shape {list(expected)}. Received: {list(positions.shape)}"
        )
    if not np.isfinite(positions).all():
        return joints, f"{path}: expected finite positions. Received: NaN or infinity"
    with Image.open(images[0]) as image:
        size = image.size  # Width and height, in the order of x and y.
    # MATLAB counts from 1: the center of the first pixel is 1.
    joints[..., :2] = positions.transpose(2, 1, 0) - 1  # [2, 15, frames] -> [frames, 15, 2]
    from_corner = joints[..., :2] + 0.5
    joints[..., 2] = ((from_corner >= 0) & (from_corner < size)).all(axis=-1)
    return joints, ""


def _load(path: Path) -> dict[str, np.ndarray]:
    """Return the variables of a MATLAB file."""
    try:
        import scipy.io
    except ImportError as error:
        raise ImportError(
            f"{path}: SciPy reads MATLAB files, but it is not installed. Install it with "
            "`pip install scipy`."
        ) from error
    try:
        return scipy.io.loadmat(path)
    except (ValueError, OSError, NotImplementedError) as error:
        raise ValueError(
            f"{path}: expected a MATLAB file. Received: another file ({error}). {_REMEDY}"
        ) from error
