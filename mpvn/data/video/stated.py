"""How long a file says that its video is."""

import re
from fractions import Fraction

import av
from av.container import InputContainer
from av.video.stream import VideoStream


def stated_duration(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Return the length in seconds that the file states, or None."""
    stated = _duration(stream)
    if stated is None:
        stated = duration_tag(stream)
    if stated is None and container.duration is not None:
        stated = Fraction(container.duration, av.time_base)
    return stated


def _duration(stream: VideoStream) -> Fraction | None:
    if stream.duration is None or stream.time_base is None:
        return None
    return stream.duration * stream.time_base


def duration_tag(stream: VideoStream) -> Fraction | None:
    """Return the seconds in Matroska's tag for one stream, such as 00:01:02.400000000."""
    match = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if match is None:
        return None
    hours, minutes, seconds = (Fraction(part) for part in match.groups())
    return (hours * 60 + minutes) * 60 + seconds
