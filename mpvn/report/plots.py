"""Plots of measurements: lines with markers, and the curves of a run.

Matplotlib draws them, for axes are its trade. What it writes is then made one of our figures: its
text stays text, the style sheet of the others colors it on light and on dark pages, and ids are
its own, so that many can stand on one page. The same calls give the same bytes.
"""

import contextlib
import hashlib
import io
import math
import re
import statistics
import xml.etree.ElementTree as ET
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from mpvn.report import svg
from mpvn.report.theme import category

_MARKERS = "os^Dv"
_LOG_FROM = 30
"""Losses are drawn on a log scale where the greatest is more than this many times the least."""
_HANDLE = 60
"""Width in pixels of what stands beside a name in a legend."""
_MOST_MARKERS = 60
"""Of a line in `curves_figure`."""
_NO_METRICS = {"step", "split", "seconds", "loss", "learning_rate"}  # of a row

# Colors that stand in the drawing for classes of the style sheet.
_INK, _SOFT, _RULE, _CARD = "#010101", "#020202", "#030303", "#040404"
_CLASSES = {_INK: "ink", _SOFT: "soft", _RULE: "rule", _CARD: "card"}
_STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": _RULE,
    "axes.facecolor": "none",
    "axes.formatter.useoffset": False,
    "axes.grid": True,
    "axes.labelcolor": _SOFT,
    "axes.labelsize": svg.TEXT,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": _INK,
    "axes.titlelocation": "left",
    "axes.titlesize": svg.TEXT,
    "axes.titleweight": "bold",
    "errorbar.capsize": 3,
    "figure.dpi": 72,  # so that points are pixels
    "figure.facecolor": _CARD,
    "font.sans-serif": ["DejaVu Sans"],  # comes with Matplotlib, and is wider than most
    "grid.color": _RULE,
    "legend.borderaxespad": 0.3,
    "legend.fontsize": svg.TEXT,
    "legend.frameon": False,
    "legend.labelcolor": _INK,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "svg.hashsalt": "mpvn",
    "text.color": _SOFT,
    "text.parse_math": False,
    "xtick.labelcolor": _SOFT,
    "xtick.labelsize": svg.SMALL,
    "xtick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.labelcolor": _SOFT,
    "ytick.labelsize": svg.SMALL,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
}


class Point(NamedTuple):
    """A measured value `y` at `x`, between `low` and `high`, and what is written beside it."""

    x: float
    y: float
    low: float
    high: float
    label: str = ""

    @classmethod
    def of(cls, x: float, values: Sequence[float], label: str = "") -> "Point":
        """The mean of `values` at `x`, between the least and the greatest of them.

        Not a bit outside them: the mean of equal numbers, rounded, may be none of them.
        """
        low, high = min(values), max(values)
        return cls(x, min(max(statistics.fmean(values), low), high), low, high, label)


def lines_figure(
    series: Mapping[str, Sequence[Point]],
    x: str,
    y: str,
    *,
    log_x: bool = False,
    log_y: bool = False,
) -> str:
    """A line with markers for each series, in the order of its points.

    Args:
        series: points by name of the series. Names are shown if there are several. Where `low` and
            `high` differ from `y`, bars are drawn.
        x: name of the x axis, with its unit.
        y: name of the y axis, with its unit.
        log_x: whether x is logarithmic.
        log_y: whether y is logarithmic.

    Returns:
        SVG, for `write_report`.

    Raises:
        ValueError: no series, or one without points, or points that cannot be drawn; all faults at
            once.
    """
    _check(series, log_x, log_y)
    with _drawing(360) as drawn:
        axes = drawn.figure.subplots()
        for number, (name, points) in enumerate(series.items()):
            _draw_line(axes, number, name, points)
        axes.set(xlabel=x, ylabel=y)
        axes.set_xscale("log" if log_x else "linear")
        axes.set_yscale("log" if log_y else "linear")
        _tick(axes, {p.x for points in series.values() for p in points}, log_x=log_x, log_y=log_y)
        axes.margins(x=0.07, y=0.12)
        _name_lines(axes)
    return drawn.svg(f"{y} against {x}")


