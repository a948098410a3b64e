"""From the time stamps of a source to the times at which its frames are shown. Numbers alone.

Expected values are counted by hand. A rate of a file is a claim: the stamps decide.
"""

from collections.abc import Sequence
from fractions import Fraction

import pytest

from mpvn.data.video.clock import (
    BROADCAST_PAUSE,
    PAUSE,
    FrameTimes,
    Stamp,
    claimed_clock,
    measured_clock,
    raw_clock,
)
from mpvn.data.video.timeline import Timeline

MS = Fraction(1, 1000)
TS = Fraction(1, 90_000)
FILM = Fraction(24_000, 1001)
NTSC = Fraction(30_000, 1001)

THIRTY = [0, 33, 67, 100, 133, 167, 200, 233, 267, 300]  # n / 30 s in ms, rounded
FILMED = [0, 42, 83, 125, 167, 209, 250, 292, 334, 375]  # n * 1001 / 24000 s in ms, rounded


def timeline(
    stamps: Sequence[int | None],
    tick: Fraction = MS,
    rate: Fraction | int | None = 30,
    *,
    pause: Fraction = PAUSE,
    duration: int | None = None,
) -> Timeline:
    """Return the timeline of frames that are stored in the order in which they are shown."""
    packets = [Stamp(stamp, stamp, duration) for stamp in stamps]
    rates = [] if rate is None else [Fraction(rate)]
    clock = measured_clock(packets, tick, rates, pause)
    return clock.timeline((packet.presentation, packet.duration) for packet in packets)


def seconds(video: Timeline) -> list[Fraction]:
    return [video.seconds(frame) for frame in range(len(video))]


def even(count: int, rate: Fraction | int) -> list[Fraction]:
    return [n / Fraction(rate) for n in range(count)]


# --- the container rounds -------------------------------------------------------------------------


@pytest.mark.parametrize("start", [0, 1000, 60_000])
def test_milliseconds_at_30(start: int) -> None:
    """0.067 s is 2/30 s, although it is later."""
    video = timeline([start + stamp for stamp in THIRTY])
    assert (seconds(video), video.rate, video.duration) == (even(10, 30), 30, Fraction(1, 3))
    assert video.at_rate(30).tolist() == list(range(10))
    assert video.at_rate(15).tolist() == [0, 2, 4, 6, 8]
    assert video.at_rate(60).tolist() == [n for n in range(10) for _ in range(2)]
    assert video.at_rate(25).tolist() == [0, 1, 2, 3, 4, 6, 7, 8, 9]  # floor(1.2 n)


def test_the_first_stamp_is_rounded_too() -> None:
    """0.033 s stands for 1/30 s, so that 0.067 s is 34 ms after it, and 0.1 s 67 ms."""
    video = timeline([33, 67, 100, 133, 167, 200, 233, 267, 300])
    assert seconds(video) == even(9, 30)
    assert video.at_rate(30).tolist() == list(range(9))


@pytest.mark.parametrize("claim", [FILM, 24, None])
def test_milliseconds_at_the_rate_of_films(claim: Fraction | int | None) -> None:
    stamps = [round(n * 1001 / 24) for n in range(48)]
    assert stamps[:10] == FILMED
    video = timeline(stamps, rate=claim)
    assert (seconds(video), video.rate) == (even(48, FILM), FILM)
    assert video.at_rate(FILM).tolist() == list(range(48))
    # Frame 1 starts at 1001/24000 s, just after 1/24 s: from then on, frames are one late.
    assert video.at_rate(24).tolist() == [0, *range(48)]


def test_milliseconds_that_were_copied_into_finer_ticks() -> None:
    """Matroska remuxed as MP4 or MPEG-TS: multiples of 90 ticks, still rounded."""
    video = timeline([90 * stamp for stamp in THIRTY], TS)
    assert seconds(video) == even(10, 30)
    assert video.at_rate(30).tolist() == list(range(10))


def test_a_fine_clock_rounds_as_well() -> None:
    """At 24000/1001, a frame is 3753.75 ticks of MPEG-TS long."""
    stamps = [0, 3754, 7508, 11261, 15015, 18769, 22523, 26276]
    video = timeline(stamps, TS, FILM)
    assert seconds(video) == even(8, FILM)
    assert video.at_rate(FILM).tolist() == list(range(8))


def test_the_clock_of_gif() -> None:
    """Hundredths of a second, at 17 frames per second; 0.06 s is 1/17 s."""
    video = timeline([0, 6, 12, 18, 24, 29, 35, 41, 47, 53], Fraction(1, 100), 17)
    assert (seconds(video), video.rate) == (even(10, 17), 17)
    assert video.at_rate(17).tolist() == list(range(10))


