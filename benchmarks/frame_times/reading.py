"""What mpvn shows: streams by `VideoReader`, and data sets by `FileVideo`."""

import bisect
import itertools
import pathlib
import random
from collections.abc import Iterable, Sequence
from fractions import Fraction

import numpy as np
from schedule import Reading, Schedule, number_in

from mpvn.data import VideoReader
from mpvn.data.sets.files import FileVideo

ENDLESS = 10_000
"""Frames after which a reader is stopped: every recording has fewer at any rate."""


def read_stream(path: pathlib.Path, rates: Sequence[Fraction]) -> tuple[Reading, list[np.ndarray]]:
    """Read a file as a stream, and return the frames of its own rate, too."""
    with VideoReader(path) as reader:
        timed = list(itertools.islice(reader.timed(), ENDLESS))
    frames = [frame for _, frame in timed]
    return Reading(
        numbers_in(frames),
        [seconds for seconds, _ in timed],
        {rate: numbers_at(path, rate) for rate in rates},
    ), frames


def numbers_at(path: pathlib.Path, rate: Fraction) -> list[int]:
    with VideoReader(path, fps=rate) as reader:
        return numbers_in(itertools.islice(reader, ENDLESS))


def numbers_in(frames: Iterable[np.ndarray]) -> list[int]:
    return [number_in(frame[..., 1]) for frame in frames]


def wrong_in_set(
    path: pathlib.Path,
    shown: Schedule,
    streamed: Sequence[np.ndarray],
    rates: Sequence[Fraction],
    tick: Fraction,
) -> int:
    """Return how many frames and times a data set reads wrong.

    Counted are: frames that differ from those of the stream, read all at once and read in parts;
    numbers, times and numbers at other rates; and the same three of a section by seconds.
    """
    video = FileVideo(path)
    frames = video.read(range(len(video.timeline)))
    return (
        sum(shown.mistakes(read_video(video, frames, rates), tick))
        + wrong_frames(streamed, frames)
        + wrong_in_parts(FileVideo(path), frames)
        + wrong_in_section(path, shown, rates, tick)
    )


def read_video(video: FileVideo, frames: np.ndarray, rates: Sequence[Fraction]) -> Reading:
    """Return what a video of a data set shows, given all of its frames."""
    timeline, numbers = video.timeline, numbers_in(frames)
    at_rates = {rate: [numbers[i] for i in timeline.at_rate(rate)] for rate in rates}
    return Reading(numbers, [timeline.seconds(i) for i in range(len(timeline))], at_rates)


def wrong_frames(expected: Sequence[np.ndarray], received: Sequence[np.ndarray]) -> int:
    differ = sum(not np.array_equal(*pair) for pair in zip(expected, received, strict=False))
    return differ + abs(len(expected) - len(received))


def wrong_in_parts(video: FileVideo, frames: np.ndarray) -> int:
    """Return how many frames differ when few of them are read at once, in random order."""
    order = random.Random(0)
    wrong = 0
    for _ in range(5):
        indices = sorted(order.sample(range(len(frames)), min(3, len(frames))))
        wrong += wrong_frames(frames[indices], video.read(indices))
    return wrong


def wrong_in_section(
    path: pathlib.Path, shown: Schedule, rates: Sequence[Fraction], tick: Fraction
) -> int:
    """Return how many frames and times of the middle third are wrong, when cut out by seconds."""
    if len(shown) < 12:
        return 0
    cuts = [_cut(shown, len(shown) * third // 3) for third in (1, 2)]
    first, stop = (bisect.bisect_left(shown.times, cut) for cut in cuts)
    start, end = (round(float(cut), 6) for cut in cuts)  # as the ffmpeg program prints times
    section = FileVideo(path, start=start, end=end)
    reading = read_video(section, section.read(range(len(section.timeline))), rates)
    return sum(shown.section(first, stop).mistakes(reading, tick))


def _cut(shown: Schedule, frame: int) -> Fraction:
    """Return where a frame starts; or between two frames nearby, if it is not on an even grid."""
    if shown.rate is not None:
        return shown.times[frame]
    near = range(frame - 2, frame + 3)
    frame = max(near, key=lambda i: shown.times[i] - shown.times[i - 1])
    return (shown.times[frame - 1] + shown.times[frame]) / 2