def curves_figure(rows: Iterable[Mapping[str, Any]]) -> str:
    """What a run's metrics say by batch: the loss, and below it each metric of evaluation.

    Args:
        rows: as `RunFolder.rows` gives them. Learning rates are drawn if rows have
            `"learning_rate"`. What is not finite is left out.

    Returns:
        SVG, for `write_report`.

    Raises:
        ValueError: no rows.
    """
    rows = list(rows)
    if not rows:
        raise ValueError("a run without rows has no curves: expected at least one, received none")
    losses = {
        "training": _values(rows, "loss", {"train"}),
        "evaluation": _values(rows, "loss", {"evaluation"}),
    }
    names = dict.fromkeys(name for row in rows if row["split"] == "evaluation" for name in row)
    panels = {
        name: _values(rows, name, {"evaluation"}) for name in names if name not in _NO_METRICS
    }
    panels["learning rate"] = _values(rows, "learning_rate")
    panels = {name.replace("_", " "): values for name, values in panels.items() if values}
    columns = min(3, len(panels)) or 1
    lines = -(-len(panels) // columns)
    with _drawing(230 + 150 * lines) as drawn:
        grid = drawn.figure.add_gridspec(
            1 + lines, columns, height_ratios=[1.5] + [1] * lines, hspace=0.08, wspace=0.05
        )
        loss = drawn.figure.add_subplot(grid[0, :], title="loss")
        for number, (name, values) in enumerate(losses.items()):
            _draw_curve(loss, number, name, values)
        seen = [value for values in losses.values() for value in values.values()]
        if seen and 0 < _LOG_FROM * min(seen) < max(seen):
            loss.set_yscale("log")
            _tick(loss, log_y=True)
        _name_lines(loss)
        for place, (name, values) in enumerate(panels.items()):
            where = grid[1 + place // columns, place % columns]
            axes = drawn.figure.add_subplot(where, title=name, sharex=loss)
            _draw_curve(axes, 2 if name == "learning rate" else 1, name, values)
        most = 5 if len(panels) > 1 else 9
        loss.xaxis.set_major_locator(MaxNLocator(most, integer=True, min_n_ticks=1))
        drawn.figure.supxlabel("batches", size=svg.TEXT)
    return drawn.svg("Loss and metrics by batch")


# --- lines ----------------------------------------------------------------------------------


def _check(series: Mapping[str, Sequence[Point]], log_x: bool, log_y: bool) -> None:
    faults = [] if series else ["expected at least one series, received none"]
    for name, points in series.items():
        if not points:
            faults.append(f"{name!r}: expected at least one point, received none")
        for point in points:
            if not all(map(math.isfinite, point[:4])) or not point.low <= point.y <= point.high:
                faults.append(f"{name!r}: expected finite numbers low <= y <= high: {point}")
            elif (log_x and point.x <= 0) or (log_y and point.low <= 0):
                faults.append(f"{name!r}: a logarithmic axis shows numbers above 0: {point}")
    if faults:
        raise ValueError("lines cannot be drawn:\n" + "\n".join(f"  - {f}" for f in faults))


def _draw_line(axes: Axes, number: int, name: str, points: Sequence[Point]) -> None:
    xs = [point.x for point in points]
    ys = [point.y for point in points]
    color, marker = _look(number)
    if any(point.low != point.high for point in points):
        around = [[p.y - p.low for p in points], [p.high - p.y for p in points]]
        axes.errorbar(xs, ys, around, fmt="none", ecolor=color, elinewidth=1.2)
    axes.plot(xs, ys, color=color, marker=marker, label=name)
    for point in points:
        at, above = (point.x, point.y), (7, 6)
        axes.annotate(point.label, at, above, textcoords="offset points", size=svg.SMALL)


def _values(
    rows: Sequence[Mapping[str, Any]], key: str, splits: Container[str] = ("train", "evaluation")
) -> dict[int, float]:
    """The finite values of `key` in rows of `splits`, by batch."""
    found = {row["step"]: row.get(key, math.nan) for row in rows if row["split"] in splits}
    return {step: value for step, value in sorted(found.items()) if math.isfinite(value)}


def _draw_curve(axes: Axes, number: int, name: str, values: Mapping[int, float]) -> None:
    if values:
        color, marker = _look(number)
        marker = marker if len(values) <= _MOST_MARKERS else ""
        (line,) = axes.plot(list(values), list(values.values()), color=color, label=name)
        line.set(marker=marker, markersize=4)


def _look(number: int) -> tuple[str, str]:
    """Color and marker of the `number`th line."""
    return category(number)[0], _MARKERS[number % len(_MARKERS)]


def _name_lines(axes: Axes) -> None:
    """A legend above the axes, where it hides nothing, if there are several lines."""
    lines, names = axes.get_legend_handles_labels()
    if len(lines) > 1:
        widest = _HANDLE + 0.6 * svg.TEXT * max(map(len, names))
        columns = max(1, min(len(lines), int(0.9 * svg.WIDTH / widest)))
        axes.legend(lines, names, loc="lower right", bbox_to_anchor=(1, 1), ncols=columns)


def _tick(
    axes: Axes, at: Collection[float] = (), *, log_x: bool = False, log_y: bool = False
) -> None:
    """Ticks at `at` itself if it is a few whole numbers, and plain numbers on log axes."""
    for axis, log in ((axes.xaxis, log_x), (axes.yaxis, log_y)):
        if log:
            decades = math.log10(max(axis.get_data_interval()) / min(axis.get_data_interval()))
            axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 3 else (1,)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_locator(NullLocator())
    if 0 < len(at) <= 10 and all(float(value).is_integer() for value in at):
        axes.set_xticks(sorted(at))


# --- from Matplotlib's SVG to ours ------------------------------------------------------------


class _Drawn:
    """A figure that is being drawn, as wide as the others."""

    def __init__(self, high: float) -> None:
        self.high = high
        layout = ConstrainedLayoutEngine(w_pad=10 / 72, h_pad=10 / 72)
        self.figure = Figure((svg.WIDTH / 72, high / 72), layout=layout)
        self._written = io.StringIO()

    def write(self) -> None:
        """Has Matplotlib write it."""
        self.figure.savefig(self._written, format="svg", metadata={"Date": None})

    def svg(self, label: str) -> str:
        """What was written as a figure of a report."""
        written = self._written.getvalue()
        drawing = ET.fromstring(re.sub(r'xmlns="[^"]*"', "", written, count=1))
        own = "m" + hashlib.sha256(written.encode()).hexdigest()[:8]
        figure = svg.canvas(svg.WIDTH, self.high, label)
        body = svg.element(figure, "g", stroke_linejoin="round")
        # Left out: a style sheet, for it would reach the whole page, and who drew it.
        body.extend(
            part for part in drawing if part.find("style") is None and part.tag != "metadata"
        )
        for element in body.iter():
            _adapt(element, own)
        return svg.string(figure)


@contextlib.contextmanager
def _drawing(high: float) -> Iterator[_Drawn]:
    """A figure to draw on, `high` pixels high, in our style, whatever the user's own is."""
    with matplotlib.style.context(["default", _STYLE]):
        drawn = _Drawn(high)
        yield drawn
        drawn.write()


def _adapt(element: ET.Element, own: str) -> None:
    """Gives an element ids that begin with `own`, and classes and the font of the style sheet."""
    for name, value in list(element.attrib.items()):
        if name == "id":
            element.set(name, f"{own}-{value}")
        elif name.endswith("href"):
            del element.attrib[name]
            element.set("href", f"#{own}-{value[1:]}")
        else:
            element.set(name, value.replace("url(#", f"url(#{own}-"))
    kept, classes = [], []
    for declaration in element.get("style", "").split("; "):
        name, _, value = declaration.partition(": ")
        if value in _CLASSES and name in ("fill", "stroke"):
            classes.append(_CLASSES[value])
        elif name and name != "font-family":
            kept.append(declaration)
    if classes:
        element.set("class", " ".join(classes))
    if "style" in element.attrib:
        element.set("style", "; ".join(kept))