@pytest.mark.parametrize(("tick", "rate"), [(Fraction(1, 25), 25), (1 / FILM, FILM)])
def test_the_coarse_clock_of_avi_is_exact(tick: Fraction, rate: Fraction | int) -> None:
    """A tick is a whole frame: nothing was rounded."""
    video = timeline(range(10), tick, rate)
    assert (seconds(video), video.rate) == (even(10, rate), rate)
    assert video.at_rate(rate).tolist() == list(range(10))
    # floor(n / 1.2)
    assert video.at_rate(rate * Fraction(6, 5)).tolist() == [0, 0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9]


def test_a_coarse_clock_with_holes_is_exact() -> None:
    """Frame 2 starts at 3/25 s; at 2.5/25 s, frame 1 is shown."""
    video = timeline([0, 1, 3, 4, 5, 8], Fraction(1, 25), 25)
    assert seconds(video) == [Fraction(n, 25) for n in (0, 1, 3, 4, 5, 8)]
    assert video.at_rate(25).tolist() == [0, 1, 1, 2, 3, 4, 4, 4, 5]
    assert video.at_rate(10).tolist() == [0, 1, 4, 4]  # at 0, 2.5, 5 and 7.5 of 25ths


@pytest.mark.parametrize("rate", [Fraction(237, 10), Fraction(1499, 100), Fraction(16_777, 1000)])
@pytest.mark.parametrize("is_claimed", [True, False])
def test_a_coarse_clock_of_an_unusual_rate_is_exact(rate: Fraction, is_claimed: bool) -> None:
    """A similar simple rate, such as 71/3, drifts: of 1000 frames, some would be left out."""
    video = timeline(range(1000), 1 / rate, rate if is_claimed else None)
    assert (seconds(video), video.rate) == (even(1000, rate), rate)
    assert video.at_rate(rate * Fraction(2, 5)).tolist() == [5 * n // 2 for n in range(400)]


def test_a_claim_that_fits_exactly() -> None:
    """Steps of 500 ticks. 24000/1001 is near, but a frame early after some."""
    video = timeline(range(0, 20_000, 500), Fraction(1, 11_988), Fraction(2997, 125))
    assert (seconds(video), video.rate) == (even(40, Fraction(2997, 125)), Fraction(2997, 125))


def test_slow_videos() -> None:
    """7/3 frames per second: 428.57 ms each."""
    video = timeline([0, 429, 857, 1286, 1714, 2143], rate=Fraction(7, 3))
    assert (seconds(video), video.rate) == (even(6, Fraction(7, 3)), Fraction(7, 3))
    assert video.at_rate(Fraction(7, 3)).tolist() == list(range(6))


# --- variable rates -------------------------------------------------------------------------------


def test_three_rates_in_one_file() -> None:
    """Frames 0-29 at 30 per second, 30-39 at 5, 40-69 at 30, brought to 10."""
    stamps = [3000 * n for n in range(30)] + [90_000 + 18_000 * n for n in range(10)]
    stamps += [270_000 + 3000 * n for n in range(30)]
    shown = [*range(0, 30, 3), *(n for n in range(30, 40) for _ in range(2)), *range(40, 70, 3)]
    assert timeline(stamps, TS, Fraction(35, 2)).at_rate(10).tolist() == shown


def test_a_rounded_stamp_may_be_half_a_tick_late() -> None:
    """Without a grid: 0.067 s may be 1/15 s, so frame 2 is due at 1/15; 0.068 s may not."""
    rough = [0, 21, 67, 81, 143, 150, 200]
    assert timeline(rough, rate=None).at_rate(15).tolist()[:2] == [0, 2]
    rough[2] = 68
    assert timeline(rough, rate=None).at_rate(15).tolist()[:2] == [0, 1]


def test_dropped_frames_leave_the_others_on_their_grid() -> None:
    stamps = [0, 33, 100, 133, 267, 300, 333, 367]  # 0 1 3 4 8 9 10 11
    video = timeline(stamps)
    assert seconds(video) == [Fraction(n, 30) for n in (0, 1, 3, 4, 8, 9, 10, 11)]
    assert video.at_rate(30).tolist() == [0, 1, 1, 2, 3, 3, 3, 3, 4, 5, 6, 7]


def test_a_pause_of_minutes_is_kept_in_files() -> None:
    """A recording of a screen that stands still for 90 s."""
    video = timeline([0, 33, 67, 90_000, 90_033, 90_067, 91_000])
    assert seconds(video)[3:] == [90, 90 + Fraction(1, 30), 90 + Fraction(1, 15), 91]
    assert video.at_rate(1).tolist() == [0, *[2] * 89, 3, 6]
    assert video.duration == 91 + Fraction(1, 30)  # The average step is 15 s.


# --- what the container claims --------------------------------------------------------------------


@pytest.mark.parametrize("claim", [1000, 90_000, 15, 60])
def test_a_claim_that_the_stamps_contradict(claim: int) -> None:
    """Browsers write their clock, 1000 per second, as the rate; others write that of fields."""
    video = timeline(THIRTY, rate=claim, duration=1)
    assert (seconds(video), video.rate, video.duration) == (even(10, 30), 30, Fraction(1, 3))


def test_an_uneven_recording_has_its_average_rate() -> None:
    """10 steps in 0.4 s. Claimed durations of 1 ms are not believed: the usual step is 39 ms."""
    stamps = [0, 31, 85, 112, 163, 207, 246, 280, 334, 351, 400]
    video = timeline(stamps, rate=1000, duration=1)
    assert seconds(video) == [stamp * MS for stamp in stamps]
    assert video.rate == 25
    assert video.duration == Fraction(439, 1000)


def test_a_true_rate_of_1000_is_kept() -> None:
    video = timeline([n * 90 for n in range(20)], TS, 1000, duration=90)
    assert (video.rate, video.at_rate(500).tolist()) == (1000, list(range(0, 20, 2)))


def test_one_frame() -> None:
    """Its stated length counts for more than the claim, which may be the rate of fields."""
    assert (timeline([0], rate=25).rate, timeline([0], rate=25).duration) == (25, Fraction(1, 25))
    video = timeline([126_000], TS, 50, duration=3600)
    assert (seconds(video), video.rate, video.duration) == ([0], 25, Fraction(1, 25))
    assert video.at_rate(100).tolist() == [0, 0, 0, 0]
    assert timeline([None], rate=None).duration == Fraction(1, 25)


def test_cameras_are_believed_unless_they_claim_their_tick() -> None:
    assert claimed_clock(MS, [Fraction(30)], BROADCAST_PAUSE).rate == 30
    assert claimed_clock(MS, [Fraction(1000), Fraction(15)], BROADCAST_PAUSE).rate == 15
    unknown = claimed_clock(MS, [Fraction(1000)], BROADCAST_PAUSE)
    assert unknown.rate is None
    times = FrameTimes(unknown)
    shown = [times.add(stamp, 1) for stamp in (70, 103, 170)]
    assert [time * unknown.unit for time, _ in shown] == [0, 33 * MS, 100 * MS]


def test_raw_streams_have_no_clock() -> None:
    video = raw_clock([Fraction(25), NTSC]).timeline([(None, None)] * 6)
    assert (seconds(video), video.rate) == (even(6, NTSC), NTSC)


# --- order ----------------------------------------------------------------------------------------


def in_order(packets: Sequence[Stamp], tick: Fraction = Fraction(1, 25)) -> bool:
    return measured_clock(packets, tick, [1 / tick], PAUSE, decoding_times_only=True).in_order


def test_presentation_times_that_were_guessed_from_decoding_times() -> None:
    """AVI and ASF store decoding times alone."""
    assert in_order([Stamp(n + 1, n, 1) for n in range(9)])
    assert not in_order([Stamp(n, n, 1) for n in range(9)])  # no B-frames: both are right
    known = [1, 4, 2, 3, 7, 5, 6, 10, 8, 9]  # FFmpeg has parsed the order of these B-frames.
    assert not in_order([Stamp(shown, n, 1) for n, shown in enumerate(known)])
    packets = [Stamp(n + 1, n, 1) for n in range(9)]
    assert not measured_clock(packets, Fraction(1, 25), [Fraction(25)], PAUSE).in_order


def test_b_frames_are_measured_in_the_order_in_which_they_are_shown() -> None:
    """Stored as I P B B: 0 3 1 2 6 4 5."""
    stored = [0, 100, 33, 67, 200, 133, 167, 300, 233, 267]
    clock = measured_clock(
        [Stamp(shown, 33 * n - 67) for n, shown in enumerate(stored)], MS, [Fraction(1000)], PAUSE
    )
    assert clock.rate == 30
    assert seconds(clock.timeline((shown, None) for shown in sorted(stored))) == even(10, 30)


def test_frames_without_stamps_follow_the_frame_before() -> None:
    video = timeline([0, None, 67, None, None, 167, 200, 233, None])
    assert seconds(video) == even(9, 30)
    assert video.duration == Fraction(9, 30)
    nothing = timeline([None] * 5, rate=20)
    assert (seconds(nothing), nothing.rate) == (even(5, 20), 20)


# --- clocks that are set --------------------------------------------------------------------------


@pytest.mark.parametrize("second", [0, 3600 * 7, 126_000 - 3600])
def test_a_clock_that_starts_again(second: int) -> None:
    """Two recordings were joined: all frames follow each other, at their own rate."""
    first = [126_000 + 3600 * n for n in range(10)]
    again = [second + 3600 * n for n in range(10)]
    video = timeline(first + again, TS, Fraction(505, 10), pause=BROADCAST_PAUSE, duration=3600)
    assert (seconds(video), video.rate) == (even(20, 25), 25)
    assert video.at_rate(25).tolist() == list(range(20))
    assert video.duration == Fraction(20, 25)


def test_recordings_that_were_rounded_apart() -> None:
    """Each is on its own grid, also where the second starts off the grid of the first."""
    video = timeline([*THIRTY, *(7 + stamp for stamp in THIRTY)])
    assert seconds(video) == even(20, 30)
    assert video.at_rate(10).tolist() == [0, 3, 6, 9, 12, 15, 18]


@pytest.mark.parametrize("pause", [PAUSE, BROADCAST_PAUSE])
def test_a_clock_that_jumps_ahead(pause: Fraction) -> None:
    """A pause of the longest length is kept. A longer one is a clock that was set."""
    first = [3600 * n for n in range(5)]
    for extra, gap in [(0, pause), (3600, Fraction(0))]:
        later = 5 * 3600 + int(pause / TS) + extra
        video = timeline(
            [*first, *(later + stamp for stamp in first)], TS, 25, pause=pause, duration=3600
        )
        expected = even(5, 25) + [Fraction(n, 25) + gap for n in range(5, 10)]
        assert seconds(video) == expected
        assert video.duration == Fraction(10, 25) + gap


def test_a_clock_that_wraps() -> None:
    """MPEG-TS counts to 2^33."""
    stamps = [2**33 - 3600 * n for n in range(4, 0, -1)] + [3600 * n for n in range(4)]
    video = timeline(stamps, TS, 25, pause=BROADCAST_PAUSE, duration=3600)
    assert seconds(video) == even(8, 25)


def test_frames_with_the_same_stamp_are_all_kept() -> None:
    video = timeline([0, 40, 40, 80, 120, 160, 200], rate=25)
    assert seconds(video) == [Fraction(n, 25) for n in (0, 1, 1, 2, 3, 4, 5)]
    assert video.at_rate(25).tolist() == [0, 2, 3, 4, 5, 6]  # the newest of the two


# --- sections -------------------------------------------------------------------------------------


def test_frames_between_two_times() -> None:
    video = timeline([40 * n for n in range(50)], rate=25)
    assert video.between(0.4, 0.8) == range(10, 20)
    assert video.between(0.41, 0.8) == range(11, 20)
    assert video.between(None, 0.04) == range(1)
    assert video.between(1.96, None) == range(49, 50)
    assert video.between(0, 99) == range(50)
    assert len(video.between(0.01, 0.03)) == len(video.between(2, 3)) == 0


@pytest.mark.parametrize("printed", [Fraction(2, 30), 2 / 30, 0.066667, 0.066666])
def test_times_that_were_printed_with_six_decimals(printed: float | Fraction) -> None:
    for video in (timeline(THIRTY), timeline([3000 * n for n in range(10)], TS)):
        assert video.between(printed, None) == range(2, 10)
        assert video.between(None, printed) == range(2)
        assert video.between(0.0668, None) == range(3, 10)


def test_a_section_starts_with_its_first_frame() -> None:
    section = timeline(THIRTY).section(range(4, 7))
    assert (seconds(section), section.rate, section.duration) == (even(3, 30), 30, Fraction(3, 30))
    last = timeline([40 * n for n in range(10)], rate=25).section(range(8, 10))
    assert last.duration == Fraction(2, 25)
    uneven = timeline([0, 100, 130, 400, 410], rate=None).section(range(2, 4))
    assert (seconds(uneven), uneven.duration) == ([0, 270 * MS], 280 * MS)


def test_even_timelines() -> None:
    video = Timeline.even(6, NTSC)
    assert (len(video), video.rate, video.duration) == (6, NTSC, 6 / NTSC)
    assert video.at_rate(30).tolist() == [0, 0, 1, 2, 3, 4, 5]
    assert video.at_rate(10).tolist() == [0, 2, 5]
