"""Recordings with unusual times: uneven frames, cuts, late starts, and joined recordings."""

import itertools
import pathlib
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

from recordings import (
    FRAMES,
    MPEG,
    NTSC,
    VP8,
    VP9,
    X264,
    X265,
    Recording,
    encode,
    even,
    run_program,
)
from schedule import Schedule

TS_WRAP = 2**33 / 90000
"""Seconds after which the clock of a transport stream starts again: 26.5 hours."""


def unusual_recordings() -> Iterator[Recording]:
    """Yield all recordings of this module."""
    yield from uneven_recordings()
    yield from browser_recordings()
    yield from late_recordings()
    yield from cut_recordings()
    yield from joined_recordings()


# --- uneven frames ------------------------------------------------------------------------------


def jitter(count: int, rate: int, most: float) -> Schedule:
    """Return frames of a phone: late by up to `most` seconds, in ticks of 1/90000 s."""
    random_late = random.Random(rate)
    late = [0, *(round(random_late.uniform(0, most * 90000)) for _ in range(count - 1))]
    return Schedule.at(Fraction(n, rate) + Fraction(late[n], 90000) for n in range(count))


def in_phases(*phases: tuple[int, int]) -> Schedule:
    """Return frames in phases of `(count, frames per second)`."""
    waits = [Fraction(1, rate) for count, rate in phases for _ in range(count)]
    return Schedule.at(list(itertools.accumulate(waits, initial=Fraction(0)))[:-1])


def with_gaps(rate: int, missing: Sequence[int], count: int = FRAMES) -> Schedule:
    """Return evenly spaced frames, some of which are missing."""
    numbers = [n for n in range(count) if n not in missing]
    return Schedule.at([Fraction(n, rate) for n in numbers], numbers)


