"""The latency figure: how long each step took, by ways of running.

The ways stand below one another on one scale, so that they can be compared at a glance although
their fastest and slowest steps may lie far apart.
"""

import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mpvn.report import svg
from mpvn.report.theme import category
from mpvn.report.wording import milliseconds, shortened

_LEFT = 52
_TOP = 30
_WIDE = 558
_HIGH = 92
_GAP = 34


class _Scale(NamedTuple):
    """Milliseconds from `low` to `high`; linear if `low` is 0, else logarithmic."""

    low: float
    high: float
    ticks: list[float]

    def height(self, value: float) -> float:
        """Height of `value` above the bottom of a panel."""
        if self.low == 0:
            return _HIGH * min(value / self.high, 1.0)
        return _HIGH * math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)


def latency_figure(runs: Mapping[str, Sequence[float]]) -> str:
    """Latency of every step for each way of running, below one another on one scale.

    Args:
        runs: by name of the way, the latency of each step in milliseconds. Ways take their colors
            in the order given. Runs may differ in length; a long run is drawn by the slowest step
            of each few, and says so.

    The solid line is the median, the dashed one the 95th percentile. The scale is linear from zero;
    up to one step in a hundred, such as a first step that still compiles, may run out of the top,
    marked by a triangle and the slowest by its time. Where even so the slowest step takes more than
    12 times the fastest way's median, the scale is logarithmic.

    Raises:
        ValueError: no runs, or a run that is empty or holds anything but finite numbers >= 0; all
            faults at once.
    """
    values = _checked(runs)
    scale = _scale(list(values.values()))
    longest = max(len(run) for run in values.values())
    bottom = _TOP + len(values) * (_HIGH + _GAP) - _GAP
    figure = svg.canvas(svg.WIDTH, bottom + 44, "Latency of each step")

    for number, (name, run) in enumerate(values.items()):
        top = _TOP + number * (_HIGH + _GAP)
        color, _ = category(number)
        svg.rect(figure, _LEFT, top - 19, 11, 11, radius=2, fill=color)
        svg.text(figure, _LEFT + 18, top - 9, shortened(name, 78), "ink", font_weight="600")
        _draw_panel(figure, top + _HIGH, scale, name, run, longest, color)

    unit = "ms" if scale.low == 0 else "ms, log"
    svg.text(figure, _LEFT - 8, 14, unit, "soft", "end", svg.SMALL)
    for tick in _round_numbers(longest - 1, 8):
        x = _LEFT + _WIDE * (tick + 0.5) / longest
        svg.text(figure, x, bottom + 18, round(tick), "soft", "middle", svg.SMALL)
    group = _group_size(longest)
    name = "step" if group == 1 else f"step (drawn: the slowest of each {group})"
    svg.text(figure, _LEFT + _WIDE / 2, bottom + 38, name, "soft", "middle")
    return svg.string(figure)


def _checked(runs: Mapping[str, Sequence[float]]) -> dict[str, np.ndarray]:
    """The runs as arrays; raises one error for all faults."""
    values = {name: np.asarray(run, np.float64) for name, run in runs.items()}
    faults = [] if values else ["expected at least one run, received none"]
    for name, run in values.items():
        if run.ndim != 1 or not run.size:
            faults.append(f"{name!r}: expected one number per step, received shape {run.shape}")
        elif not (np.isfinite(run).all() and (run >= 0).all()):
            faults.append(f"{name!r}: expected finite milliseconds >= 0, received {run.min()}")
    if faults:
        raise ValueError("latencies cannot be drawn:\n" + "\n".join(f"  - {f}" for f in faults))
    return values


# --- scales -------------------------------------------------------------------------------------


def _scale(runs: Sequence[np.ndarray]) -> _Scale:
    low = min(float(run.min()) for run in runs)
    high = max(float(run.max()) for run in runs) or 1.0
    usual = max(_usual_maximum(run) for run in runs)
    shown = 1.25 * usual if high > 2 * usual > 0 else 1.04 * high
    if low <= 0 or shown <= 12 * min(float(np.median(run)) for run in runs):
        return _Scale(0.0, shown, _round_numbers(shown, 4))
    decades = [10.0**power for power in range(-9, 12)]
    ladder = [decade * factor for decade in decades for factor in (1, 2, 5)]
    below = max((step for step in ladder if step <= low), default=low)
    above = min((step for step in ladder if step >= high), default=high)
    ticks = [step for step in ladder if below <= step <= above]
    if len(ticks) > 5:
        ticks = [step for step in ticks if step in decades]
    return _Scale(below, above, ticks)


