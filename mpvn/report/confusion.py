"""Which classes are recognized, and what the others are taken for."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mpvn.report import svg
from mpvn.report.theme import category
from mpvn.report.wording import percent, shortened

MOST_CLASSES = 25
"""More classes are not drawn as a matrix: its names would not be readable."""

MOST_BARS = 20
"""Most bars of a figure."""

_RIGHT, _WRONG = 0, 4
"""Colors of recognized videos and of confused ones."""

_MARGIN, _LONGEST, _ROW = 12, 24, 24


_AXES = "label ↓  predicted →"


class Bar(NamedTuple):
    """A bar of a figure.

    Attributes:
        label: Text to the left of the bar.
        share: Its length, from 0 to 1.
        text: Text to the right of the bar.
    """

    label: str
    share: float
    text: str


def bars_figure(bars: Sequence[Bar], name: str, color: int = _RIGHT) -> str:
    """Return SVG with horizontal bars.

    Args:
        bars: The bars, from top to bottom.
        name: What the figure shows, for screen readers.
        color: Number of the color; see `category`.
    """
    labels = [shortened(bar.label, 2 * _LONGEST + 3) for bar in bars]
    left = _MARGIN + max(svg.text_width(label, svg.TEXT) for label in labels) + 10
    right = svg.WIDTH - _MARGIN - max(svg.text_width(bar.text, svg.TEXT) for bar in bars) - 10
    figure = svg.canvas(svg.WIDTH, 2 * _MARGIN + _ROW * len(bars), name)
    for row, (label, bar) in enumerate(zip(labels, bars, strict=True)):
        y = _MARGIN + _ROW * row
        svg.text(figure, left - 8, y + 16, label, "ink", "end")
        svg.rect(figure, left, y + 4, right - left, _ROW - 8, "card")
        width = bar.share * (right - left)
        svg.rect(figure, left, y + 4, width, _ROW - 8, fill=category(color)[0])
        svg.text(figure, right + 8, y + 16, bar.text, "soft")
    return svg.to_string(figure)


def confusion_figure(names: Sequence[str], counts: np.ndarray) -> str:
    """Return SVG of a confusion matrix: as a matrix or, of many classes, its largest errors.

    Args:
        names: Names of the classes.
        counts: Videos by label and by predicted class, int `[classes, classes]`.
    """
    if len(names) <= MOST_CLASSES:
        return _matrix(names, counts)
    return bars_figure(_largest_errors(names, counts), "The most frequent confusions", _WRONG)


def _largest_errors(names: Sequence[str], counts: np.ndarray) -> list[Bar]:
    errors = counts * (1 - np.eye(len(names), dtype=counts.dtype))
    shares = errors / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    order = np.lexsort((-shares.ravel(), -errors.ravel()))[:MOST_BARS]
    bars = []
    for label, predicted in zip(*np.unravel_index(order, counts.shape), strict=True):
        count, videos = int(errors[label, predicted]), int(counts[label].sum())
        if count:
            pair = f"{shortened(names[label], _LONGEST)} → {shortened(names[predicted], _LONGEST)}"
            bars.append(Bar(pair, count / videos, f"{count} of {videos}"))
    return bars or [Bar("no video is confused", 0.0, "0")]


def _matrix(names: Sequence[str], counts: np.ndarray) -> str:
    shown = [shortened(name, _LONGEST) for name in names]
    longest = max(svg.text_width(name, svg.TEXT) for name in shown)
    left = _MARGIN + max(longest, svg.text_width(_AXES)) + 10
    top = _MARGIN + longest + 10
    cell = min(44.0, (svg.WIDTH - left - _MARGIN) / len(names))
    width, height = left + cell * len(names) + _MARGIN, top + cell * len(names) + _MARGIN
    figure = svg.canvas(max(width, svg.WIDTH), height, "Confusion matrix")
    svg.text(figure, left - 8, top - 8, _AXES, "soft", "end", svg.SMALL)
    for number, name in enumerate(shown):
        middle = cell * (number + 0.5) + 5
        svg.text(figure, left - 8, top + middle, name, "ink", "end")
        turned = f"rotate(-90 {left + middle:.1f} {top - 8:.1f})"
        svg.text(figure, left + middle, top - 8, name, "ink", transform=turned)
    videos = counts.sum(axis=1)
    for label, predicted in np.ndindex(counts.shape):
        count = int(counts[label, predicted])
        share = count / videos[label] if videos[label] else 0.0
        x, y = left + cell * predicted, top + cell * label
        color, on_color = category(_RIGHT if label == predicted else _WRONG)
        group = svg.element(figure, "g")
        svg.tooltip(group, f"{names[label]}: {count} of {videos[label]} as {names[predicted]}")
        svg.rect(group, x + 1, y + 1, cell - 2, cell - 2, "card", 2)
        svg.rect(group, x + 1, y + 1, cell - 2, cell - 2, radius=2, fill=color, fill_opacity=share)
        if count and cell >= 18:
            style = {"fill": on_color} if share > 0.5 else {}
            class_ = None if style else "ink"
            size = svg.TEXT if cell >= 26 else svg.SMALL - 1
            svg.text(group, x + cell / 2, y + cell / 2 + 5, count, class_, "middle", size, **style)
    return svg.to_string(figure)


def accuracy_bars(names: Sequence[str], values: np.ndarray, videos: np.ndarray) -> list[Bar]:
    """Return a bar for each class that has videos, the lowest first, up to `MOST_BARS`.

    Args:
        names: Names of the classes.
        values: Their accuracies, from 0 to 1.
        videos: Their numbers of videos.
    """
    order = [number for number in np.argsort(values, kind="stable") if videos[number]]
    return [
        Bar(names[n], float(values[n]), f"{percent(values[n])} % of {videos[n]}")
        for n in order[:MOST_BARS]
    ]
