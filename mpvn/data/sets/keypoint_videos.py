"""Joints from JSON files for any folder of videos.

So a network can learn from the joints that an estimator found, as *Massively Parallel Video
Networks* did on Kinetics (section 4).

Formats are recognized by their content: annotations of COCO; results of COCO, such as those of
AlphaPose and Ultralytics; the files of OpenPose and of MMPose. `keypoint_formats` describes them.

A file belongs to the video that its entries name (`video`, `video_id` with `videos`, or the folder
of an image), or else to the video that has the name of the file or of its folder. Folders count
from the end of the path: joints/walk/01.json belongs to walk/01.mp4. OpenPose's files belong to the
video whose name they start with, or else to that with the name of their folder.

- Frames of an image folder are found by the names of the images, those of a file by their numbers.
  Frames are numbered from 0 if any number is 0, or if the format says so (a video by AlphaPose,
  OpenPose, or MMPose's inferencer), and from 1 if all videos have a list of frames from 1 to their
  number of frames. Otherwise, `first_frame` must be set.
- Frames that are not listed have no people. They do not move the frames after them.
- A joint is visible if its third number is above `threshold`. So the joints that COCO marks as
  labeled but hidden (1) count as visible ones (2), as they do in COCO's evaluation. People without
  visible joints and crowds (`iscrowd`) are left out.
- x and y are pixels of upright frames; whole numbers are centers of pixels, as in COCO. Joints in
  frames of another size are scaled if the annotations (or `frame_size`) state the size and have the
  same aspect ratio. Otherwise, they are an error.
- The names of joints are those of the annotations. Without any, 17 and 26 joints are those of COCO
  and Halpe, and those of OpenPose are known. Others get numbers, so that clips are never mirrored.
"""

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mpvn.data.sets.files import FileVideo
from mpvn.data.sets.finding import Finder
from mpvn.data.sets.folder import part
from mpvn.data.sets.keypoint_files import KeypointFile, Listing, listings, read_files
from mpvn.data.sets.keypoint_formats import Size
from mpvn.data.sets.keypoint_video import KeypointVideo, Numbering
from mpvn.data.sets.layout import check_choice, find_folder, named, raise_problems, title_of
from mpvn.data.video_set import VideoSet

_REMEDY = (
    "Put the videos (files, or folders of images) and the JSON files with their joints into one "
    "folder, such as walk/01.mp4 and joints/walk/01.json."
)


def keypoint_videos(
    root: str | os.PathLike[str],
    split: str | None = None,
    *,
    annotations: str | os.PathLike[str] | None = None,
    threshold: float = 0.3,
    names: Sequence[str] = (),
    first_frame: int | None = None,
    frame_size: Size | None = None,
    fps: float | None = None,
    fraction: float | None = None,
    seed: int = 0,
) -> VideoSet:
    """Read videos anywhere below a folder, with joints from JSON files; see the module.

    Args:
        root: The folder.
        split: Name of a folder in `root`: only the videos below it. With `fraction`, `"train"` or
            `"val"`. None or "": all videos.
        annotations: A JSON file, or a folder with JSON files anywhere below it; relative to `root`.
            Default: `root`.
        threshold: A joint is visible if its third number (a confidence, or COCO's 0, 1 or 2) is
            above it.
        names: Names of the joints, for formats that do not state them.
        first_frame: Number of the first frame of a video, 0 or 1. Default: find it.
        frame_size: Height and width of the frames in which the joints were found, if the files do
            not state it. Default: that of the videos.
        fps: Frames per second of folders of images. Default: 25.
        fraction: The fraction of the videos that belong to `"train"`, as in `folder`.
        seed: Seed of this choice.

    Raises:
        ValueError: There are no videos, or no joints for them; a file has another format; two files
            are about the same video; the frames may be numbered from 0 or from 1.

    Warns:
        RuntimeWarning: Videos are left out because there are no joints for them; joints of videos
            that do not exist; or files that are not videos.
    """
    split, fraction = split or None, fraction or None
    root = find_folder([Path(root)], "videos", _REMEDY)
    finder = Finder()
    paths = finder.videos_in(root)
    raise_problems(str(root), finder.problems + ([] if paths else ["Expected videos"]), _REMEDY)
    files = read_files(root / (annotations or ""), threshold, _REMEDY)
    found, unknown = listings(root, files, paths, _REMEDY)
    joints = _joint_names(root, files, names)
    numbering = _numbering(root, found, first_frame)
    chosen = _select(root, sorted(found), split, fraction, seed)
    finder.warn(root)
    _warn(f"{root}: left out videos without joints", root, set(paths) - set(found))
    _warn(f"{root}: joints of videos that do not exist", root, unknown)
    people = max([1, *(len(frame.people) for each in found.values() for frame in each.frames)])
    size = None if frame_size is None else (frame_size[0], frame_size[1])
    shape = (people, len(joints))
    videos = [_video(path, found[path], numbering, size, shape, fps) for path in chosen]
    return VideoSet(title_of(root.absolute().name, split), videos, joints=joints, people=people)


