"""The latency figure: the time of each step, for several runs.

The runs stand below one another on one scale, so that they can be compared even if their fastest
and slowest steps are far apart.
"""

import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mpvn.report import svg
from mpvn.report.scales import round_numbers
from mpvn.report.theme import category
from mpvn.report.wording import milliseconds, shortened

_LEFT = 52
_TOP = 30
_WIDTH = 558
_HEIGHT = 92
_GAP = 34
_MAX_POINTS = 560  # Of one line.
_LOG_FROM = 12  # Use a log scale if the slowest step takes this many times the fastest median.


class _Scale(NamedTuple):
    """Milliseconds from `low` to `high`; linear if `low` is 0, else logarithmic."""

    low: float
    high: float
    ticks: list[float]

    def height(self, value: float) -> float:
        """Return the height of `value` above the bottom of a panel."""
        if self.low == 0:
            return _HEIGHT * min(value / self.high, 1.0)
        share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return _HEIGHT * share


def latency_figure(runs: Mapping[str, Sequence[float]]) -> str:
    """Return SVG with the latency of every step, one panel per run, on one scale.

    The solid line is the median, the dashed line the 95th percentile. The scale is linear and
    starts at zero. Up to one step in a hundred, such as a first step that compiles, may lie above
    the panel: a triangle marks it, and the slowest of these steps shows its time. If the remaining
    steps still span more than a factor of 12 (slowest step over fastest median), the scale is
    logarithmic.

    Args:
        runs: For each run, the latency of each step in milliseconds. Runs may differ in length.
            For long runs, each point is the slowest of several steps, as the axis says.

    Raises:
        ValueError: If there are no runs, or a run is empty or has values that are negative or not
            finite. The message lists all faults.
    """
    values = _checked(runs)
    scale = _choose_scale(list(values.values()))
    longest = max(len(run) for run in values.values())
    bottom = _TOP + len(values) * (_HEIGHT + _GAP) - _GAP
    figure = svg.canvas(svg.WIDTH, bottom + 44, "Latency of each step")

    for index, (name, run) in enumerate(values.items()):
        top = _TOP + index * (_HEIGHT + _GAP)
        color, _ = category(index)
        svg.rect(figure, _LEFT, top - 19, 11, 11, radius=2, fill=color)
        svg.text(figure, _LEFT + 18, top - 9, shortened(name, 78), "ink", font_weight="600")
        _draw_panel(figure, top + _HEIGHT, scale, name, run, longest, color)

    unit = "ms" if scale.low == 0 else "ms, log"
    svg.text(figure, _LEFT - 8, 14, unit, "soft", "end", svg.SMALL)
    for tick in round_numbers(longest - 1, 8):
        x = _LEFT + _WIDTH * (tick + 0.5) / longest
        svg.text(figure, x, bottom + 18, round(tick), "soft", "middle", svg.SMALL)
    group = _group_size(longest)
    name = "step" if group == 1 else f"step (each point: slowest of {group})"
    svg.text(figure, _LEFT + _WIDTH / 2, bottom + 38, name, "soft", "middle")
    return svg.to_string(figure)


def _checked(runs: Mapping[str, Sequence[float]]) -> dict[str, np.ndarray]:
    """Return the runs as arrays, or raise one error for all faults."""
    values = {name: np.asarray(run, np.float64) for name, run in runs.items()}
    faults = [] if values else ["Expected at least one run. Received: none."]
    for name, run in values.items():
        if run.ndim != 1 or not run.size:
            faults.append(f"{name!r}: Expected one number per step. Received: shape {run.shape}.")
        elif not (np.isfinite(run).all() and (run >= 0).all()):
            faults.append(f"{name!r}: Expected finite milliseconds >= 0. Received: {run.min()}.")
    if faults:
        raise ValueError("Cannot draw latencies.\n" + "\n".join(f"  - {f}" for f in faults))
    return values


# --- scales -------------------------------------------------------------------------------------


