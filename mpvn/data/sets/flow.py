"""Videos seen as optical flow: the other stream of two-stream networks.

*Temporal Segment Networks* (sections 3.1 and 3.2), and *Temporal Shift Module* after it, stack the
displacements of five pairs of frames, clip them to 20 pixels, and keep them as pictures. Theirs is
`"tvl1"` (*A Duality Based Approach for Realtime TV-L1 Optical Flow*, 2007); `"dis"` (*Fast Optical
Flow using Dense Inverse Search*, ECCV 2016) is dozens of times faster. Both are OpenCV's.

What it does not do well: displacements are pixels of the video as it is, and stay so where its
frames are scaled later, as in the papers. TV-L1 takes near a second for a pair of frames of
320x240: keep it in a folder.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mpvn.data.sets.flow_images import FlowImages, flow_images
from mpvn.data.video.errors import VideoError
from mpvn.data.video_set import Frames, VideoSet, VideoWrapper

METHODS = ("dis", "tvl1")


def optical_flow(
    videos: VideoSet,
    stack: int = 5,
    method: str = "dis",
    bound: float = 20.0,
    folder: str = "",
) -> VideoSet:
    """The same videos, their frames optical flow: uint8 `[H, W, 2 * stack]`.

    Frame i holds the displacements from frame i of the video to the next, from that to the one
    after, and so on: `stack` pairs, each as x (to the right), then y (down). From `-bound` to
    `bound` pixels they are 0 to 255, rounded, halves to the even number: rest, 127.5, is 128. A
    video has `stack` frames fewer than it had.

    Args:
        videos: of RGB frames. Labels, joints and rates stay those of frame i.
        stack: how many pairs of frames, at least 1.
        method: `"dis"`, or `"tvl1"`.
        bound: longest displacement along an axis, in pixels; longer ones are cut off.
        folder: where pictures of the flow are kept: those that are there are read, others are
            computed and written; see `mpvn.data.sets.flow_images`. None keeps none.

    Raises:
        ValueError: arguments out of range, other videos than RGB, or two of one folder.
        ImportError: OpenCV is not installed, or lacks the method.
    """
    if isinstance(stack, bool) or not isinstance(stack, int) or stack < 1:
        raise ValueError(f"stack must be an int of at least 1. Received: {stack!r}")
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}. Received: {method!r}")
    if not 0 < bound < math.inf:
        raise ValueError(f"bound must be a positive number of pixels. Received: {bound!r}")
    if videos.channels != 3:
        raise ValueError(
            f"optical flow is of RGB frames, and those of {videos.name} have {videos.channels} "
            "channels"
        )
    _estimator(method)  # what is not installed is told of here, not of video after video
    names = [video.name for video in videos.videos]
    kept: Sequence[FlowImages | None] = [None] * len(names)
    if folder:
        kept = flow_images(names, folder, f"{method}_{bound:g}")
    return dataclasses.replace(
        videos,
        name=f"{videos.name}, optical flow",
        videos=tuple(
            _Flow(video, stack, method, bound, images)
            for video, images in zip(videos.videos, kept, strict=True)
        ),
        channels=2 * stack,
        horizontal=tuple(range(0, 2 * stack, 2)),
    )


@dataclasses.dataclass(frozen=True)
class _Flow(VideoWrapper):
    """A video seen as optical flow.

    Pair n is of its frames n and n + 1; frame i shows the pairs i to i + stack - 1.
    """

    stack: int
    method: str
    bound: float
    images: FlowImages | None

    @property
    def frame_count(self) -> int:
        count = self.video.frame_count
        if count <= self.stack:
            raise VideoError(
                f"{self.name}: it has {count} frames, and optical flow of {self.stack} pairs needs "
                f"{self.stack + 1} of them. Stack fewer, or leave the video out"
            )
        return count - self.stack

    def read(self, indices: Sequence[int]) -> Frames:
        shown = np.asarray(indices, np.intp)[:, None] + np.arange(self.stack)
        pairs, places = np.unique(shown, return_inverse=True)
        flow = self._kept(pairs.tolist())[places.reshape(shown.shape)]
        # [T, stack, H, W, 2] -> [T, H, W, stack, 2] -> [T, H, W, 2 * stack]
        by_pixel = flow.transpose(0, 2, 3, 1, 4)
        return by_pixel.reshape(*by_pixel.shape[:3], 2 * self.stack)

    def _kept(self, pairs: list[int]) -> Frames:
        """Flow `[N, H, W, 2]` of pairs: what is kept is read, the rest computed, and kept."""
        if self.images is None:
            return self._computed(pairs)
        missing = [pair for pair in pairs if not self.images.has(pair)]
        if missing:
            for pair, flow in zip(missing, self._computed(missing), strict=True):
                self.images.write(pair, flow)
        # Also what was just written, for a picture differs a little from what was computed.
        return self.images.read(pairs)

    def _computed(self, pairs: list[int]) -> Frames:
        """Flow `[N, H, W, 2]` of pairs."""
        cv2, estimator = _opencv(), _estimator(self.method)
        needed = sorted({frame for pair in pairs for frame in (pair, pair + 1)})
        read = zip(needed, self.video.read(needed), strict=True)
        gray = {frame: cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) for frame, pixels in read}
        try:
            flow = [estimator.calc(gray[pair], gray[pair + 1], None) for pair in pairs]
        except cv2.error as refused:
            height, width = gray[needed[0]].shape
            raise VideoError(
                f"{self.name}: OpenCV's {self.method} cannot take frames of {height}x{width}: "
                f"{refused.err}. It needs larger ones, or another method"
            ) from refused
        return quantized(np.stack(flow), self.bound)


def quantized(flow: npt.NDArray[np.floating], bound: float) -> Frames:
    """Displacements in pixels as uint8: -bound is 0, bound is 255; longer ones are cut off."""
    shares = (np.clip(flow, -bound, bound) + bound) / (2 * bound)
    return np.rint(255 * shares).astype(np.uint8)


def flow_picture(flow: Frames) -> Frames:
    """Optical flow in colors, for reading: the hue is the direction, and rest is black.

    Args:
        flow: uint8 `[H, W, 2 * stack]`, as `optical_flow` gives it.

    Returns:
        uint8 `[H, W, 3]`: the mean of the stack; the longest displacement is the brightest, unless
        it is below a twelfth of the bound.
    """
    height, width, _ = flow.shape
    # [H, W, 2 * stack] -> [H, W, stack, 2] -> x and y, [H, W] each
    displacements = flow.reshape(height, width, -1, 2).astype(np.float32) - 127.5
    x, y = np.moveaxis(displacements.mean(axis=2), -1, 0)
    length = np.hypot(x, y)
    angles = np.arctan2(y, x)[..., None] - 2 * np.pi / 3 * np.arange(3)  # of red, green and blue
    brightness = length / max(float(length.max()), 127.5 / 12)
    return (255 * brightness[..., None] * (1 + np.cos(angles)) / 2).astype(np.uint8)


def _estimator(method: str) -> Any:
    """What computes flow, new: it keeps buffers, so that threads cannot share one."""
    cv2 = _opencv()
    if method == "dis":
        return cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    if not hasattr(cv2, "optflow"):
        raise ImportError(
            "tvl1 is one of OpenCV's contrib modules, which the build that is installed lacks. Put "
            "opencv-contrib-python-headless in its place, or take method dis."
        )
    return cv2.optflow.DualTVL1OpticalFlow_create()


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as missing:
        raise ImportError(
            "optical flow is computed by OpenCV, which is not installed. Install it with "
            "`pip install opencv-contrib-python-headless`."
        ) from missing
    return cv2
