"""Pictures of optical flow on disk, as the field keeps them: two gray JPEGs for a pair of frames.

    v_Jump_g01_c01/flow_x_00001.jpg     from the first frame of the video to the second
    v_Jump_g01_c01/flow_y_00001.jpg
    v_Jump_g01_c01/flow_x_00002.jpg     from the second to the third

So denseflow and the tools of *Temporal Segment Networks* write them; a folder with a number 00000
counts from there. What they wrote is read where it lies: in a folder of the last name of a video's
path, or of the last two, `Jump/v_Jump_g01_c01`, if it is of one video alone. What is computed here
lies in a folder of the whole path, below one that says how: `dis_20/data/Jump/v_Jump_g01_c01`.

What it does not do well: JPEG changes values, by few of 255 where the flow is smooth, by more at
its edges. Pictures of other tools do not say how they were made, nor what their bound was.
"""

import collections
import functools
import io
import os
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from mpvn.data.sets.layout import VIDEO_SUFFIXES
from mpvn.data.video.errors import VideoError
from mpvn.data.video_set import Frames
from mpvn.files import write_atomically

QUALITY = 95


class FlowImages:
    """The pictures of one video, by pair of frames, the first of which is 0.

    Args:
        folders: where they may be; the first that is there is taken, else the last is made.
    """

    def __init__(self, folders: Sequence[str]) -> None:
        self._folders = folders  # as text, since a data set has many

    def has(self, pair: int) -> bool:
        """Whether both pictures of the pair are there."""
        return all(path.exists() for path in self._paths(pair))

    def read(self, pairs: Iterable[int]) -> Frames:
        """The pictures of pairs, uint8 `[N, H, W, 2]`: x and y.

        Raises:
            VideoError: one is damaged, or of another size than the first.
        """
        found: list[np.ndarray] = []  # x, y, x, y, ...
        for path in (path for pair in pairs for path in self._paths(pair)):
            try:
                with Image.open(path) as image:
                    found.append(np.asarray(image.convert("L")))
            except OSError as damage:
                raise VideoError(
                    f"{path}: expected a picture of optical flow, received none that decodes "
                    f"({damage}). Delete it, and it is made anew"
                ) from damage
            if found[-1].shape != found[0].shape:
                sizes = ["x".join(map(str, plane.shape)) for plane in (found[0], found[-1])]
                raise VideoError(
                    f"{path}: expected pictures of one size in a folder, received height x width "
                    f"{sizes[0]} and {sizes[1]}. Delete those of the one, and they are made anew"
                )
        # [2 * N, H, W] -> [N, 2, H, W] -> [N, H, W, 2]
        planes = np.stack(found)
        return planes.reshape(-1, 2, *planes.shape[1:]).transpose(0, 2, 3, 1)

    def write(self, pair: int, flow: np.ndarray) -> None:
        """Writes the pictures of a pair, each whole or not at all.

        Args:
            pair: which.
            flow: uint8 `[H, W, 2]`.
        """
        for path, plane in zip(self._paths(pair), np.moveaxis(flow, -1, 0), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            jpeg = io.BytesIO()
            Image.fromarray(np.ascontiguousarray(plane)).save(jpeg, "jpeg", quality=QUALITY)
            write_atomically(path, jpeg.getvalue())

    def _paths(self, pair: int) -> list[pathlib.Path]:
        folder, first = self._place
        return [folder / f"flow_{axis}_{first + pair:05d}.jpg" for axis in "xy"]

    @functools.cached_property
    def _place(self) -> tuple[pathlib.Path, int]:
        """The folder, and the number of its first picture."""
        there = (folder for folder in self._folders if os.path.isdir(folder))
        folder = pathlib.Path(next(there, self._folders[-1]))
        return folder, 0 if (folder / "flow_x_00000.jpg").exists() else 1


def flow_images(names: Sequence[str], folder: str, made: str) -> list[FlowImages]:
    """Of each video, where in `folder` its pictures are, or will be.

    Args:
        names: of the videos.
        folder: of the pictures of all of them.
        made: how those that are missing are made, as the name of a folder.

    Raises:
        ValueError: the pictures of two videos would lie in one folder.
    """
    paths = [_path(name) for name in names]
    ends = [dict.fromkeys((path[-2:], path[-1:])) for path in paths]  # one, of a short path
    count = collections.Counter(paths)
    doubled = next((name for name, path in zip(names, paths, strict=True) if count[path] > 1), None)
    if doubled is not None:
        raise ValueError(
            f"the pictures of {doubled} and of another video would lie in one folder: optical flow "
            "can be kept of videos only whose paths differ, endings such as .mp4 aside"
        )
    owners = collections.Counter(end for own in ends for end in own)
    return [
        FlowImages(
            [
                *(os.path.join(folder, *end) for end in own if owners[end] == 1),
                os.path.join(folder, made, *path),
            ]
        )
        for path, own in zip(paths, ends, strict=True)
    ]


def _path(name: str) -> tuple[str, ...]:
    """The name of a video as folders that lead nowhere else, without the ending of its file."""
    parts = tuple(part for part in name.split("/") if part not in ("", ".", ".."))
    stem, dot, ending = parts[-1].rpartition(".")
    return (*parts[:-1], stem) if stem and dot + ending.lower() in VIDEO_SUFFIXES else parts