PHONE = jitter(FRAMES, 30, 0.008)
WEBCAM = Schedule.at(Fraction(n * 3013, 90000) for n in range(300))
"""A camera that should give 30 frames per second, and gives 29.87."""
PULLDOWN = Schedule.at(Fraction((n // 2 * 5 + n % 2 * 2) * 1001, 60000) for n in range(FRAMES))
"""Film in television: frames are shown for 2 and 3 fields in turns."""
PHASES = in_phases((24, 30), (8, 5), (24, 30))
SLOWER = in_phases((20, 60), (20, 24), (10, 10))
SCREEN = in_phases((6, 20), (1, Fraction(1, 3)), (9, 10), (1, Fraction(2, 5)), (12, 20), (2, 1))
DROPPED = with_gaps(30, [7, 8, 20, 31, 32, 33])
SINGLE = with_gaps(25, [10, 25])
STILL = Schedule.at([0, Fraction(1, 30), Fraction(2, 30), 90, 90 + Fraction(1, 30), 91])
"""A screen recording in which nothing moves for a while."""
TIMELAPSE = Schedule.at([0, 5, 11, 12, 30, 31])


def uneven_recordings() -> Iterator[Recording]:
    """Yield recordings of phones and screens, with drops and rates that change."""
    h264 = f"{X264} -bf 2"
    for name, shown, options in [
        ("phone.mp4", PHONE, f"{h264} -video_track_timescale 90000"),
        ("phone.mov", PHONE, f"{X265} -tag:v hvc1 -video_track_timescale 90000"),
        ("phone.mkv", PHONE, h264),
        ("phone.ts", PHONE, h264),
        ("webcam.mp4", WEBCAM, f"{h264} -video_track_timescale 90000"),
        ("webcam.mkv", WEBCAM, h264),
        ("webcam.webm", WEBCAM, VP8),
        ("webcam.flv", WEBCAM, h264),
        ("webcam.ts", WEBCAM, h264),
        ("pulldown.mp4", PULLDOWN, f"{h264} -video_track_timescale 60000"),
        ("pulldown.mkv", PULLDOWN, h264),
        ("phases.mp4", PHASES, f"{h264} -video_track_timescale 90000"),
        ("phases.mkv", PHASES, h264),
        ("phases.webm", PHASES, VP9),
        ("phases.ts", PHASES, h264),
        ("phases.flv", PHASES, h264),
        ("phases.asf", PHASES, f"{X264} -bf 0"),
        ("phases.nut", PHASES, "-c:v ffv1"),
        ("slower.mp4", SLOWER, f"{h264} -video_track_timescale 90000"),
        ("slower.mkv", SLOWER, f"{h264}"),
        ("slower.gif", in_phases((10, 50), (10, 25), (5, 10)), "-pix_fmt gray"),
        ("slower.apng", in_phases((10, 50), (10, 25), (5, 10)), "-pix_fmt gray"),
        ("screen.mp4", SCREEN, f"{h264} -video_track_timescale 90000"),
        ("screen.mkv", SCREEN, h264),
        ("screen.webm", SCREEN, VP8),
        ("screen.mov", SCREEN, "-c:v qtrle -pix_fmt rgb24 -video_track_timescale 600"),
        ("dropped.mp4", DROPPED, f"{h264} -video_track_timescale 90000"),
        ("dropped.mkv", DROPPED, h264),
        ("dropped.ts", DROPPED, h264),
        ("dropped.flv", DROPPED, h264),
        ("dropped.avi", DROPPED, "-c:v mjpeg -pix_fmt yuvj420p -enc_time_base 1:30 -r 30"),
        ("dropped_mpeg4.avi", DROPPED, f"-c:v mpeg4 {MPEG} -enc_time_base 1:30 -r 30"),
        ("single_drops.mkv", SINGLE, h264),
        ("single_drops.mp4", SINGLE, f"{h264} -video_track_timescale 12800"),
        ("long_pause.mp4", STILL, f"{h264} -video_track_timescale 90000"),
        ("long_pause.mkv", STILL, h264),
        ("long_pause.webm", STILL, VP8),
        ("timelapse.mp4", TIMELAPSE, f"{h264} -video_track_timescale 1000"),
        ("timelapse.mkv", TIMELAPSE, h264),
    ]:
        yield recording_of(shown, name, options)


def recording_of(shown: Schedule, name: str, options: str) -> Recording:
    """Return a recording that is encoded with options of the ffmpeg program."""
    return Recording(name, shown, lambda path: encode(path, shown, options))


# --- browsers, and other writers that cannot go back --------------------------------------------


def browser_recordings() -> Iterator[Recording]:
    """Yield recordings as a browser makes them: written to a pipe, in whole milliseconds."""
    browser = jitter(33, 30, 0.006)
    live = Schedule.even(Fraction(30), range(FRAMES))
    twice = Schedule.at(Fraction(t, 10_000) for t in [0, 330, 332, 670, 1000, 1330, 1334, 1670])
    for name, shown, options in [
        ("browser_vp8.webm", browser, f"{VP8} -f webm"),
        ("browser_vp9.webm", browser, f"{VP9} -f webm"),
        ("browser_h264.mkv", browser, f"{X264} -bf 0 -f matroska"),
        ("browser_live.webm", browser, f"{VP8} -f webm -live 1"),
        ("browser_live_h264.mkv", browser, f"{X264} -bf 0 -f matroska -live 1"),
        ("same_time.webm", twice, f"{VP8} -f webm"),
        ("same_time.mkv", twice, f"{X264} -bf 0 -f matroska"),
        ("live_30.mkv", live, f"{X264} -bf 2 -f matroska -live 1"),
        ("live_30.webm", live, f"{VP9} -f webm -live 1"),
        ("pipe_30.mp4", live, f"{X264} -bf 2 -f mp4 -movflags frag_keyframe+empty_moov"),
        ("pipe_30.flv", live, f"{X264} -bf 2 -f flv"),
        ("pipe_30.avi", live, f"-c:v mpeg4 {MPEG} -f avi"),
    ]:
        yield Recording(name, shown, to_pipe(shown, options))


def to_pipe(shown: Schedule, options: str) -> Callable[[pathlib.Path], None]:
    """Return a function that encodes through a pipe, so that no header is filled in afterwards."""

    def make(path: pathlib.Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            whole = pathlib.Path(folder) / "whole.nut"
            encoder, container = options.split(" -f ")
            encode(whole, shown, encoder)
            path.write_bytes(run_program("-i", whole, f"-c copy -f {container} -"))

    return make


# --- starts -------------------------------------------------------------------------------------


def late_recordings() -> Iterator[Recording]:
    """Yield recordings whose first frame is not at 0."""
    h264 = f"{X264} -bf 2"
    yield recording_of(Schedule.at([0]), "one_frame.gif", "-pix_fmt gray")
    yield even("starts_33_ms.mkv", "30", f"{h264} -output_ts_offset 0.033")
    yield even("starts_33_ms.webm", NTSC, f"{VP9} -output_ts_offset 0.033")
    yield even("starts_1000_s.mkv", "30", f"{h264} -output_ts_offset 1000")
    yield even("starts_1_5_s.mp4", "25", f"{h264} -output_ts_offset 1.5")
    yield even("starts_7_s.mov", NTSC, f"{h264} -output_ts_offset 7.007")
    yield even("starts_1_hour.ts", "25", f"{h264} -output_ts_offset 3600")
    yield even("starts_10_s.flv", "30", f"{h264} -output_ts_offset 10")
    yield even("clock_wraps.ts", "25", f"{h264} -output_ts_offset {TS_WRAP - 2.2:.3f}")
    yield even("clock_wraps_hevc.ts", "50", f"{X265} -output_ts_offset {TS_WRAP - 1.9:.3f}")
    yield even("clock_wraps.mpg", "25", f"-c:v mpeg2video {MPEG} -bf 2 -output_ts_offset 95443")


# --- cuts ---------------------------------------------------------------------------------------


def cut_recordings() -> Iterator[Recording]:
    """Yield recordings cut without encoding: an edit list hides the frames before the start."""
    hidden = Schedule.even(Fraction(25), range(15, FRAMES))
    from_key = Schedule.even(Fraction(25), range(12, FRAMES))
    for name, shown, codec in [
        ("cut_h264.mp4", hidden, f"{X264} -bf 2"),
        ("cut_pyramid.mov", hidden, f"{X264} -bf 3 -b-pyramid normal"),
        ("cut_hevc.mp4", hidden, f"{X265} -tag:v hvc1"),
        ("cut_mpeg4.mp4", hidden, f"-c:v mpeg4 {MPEG} -bf 2"),
        ("cut_h264.ts", from_key, f"{X264} -bf 2"),
        ("cut_h264.flv", from_key, f"{X264} -bf 2"),
        ("cut_hevc.mkv", from_key, X265),
        ("cut_open_gop.mp4", hidden, f"{X264} -bf 2 -x264-params open-gop=1"),
        ("cut_open_gop.mkv", from_key, f"{X264} -bf 2 -x264-params open-gop=1"),
        ("cut_open_gop_hevc.mp4", hidden, f"{X265}:open-gop=1:bframes=3"),
        ("cut_open_gop_hevc.mkv", from_key, f"{X265}:open-gop=1:bframes=3"),
        ("cut_open_gop_hevc.ts", from_key, f"{X265}:open-gop=1:bframes=3"),
    ]:
        yield Recording(name, shown, converted(codec, "-ss 0.6 -i", "-c copy"))
    whole = Schedule.even(Fraction(25), range(FRAMES))
    ten = Schedule.even(Fraction(25), range(10, FRAMES))
    sound = "-f lavfi -i sine=duration=1.9 -c:v copy -c:a"
    for name, shown, before, after in [
        ("copied_to.mkv", whole, "-i", "-c copy -f matroska"),
        ("starts_early.mp4", ten, "-itsoffset -0.4 -i", "-c copy -avoid_negative_ts disabled"),
        ("with_sound.mp4", whole, "-i", f"{sound} aac"),
        ("with_sound.ts", whole, "-i", f"{sound} mp2"),
        ("with_sound.mkv", whole, "-itsoffset 0.3 -i", f"{sound} aac"),
        ("late_video.mp4", whole, "-itsoffset 0.5 -i", f"{sound} aac"),
    ]:
        yield Recording(name, shown, converted(f"{X264} -bf 2", before, after))


def converted(codec: str, before: str, after: str) -> Callable[[pathlib.Path], None]:
    """Return a function that encodes to a file, and converts it without encoding again."""

    def make(path: pathlib.Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            whole = pathlib.Path(folder) / "whole.mp4"
            encode(whole, Schedule.even(Fraction(25), range(FRAMES)), codec)
            run_program(before, whole, after, path)

    return make


# --- joined recordings --------------------------------------------------------------------------


def joined_recordings() -> Iterator[Recording]:
    """Yield two recordings in one file: frames 0 to 29, then 100 to 129."""
    h264, mpeg2 = f"{X264} -bf 2", f"-c:v mpeg2video {MPEG} -bf 2"
    shown = Schedule.even(Fraction(25), [*range(30), *range(100, 130)])
    for name, codec, offset in [
        ("joined.ts", h264, 0),
        ("joined_hevc.ts", X265, 0),
        ("joined_mpeg2.ts", mpeg2, 0),
        ("joined_no_b.ts", f"{X264} -bf 0", 0),
        ("joined.m2ts", h264, 0),
        ("joined.mpg", mpeg2, 0),
        ("joined.vob", mpeg2, 0),
        ("joined_back.ts", h264, -0.5),
        ("joined_20_s_later.ts", h264, 20),
        ("joined_1_hour_later.ts", h264, 3600),
        ("joined_20_s_later.mpg", mpeg2, 20),
        ("joined.h264", h264, 0),
        ("joined.hevc", X265, 0),
        ("joined.mjpeg", "-c:v mjpeg -q:v 3 -pix_fmt yuvj420p", 0),
        ("joined.m2v", mpeg2, 0),
        ("joined.flv", h264, 0),
        ("joined.ogv", "-c:v libtheora -q:v 7 -g 12", 0),
    ]:
        yield Recording(name, shown, appended(codec, offset))
    fast = Schedule.at(
        [*(Fraction(n, 25) for n in range(30)), *(Fraction(60 + n, 50) for n in range(30))],
        shown.numbers,
    )
    yield Recording("joined_50_fps.ts", fast, appended(f"{X264} -bf 0", 0, Fraction(50)))
    yield Recording("joined_50_fps.mpg", fast, appended(f"{mpeg2} -bf 0", 0, Fraction(50)))
    yield Recording("concatenated_50_fps.mkv", fast, concatenated(h264, Fraction(50)))
    yield Recording("concatenated_50_fps.mp4", fast, concatenated(h264, Fraction(50)))
    # The second one starts at 5 s, less two frames: its B-frames are not delayed after an offset.
    paused = [n + (93 if n >= 30 else 0) for n in range(60)]
    shown_after = Schedule.at([Fraction(n, 25) for n in paused], shown.numbers)
    yield Recording("pause.ts", shown_after, appended(h264, 5))
    for name, codec in [
        ("concatenated.mp4", h264),
        ("concatenated.mkv", h264),
        ("concatenated.ts", h264),
        ("concatenated.avi", f"-c:v mpeg4 {MPEG} -bf 2"),
        ("concatenated.webm", VP9),
    ]:
        yield Recording(name, shown, concatenated(codec))


def two_parts(
    folder: str, suffix: str, codec: str, offset: float, rate: Fraction
) -> tuple[pathlib.Path, pathlib.Path]:
    """Encode the two recordings; the second has its own rate, and begins at `offset` seconds."""
    paths = pathlib.Path(folder) / f"a{suffix}", pathlib.Path(folder) / f"b{suffix}"
    start = f"-output_ts_offset {offset}" if offset else ""
    encode(paths[0], Schedule.even(Fraction(25), range(30)), codec)
    encode(paths[1], Schedule.even(rate, range(100, 130)), f"{codec} {start}")
    return paths


def appended(
    codec: str, offset: float, rate: Fraction = Fraction(25)
) -> Callable[[pathlib.Path], None]:
    """Return a function that writes two recordings one after another, byte by byte."""

    def make(path: pathlib.Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            a, b = two_parts(folder, path.suffix, codec, offset, rate)
            header = 13 if path.suffix == ".flv" else 0
            path.write_bytes(a.read_bytes() + b.read_bytes()[header:])

    return make


def concatenated(codec: str, rate: Fraction = Fraction(25)) -> Callable[[pathlib.Path], None]:
    """Return a function that joins two recordings by the ffmpeg program's list of files."""

    def make(path: pathlib.Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            listing = pathlib.Path(folder) / "list.txt"
            parts = two_parts(folder, path.suffix, codec, 0, rate)
            listing.write_text("".join(f"file '{part}'\n" for part in parts))
            run_program("-f concat -safe 0 -i", listing, "-c copy", path)

    return make
