"""At which rate a network is shown a source."""

import re

import pytest

from mpvn import Metadata
from mpvn.prediction.rates import Shown, shown


@pytest.mark.parametrize(
    ("known", "own", "expected", "said"),
    [
        (None, 30, Shown(), ""),
        (Metadata(), 30, Shown(None, 1), ""),
        (Metadata(fps=12.5), 30, Shown(12.5, 1), "at 12.5 per second, as in its training"),
        (Metadata(fps=12.5), 12.5, Shown(12.5, 1), "at 12.5 per second, as in its training"),
        (Metadata(fps=12.5), None, Shown(12.5, 1), "at 12.5 per second, as in its training"),
        (Metadata(fps=12.5, resampled=False), 30, Shown(12.5, 1), "not the 30 of this source"),
        (Metadata(fps=12.5, resampled=False), 13.1, Shown(None, 1), "all frames.*at 13.1 per"),
        (Metadata(fps=12.5, resampled=False), 13.2, Shown(12.5, 1), "not the 13.2 of this"),
        (Metadata(fps=12.5, resampled=False, stride=2), 25, Shown(None, 2), "one of 2 frames"),
        (Metadata(fps=12.5, resampled=False, stride=2), 30, Shown(12.5, 1), "not the 15 of"),
        (Metadata(fps=12.5, resampled=False, stride=2), None, Shown(None, 2), "one of 2 frames"),
    ],
)
def test_a_source_has_the_rate_of_the_training(
    known: Metadata | None, own: float | None, expected: Shown, said: str
) -> None:
    found = shown(known, own)
    assert (found.fps, found.stride) == (expected.fps, expected.stride)
    assert bool(found.remark) == bool(said)
    assert re.search(said, found.remark)


def test_clips_over_whole_videos_are_as_far_apart_as_in_a_usual_video() -> None:
    known = Metadata(sampling="segments", frames=8, evaluated=None, seconds=3.2, resampled=False)
    found = shown(known, 30)
    assert found.fps == 2.5
    assert "8 frames of 3.2 s, usually" in found.remark and "unlike its training" in found.remark
    unknown = shown(Metadata(sampling="segments", frames=8, evaluated=None), 30)
    assert (unknown.fps, unknown.stride) == (None, 1)
    assert "all frames are shown, at 30 per second, unlike its training" in unknown.remark
    whole = Metadata(sampling="segments", frames=8, resampled=False)  # Evaluation shows all frames.
    assert shown(whole, 30).remark.startswith("all frames are shown, at 30 per second, as in")
