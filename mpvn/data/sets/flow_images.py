"""Pictures of optical flow on disk, in the usual format: two gray pictures for a pair of frames.

    flow_x_00001.jpg     from the first frame of the video to the second
    flow_y_00001.jpg
    flow_x_00002.jpg     from the second to the third

New pictures are written to a folder that is named by the method and by what identifies the video:
`dis_20/7b/7b3f...`. So a moved data set keeps them, and another video of the same name does not get
them. If one picture of a pair is missing, both are computed again.

denseflow and the tools of *Temporal Segment Networks* write this format, too, with numbers from 0
or 1 on. Their pictures are read from a folder named by the last one or two components of the
video's path, such as `v_Jump_g01_c01` or `Jump/v_Jump_g01_c01`, if no other video has the same.
They state neither the video nor the method. So they are only read if they are as many as the pairs
of the video's frames (or one more, as some tools repeat the last) and have its aspect ratio;
otherwise they are refused. Nothing is written to their folders.

Limitations: JPEG changes values, by a few of 255 levels where the flow is smooth, by more at its
edges. Pictures of other tools with another bound are not recognized.
"""

import collections
import functools
import io
import os
import pathlib
import re
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from mpvn.data.identity import identity
from mpvn.data.video.endings import VIDEO_SUFFIXES
from mpvn.data.video.errors import VideoError
from mpvn.data.video_set import Frames, Video
from mpvn.files import write_atomically

QUALITY = 95
_MAX_STRETCH = 0.05  # Of the aspect ratio, because sizes are rounded.
_PICTURE = re.compile(r"flow_(?P<axis>[xy])_(?P<number>\d+)\.(jpg|jpeg|png)")


