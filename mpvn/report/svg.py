"""SVG primitives for the figures.

The figures are written as SVG directly instead of being plotted: text stays text, every mark
carries its meaning (`data-` attributes and a tooltip), and one style sheet serves light and dark
pages. The output is deterministic. Text widths are estimates, because SVG cannot measure text.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterable

from mpvn.report.theme import style_sheet

WIDTH = 760
"""Width of a figure in pixels, unless its contents need more."""
TEXT = 13
SMALL = 11
"""Font sizes in pixels."""

_Value = str | float | None  # Of an attribute. None leaves the attribute out.


def canvas(width: float, height: float, label: str) -> ET.Element:
    """Return an empty figure. Pages may shrink it to three quarters of its size."""
    figure = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "class": "mpvn",
            "role": "img",
            "aria-label": label,
            "width": _number(width),
            "height": _number(height),
            "viewBox": f"0 0 {_number(width)} {_number(height)}",
            "style": f"max-width:100%;min-width:{_number(0.75 * width)}px;height:auto",
        },
    )
    ET.SubElement(figure, "style").text = style_sheet()
    return figure


def to_string(figure: ET.Element) -> str:
    """Return `figure` as text."""
    return ET.tostring(figure, encoding="unicode")


def element(parent: ET.Element, tag: str, **attributes: _Value) -> ET.Element:
    """Add an element. In attribute names, `_` becomes `-`; a trailing `_` is dropped."""
    return ET.SubElement(
        parent,
        tag,
        {
            name.rstrip("_").replace("_", "-"): value if isinstance(value, str) else _number(value)
            for name, value in attributes.items()
            if value is not None
        },
    )


def rect(
    parent: ET.Element,
    x: float,
    y: float,
    width: float,
    height: float,
    class_: str | None = None,
    radius: float = 0,
    **attributes: _Value,
) -> ET.Element:
    """Add a rectangle with its top left corner at (x, y)."""
    size = {"width": max(0.0, width), "height": max(0.0, height)}
    return element(parent, "rect", x=x, y=y, **size, rx=radius, class_=class_, **attributes)


def line(
    parent: ET.Element,
    x1: float,
    y1: float,
    x2: float,
    y2: float,
    class_: str,
    **attributes: _Value,
) -> ET.Element:
    """Add a line from (x1, y1) to (x2, y2)."""
    return element(parent, "line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_, **attributes)


def text(
    parent: ET.Element,
    x: float,
    y: float,
    content: object,
    class_: str | None = None,
    anchor: str | None = None,
    size: float = TEXT,
    **attributes: _Value,
) -> ET.Element:
    """Add text. Its base line starts at (x, y), or has its middle or end there (`anchor`)."""
    style = {"font_size": size, "text_anchor": anchor}
    added = element(parent, "text", x=x, y=y, class_=class_, **style, **attributes)
    added.text = str(content)
    return added


def text_width(content: str, size: float = SMALL) -> float:
    """Estimate the width of `content` in pixels."""
    return 0.6 * size * len(content)


def tooltip(parent: ET.Element, content: str) -> None:
    """Add the text that is shown when the pointer is on `parent`."""
    ET.SubElement(parent, "title").text = content


def points(pairs: Iterable[tuple[float, float]]) -> str:
    """Return the corners of a polygon or polyline."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
