"""The curves of several runs in one picture (*Sideways*, figure 4: training dynamics).

Above, the loss in training; below, a metric of evaluation. A line is a setting: the mean over its
seeds, and their range as a band. Settings that differ in the last axis alone share a color, and
those that are equal in it share a dash pattern. Where there are too few colors, the second setting
of a color has other dash patterns.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from mpvn.report import svg
from mpvn.report.matplotlib_svg import drawing
from mpvn.report.plots import Point, add_legend, set_log_scale, values_by_step
from mpvn.report.theme import COLORS, category

_Dashes = str | tuple[int, tuple[int, ...]]

History = Iterable[Mapping[str, Any]]
"""The rows of `RunFolder.rows`."""


class Setting(NamedTuple):
    """What a line shows.

    Attributes:
        name: in the legend.
        values: the value on each axis that varies.
        histories: those of its runs, one for each seed.
    """

    name: str
    values: Sequence[Any]
    histories: Sequence[History]


def training_curves_figure(settings: Sequence[Setting], metric: str) -> str:
    """Return SVG with the curves of all settings, by batch.

    Args:
        settings: at least one.
        metric: name of the metric of evaluation.
    """
    styles = _styles(settings)
    height = 400 + 21 * len(settings)  # a line of the legend for each
    with drawing(height) as drawn:
        loss, lower = drawn.figure.subplots(2, 1, sharex=True, height_ratios=[1.2, 1])
        for axes, key, split, title in (
            (loss, "loss", "train", "loss in training"),
            (lower, metric, "evaluation", f"{metric.replace('_', ' ')} in evaluation"),
        ):
            axes.set_title(title)
            for setting, style in zip(settings, styles, strict=True):
                _draw(axes, setting, key, split, style)
            if key == "loss":
                set_log_scale(axes)
        add_legend(loss)
        lower.xaxis.set_major_locator(MaxNLocator(9, integer=True, min_n_ticks=1))
        drawn.figure.supxlabel("batches", size=svg.TEXT)
    return drawn.to_svg("Curves of training by batch")


def _styles(settings: Sequence[Setting]) -> list[tuple[str, _Dashes]]:
    """Return the color and the dash pattern of each setting; no two are the same."""
    firsts, lasts = ([_split(each.values)[part] for each in settings] for part in (0, 1))
    colors, dashes = list(dict.fromkeys(firsts)), list(dict.fromkeys(lasts))
    styles = []
    for first, last in zip(firsts, lasts, strict=True):
        color = colors.index(first)
        dash = dashes.index(last) + color // COLORS * len(dashes)
        styles.append((category(color)[0], _dashes(dash)))
    return styles


def _dashes(index: int) -> _Dashes:
    """Return a dash pattern: a line, dashes, dots, and then dashes with more and more dots."""
    simple = ("-", "--", ":")
    return simple[index] if index < len(simple) else (0, (6, 2) + (1, 2) * (index - 2))


def _split(values: Sequence[Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return the values that choose the color, and those that choose the dash pattern."""
    last = max(1, len(values) - 1)
    return tuple(values[:last]), tuple(values[last:])


def _draw(axes: Axes, setting: Setting, key: str, split: str, style: tuple[str, _Dashes]) -> None:
    runs = [values_by_step(list(history), key, {split}) for history in setting.histories]
    steps = sorted(set.intersection(*(set(run) for run in runs))) if runs else []
    points = [Point.of(step, [run[step] for run in runs]) for step in steps]
    if points:
        color, dash = style
        xs = [point.x for point in points]
        axes.plot(
            xs, [point.y for point in points], color=color, linestyle=dash, label=setting.name
        )
        if len(runs) > 1:
            lows, highs = ([getattr(point, end) for point in points] for end in ("low", "high"))
            axes.fill_between(xs, lows, highs, color=color, alpha=0.15, linewidth=0)
