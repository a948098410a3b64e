"""Drawing primitives: what the figures need of SVG.

Figures are written as SVG by hand rather than plotted: text stays text, every mark carries what it
stands for (`data-` attributes and a tooltip), and one style sheet serves light and dark pages. The
same calls give the same bytes. Text widths can only be estimated, for SVG does not measure them.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterable

from mpvn.report.theme import style_sheet

WIDTH = 760
"""Width of a figure, in pixels, unless its contents need more."""
TEXT = 13
SMALL = 11

_Value = str | float | None  # of an attribute; None: left out


def canvas(width: float, height: float, label: str) -> ET.Element:
    """An empty figure, shown at three quarters of its size at least, so that text is legible."""
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


def string(figure: ET.Element) -> str:
    """`figure` as text."""
    return ET.tostring(figure, encoding="unicode")


def element(parent: ET.Element, tag: str, **attributes: _Value) -> ET.Element:
    """Adds an element. Names of attributes take `-` for `_` within and none at the end."""
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
    wide: float,
    high: float,
    kind: str | None = None,
    radius: float = 0,
    **attributes: _Value,
) -> ET.Element:
    """Adds a rectangle of class `kind`."""
    size = {"width": max(0.0, wide), "height": max(0.0, high)}
    return element(parent, "rect", x=x, y=y, **size, rx=radius, class_=kind, **attributes)


def line(
    parent: ET.Element,
    x1: float,
    y1: float,
    x2: float,
    y2: float,
    kind: str,
    **attributes: _Value,
) -> ET.Element:
    """Adds a line of class `kind`."""
    return element(parent, "line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind, **attributes)


def text(
    parent: ET.Element,
    x: float,
    y: float,
    words: object,
    kind: str | None = None,
    anchor: str | None = None,
    size: float = TEXT,
    **attributes: _Value,
) -> ET.Element:
    """Adds text whose base line begins (or, by `anchor`, has its middle or end) at (x, y)."""
    style = {"font_size": size, "text_anchor": anchor}
    added = element(parent, "text", x=x, y=y, class_=kind, **style, **attributes)
    added.text = str(words)
    return added


def tip(parent: ET.Element, words: str) -> None:
    """What is shown when one points at `parent`."""
    ET.SubElement(parent, "title").text = words


def points(pairs: Iterable[tuple[float, float]]) -> str:
    """The corners of a polygon or polyline."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
