"""A folder of video files, some of which are damaged, each in another way."""

import pathlib

import av
import numpy as np
from video_files import encode

COUNT = 12
"""Number of frames of a whole video."""


def write_damaged_set(root: pathlib.Path) -> pathlib.Path:
    """Write two classes of six videos in all, and return their folder.

    The last three frames of `jump/late` and the last of `run/later` are damaged, `jump/short`
    is too short for clips of six frames, and `run/text` is not a video.
    """
    for name in ("jump", "run"):
        (root / name).mkdir(parents=True)
    for number, name in enumerate(("jump/late", "jump/whole", "run/whole", "run/later")):
        _write(root / f"{name}.avi", number)
    _write(root / "jump" / "short.avi", 4, count=3)
    (root / "run" / "text.avi").write_text("no video")
    _spoil(root / "jump" / "late.avi", COUNT - 3)
    _spoil(root / "run" / "later.avi", COUNT - 1)
    return root


def _write(path: pathlib.Path, number: int, count: int = COUNT) -> None:
    noise = np.random.default_rng(number).integers(0, 255, (count, 48, 64, 3), np.uint8)
    encode(path, noise, codec="mjpeg", pix_fmt="yuvj420p")


def _spoil(path: pathlib.Path, first: int) -> None:
    """Overwrite the pictures from frame `first` on. Their places stay in the file's index."""
    content = path.read_bytes()
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    for packet in packets[first:]:
        content = content.replace(packet, bytes(len(packet)))
    path.write_bytes(content)
