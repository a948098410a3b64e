"""Optical flow of videos: the second stream of two-stream networks.

*Temporal Segment Networks* (sections 3.1 and 3.2), and *Temporal Shift Module* after it, stack the
displacements of five pairs of frames, clip them to 20 pixels, and store them as pictures. They
compute flow by `"tvl1"` (*A Duality Based Approach for Realtime TV-L1 Optical Flow*, 2007). `"dis"`
(*Fast Optical Flow using Dense Inverse Search*, ECCV 2016) is dozens of times faster. OpenCV
implements both.

Limitations: Displacements are pixels of the original video, and are not rescaled when its frames
are, as in the papers. TV-L1 takes almost a second for a pair of 320x240 frames, so store its
results in a folder.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mpvn.data.sets.flow_images import FlowImages, flow_images
from mpvn.data.video.errors import VideoError
from mpvn.data.video.timeline import Timeline
from mpvn.data.video_set import Frames, VideoSet, VideoWrapper

METHODS = ("dis", "tvl1")


def optical_flow(
    videos: VideoSet,
    stack: int = 5,
    method: str = "dis",
    bound: float = 20.0,
    folder: str = "",
) -> VideoSet:
    """Return the same videos with optical flow as frames: uint8 `[H, W, 2 * stack]`.

    Frame i contains the displacements from frame i of the video to the next frame, from that to the
    one after it, and so on: `stack` pairs, each as x (to the right), then y (down). Displacements
    from `-bound` to `bound` pixels become 0 to 255, rounded half to even: rest, 127.5, becomes 128.
    A video loses `stack` frames.

    Args:
        videos: Videos of RGB frames. Frame i keeps the label, the joints and the rate of frame i.
        stack: Number of pairs of frames, at least 1.
        method: `"dis"` or `"tvl1"`.
        bound: The longest displacement along an axis, in pixels. Longer ones are clipped.
        folder: The folder of pictures of flow: existing pictures are read, missing ones are
            computed and written; see `mpvn.data.sets.flow_images`. "" stores no pictures.

    Raises:
        ValueError: Arguments are out of range; the videos are not RGB.
        ImportError: OpenCV is not installed, or does not have the method.
    """
    if isinstance(stack, bool) or not isinstance(stack, int) or stack < 1:
        raise ValueError(f"stack: expected an int of at least 1. Received: {stack!r}.")
    if method not in METHODS:
        raise ValueError(f"method: expected one of {', '.join(METHODS)}. Received: {method!r}.")
    if not 0 < bound < math.inf:
        raise ValueError(f"bound: expected a positive number of pixels. Received: {bound!r}.")
    if videos.channels != 3:
        raise ValueError(
            f"{videos.name}: expected RGB frames to compute optical flow. Received: frames of "
            f"{videos.channels} channels."
        )
    _create_estimator(method)  # Report a missing installation once, not for every video.
    images: Sequence[FlowImages | None] = [None] * len(videos.videos)
    if folder:
        images = flow_images(videos.videos, folder, f"{method}_{bound:g}")
    return dataclasses.replace(
        videos,
        name=f"{videos.name}, optical flow",
        videos=tuple(
            _FlowVideo(video, stack, method, bound, stored)
            for video, stored in zip(videos.videos, images, strict=True)
        ),
        channels=2 * stack,
        horizontal=tuple(range(0, 2 * stack, 2)),
    )


@dataclasses.dataclass(frozen=True)
class _FlowVideo(VideoWrapper):
    """The optical flow of a video.

    Pair n is computed from the frames n and n + 1. Frame i stacks the pairs i to i + stack - 1.
    """

    stack: int
    method: str
    bound: float
    images: FlowImages | None

    @property
    def timeline(self) -> Timeline:
        timeline = self.video.timeline
        count = len(timeline)
        if count <= self.stack:
            expected = f"optical flow of {self.stack} pairs needs {self.stack + 1} frames."
            remedy = "Use a smaller stack, or remove the video."
            raise VideoError(f"{self.name}: {expected} Received: {count} frames. {remedy}")
        return timeline.section(range(count - self.stack))

    def read(self, indices: Sequence[int]) -> Frames:
        stacked = np.asarray(indices, np.intp)[:, None] + np.arange(self.stack)
        pairs, places = np.unique(stacked, return_inverse=True)
        flow = self._read_pairs(pairs.tolist())[places.reshape(stacked.shape)]
        # [T, stack, H, W, 2] -> [T, H, W, stack, 2] -> [T, H, W, 2 * stack]
        by_pixel = flow.transpose(0, 2, 3, 1, 4)
        return by_pixel.reshape(*by_pixel.shape[:3], 2 * self.stack)

    def _read_pairs(self, pairs: list[int]) -> Frames:
        """Return flow `[N, H, W, 2]`; compute and store the pictures that do not exist yet."""
        if self.images is None:
            return self._compute(pairs)
        missing = [pair for pair in pairs if not self.images.exists(pair)]
        if missing:
            for pair, flow in zip(missing, self._compute(missing), strict=True):
                self.images.write(pair, flow)
        # Read new pictures back, too: JPEG changes values, and every read must return the same.
        return self.images.read(pairs)

    def _compute(self, pairs: list[int]) -> Frames:
        """Return flow `[N, H, W, 2]`."""
        cv2, estimator = _import_opencv(), _create_estimator(self.method)
        needed = sorted({frame for pair in pairs for frame in (pair, pair + 1)})
        frames = zip(needed, self.video.read(needed), strict=True)
        gray = {number: cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for number, frame in frames}
        try:
            flow = [estimator.calc(gray[pair], gray[pair + 1], None) for pair in pairs]
        except cv2.error as error:
            height, width = gray[needed[0]].shape
            raise VideoError(
                f"{self.name}: OpenCV's {self.method} does not accept frames of {height}x{width}: "
                f"{error.err}. Use larger frames or another method."
            ) from error
        return quantize(np.stack(flow), self.bound)


def quantize(flow: npt.NDArray[np.floating], bound: float) -> Frames:
    """Convert displacements in pixels to uint8: -bound or less to 0, bound or more to 255."""
    fractions = (np.clip(flow, -bound, bound) + bound) / (2 * bound)
    return np.rint(255 * fractions).astype(np.uint8)


def flow_picture(flow: Frames) -> Frames:
    """Draw optical flow in colors: the hue is the direction, and rest is black.

    Args:
        flow: uint8 `[H, W, 2 * stack]`, a frame of `optical_flow`.

    Returns:
        uint8 `[H, W, 3]`: the mean over the stack. The longest displacement is the brightest,
        unless it is shorter than a twelfth of the bound.
    """
    height, width, _ = flow.shape
    # [H, W, 2 * stack] -> [H, W, stack, 2] -> x and y, each [H, W]
    displacements = flow.reshape(height, width, -1, 2).astype(np.float32) - 127.5
    x, y = np.moveaxis(displacements.mean(axis=2), -1, 0)
    length = np.hypot(x, y)
    angles = np.arctan2(y, x)[..., None] - 2 * np.pi / 3 * np.arange(3)  # Red, green and blue.
    brightness = length / max(float(length.max()), 127.5 / 12)
    return (255 * brightness[..., None] * (1 + np.cos(angles)) / 2).astype(np.uint8)


def _create_estimator(method: str) -> Any:
    """Create an OpenCV flow estimator. It has buffers, so threads must not share one."""
    cv2 = _import_opencv()
    if method == "dis":
        return cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    if not hasattr(cv2, "optflow"):
        raise ImportError(
            "The method tvl1 is in OpenCV's contrib modules, which the installed build does not "
            "have. Install opencv-contrib-python-headless instead, or use the method dis."
        )
    return cv2.optflow.DualTVL1OpticalFlow_create()


def _import_opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise ImportError(
            "OpenCV computes optical flow, but it is not installed. Install it with "
            "`pip install opencv-contrib-python-headless`."
        ) from error
    return cv2
