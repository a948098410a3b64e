"""Marks that both the drawing and the legend of the architecture figure use."""

import xml.etree.ElementTree as ET

from mpvn.plan import Plan
from mpvn.report import svg
from mpvn.report.architecture.columns import LEFT
from mpvn.report.theme import category

FAINT = 0.4
"""Opacity of bars without multiply-adds."""

FEEDBACK_STYLE = {
    "fill": "none",
    "stroke": "currentColor",
    "stroke_width": "1.6",
    "stroke_dasharray": "5 3",
}


def subnetwork_color(plan: Plan, subnetwork: int | None) -> str:
    """Return the color of a subnetwork; the text color for the inputs and the head."""
    if subnetwork is None or subnetwork == plan.subnetworks:
        return "currentColor"
    return category(subnetwork)[0]


def arc_path(left: float, right: float, y: float, rise: float) -> str:
    """Return the path of half an ellipse above `y`."""
    return f"M{left:.1f} {y:.1f}A{(right - left) / 2:.1f} {rise:.1f} 0 0 1 {right:.1f} {y:.1f}"


def arc_width(delay: int) -> str:
    """Return the stroke width of an arc."""
    return "2.2" if delay else "1"


def draw_triangle(figure: ET.Element, x: float, base: float, top: float) -> ET.Element:
    """Draw a triangle that points from `base` to `top`."""
    corners = svg.points([(x - 4, base), (x + 4, base), (x, top)])
    return svg.element(figure, "polygon", points=corners, class_="ink")


def draw_row_name(figure: ET.Element, y: float, name: object) -> None:
    """Write the name of a row into the left margin."""
    svg.text(figure, LEFT - 8, y, name, "soft", "end", svg.SMALL)
