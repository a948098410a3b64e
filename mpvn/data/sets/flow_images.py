"""Pictures of optical flow on disk, in the usual format: two gray JPEGs for a pair of frames.

    v_Jump_g01_c01/flow_x_00001.jpg     from the first frame of the video to the second
    v_Jump_g01_c01/flow_y_00001.jpg
    v_Jump_g01_c01/flow_x_00002.jpg     from the second to the third

denseflow and the tools of *Temporal Segment Networks* write this format. In a folder with number
00000, numbers start there. Pictures of such tools are read from a folder named by the last one or
two components of the video's path, such as `v_Jump_g01_c01` or `Jump/v_Jump_g01_c01`, if no other
video has the same components. New pictures are written to a folder named by the method and the
whole path: `dis_20/data/Jump/v_Jump_g01_c01`.

Limitations: JPEG changes values, by a few of 255 levels where the flow is smooth, by more at its
edges. Pictures of other tools do not state their method or bound.
"""

import collections
import functools
import io
import os
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from mpvn.data.video.endings import VIDEO_SUFFIXES
from mpvn.data.video.errors import VideoError
from mpvn.data.video_set import Frames
from mpvn.files import write_atomically

QUALITY = 95


class FlowImages:
    """The pictures of one video. Pair n is that of the frames n and n + 1.

    Args:
        folders: Folders that may contain the pictures. The first existing one is used; if none
            exists, the last one is created.
    """

    def __init__(self, folders: Sequence[str]) -> None:
        self._folders = folders  # Strings are smaller than paths, and a data set has many.

    def exists(self, pair: int) -> bool:
        """Return whether both pictures of the pair exist."""
        return all(path.exists() for path in self._paths(pair))

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
        folder, first = self._location
        return [folder / f"flow_{axis}_{first + pair:05d}.jpg" for axis in "xy"]

    @functools.cached_property
    def _location(self) -> tuple[pathlib.Path, int]:
        """The folder, and the number of its first picture."""
        existing = (folder for folder in self._folders if os.path.isdir(folder))
        folder = pathlib.Path(next(existing, self._folders[-1]))
        return folder, 0 if (folder / "flow_x_00000.jpg").exists() else 1


def flow_images(names: Sequence[str], folder: str, method: str) -> list[FlowImages]:
    """Find the folders of pictures of each video.

    Args:
        names: Names of the videos.
        folder: The folder that contains the pictures of all videos.
        method: How missing pictures are computed, as the name of a subfolder.

    Raises:
        ValueError: Two videos would write to the same folder.
    """
    paths = [_path(name) for name in names]
    ends = [dict.fromkeys((path[-2:], path[-1:])) for path in paths]  # Equal for a short path.
    count = collections.Counter(paths)
    duplicate = next((name for name, path in zip(names, paths, strict=True) if count[path] > 1), "")
    if duplicate:
        raise ValueError(
            f"{duplicate}: expected a separate folder of optical flow for each video. Received: "
            "two videos whose paths differ only in an ending such as .mp4. Rename one of them."
        )
    owners = collections.Counter(end for path_ends in ends for end in path_ends)
    return [
        FlowImages(
            [
                *(os.path.join(folder, *end) for end in path_ends if owners[end] == 1),
                os.path.join(folder, method, *path),
            ]
        )
        for path, path_ends in zip(paths, ends, strict=True)
    ]


def _path(name: str) -> tuple[str, ...]:
    """Convert the name of a video to folders below the current one, without the file's suffix."""
    parts = tuple(part for part in name.split("/") if part not in ("", ".", ".."))
    stem, dot, ending = parts[-1].rpartition(".")
    return (*parts[:-1], stem) if stem and dot + ending.lower() in VIDEO_SUFFIXES else parts
