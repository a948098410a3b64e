"""Which frames make a clip: literal frames, worked out by hand from the rules."""

import numpy as np
import pytest

from mpvn.data.clips.sampling import Consecutive, Dense, MultiClip, Segments, Whole


def indices(sampling, count: int, fps: float = 25.0, seed: int = 0) -> list[int]:
    return sampling.indices(count, fps, np.random.default_rng(seed)).tolist()


def clips(sampling, frames: int, count: int, fps: float = 25.0) -> list[list[int]]:
    return sampling.clips(frames, fps, count).tolist()


# --- stretches of the video -------------------------------------------------------------------


def test_consecutive_frames() -> None:
    assert indices(Consecutive(4, place="center"), 10) == [3, 4, 5, 6]
    assert indices(Consecutive(3, stride=3, place="center"), 10) == [1, 4, 7]
    assert indices(Consecutive(3, stride=2, fps=12.5, place="center"), 9) == [0, 4, 8]
    assert indices(Consecutive(4, fps=50, place="center"), 2) == [0, 0, 1, 1]


def test_random_clips_reach_every_place_and_no_further() -> None:
    starts = {indices(Consecutive(4), 7, seed=seed)[0] for seed in range(60)}
    assert starts == {0, 1, 2, 3}


def test_dense_clips_lie_anywhere_in_the_video_with_their_whole_window() -> None:
    """Of 67 frames, 64 leave room for four places; the last frame of a clip is its 57th."""
    drawn = [indices(Dense(), 67, seed=seed) for seed in range(60)]
    assert {clip[0] for clip in drawn} == {0, 1, 2, 3}
    assert all(clip == list(range(clip[0], clip[0] + 57, 8)) for clip in drawn)
    assert indices(Dense(place="center"), 67) == [1, 9, 17, 25, 33, 41, 49, 57]
    assert indices(Dense(4, 12, place="center"), 12) == [0, 3, 6, 9]


def test_stretches_of_a_test_lie_from_the_beginning_to_the_end() -> None:
    # Places 0 to 3 of a clip of 4 frames among 7: thirds of 3, then 3 / 2 rounded down.
    assert [clip[0] for clip in clips(Consecutive(4), 7, 4)] == [0, 1, 2, 3]
    assert clips(Consecutive(4), 7, 3) == [[0, 1, 2, 3], [1, 2, 3, 4], [3, 4, 5, 6]]
    assert clips(Consecutive(3, stride=2), 5, 2) == [[0, 2, 4], [0, 2, 4]]
    # Of 64 + 30 frames: ninths of 30.
    starts = [0, 3, 6, 10, 13, 16, 20, 23, 26, 30]
    found = clips(Dense(), 94, 10)
    assert found == [[start + 8 * frame for frame in range(8)] for start in starts]


# --- one frame of each part -------------------------------------------------------------------


def test_segments_take_a_random_frame_of_each_part() -> None:
    drawn = np.array([indices(Segments(4), 10, seed=seed) for seed in range(80)])
    edges = [0, 2, 5, 7, 10]
    for part in range(4):
        assert set(drawn[:, part]) == set(range(edges[part], edges[part + 1]))


@pytest.mark.parametrize(
    ("parts", "frames", "expected"),
    [
        (4, 16, [2, 6, 10, 14]),
        (4, 13, [1, 4, 8, 11]),  # 1.625, 4.875, 8.125, 11.375
        (3, 11, [1, 5, 9]),  # 1.83, 5.5, 9.17
        (5, 5, [0, 1, 2, 3, 4]),
        (8, 9, [0, 1, 2, 3, 5, 6, 7, 8]),  # 0.56, 1.69, 2.81, 3.94, 5.06, 6.19, 7.31, 8.44
    ],
)
def test_segments_take_the_frame_at_the_center_of_each_part(
    parts: int, frames: int, expected: list[int]
) -> None:
    assert indices(Segments(parts, "center"), frames) == expected
    assert clips(Segments(parts), frames, 1) == [expected]