def _choose_scale(runs: Sequence[np.ndarray]) -> _Scale:
    low = min(float(run.min()) for run in runs)
    high = max(float(run.max()) for run in runs) or 1.0
    usual = max(_usual_maximum(run) for run in runs)
    shown = 1.25 * usual if high > 2 * usual > 0 else 1.04 * high
    if low <= 0 or shown <= _LOG_FROM * min(float(np.median(run)) for run in runs):
        return _Scale(0.0, shown, round_numbers(shown, 4))
    decades = [10.0**power for power in range(-9, 12)]
    ladder = [decade * factor for decade in decades for factor in (1, 2, 5)]
    below = max((step for step in ladder if step <= low), default=low)
    above = min((step for step in ladder if step >= high), default=high)
    ticks = [step for step in ladder if below <= step <= above]
    if len(ticks) > 5:
        ticks = [step for step in ticks if step in decades]
    return _Scale(below, above, ticks)


def _usual_maximum(run: np.ndarray) -> float:
    """Return the slowest step without the slowest one in a hundred (at least one)."""
    dropped = min(1 + len(run) // 100, len(run) - 1)
    return float(np.sort(run)[-1 - dropped])


def _group_size(steps: int) -> int:
    """Return the number of steps per point of a line."""
    return -(-steps // _MAX_POINTS)


# --- panels -------------------------------------------------------------------------------------


def _draw_panel(
    figure: ET.Element,
    bottom: float,
    scale: _Scale,
    name: str,
    run: np.ndarray,
    longest: int,
    color: str,
) -> None:
    """Draw the steps of one run above `bottom`, with median and 95th percentile."""
    for tick in scale.ticks:
        y = bottom - scale.height(tick)
        svg.line(figure, _LEFT, y, _LEFT + _WIDTH, y, "rule")
        label = f"{tick:,.0f}" if tick >= 1000 else f"{tick:.6g}"
        svg.text(figure, _LEFT - 8, y + 4, label, "soft", "end", svg.SMALL)

    group, unit = _group_size(longest), _WIDTH / longest
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
    svg.tooltip(line, name)

    for step in np.flatnonzero(run > scale.high).tolist():
        x = _LEFT + (step + 0.5) * unit
        _draw_outlier(figure, x, bottom - _HEIGHT, color, step, run)
    _draw_quantiles(figure, bottom, scale, run)


def _draw_outlier(
    figure: ET.Element, x: float, top: float, color: str, step: int, run: np.ndarray
) -> None:
    """Draw a triangle for a step above the panel, with its time if it is the slowest step."""
    corners = svg.points([(x - 5, top + 8), (x + 5, top + 8), (x, top)])
    mark = svg.element(figure, "polygon", points=corners, fill=color, class_="outlier")
    svg.tooltip(mark, f"step {step}: {milliseconds(run[step])}")
    if step == run.argmax():
        is_near_right = x > _LEFT + _WIDTH - 90
        place = (x - 9 if is_near_right else x + 9, top + 9)
        anchor = "end" if is_near_right else None
        svg.text(figure, *place, milliseconds(run[step]), "soft", anchor, svg.SMALL)


def _draw_quantiles(figure: ET.Element, bottom: float, scale: _Scale, run: np.ndarray) -> None:
    """Draw lines at the median and the 95th percentile, labeled on the right."""
    right = _LEFT + _WIDTH
    median, high = np.percentile(run, (50, 95))
    y_median, y_high = bottom - scale.height(median), bottom - scale.height(high)
    for y, dash in ((y_median, None), (y_high, "5 3")):
        style = {"stroke": "currentColor", "stroke_width": "1.2"}
        svg.line(figure, _LEFT, y, right + 6, y, "median", stroke_dasharray=dash, **style)
    # Keep the base lines of the labels 16 pixels apart and within the panel.
    distance = max(16.0, y_median - y_high)
    middle = min((y_median + y_high) / 2 + 4, bottom + 4 - distance / 2)
    middle = max(middle, bottom - _HEIGHT + 8 + distance / 2)
    svg.text(figure, right + 12, middle + distance / 2, f"median {milliseconds(median)}", "ink")
    svg.text(figure, right + 12, middle - distance / 2, f"95 % ≤ {milliseconds(high)}", "soft")
