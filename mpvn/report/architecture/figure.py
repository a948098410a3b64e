"""The architecture figure with its title and legend."""

import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence

from mpvn.plan import Plan
from mpvn.report import svg
from mpvn.report.architecture.clocks import draw_clocks
from mpvn.report.architecture.columns import LEFT, RIGHT
from mpvn.report.architecture.layout import Layout
from mpvn.report.architecture.marks import FAINT, FEEDBACK_STYLE, arc_path, arc_width, draw_triangle
from mpvn.report.architecture.network import draw_network
from mpvn.report.theme import category
from mpvn.report.wording import count, shortened

_LegendItem = tuple[Callable[[ET.Element, float, float], None], str]


def architecture_figure(plan: Plan) -> str:
    """Return the network of a plan as SVG: layers, skips, feedback, boundaries and clocks.

    Layers stand from left to right. A bar is a layer or merge with its normalization and
    activation. Its length is the size of its feature map on a log scale; it is faint if it has no
    multiply-adds. Neighbors are joined if the right one reads the left one. Arcs are all other
    reads: thin within a step, thick across a boundary, where the value arrives one step later.
    Feedback returns as dashed lines below the bars. The grid shows which bars compute at each step
    of a period. The head is black, or white on a dark page.
    """
    layout = Layout(plan)
    items = _legend_items(layout)
    places = _legend_places([text for _, text in items], layout)
    width, height = layout.right + RIGHT, places[-1][1] + 14
    figure = svg.canvas(width, height, f"Architecture of {plan.graph.model.name}")
    _draw_title(figure, layout)
    draw_network(figure, layout)
    draw_clocks(figure, layout)
    for (draw, text), (x, y) in zip(items, places, strict=True):
        draw(figure, x, y)
        svg.text(figure, x + 30, y + 4, text, "soft", size=svg.SMALL)
    return svg.to_string(figure)


def _draw_title(figure: ET.Element, layout: Layout) -> None:
    plan = layout.plan
    svg.text(figure, RIGHT, 20, shortened(plan.graph.model.name, 40), "ink", font_weight="600")
    bars = sum(bool(bar.nodes) for bar in layout.bars)
    text = f"{count(len(plan.nodes), 'node')} in {count(bars, 'bar')} · period "
    text += count(plan.period, "step")
    if layout.steps < plan.period:
        text += f", first {layout.steps} shown"
    svg.text(figure, layout.right, 20, text, "soft", "end", svg.SMALL)


def _legend_items(layout: Layout) -> list[_LegendItem]:
    """Return the marks in the figure, and what they mean."""
    meaning = "layer or merge, with its normalization and activation; faint: no multiply-adds"
    items: list[_LegendItem] = [(_bar_mark, meaning)]
    delays = {link.delay for link in layout.arcs}
    if 0 in delays:
        items.append((_arc_mark, "read in the same step"))
    if 1 in delays:
        items.append((_thick_arc_mark, "read across a boundary, one step later"))
    if layout.feedback:
        items.append((_feedback_mark, "feedback, one step later"))
    items.append((_output_mark, "output"))
    return items


def _legend_places(texts: Sequence[str], layout: Layout) -> list[tuple[float, float]]:
    """Return the positions of the legend's items: side by side as far as they fit."""
    places = []
    x, y = float(LEFT), layout.legend
    for text in texts:
        width = 30 + svg.text_width(text)
        if x > LEFT and x + width > layout.right:
            x, y = float(LEFT), y + 20
        places.append((x, y))
        x += width + 18
    return places


def _bar_mark(figure: ET.Element, x: float, y: float) -> None:
    color = category(0)[0]
    svg.rect(figure, x + 2, y - 7, 8, 14, fill=color)
    svg.rect(figure, x + 13, y - 7, 8, 14, fill=color, fill_opacity=FAINT)


def _arc_mark(figure: ET.Element, x: float, y: float, delay: int = 0) -> None:
    style = {"fill": "none", "stroke": category(0)[0], "stroke_width": arc_width(delay)}
    svg.element(figure, "path", d=arc_path(x + 1, x + 23, y + 5, 10), **style)


def _thick_arc_mark(figure: ET.Element, x: float, y: float) -> None:
    _arc_mark(figure, x, y, delay=1)


def _feedback_mark(figure: ET.Element, x: float, y: float) -> None:
    path = f"M{x + 22:.1f} {y - 6:.1f}V{y + 5:.1f}H{x + 5:.1f}V{y:.1f}"
    svg.element(figure, "path", d=path, **FEEDBACK_STYLE)
    draw_triangle(figure, x + 5, y, y - 6)


def _output_mark(figure: ET.Element, x: float, y: float) -> None:
    draw_triangle(figure, x + 12, y - 3, y + 3)
