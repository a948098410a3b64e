"""The frames of clips, compared with literal frames computed by hand from the definitions."""

import numpy as np
import pytest

from mpvn.data.clips.sampling import Consecutive, Dense, MultiClip, Segments, Whole
from mpvn.data.video.timeline import Timeline


def indices(sampling, count: int, fps: float = 25.0, seed: int = 0) -> list[int]:
    return sampling.indices(Timeline.even(count, fps), np.random.default_rng(seed)).tolist()


def clips(sampling, frames: int, count: int, fps: float = 25.0) -> list[list[int]]:
    return sampling.clips(Timeline.even(frames, fps), count).tolist()


# --- windows of the video ---------------------------------------------------------------------


def test_consecutive_frames() -> None:
    assert indices(Consecutive(4, place="center"), 10) == [3, 4, 5, 6]
    assert indices(Consecutive(3, stride=3, place="center"), 10) == [1, 4, 7]
    assert indices(Consecutive(3, stride=2, fps=12.5, place="center"), 9) == [0, 4, 8]
    assert indices(Consecutive(4, fps=50, place="center"), 2) == [0, 0, 1, 1]


def test_random_clips_take_every_possible_position() -> None:
    starts = {indices(Consecutive(4), 7, seed=seed)[0] for seed in range(60)}
    assert starts == {0, 1, 2, 3}


def test_dense_clips_take_every_position_where_their_window_fits() -> None:
    """A window of 64 of 67 frames has four positions; the last frame of a clip is its 57th."""
    results = [indices(Dense(), 67, seed=seed) for seed in range(60)]
    assert {clip[0] for clip in results} == {0, 1, 2, 3}
    assert all(clip == list(range(clip[0], clip[0] + 57, 8)) for clip in results)
    assert indices(Dense(place="center"), 67) == [1, 9, 17, 25, 33, 41, 49, 57]
    assert indices(Dense(4, 12, place="center"), 12) == [0, 3, 6, 9]


def test_several_clips_extend_from_the_start_to_the_end() -> None:
    # A clip of 4 of 7 frames has the starts 0 to 3: thirds of 3, then 3 / 2 rounded down.
    assert [clip[0] for clip in clips(Consecutive(4), 7, 4)] == [0, 1, 2, 3]
    assert clips(Consecutive(4), 7, 3) == [[0, 1, 2, 3], [1, 2, 3, 4], [3, 4, 5, 6]]
    assert clips(Consecutive(3, stride=2), 5, 2) == [[0, 2, 4], [0, 2, 4]]
    # A window of 64 of 94 frames has the starts 0 to 30: ninths of 30.
    starts = [0, 3, 6, 10, 13, 16, 20, 23, 26, 30]
    expected = [[start + 8 * frame for frame in range(8)] for start in starts]
    assert clips(Dense(), 94, 10) == expected


# --- one frame per segment --------------------------------------------------------------------


def test_segments_take_a_random_frame_of_each_segment() -> None:
    results = np.array([indices(Segments(4), 10, seed=seed) for seed in range(80)])
    edges = [0, 2, 5, 7, 10]
    for segment in range(4):
        assert set(results[:, segment]) == set(range(edges[segment], edges[segment + 1]))


@pytest.mark.parametrize(
    ("segments", "frames", "expected"),
    [
        (4, 16, [2, 6, 10, 14]),
        (4, 13, [1, 4, 8, 11]),  # 1.625, 4.875, 8.125, 11.375
        (3, 11, [1, 5, 9]),  # 1.83, 5.5, 9.17
        (5, 5, [0, 1, 2, 3, 4]),
        (8, 9, [0, 1, 2, 3, 5, 6, 7, 8]),  # 0.56, 1.69, 2.81, 3.94, 5.06, 6.19, 7.31, 8.44
    ],
)
def test_segments_take_the_central_frame_of_each_segment(
    segments: int, frames: int, expected: list[int]
) -> None:
    assert indices(Segments(segments, "center"), frames) == expected
    assert clips(Segments(segments), frames, 1) == [expected]


def test_centers_have_no_rounding_errors() -> None:
    """The center of the fourth of 7 segments of 12 frames is frame 6.

    In floating point, 12 / 7 / 2 + 3 * 12 / 7 is less than 6.
    """
    assert indices(Segments(7, "center"), 12)[3] == 6
    assert int(12 / 7 / 2 + 12 / 7 * 3) == 5


def test_two_clips_of_segments_take_central_and_first_frames() -> None:
    assert clips(Segments(4), 16, 2) == [[2, 6, 10, 14], [0, 4, 8, 12]]
    assert clips(Segments(4), 13, 2) == [[1, 4, 8, 11], [0, 3, 6, 9]]  # 0, 3.25, 6.5, 9.75


