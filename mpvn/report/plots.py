"""Plots of measurements: lines with markers, circles by area, and the curves of a run."""

import math
import statistics
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from mpvn.report import svg
from mpvn.report.matplotlib_svg import drawing
from mpvn.report.theme import category

_MARKERS = "os^Dv"
_LOG_FROM = 30
"""Losses are drawn on a log scale if the largest is more than this many times the smallest."""
_HANDLE = 60
"""Width in pixels of the line and the space beside a name in a legend."""
_MAX_MARKERS = 60
"""Longer curves are drawn without markers."""
_LARGEST_RADIUS = 28
"""Radius in pixels of the largest circle."""
_LOG_X_FROM = 10
"""Circles stand on a log axis if the largest x is more than this many times the smallest."""
_NOT_METRICS = {"step", "split", "seconds", "loss", "learning_rate"}  # Keys of a row.


class Point(NamedTuple):
    """A measured value with its range.

    Attributes:
        x: Position on the x axis.
        y: The value, between `low` and `high`.
        low: Lower end of the range.
        high: Upper end of the range.
        label: Text beside the point.
    """

    x: float
    y: float
    low: float
    high: float
    label: str = ""

    @classmethod
    def of(cls, x: float, values: Sequence[float], label: str = "") -> "Point":
        """Return the mean of `values` at `x` with their range.

        Clip the mean to the range: the rounded mean of equal numbers may lie outside.
        """
        low, high = min(values), max(values)
        return cls(x, min(max(statistics.fmean(values), low), high), low, high, label)


class Circle(NamedTuple):
    """A point that is drawn as a circle.

    Attributes:
        point: The center, and the text beside it.
        area: A positive number. The areas of circles are in proportion to it.
    """

    point: Point
    area: float


def lines_figure(
    series: Mapping[str, Sequence[Point]],
    x: str,
    y: str,
    *,
    log_x: bool = False,
    log_y: bool = False,
) -> str:
    """Return SVG with one line with markers per series.

    Args:
        series: The points of each series, by name. Names are shown if there are several series.
            Error bars show the range of points with `low < high`.
        x: Name of the x axis, with its unit.
        y: Name of the y axis, with its unit.
        log_x: Whether the x axis is logarithmic.
        log_y: Whether the y axis is logarithmic.

    Raises:
        ValueError: If there are no series, a series has no points, or a point cannot be drawn. The
            message lists all faults.
    """
    _check(series, log_x, log_y)
    with drawing(360) as drawn:
        axes = drawn.figure.subplots()
        for index, (name, points) in enumerate(series.items()):
            _draw_line(axes, index, name, points)
        axes.set(xlabel=x, ylabel=y)
        axes.set_xscale("log" if log_x else "linear")
        axes.set_yscale("log" if log_y else "linear")
        xs = {point.x for points in series.values() for point in points}
        _set_ticks(axes, xs, log_x=log_x, log_y=log_y)
        axes.margins(x=0.07, y=0.12)
        add_legend(axes)
    return drawn.to_svg(f"{y} against {x}")


def circles_figure(circles: Sequence[Circle], x: str, y: str) -> str:
    """Return SVG with circles, the largest at the back.

    Args:
        circles: The circles. Error bars show the range of points with `low < high`.
        x: Name of the x axis, with its unit.
        y: Name of the y axis, with its unit.

    Raises:
        ValueError: If there are no circles, or a circle cannot be drawn. The message lists all
            faults.
    """
    _check_areas(circles)
    xs = [circle.point.x for circle in circles]
    log_x = 0 < _LOG_X_FROM * min(xs) < max(xs)
    series = {f"circle {number}": [circle.point] for number, circle in enumerate(circles)}
    _check(series, log_x, log_y=False)
    largest = max(circle.area for circle in circles)
    with drawing(360) as drawn:
        axes = drawn.figure.subplots()
        for number, (point, area) in sorted(enumerate(circles), key=lambda each: -each[1].area):
            radius = _LARGEST_RADIUS * math.sqrt(area / largest)
            _draw_circle(axes, point, radius, category(number)[0])
        axes.set(xlabel=x, ylabel=y)
        axes.set_xscale("log" if log_x else "linear")
        _set_ticks(axes, log_x=log_x)
        axes.margins(x=0.15, y=0.25)
    return drawn.to_svg(f"{y} against {x}")


