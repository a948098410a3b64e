"""Video files of many formats, encoded in the tests, with frames that all differ."""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import video_files
from av.video.stream import VideoStream

COUNT = 50
SHORT_GOPS = {"g": "12", "bf": "2"}
OPEN_GOPS = {"g": "10", "bf": "3", "x264-params": "open-gop=1:scenecut=0:b-adapt=0"}
EVEN_GOPS = {"g": "12", "bf": "2", "sc_threshold": "1000000000"}
_TEXTURE = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)


def picture(index: int) -> np.ndarray:
    """Frame `index`: a texture that moves and gets brighter, so that all frames differ."""
    return np.roll(_TEXTURE, (index, 2 * index), (0, 1)) // 2 + np.uint8(2 * index)


def encode(
    path: Path,
    codec: str = "libx264",
    *,
    options: Mapping[str, str] = SHORT_GOPS,
    container_options: dict[str, str] | None = None,
    times: Sequence[int] | None = None,
    rotation: float | None = None,
    size: tuple[int, int] = (48, 64),
    pix_fmt: str = "yuv420p",
    count: int = COUNT,
) -> Path:
    """Encode frames at 25 frames/s, or at `times` in milliseconds."""
    height, width = size
    return video_files.encode(
        path,
        (np.ascontiguousarray(picture(index)[:height, :width]) for index in range(count)),
        times=times,
        codec=codec,
        codec_options=options,
        pix_fmt=pix_fmt,
        options=container_options,
        rotation=None if rotation is None else (rotation, False),
    )


def mux(path: Path, codec: str, packets: Iterable[tuple[bytes, bool]]) -> Path:
    """Write a file of encoded frames at 25 frames/s. Each comes with its flag of a key frame."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for index, (content, key) in enumerate(packets):
            packet = av.Packet(content)
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 25), key
            packet.pts = packet.dts = index
            container.mux(packet)
    return path


def demux(path: Path) -> list[tuple[bytes, bool]]:
    """Return the encoded frames of a file, each with its flag of a key frame."""
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.video[0])
        return [(bytes(packet), packet.is_keyframe) for packet in packets if packet.size]


def pack_b_frames(path: Path) -> Path:
    """Write a DivX file with packets of two frames, a B-frame and the next one, as in UCF101.

    A placeholder without a picture follows each of these packets.
    """
    packets = demux(encode(path.with_name("plain.avi"), "mpeg4", options={"bf": "1", "g": "12"}))
    start = b"\x00\x00\x01\xb6"

    def is_b(content: bytes) -> bool:
        return start in content and content[content.index(start) + 4] >> 6 == 2

    user_data = re.compile(rb"\x00\x00\x01\xb2.*?(?=\x00\x00\x01\xb6)", re.DOTALL)
    packets[0] = user_data.sub(b"\x00\x00\x01\xb2DivX503b1393p", packets[0][0]), True
    packed: list[tuple[bytes, bool]] = []
    for (content, key), (following, _) in itertools.pairwise([*packets, (b"", False)]):
        if is_b(following):
            packed += [(content + following, key), (start + b"\x50\x4f", False)]
        elif not is_b(content):
            packed.append((content, key))
    return mux(path, "mpeg4", packed)
