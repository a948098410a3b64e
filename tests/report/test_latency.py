"""The latency figure: quantiles, outliers, scales, colors, and messages for faulty runs."""

import math

import pytest
from svg_figures import of_class, parsed, texts

from mpvn.report import latency_figure


def test_median_and_95th_percentile_are_shown() -> None:
    steps = [10.0] * 90 + [20.0] * 10
    root = parsed(latency_figure({"fast": steps, "slow": [30.0] * 50}))
    found = texts(root)
    assert {"fast", "slow", "median 10.0 ms", "95 % ≤ 20.0 ms", "median 30.0 ms"} <= set(found)
    assert len(of_class(root, "run")) == 2
    assert len(of_class(root, "median")) == 4
    assert "ms" in found  # A linear scale.


def test_slow_first_step_does_not_flatten_the_others() -> None:
    root = parsed(latency_figure({"run": [4200.0, *[10.0] * 99]}))
    assert "ms" in texts(root)
    assert len(of_class(root, "outlier")) == 1
    assert "4,200 ms" in texts(root)


def test_runs_of_different_magnitude_share_a_log_scale() -> None:
    root = parsed(latency_figure({"fast": [0.5] * 20, "slow": [400.0] * 20}))
    assert "ms, log" in texts(root)
    assert not of_class(root, "outlier")


def test_colors_follow_the_order_of_runs() -> None:
    def colors(*names: str) -> list[str]:
        root = parsed(latency_figure({name: [1.0, 2.0] for name in names}))
        return [run.get("stroke") for run in of_class(root, "run")]

    assert colors("a", "b", "c")[:2] == colors("a", "b")
    assert len(set(colors("a", "b", "c"))) == 3


@pytest.mark.parametrize(
    "runs", [{"one": [5.0]}, {"zero": [0.0, 0.0]}, {"long": list(range(1, 5000))}], ids=list
)
def test_short_zero_and_long_runs_are_drawn(runs: dict) -> None:
    root = parsed(latency_figure(runs))
    points = of_class(root, "run")[0].get("points").split()
    assert 2 <= len(points) <= 1120
    assert "nan" not in latency_figure(runs)


def test_all_faulty_runs_are_reported_at_once() -> None:
    with pytest.raises(ValueError, match=r"(?s)'empty'.*'infinite'.*'negative'"):
        latency_figure({"empty": [], "infinite": [math.inf], "negative": [-1.0], "good": [1.0]})
    with pytest.raises(ValueError, match="at least one run"):
        latency_figure({})


def test_names_are_escaped() -> None:
    assert "<b>&" in texts(parsed(latency_figure({"<b>&": [1.0]})))