def test_centers_are_not_rounded_as_fractions_are() -> None:
    """The center of the fourth of 7 parts of 12 frames is frame 6; 12 / 7 / 2 + 3 * 12 / 7, in
    floating point, lies just below 6."""
    assert indices(Segments(7, "center"), 12)[3] == 6
    assert int(12 / 7 / 2 + 12 / 7 * 3) == 5


def test_two_clips_of_segments_take_centers_and_first_frames() -> None:
    assert clips(Segments(4), 16, 2) == [[2, 6, 10, 14], [0, 4, 8, 12]]
    assert clips(Segments(4), 13, 2) == [[1, 4, 8, 11], [0, 3, 6, 9]]  # 0, 3.25, 6.5, 9.75


def test_more_clips_of_segments_are_at_equal_distances_within_parts() -> None:
    """At 1/2, 5/6 and 1/6 of parts of 6 frames; at 1/2, 3/4, 0 and 1/4 of parts of 4."""
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
    for sampling in (Consecutive(5), Segments(5), Segments(5, "center")):
        with pytest.raises(ValueError, match='it has 3 frames, and a clip needs 5.*short="loop"'):
            indices(sampling, 3)


def test_videos_shorter_than_a_window() -> None:
    """Of 63 frames, a dense clip would fit in; its window does not."""
    assert indices(Dense(short="loop"), 63, seed=3) == [0, 8, 16, 24, 32, 40, 48, 56]
    assert indices(Dense(short="loop"), 30) == [0, 8, 16, 24, 2, 10, 18, 26]
    assert indices(Dense(short="hold"), 30) == [0, 8, 16, 24, 29, 29, 29, 29]
    assert clips(Dense(short="loop"), 30, 2) == 2 * [[0, 8, 16, 24, 2, 10, 18, 26]]
    with pytest.raises(ValueError, match=r"it has 63 frames, and a clip needs 64.*window"):
        indices(Dense(), 63)


def test_whole_videos_end_at_the_longest_clip() -> None:
    assert indices(Whole(), 4) == [0, 1, 2, 3]
    assert len(indices(Whole(max_frames=250), 400)) == 250
    assert indices(Whole(fps=12.5), 7) == [0, 2, 4, 6]
    assert indices(Whole(fps=50), 2) == [0, 0, 1]
    assert clips(Whole(), 3, 1) == [[0, 1, 2]]


# --- several clips as one ---------------------------------------------------------------------


def test_spread_clips_come_one_after_another() -> None:
    assert indices(MultiClip(Segments(4), 2), 16) == [2, 6, 10, 14, 0, 4, 8, 12]
    assert MultiClip(Segments(4), 2).frames == 8
    assert indices(MultiClip(Whole(), 1), 3) == [0, 1, 2]
    assert MultiClip(Whole(), 1).frames is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Consecutive(0), "frames must be an int of at least 1"),
        (lambda: Consecutive(3, stride=0), "stride must be"),
        (lambda: Consecutive(3, short="cut"), "error, loop, hold.*'cut'"),
        (lambda: Segments(3, place="end"), '"random" or "center"'),
        (lambda: Dense(8, 60), r"multiple of frames \(=8\).*window=60"),
        (lambda: Dense(8, 0), "window must be an int of at least 1"),
        (lambda: MultiClip(Segments(3), 0), "count must be an int of at least 1"),
        (lambda: MultiClip(Whole(), 2), "a whole video is one clip. Received: 2 clips"),
        (lambda: Segments(3).clips(9, 25.0, 0), "count must be an int of at least 1"),
        (lambda: Consecutive(3).clips(9, 25.0, 0), "count must be an int of at least 1"),
        (lambda: Whole().clips(9, 25.0, 2), "count must be 1. Received: 2"),
    ],
)
def test_arguments_out_of_range_are_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