class FlowImages:
    """The pictures of one video. Pair n is that of the frames n and n + 1.

    Args:
        video: The video.
        others: Folders that may contain pictures of other tools. The first that contains some is
            used.
        own: The folder with a folder for each video, for new pictures.
    """

    def __init__(self, video: Video, others: Sequence[str], own: str) -> None:
        self._video = video
        self._others = others  # Strings are smaller than paths, and a data set has many.
        self._own = own

    def exists(self, pair: int) -> bool:
        """Return whether both pictures of the pair exist.

        Raises:
            VideoError: The pictures are of another tool, and not those of this video.
        """
        return bool(self._complete) or all(path.exists() for path in self._paths(pair))

    def read(self, pairs: Iterable[int]) -> Frames:
        """Read the pictures of pairs.

        Returns:
            uint8 `[N, H, W, 2]`: x and y.

        Raises:
            VideoError: A picture is damaged, or has another size than the first.
        """
        planes: list[np.ndarray] = []  # x, y, x, y, ...
        for path in (path for pair in pairs for path in self._paths(pair)):
            try:
                with Image.open(path) as image:
                    planes.append(np.asarray(image.convert("L")))
            except OSError as error:
                raise VideoError(
                    f"{path}: expected a picture of optical flow. Received: a file that does not "
                    f"decode ({error}). Delete the file to compute it again."
                ) from error
            if planes[-1].shape != planes[0].shape:
                sizes = ["x".join(map(str, plane.shape)) for plane in (planes[0], planes[-1])]
                raise VideoError(
                    f"{path}: expected pictures of one size in a folder. Received: height x width "
                    f"{sizes[0]} and {sizes[1]}. Delete the pictures of one size to compute them "
                    "again."
                )
        # [2 * N, H, W] -> [N, 2, H, W] -> [N, H, W, 2]
        stacked = np.stack(planes)
        return stacked.reshape(-1, 2, *stacked.shape[1:]).transpose(0, 2, 3, 1)

    def write(self, pair: int, flow: np.ndarray) -> None:
        """Write the pictures of a pair, each of them atomically.

        Args:
            pair: Number of the pair.
            flow: uint8 `[H, W, 2]`.
        """
        for path, plane in zip(self._paths(pair), np.moveaxis(flow, -1, 0), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            jpeg = io.BytesIO()
            Image.fromarray(np.ascontiguousarray(plane)).save(jpeg, "jpeg", quality=QUALITY)
            write_atomically(path, jpeg.getvalue())

    def _paths(self, pair: int) -> list[pathlib.Path]:
        if self._complete:
            return [self._complete[axis, pair] for axis in "xy"]
        return [self._folder / f"flow_{axis}_{1 + pair:05d}.jpg" for axis in "xy"]

    @functools.cached_property
    def _folder(self) -> pathlib.Path:
        """The folder of new pictures."""
        name = identity(self._video)
        return pathlib.Path(self._own, name[:2], name)

    @functools.cached_property
    def _complete(self) -> dict[tuple[str, int], pathlib.Path]:
        """The pictures of another tool by axis and pair; empty if there are none."""
        for folder in self._others:
            pictures = _list_pictures(folder)
            if pictures:
                self._check(folder, pictures)
                return pictures
        return {}

    def _check(self, folder: str, pictures: dict[tuple[str, int], pathlib.Path]) -> None:
        """Raise VideoError if pictures of another tool cannot be those of this video."""
        frames = len(self._video.timeline)
        counts = [sum(axis == each for axis, _ in pictures) for each in "xy"]
        pairs = {(axis, pair) for axis in "xy" for pair in range(frames - 1)}
        height, width = self._video.read([0]).shape[1:3]
        with Image.open(next(iter(pictures.values()))) as image:
            stretch = (image.width * height) / (image.height * width)
            size = f"{image.height}x{image.width}"
        if not pairs <= pictures.keys() or max(counts) > frames or abs(stretch - 1) > _MAX_STRETCH:
            raise VideoError(
                f"{folder}: expected two pictures of optical flow for each of {frames - 1} pairs "
                f"of frames of {height}x{width}, or that aspect ratio, of {self._video.name}. "
                f"Received: {counts[0]} pictures flow_x and {counts[1]} flow_y of {size}. They are "
                "of another video, or incomplete: complete them, or rename the folder to compute "
                "the flow."
            )


def _list_pictures(folder: str) -> dict[tuple[str, int], pathlib.Path]:
    """Return the pictures in a folder, by axis and pair."""
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    matches = [match for match in map(_PICTURE.fullmatch, names) if match]
    first = min((int(match["number"]) for match in matches), default=0)
    pictures: dict[tuple[str, int], pathlib.Path] = {}
    for match in matches:
        pair = int(match["number"]) - min(first, 1)
        path = pictures.setdefault((match["axis"], pair), pathlib.Path(folder, match[0]))
        if path.name != match[0]:
            raise VideoError(
                f"{folder}: expected one picture of optical flow for each axis and pair. Received: "
                f"{path.name} and {match[0]}. Remove one of them."
            )
    return pictures


def flow_images(videos: Sequence[Video], folder: str, method: str) -> list[FlowImages]:
    """Find the folders of pictures of each video.

    Args:
        videos: The videos.
        folder: The folder that contains the pictures of all videos.
        method: How missing pictures are computed, as the name of a subfolder.
    """
    paths = [_path(video.name) for video in videos]
    ends = [dict.fromkeys((path[-2:], path[-1:])) for path in paths]  # Equal for a short path.
    owners = collections.Counter(end for path_ends in ends for end in path_ends)
    own = os.path.join(folder, method)
    return [
        FlowImages(
            video, [os.path.join(folder, *end) for end in path_ends if owners[end] == 1], own
        )
        for video, path_ends in zip(videos, ends, strict=True)
    ]


def _path(name: str) -> tuple[str, ...]:
    """Convert the name of a video to folders below the current one, without the file's suffix."""
    parts = tuple(part for part in name.split("/") if part not in ("", ".", ".."))
    stem, ending = os.path.splitext(parts[-1])
    return (*parts[:-1], stem) if ending.lower() in VIDEO_SUFFIXES else parts
