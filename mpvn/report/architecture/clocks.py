"""Draws the lower half of the architecture figure: subnetworks, clocks and names."""

import itertools
import xml.etree.ElementTree as ET

from mpvn.plan.clock import Clock
from mpvn.report import svg
from mpvn.report.architecture.columns import Section
from mpvn.report.architecture.labels import LINE
from mpvn.report.architecture.layout import STRIP, Layout
from mpvn.report.architecture.marks import draw_row_name, subnetwork_color
from mpvn.report.svg import text_width
from mpvn.report.theme import category
from mpvn.report.wording import clock_phrases


def draw_clocks(figure: ET.Element, layout: Layout) -> None:
    """Draw the numbers of the subnetworks, the steps at which they compute, and the names."""
    _draw_strip(figure, layout)
    _draw_steps(figure, layout)
    _draw_labels(figure, layout)


def _draw_strip(figure: ET.Element, layout: Layout) -> None:
    """Draw the numbers of the subnetworks below their bars."""
    y = layout.strip + STRIP / 2 + 4
    draw_row_name(figure, y, "subnetwork")
    for section in layout.sections:
        x, width = section.left, section.right - section.left
        style: dict[str, str] = {"font_weight": "600"}
        class_, name = None, str(section.subnetwork)
        if section.subnetwork is None:
            style, class_, name = {}, "soft", "frame"
        elif section.subnetwork == layout.plan.subnetworks:
            svg.rect(figure, x, layout.strip, width, STRIP, "ink head", radius=3)
            class_, name = "on-full", "head"
        else:
            color, style["fill"] = category(section.subnetwork)
            svg.rect(figure, x, layout.strip, width, STRIP, "section", radius=3, fill=color)
        if text_width(name) <= width:
            svg.text(figure, x + width / 2, y, name, class_, "middle", svg.SMALL, **style)


def _draw_steps(figure: ET.Element, layout: Layout) -> None:
    """Draw which bars compute at each step."""
    draw_row_name(figure, layout.grid - 7, "computes")
    for step in range(0, layout.steps, 1 if layout.row >= 12 else 4):
        y = layout.grid + (step + 0.5) * layout.row + 4
        draw_row_name(figure, y, step or "step 0")
    height = layout.bottom - layout.grid
    for section in layout.sections:
        if section.subnetwork is None:
            continue
        width = section.right - section.left
        svg.rect(figure, section.left, layout.grid, width, height, "card")
        bars = range(section.first, section.end)
        for clock, group in itertools.groupby(bars, key=lambda index: layout.bars[index].clock):
            first, *others = group
            _draw_clock(figure, layout, section, clock, first, first + len(others) + 1)


def _draw_clock(
    figure: ET.Element, layout: Layout, section: Section, clock: Clock, first: int, end: int
) -> None:
    """Draw the clock of bars `first` to `end - 1`: one dash for each step at which they compute.

    It is one dashed vertical line that is as wide as the bars together.
    """
    width = section.edge(end) - section.edge(first)
    x = section.edge(first) + width / 2
    phrases = clock_phrases(clock)
    fitting = [phrase for phrase in phrases if text_width(phrase) <= width - 2]
    if fitting:
        svg.text(figure, x, layout.grid - 7, fitting[0], "ink", "middle", svg.SMALL)
    start = layout.grid + clock.phase * layout.row + 0.5
    if clock.phase < layout.steps:
        dash = layout.row - 1
        line = svg.line(figure, x, start, x, layout.bottom, "ticks")
        line.set("stroke", subnetwork_color(layout.plan, section.subnetwork))
        line.set("stroke-width", f"{width:.2f}")
        line.set("stroke-dasharray", f"{dash:.2f} {clock.rate * layout.row - dash:.2f}")
        svg.tooltip(line, phrases[0])


def _draw_labels(figure: ET.Element, layout: Layout) -> None:
    """Draw the names below the bars; those of units below a line as wide as the unit."""
    labels, top = layout.labels, layout.bottom + 10
    if labels.names:
        draw_row_name(figure, top + 9, labels.kind)
    for label in labels.names:
        if labels.kind == "unit":
            svg.line(figure, label.left + 1, top - 5, label.right - 1, top - 5, "mark")
        x, y, anchor, turn = label.x, top + 9 + LINE * label.line, labels.anchor, None
        if anchor is None:
            x, y, anchor = x + 4, top, "end"
            turn = f"rotate(-90 {x:.1f} {y:.1f})"
        svg.text(figure, x, y, label.text, "ink label", anchor, svg.SMALL, transform=turn)