def _video(
    path: Path,
    listing: Listing,
    numbering: Numbering,
    size: Size | None,
    shape: tuple[int, int],
    fps: float | None,
) -> KeypointVideo:
    """Return a video with the joints that are listed for it, in `shape` (people, joints)."""
    video = FileVideo(path, fps=fps if path.is_dir() else None)
    return KeypointVideo(video, path, listing, numbering, listing.size or size, shape)


def _select(
    root: Path, paths: list[Path], split: str | None, fraction: float | None, seed: int
) -> list[Path]:
    """Return the videos of a split."""
    if split is None:
        if fraction is not None:
            raise ValueError(f"split: expected train or val, because fraction={fraction} is set.")
        return paths
    if fraction is None:
        top = find_folder([root / split], f"the split {split}", f"Or set `fraction`. {_REMEDY}")
        chosen = [path for path in paths if path.is_relative_to(top)]
    else:
        check_choice("split", split, ("train", "val"))
        if not 0 < fraction < 1:
            raise ValueError(f"fraction: expected a number between 0 and 1. Received: {fraction}.")
        chosen = part(paths, root, split == "train", fraction, seed)
    raise_problems(str(root), [] if chosen else [f"split {split}: expected videos"], _REMEDY)
    return chosen


def _joint_names(
    root: Path, files: Sequence[KeypointFile], names: Sequence[str]
) -> tuple[str, ...]:
    """Return the names of the joints, which all files must share."""
    stated = [file for file in files if file.content.names]
    if not stated:
        raise ValueError(f"{root}: expected people with joints. Received: none. {_REMEDY}")
    joints = tuple(names) or stated[0].content.names
    problems = []
    for file in stated:
        own = file.content.names
        if len(own) != len(joints):
            problems.append(f"{file.name}: expected {len(joints)} joints. Received: {len(own)}")
        elif own != joints and not names:
            problems.append(
                f"{file.name}: expected the joints {', '.join(joints)}, as in {stated[0].name}. "
                f"Received: {', '.join(own)}"
            )
    raise_problems(str(root), problems, "Set `names`, or read the files as several sets.")
    return joints


def _numbering(root: Path, found: Mapping[Path, Listing], first: int | None) -> Numbering:
    """Find out whether frames are numbered from 0 or from 1."""
    if first is not None:
        return Numbering(first, True)
    lists = [each for path, each in found.items() if not path.is_dir()] or list(found.values())
    numbers = [{frame.number for frame in each.frames} for each in lists]
    if any(0 in each for each in numbers) or all(each.starts_at_0 for each in lists):
        return Numbering(0, True)
    if all(each.lists_all for each in lists) and all(1 in each for each in numbers):
        return Numbering(1, False)
    if all(path.is_dir() for path in found):
        return Numbering(1, False)  # Images are found by name.
    raise ValueError(
        f"{root}: frames may be numbered from 0 or from 1. Expected a frame 0, or lists of all "
        "frames from 1 on. Received: neither. Set `first_frame` to the number of the first frame "
        "of a video: 0 or 1."
    )


def _warn(text: str, root: Path, paths: Iterable[Path | str]) -> None:
    shown = sorted(
        str(path.relative_to(root)) if isinstance(path, Path) else path for path in paths
    )
    if shown:
        warnings.warn(f"{text}: {named(shown)}.", RuntimeWarning, stacklevel=3)