def test_more_clips_of_segments_are_equally_spaced_in_each_segment() -> None:
    """At 1/2, 5/6 and 1/6 of segments of 6 frames; at 1/2, 3/4, 0 and 1/4 of segments of 4."""
    assert clips(Segments(2), 12, 3) == [[3, 9], [5, 11], [1, 7]]
    assert clips(Segments(2), 8, 4) == [[2, 6], [3, 7], [0, 4], [1, 5]]


# --- short and whole videos -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("short", "expected"), [("loop", [0, 1, 2, 0, 1]), ("hold", [0, 1, 2, 2, 2])]
)
def test_short_videos(short: str, expected: list[int]) -> None:
    assert indices(Consecutive(5, short=short), 3) == expected
    assert indices(Segments(5, short=short), 3) == expected
    assert clips(Consecutive(5, short=short), 3, 2) == [expected, expected]
    assert clips(Segments(5, short=short), 3, 2) == [expected, expected]


@pytest.mark.parametrize("sampling", [Consecutive(5), Segments(5), Segments(5, "center")])
def test_short_videos_are_an_error_by_default(sampling: Consecutive | Segments) -> None:
    with pytest.raises(ValueError, match='at least 5 frames. Received: 3 frames.*short="loop"'):
        indices(sampling, 3)


def test_videos_shorter_than_a_window() -> None:
    """In 63 frames, the frames of a dense clip fit, but its window does not."""
    assert indices(Dense(short="loop"), 63, seed=3) == [0, 8, 16, 24, 32, 40, 48, 56]
    assert indices(Dense(short="loop"), 30) == [0, 8, 16, 24, 2, 10, 18, 26]
    assert indices(Dense(short="hold"), 30) == [0, 8, 16, 24, 29, 29, 29, 29]
    assert clips(Dense(short="loop"), 30, 2) == 2 * [[0, 8, 16, 24, 2, 10, 18, 26]]
    with pytest.raises(ValueError, match=r"at least 64 frames. Received: 63 .*window"):
        indices(Dense(), 63)


def test_whole_videos_are_cut_at_the_maximum() -> None:
    assert indices(Whole(), 4) == [0, 1, 2, 3]
    assert len(indices(Whole(max_frames=250), 400)) == 250
    assert indices(Whole(fps=12.5), 7) == [0, 2, 4, 6]
    assert indices(Whole(fps=50), 2) == [0, 0, 1, 1]
    assert clips(Whole(), 3, 1) == [[0, 1, 2]]


def test_whole_videos_at_a_stride() -> None:
    """The maximum counts the frames that are taken; a video that is too short is completed."""
    assert indices(Whole(stride=3), 8) == [0, 3, 6]
    assert indices(Whole(max_frames=2, stride=3), 8) == [0, 3]
    assert indices(Whole(fps=12.5, stride=2), 9) == [0, 4, 8]
    assert indices(Whole(stride=3, least=5, short="loop"), 8) == [0, 3, 6, 0, 3]
    assert indices(Whole(stride=3, least=5, short="hold"), 8) == [0, 3, 6, 6, 6]
    with pytest.raises(ValueError, match="at least 5 frames. Received: 3 frames"):
        indices(Whole(stride=3, least=5), 8)


# --- several clips as one ---------------------------------------------------------------------


def test_multi_clip_concatenates_clips() -> None:
    assert indices(MultiClip(Segments(4), 2), 16) == [2, 6, 10, 14, 0, 4, 8, 12]
    assert MultiClip(Segments(4), 2).frames == 8
    assert indices(MultiClip(Whole(), 1), 3) == [0, 1, 2]
    assert MultiClip(Whole(), 1).frames is None


@pytest.mark.parametrize(
    ("create", "message"),
    [
        (lambda: Consecutive(0), "frames: expected an int of at least 1. Received: 0"),
        (lambda: Consecutive(3, stride=0), "stride: expected an int of at least 1"),
        (lambda: Consecutive(3, short="cut"), "short: .* error, loop, hold.*'cut'"),
        (lambda: Segments(3, place="end"), "place: expected one of random, center.*'end'"),
        (lambda: Dense(8, 60), r"window: .* multiple of frames \(=8\).*Received: 60"),
        (lambda: Dense(8, 0), "window: expected an int of at least 1"),
        (lambda: MultiClip(Segments(3), 0), "count: expected an int of at least 1"),
        (lambda: MultiClip(Whole(), 2), "count: expected 1 clip of a whole video. Received: 2"),
        (
            lambda: Segments(3).clips(Timeline.even(9, 25.0), 0),
            "count: expected an int of at least 1",
        ),
        (
            lambda: Consecutive(3).clips(Timeline.even(9, 25.0), 0),
            "count: expected an int of at least 1",
        ),
        (lambda: Whole().clips(Timeline.even(9, 25.0), 2), "count: expected 1 clip .* Received: 2"),
    ],
)
def test_arguments_out_of_range_are_errors(create, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create()
