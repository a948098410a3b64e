"""Readers of training clips: each reads the same frames and makes the same arrays of them.

A reader takes the paths of videos and a `Clip`, and yields the clip of each video: float32
`[frames, 224, 224, 3]` between -1 and 1, the largest central square of each frame. Each video is
opened again for each clip, as in an epoch over a large data set. The time to learn about a video
does not count: decord is told its size, and `FileVideo` has listed its frames.
"""

import concurrent.futures
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

SIZE = 224
CORES = 2


@dataclasses.dataclass(frozen=True)
class Clip:
    """The frames to read of each video.

    Attributes:
        start: Number of the first one.
        frames: How many.
        stride: Distance between two of them.
        size: Height and width of the video, in pixels.
    """

    start: int
    frames: int
    stride: int
    size: tuple[int, int]

    @property
    def indices(self) -> range:
        return range(self.start, self.start + self.frames * self.stride, self.stride)


Reader = Callable[[Sequence[str], Clip], Iterator[Any]]


def square(height: int, width: int) -> tuple[slice, slice]:
    """Return the rows and columns of the largest central square."""
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return slice(top, top + side), slice(left, left + side)


def to_signed(clip: np.ndarray) -> np.ndarray:
    """Scale float32 pixels from 0..255 to -1..1, in place."""
    clip *= np.float32(1 / 127.5)
    clip -= 1
    return clip


# --- one clip -------------------------------------------------------------------------------------


def opencv(path: str, clip: Clip, threads: int) -> np.ndarray:
    """Read a clip in a loop over `VideoCapture`, which decodes and converts whole frames."""
    import cv2

    options = [cv2.CAP_PROP_N_THREADS, threads]
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, options)
    capture.set(cv2.CAP_PROP_POS_FRAMES, clip.start)
    result = np.empty((clip.frames, SIZE, SIZE, 3), np.float32)
    for position in range(clip.frames):
        if position:
            for _ in range(clip.stride - 1):
                capture.grab()  # Decodes, and does not convert.
        ok, frame = capture.read()
        if not ok:
            raise RuntimeError(f"OpenCV cannot read frame {position} of {path}.")
        part = frame[square(*frame.shape[:2])]
        resized = cv2.resize(part, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        result[position] = cv2.cvtColor(resized, cv2.COLOR_BGR2RGB)
    capture.release()
    return to_signed(result)


def decord(path: str, clip: Clip, threads: int) -> np.ndarray:
    """Read a clip by decord, which scales whole frames while it decodes."""
    import decord

    height, width = (round(side * SIZE / min(clip.size)) for side in clip.size)
    video = decord.VideoReader(path, width=width, height=height, num_threads=threads)
    pixels = video.get_batch(list(clip.indices)).asnumpy()
    return to_signed(pixels[:, *square(*pixels.shape[1:3])].astype(np.float32))


def torchcodec(path: str, clip: Clip, threads: int) -> np.ndarray:
    """Read a clip by torchcodec, and scale it by PyTorch: several times faster than `Resize`."""
    import torch
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(path, num_ffmpeg_threads=threads, seek_mode="approximate")
    frames = decoder.get_frames_at(list(clip.indices)).data  # [T, 3, H, W]
    part = frames[:, :, *square(*frames.shape[2:])]
    if part.shape[2:] != (SIZE, SIZE):
        part = torch.nn.functional.interpolate(part, (SIZE, SIZE), mode="bilinear", antialias=True)
    return to_signed(part.permute(0, 2, 3, 1).contiguous().to(torch.float32).numpy())


# --- many clips -----------------------------------------------------------------------------------


def one_by_one(read: Callable[[str, Clip, int], np.ndarray]) -> Reader:
    """Read clips one after another; the decoder uses all cores."""

    def reader(paths: Sequence[str], clip: Clip) -> Iterator[Any]:
        for path in paths:
            yield read(path, clip, CORES)

    return reader


def side_by_side(read: Callable[[str, Clip, int], np.ndarray]) -> Reader:
    """Read as many clips at once as there are cores, each in one thread."""

    def reader(paths: Sequence[str], clip: Clip) -> Iterator[Any]:
        with concurrent.futures.ThreadPoolExecutor(CORES) as pool:
            yield from pool.map(lambda path: read(path, clip, 1), paths)

    return reader


class Pipeline:
    """Reads clips by `ClipPipeline`, in a number of threads.

    Data sets and their indices of frames are kept, as during training.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._datasets: dict[Any, Any] = {}

    def __call__(self, paths: Sequence[str], clip: Clip) -> Iterator[Any]:
        key = (*paths, clip)
        if key not in self._datasets:
            self._datasets[key] = self._dataset(paths, clip)
        import tensorflow as tf

        for batch in self._datasets[key]:
            yield tf.squeeze(batch["frames"], 0)

    def _dataset(self, paths: Sequence[str], clip: Clip) -> Any:
        from mpvn.data import VideoSet
        from mpvn.data.clips.augmentation import Augmentation
        from mpvn.data.clips.pipeline import ClipPipeline
        from mpvn.data.clips.sampling import Consecutive
        from mpvn.data.sets.files import FileVideo

        videos = {path: FileVideo(path) for path in set(paths)}
        return ClipPipeline(
            VideoSet("benchmark", [videos[path] for path in paths]),
            Consecutive(clip.frames, stride=clip.stride, place="center"),
            Augmentation((SIZE, SIZE)),
            on_error="raise",
            threads=self._threads,
        ).dataset()


OTHERS: dict[str, Reader] = {
    "OpenCV loop": one_by_one(opencv),
    "OpenCV, 2 clips at once": side_by_side(opencv),
    "decord": one_by_one(decord),
    "decord, 2 clips at once": side_by_side(decord),
    "torchcodec": one_by_one(torchcodec),
    "torchcodec, 2 clips at once": side_by_side(torchcodec),
}
OURS: dict[str, Reader] = {
    f"ClipPipeline, threads {threads}": Pipeline(threads) for threads in (2, 4)
}
READERS = OTHERS | OURS
