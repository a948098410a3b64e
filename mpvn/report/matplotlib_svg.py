"""Turns Matplotlib's SVG into a figure of the reports.

Matplotlib draws plots, because it is good at axes. Its SVG is then adapted: text stays text, the
style sheet of the other figures colors it on light and dark pages, and ids are unique, so that
several figures can stand on one page. The output is deterministic.
"""

import contextlib
import hashlib
import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

import matplotlib.style
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from mpvn.report import svg

# Colors in Matplotlib's drawing that stand for classes of the style sheet.
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
    "figure.dpi": 72,  # One point is one pixel.
    "figure.facecolor": _CARD,
    "font.sans-serif": ["DejaVu Sans"],  # Comes with Matplotlib and is wider than most fonts.
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


class Drawing:
    """A Matplotlib figure with the width of the other figures.

    Args:
        height: Height in pixels.

    Attributes:
        figure: The Matplotlib figure.
    """

    def __init__(self, height: float) -> None:
        self._height = height
        layout = ConstrainedLayoutEngine(w_pad=10 / 72, h_pad=10 / 72)
        self.figure = Figure((svg.WIDTH / 72, height / 72), layout=layout)
        self._written = io.StringIO()

    def write(self) -> None:
        """Let Matplotlib write the SVG."""
        self.figure.savefig(self._written, format="svg", metadata={"Date": None})

    def to_svg(self, label: str) -> str:
        """Return the written SVG as a figure of a report."""
        written = self._written.getvalue()
        root = ET.fromstring(re.sub(r'xmlns="[^"]*"', "", written, count=1))
        prefix = "m" + hashlib.sha256(written.encode()).hexdigest()[:8]
        figure = svg.canvas(svg.WIDTH, self._height, label)
        body = svg.element(figure, "g", stroke_linejoin="round")
        # Leave out Matplotlib's style sheet, which would apply to the whole page, and the metadata.
        body.extend(part for part in root if part.find("style") is None and part.tag != "metadata")
        for element in body.iter():
            _adapt(element, prefix)
        return svg.to_string(figure)


@contextlib.contextmanager
def drawing(height: float) -> Iterator[Drawing]:
    """Yield an empty drawing; write it at the end. Ignore the user's own Matplotlib style."""
    with matplotlib.style.context(["default", _STYLE]):
        drawn = Drawing(height)
        yield drawn
        drawn.write()


def _adapt(element: ET.Element, prefix: str) -> None:
    """Start the ids of an element with `prefix`; use the style sheet's classes and font."""
    for name, value in list(element.attrib.items()):
        if name == "id":
            element.set(name, f"{prefix}-{value}")
        elif name.endswith("href"):
            del element.attrib[name]
            element.set("href", f"#{prefix}-{value[1:]}")
        else:
            element.set(name, value.replace("url(#", f"url(#{prefix}-"))
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
