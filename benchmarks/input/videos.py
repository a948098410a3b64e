"""Videos for the benchmark: a camera that pans over a texture, with a moving square and noise."""

import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import av
import numpy as np


class Kind(NamedTuple):
    """How videos are encoded: size in pixels, FFmpeg's encoder, and its options."""

    height: int
    width: int
    encoder: str = "libx264"
    options: tuple[tuple[str, str], ...] = ()


VP9 = (("deadline", "realtime"), ("cpu-used", "8"), ("b", "1M"))
KINDS = {
    "224x224 H.264": Kind(224, 224),
    "320x240 H.264": Kind(240, 320),
    "640x360 H.264": Kind(360, 640),
    "1280x720 H.264": Kind(720, 1280),
    "640x360 HEVC": Kind(360, 640, "libx265", (("preset", "fast"), ("x265-params", "log-level=0"))),
    "640x360 VP9": Kind(360, 640, "libvpx-vp9", VP9),
}
"""All are encoded as by `ffmpeg -i IN OUT`: B-frames, and a key frame every 250 frames."""


def encode(folder: pathlib.Path, kind: Kind, count: int, frames: int) -> list[str]:
    """Encode videos in a new folder, and return their paths."""
    folder.mkdir()
    paths = [str(folder / f"{number}.mp4") for number in range(count)]
    for number, path in enumerate(paths):
        with av.open(path, "w") as container:
            stream = container.add_stream(kind.encoder, rate=25, options=dict(kind.options))
            stream.height, stream.width, stream.pix_fmt = kind.height, kind.width, "yuv420p"
            for pixels in _frames(kind, number, frames):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode(None))
    return paths


def _frames(kind: Kind, seed: int, count: int) -> Iterator[np.ndarray]:
    """Yield frames uint8 `[H, W, 3]`."""
    rng = np.random.default_rng(seed)
    height, width = kind.height, kind.width
    scene = _texture(rng, 2 * height, 2 * width)
    noise = rng.integers(-4, 5, (height + 8, width + 8, 3), np.int16)
    side = height // 6
    for time in range(count):
        down, right = (1 + np.sin(time / 20)) / 2, (1 + np.cos(time / 17)) / 2
        top, left = int(down * height), int(right * width)
        pixels = scene[top : top + height, left : left + width].astype(np.int16)
        row, column = int(height / 2 * (1 + down) / 2), int(width / 2 * (1 + right) / 2)
        pixels[row : row + side, column : column + side] = (230, 40, 60)
        shift = rng.integers(8, size=2)
        pixels += noise[shift[0] : shift[0] + height, shift[1] : shift[1] + width]
        yield np.clip(pixels, 0, 255).astype(np.uint8)


def _texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return a picture uint8 `[height, width, 3]` with details of all sizes."""
    picture = np.zeros((height, width, 3))
    for size in (4, 8, 16, 32, 64):
        cells = rng.normal(size=(height // size + 1, width // size + 1, 3)) * size**0.5
        picture += np.repeat(np.repeat(cells, size, 0), size, 1)[:height, :width]
    low, high = picture.min(), picture.max()
    return ((picture - low) / (high - low) * 255).astype(np.uint8)
