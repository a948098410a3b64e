"""The model of many workers: values computed by hand, and fits that give back what was measured."""

import dataclasses
import re

import pytest

from mpvn.plan.simulation import Link
from mpvn.report.scaling import (
    Scaling,
    Step,
    fit,
    fit_hidden,
    fit_link,
    scaling_figure,
    scaling_rows,
)

# 8 MB over 1 GB/s. Two workers send 8 MB in 8 ms, four send 12 MB in 12 ms; hops of .25 ms are
# 2 and 6, so 0.5 and 1.5 ms.
LINK = Link(latency=2.5e-4, per_byte=1e-9)
STEP = Step(clips=4, computation=0.030, backward=0.010, input=0.020, gradients=8_000_000)


def test_seconds_of_the_all_reduce() -> None:
    scaling = Scaling(STEP, LINK)
    assert [scaling.all_reduce(n) for n in (1, 2, 4)] == pytest.approx([0, 0.0085, 0.0135])


@pytest.mark.parametrize(
    ("overlap", "exposed"),
    # The backward pass is longer than 8.5 ms, and shorter than 13.5 ms.
    [(0.0, (0.0085, 0.0135)), (0.5, (0.00425, 0.0085)), (1.0, (0.0, 0.0035))],
)
def test_backward_pass_hides_at_most_its_own_length(
    overlap: float, exposed: tuple[float, float]
) -> None:
    scaling = Scaling(STEP, LINK, overlap)
    assert (scaling.exposed(2), scaling.exposed(4)) == pytest.approx(exposed)
    assert scaling.exposed(1) == 0


def test_steps_and_efficiency() -> None:
    scaling = Scaling(STEP, LINK, overlap=0.5, wait=0.002)
    assert [scaling.seconds(n) for n in (1, 2, 4)] == pytest.approx([0.030, 0.03625, 0.0405])
    assert scaling.efficiency(4) == pytest.approx(30 / 40.5)
    assert scaling.rate(4) == pytest.approx(16 / 0.0405)
    assert scaling.efficiency(1) == 1


@pytest.mark.parametrize(
    ("hidden", "one", "two"),
    # The input of 40 ms is longer than the computation of 30 ms; two workers are busy for 38.5 ms.
    [(1.0, 0.040, 0.040), (0.0, 0.070, 0.0785), (0.5, 0.055, 0.05925)],
)
def test_input_hides_what_it_can(hidden: float, one: float, two: float) -> None:
    scaling = Scaling(dataclasses.replace(STEP, input=0.040, hidden=hidden), LINK)
    assert (scaling.seconds(1), scaling.seconds(2)) == pytest.approx((one, two))
    assert fit_hidden(0.030, 0.040, one) == pytest.approx(hidden)


def test_no_input_is_hidden() -> None:
    assert fit_hidden(0.03, 0.0, 0.03) == 1.0
    assert fit_hidden(0.03, 0.01, 0.05) == 0.0  # slower together than one after the other


def test_link_is_found_again() -> None:
    times = {4_000: 0.000504, 500_000: 9.0, 4_000_000: 0.0045}  # .5 ms of hops, and 1 ns a byte
    assert fit_link(times) == pytest.approx(LINK)


@pytest.mark.parametrize("seconds", [{}, {8: 1.0}, {8: 1.0, 9: 1.0}])
def test_link_needs_two_sizes(seconds: dict[int, float]) -> None:
    with pytest.raises(ValueError, match="Expected two sizes"):
        fit_link(seconds)


@pytest.mark.parametrize(
    ("two", "overlap", "wait"),
    [
        (0.0345, 4 / 8.5, 0.0),  # 4.5 of 8.5 ms are seen
        (0.0385, 0.0, 0.0),
        (0.0400, 0.0, 0.0015),
        (0.0290, 1.0, 0.0),  # two were faster than one: nothing is seen
    ],
)
def test_fit_explains_two_workers(two: float, overlap: float, wait: float) -> None:
    scaling = fit(STEP, LINK, two)
    assert (scaling.overlap, scaling.wait) == pytest.approx((overlap, wait))
    assert scaling.seconds(2) == pytest.approx(max(two, 0.030))


def test_more_than_the_backward_pass_cannot_be_hidden() -> None:
    scaling = fit(dataclasses.replace(STEP, backward=0.002), LINK, 0.031)
    assert scaling.overlap == 1.0
    assert scaling.seconds(2) == pytest.approx(0.0365)  # measured: 31 ms


def test_rows_say_what_is_measured() -> None:
    rows = scaling_rows(Scaling(STEP, LINK), {1: 0.032, 2: 0.040}, workers=(1, 2, 4))
    assert [(row["workers"], row["source"], row["step, ms"]) for row in rows] == [
        (1, "fitted", "30.0"),
        (1, "measured", "32.0"),
        (2, "fitted", "38.5"),
        (2, "measured", "40.0"),
        (4, "extrapolated", "43.5"),
    ]
    assert [row["efficiency"] for row in rows] == ["1.000", "1.000", "0.779", "0.800", "0.690"]
    assert rows[-1]["clips/s"] == "367.8"
    assert rows[-1]["clips an update"] == 16
    assert rows[3]["all-reduce, ms"] == ""


def test_assumptions_name_all_numbers() -> None:
    text = " ".join(Scaling(STEP, LINK, 0.5, 0.002).assumptions)
    for number in ("4 clips", "30.0 ms", "20.0 ms", "100%", "8.00 MB", "1 GB/s", "250 us", "50%"):
        assert number in text
    assert "2.0 ms" in text
    assert "any bandwidth" in Scaling(STEP, Link(1e-6)).assumptions[1]


def test_figure_labels_lines() -> None:
    svg = scaling_figure({"tsm": Scaling(STEP, LINK)}, {"tsm": {1: 0.03, 2: 0.04}}, (1, 2, 1536))
    for text in ("ideal", "tsm, extrapolated", "tsm, measured", "1536"):
        assert re.search(f">{text}<", svg)
    with pytest.raises(ValueError, match="a measured step of 1 worker"):
        scaling_figure({}, {"tsm": {2: 0.04}})


@pytest.mark.parametrize(
    "changes", [{"clips": 0}, {"backward": 0.031}, {"input": -1.0}, {"hidden": 1.5}]
)
def test_impossible_steps(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="Cannot describe a step"):
        dataclasses.replace(STEP, **changes)