def curves_figure(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return SVG with the curves of a run: the loss, and below it each metric of evaluation.

    Args:
        rows: The rows of `RunFolder.rows`. Learning rates are drawn if rows have
            `"learning_rate"`. Values that are not finite are left out.

    Raises:
        ValueError: If there are no rows.
    """
    rows = list(rows)
    if not rows:
        raise ValueError("Cannot draw curves. Expected at least one row. Received: none.")
    losses = {
        "training": values_by_step(rows, "loss", {"train"}),
        "evaluation": values_by_step(rows, "loss", {"evaluation"}),
    }
    panels = _panels(rows)
    columns = min(3, len(panels)) or 1
    lines = -(-len(panels) // columns)
    with drawing(230 + 150 * lines) as drawn:
        grid = drawn.figure.add_gridspec(
            1 + lines, columns, height_ratios=[1.5] + [1] * lines, hspace=0.08, wspace=0.05
        )
        loss = drawn.figure.add_subplot(grid[0, :], title="loss")
        for index, (name, values) in enumerate(losses.items()):
            _draw_curve(loss, index, name, values)
        set_log_scale(loss)
        add_legend(loss)
        for index, (name, values) in enumerate(panels.items()):
            cell = grid[1 + index // columns, index % columns]
            axes = drawn.figure.add_subplot(cell, title=name, sharex=loss)
            _draw_curve(axes, 2 if name == "learning rate" else 1, name, values)
        max_ticks = 5 if len(panels) > 1 else 9
        loss.xaxis.set_major_locator(MaxNLocator(max_ticks, integer=True, min_n_ticks=1))
        drawn.figure.supxlabel("batches", size=svg.TEXT)
    return drawn.to_svg("Loss and metrics by batch")


def _panels(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, float]]:
    """Return the metrics of evaluation and the learning rate: values by batch, by name."""
    names = dict.fromkeys(name for row in rows if row["split"] == "evaluation" for name in row)
    panels = {
        name: values_by_step(rows, name, {"evaluation"})
        for name in names
        if name not in _NOT_METRICS
    }
    panels["learning rate"] = values_by_step(rows, "learning_rate")
    return {name.replace("_", " "): values for name, values in panels.items() if values}


def _check(series: Mapping[str, Sequence[Point]], log_x: bool, log_y: bool) -> None:
    faults = [] if series else ["Expected at least one series. Received: none."]
    for name, points in series.items():
        if not points:
            faults.append(f"{name!r}: Expected at least one point. Received: none.")
        for point in points:
            if not all(map(math.isfinite, point[:4])) or not point.low <= point.y <= point.high:
                faults.append(f"{name!r}: Expected finite low <= y <= high. Received: {point}")
            elif (log_x and point.x <= 0) or (log_y and point.low <= 0):
                faults.append(
                    f"{name!r}: Expected positive numbers on a log axis. Received: {point}"
                )
    if faults:
        raise ValueError("Cannot draw a figure.\n" + "\n".join(f"  - {f}" for f in faults))


def _draw_line(axes: Axes, index: int, name: str, points: Sequence[Point]) -> None:
    xs = [point.x for point in points]
    ys = [point.y for point in points]
    color, marker = _line_style(index)
    if any(point.low != point.high for point in points):
        errors = [[p.y - p.low for p in points], [p.high - p.y for p in points]]
        axes.errorbar(xs, ys, errors, fmt="none", ecolor=color, elinewidth=1.2)
    axes.plot(xs, ys, color=color, marker=marker, label=name)
    for point in points:
        position, offset = (point.x, point.y), (7, 6)
        axes.annotate(point.label, position, offset, textcoords="offset points", size=svg.SMALL)


def _check_areas(circles: Sequence[Circle]) -> None:
    wrong = [circle for circle in circles if not 0 < circle.area < math.inf]
    if wrong or not circles:
        expected = "positive areas" if wrong else "at least one circle"
        raise ValueError(f"Cannot draw circles. Expected {expected}. Received: {wrong or 'none'}.")


def _draw_circle(axes: Axes, point: Point, radius: float, color: str) -> None:
    """Draw a circle, `radius` in pixels, with its range and its text to the right of it."""
    if point.low != point.high:
        errors = [[point.y - point.low], [point.high - point.y]]
        axes.errorbar(point.x, point.y, errors, fmt="none", ecolor=color, elinewidth=1.2)
    area = (2 * radius) ** 2  # Matplotlib's measure: that of the square around the circle.
    axes.scatter(point.x, point.y, area, color, alpha=0.7, linewidths=0)
    position, offset = (point.x, point.y), (radius + 4, -4)
    axes.annotate(point.label, position, offset, textcoords="offset points", size=svg.SMALL)


def values_by_step(
    rows: Sequence[Mapping[str, Any]], key: str, splits: Container[str] = ("train", "evaluation")
) -> dict[int, float]:
    """Return the finite values of `key` in the rows of `splits`, by batch."""
    values = {row["step"]: row.get(key, math.nan) for row in rows if row["split"] in splits}
    return {step: value for step, value in sorted(values.items()) if math.isfinite(value)}


def _draw_curve(axes: Axes, index: int, name: str, values: Mapping[int, float]) -> None:
    if values:
        color, marker = _line_style(index)
        marker = marker if len(values) <= _MAX_MARKERS else ""
        (line,) = axes.plot(list(values), list(values.values()), color=color, label=name)
        line.set(marker=marker, markersize=4)


def set_log_scale(axes: Axes) -> None:
    """Make the y axis of losses logarithmic if they span much."""
    numbers = [float(y) for line in axes.lines for y in np.asarray(line.get_ydata())]
    if numbers and 0 < _LOG_FROM * min(numbers) < max(numbers):
        axes.set_yscale("log")
        _set_ticks(axes, log_y=True)


def _line_style(index: int) -> tuple[str, str]:
    """Return the color and the marker of a line."""
    return category(index)[0], _MARKERS[index % len(_MARKERS)]


def add_legend(axes: Axes) -> None:
    """Add a legend above the axes, where it hides nothing, if there are several lines."""
    lines, names = axes.get_legend_handles_labels()
    if len(lines) > 1:
        widest = _HANDLE + 0.6 * svg.TEXT * max(map(len, names))
        columns = max(1, min(len(lines), int(0.9 * svg.WIDTH / widest)))
        axes.legend(lines, names, loc="lower right", bbox_to_anchor=(1, 1), ncols=columns)


def _set_ticks(
    axes: Axes, xs: Collection[float] = (), *, log_x: bool = False, log_y: bool = False
) -> None:
    """Put x ticks at `xs` if these are a few whole numbers. Write plain numbers on log axes."""
    for axis, log in ((axes.xaxis, log_x), (axes.yaxis, log_y)):
        if log:
            decades = math.log10(max(axis.get_data_interval()) / min(axis.get_data_interval()))
            axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 3 else (1,)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_locator(NullLocator())
    if 0 < len(xs) <= 10 and all(float(value).is_integer() for value in xs):
        axes.set_xticks(sorted(xs))
