"""Write small video and image files whose frames are known.

Frame `i` is uniformly gray with brightness 10 + 4 i, so that a missing, extra or misplaced frame
shows as a wrong number. Encoding changes a gray level by at most one.
"""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def level(index: int) -> int:
    """Brightness of frame `index`."""
    return 10 + 4 * index


def gray(index: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Frame `index`, uint8 `[height, width, 3]`."""
    return np.full((height, width, 3), level(index), np.uint8)


def quarters(height: int = 48, width: int = 64) -> np.ndarray:
    """Red and green above blue and white: different in every orientation."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = RED
    image[: height // 2, width // 2 :] = GREEN
    image[height // 2 :, : width // 2] = BLUE
    image[height // 2 :, width // 2 :] = WHITE
    return image


def encode(
    path: Path,
    images: Iterable[np.ndarray],
    *,
    times: Sequence[int] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    image_format: str = "rgb24",
    options: dict[str, str] | None = None,
    codec_options: Mapping[str, str] | None = None,
    rotation: tuple[float, bool] | None = None,
) -> Path:
    """Encode images at 25 frames per second, or at `times` in milliseconds."""
    tick = Fraction(1, 25 if times is None else 1000)
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=25, options=dict(codec_options or {}))
        assert isinstance(stream, VideoStream)
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = tick
        if rotation is not None:
            stream.set_display_rotation(rotation[0], hflip=rotation[1])
        for index, image in enumerate(images):
            if index == 0:
                stream.height, stream.width = image.shape[:2]
            frame = VideoFrame.from_ndarray(image, format=image_format)
            frame.time_base = tick
            frame.pts = index if times is None else times[index]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def save_image(path: Path, image: np.ndarray, image_format: str = "rgb24") -> None:
    """Write a PNG file."""
    codec = av.CodecContext.create("png", "w")
    codec.height, codec.width, codec.pix_fmt = image.shape[0], image.shape[1], image_format
    codec.time_base = Fraction(1, 25)
    frame = VideoFrame.from_ndarray(image, format=image_format)
    packets = [*codec.encode(frame), *codec.encode(None)]
    path.write_bytes(b"".join(bytes(packet) for packet in packets))


def indices(frames: Iterable[np.ndarray]) -> list[int]:
    """The index that each frame shows. Fails if a frame is not uniform."""
    shown = []
    for frame in frames:
        index = round((float(frame.mean()) - 10) / 4)
        assert np.abs(frame.astype(int) - level(index)).max() <= 1
        shown.append(index)
    return shown