def _usual_maximum(run: np.ndarray) -> float:
    """The slowest step but for one in a hundred, and for one at least of several."""
    dropped = min(1 + len(run) // 100, len(run) - 1)
    return float(np.sort(run)[-1 - dropped])


def _round_numbers(high: float, most: int) -> list[float]:
    """Round numbers from 0 to `high`, about `most` of them."""
    if high <= 0:
        return [0.0]
    power = 10.0 ** math.floor(math.log10(high / most))
    unit = next(power * m for m in (1, 2, 5, 10) if high / (power * m) <= most)
    return [unit * number for number in range(int(high / unit + 1e-9) + 1)]


def _group_size(steps: int) -> int:
    """How many steps are drawn as one, so that a run has at most 560 points."""
    return -(-steps // 560)


# --- a way --------------------------------------------------------------------------------------


def _draw_panel(
    figure: ET.Element,
    bottom: float,
    scale: _Scale,
    name: str,
    run: np.ndarray,
    longest: int,
    color: str,
) -> None:
    """One way's steps above `bottom`, with its median and 95th percentile."""
    for tick in scale.ticks:
        y = bottom - scale.height(tick)
        svg.line(figure, _LEFT, y, _LEFT + _WIDE, y, "rule")
        label = f"{tick:,.0f}" if tick >= 1000 else f"{tick:.6g}"
        svg.text(figure, _LEFT - 8, y + 4, label, "soft", "end", svg.SMALL)

    group, unit = _group_size(longest), _WIDE / longest
    corners: list[tuple[float, float]] = []
    for start in range(0, len(run), group):
        steps = run[start : start + group]
        y = bottom - scale.height(steps.max())
        corners += [(_LEFT + start * unit, y), (_LEFT + (start + len(steps)) * unit, y)]
    if scale.low == 0:
        area = svg.points([(_LEFT, bottom), *corners, (corners[-1][0], bottom)])
        svg.element(figure, "polygon", points=area, fill=color, fill_opacity=0.22)
    line = svg.element(
        figure,
        "polyline",
        points=svg.points(corners),
        fill="none",
        stroke=color,
        class_="run",
        stroke_width="1.4",
        stroke_linejoin="round",
    )
    svg.tip(line, name)

    for step in np.flatnonzero(run > scale.high).tolist():
        x = _LEFT + (step + 0.5) * unit
        _draw_outlier(figure, x, bottom - _HIGH, color, step, run)
    _draw_quantiles(figure, bottom, scale, run)


def _draw_outlier(
    figure: ET.Element, x: float, top: float, color: str, step: int, run: np.ndarray
) -> None:
    """A triangle for a step of `run` that is off the scale; the slowest with its time."""
    corners = svg.points([(x - 5, top + 8), (x + 5, top + 8), (x, top)])
    mark = svg.element(figure, "polygon", points=corners, fill=color, class_="outlier")
    svg.tip(mark, f"step {step}: {milliseconds(run[step])}")
    if step == run.argmax():
        before = x > _LEFT + _WIDE - 90
        place = (x - 9 if before else x + 9, top + 9)
        anchor = "end" if before else None
        svg.text(figure, *place, milliseconds(run[step]), "soft", anchor, svg.SMALL)


def _draw_quantiles(figure: ET.Element, bottom: float, scale: _Scale, run: np.ndarray) -> None:
    """Lines at the median and the 95th percentile, labeled at the right."""
    right = _LEFT + _WIDE
    median, high = np.percentile(run, (50, 95))
    y_median, y_high = bottom - scale.height(median), bottom - scale.height(high)
    for y, dash in ((y_median, None), (y_high, "5 3")):
        style = {"stroke": "currentColor", "stroke_width": "1.2"}
        svg.line(figure, _LEFT, y, right + 6, y, "median", stroke_dasharray=dash, **style)
    # The labels keep 16 pixels between their base lines, and within the panel.
    apart = max(16.0, y_median - y_high)
    middle = min((y_median + y_high) / 2 + 4, bottom + 4 - apart / 2)
    middle = max(middle, bottom - _HIGH + 8 + apart / 2)
    svg.text(figure, right + 12, middle + apart / 2, f"median {milliseconds(median)}", "ink")
    svg.text(figure, right + 12, middle - apart / 2, f"95 % ≤ {milliseconds(high)}", "soft")
