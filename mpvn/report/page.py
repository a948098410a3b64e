"""The report: one HTML file that needs nothing else, for screens large and small, light and dark.

Everything is escaped but the figures, which must be well-formed SVG. The page may load nothing and
run nothing, and says so in its content security policy. The file appears under its name only when
it is whole.
"""

import base64
import io
import math
import numbers
import os
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2
import markupsafe
import numpy as np
from PIL import Image

from mpvn.files import write_atomically

_SVG = "{http://www.w3.org/2000/svg}svg"
_SMALL_FRAME = 128
"""Frames narrower than this, in pixels, are enlarged without smoothing."""


class Figure(NamedTuple):
    """A string of SVG, as the functions of `mpvn.report` return it, and its caption."""

    svg: str
    caption: str


class Sample(NamedTuple):
    """A frame `uint8 [height, width, 3]`, RGB, and its caption."""

    image: np.ndarray
    caption: str


def write_report(
    path: str | os.PathLike[str],
    title: str,
    lead: str,
    table: Sequence[Mapping[str, object]],
    figures: Sequence[Figure | tuple[str, str]],
    frames: Sequence[Sample | tuple[np.ndarray, str]] = (),
    notes: Mapping[str, str] | None = None,
) -> Path:
    """Writes a report.

    Args:
        path: the file to write; its folder must exist, a file of that name is replaced.
        title: heading of the page.
        lead: the paragraph that says what came out.
        table: the table's rows, values by column name. Columns stand in order of appearance; a
            column of numbers is right-aligned, with three significant digits for its largest.
            None, NaN and what is missing show as a dash.
        figures: figures and captions, the most telling first: it stands right below the table.
        frames: sample frames and captions, in a strip below the first figure.
        notes: environment, command and the like, by name.

    Returns:
        The path written.

    Raises:
        ValueError: the folder does not exist, a figure is no SVG, or a frame is no RGB image.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise ValueError(f"{path}: expected an existing folder {path.parent}, received none")
    columns, rows = _table(table)
    page = _template().render(
        title=title,
        lead=lead,
        columns=columns,
        rows=rows,
        figures=[
            {"svg": _checked_svg(svg, number), "caption": caption}
            for number, (svg, caption) in enumerate(figures)
        ],
        frames=[_frame(image, caption, n) for n, (image, caption) in enumerate(frames)],
        notes=notes or {},
    )
    write_atomically(path, page)
    return path


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html")


# --- the table ----------------------------------------------------------------------------------


def _table(rows: Sequence[Mapping[str, object]]) -> tuple[list[dict], list[list[str]]]:
    """Columns, as name and whether numeric, and the cells as text."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_missing_as_none(row.get(name)) for row in rows] for name in names]
    columns = [
        {"name": name, "numeric": _is_numeric(values)}
        for name, values in zip(names, cells, strict=True)
    ]
    texts = [_column_text(values) for values in cells]
    return columns, [list(row) for row in zip(*texts, strict=True)]


def _column_text(values: Sequence[object]) -> list[str]:
    """The cells of one column, all with as many decimals."""
    if not _is_numeric(values):
        return ["–" if value is None else str(value) for value in values]
    known = [value for value in values if isinstance(value, numbers.Real)]
    if all(isinstance(value, numbers.Integral) for value in known):
        return ["–" if value is None else f"{value:,d}" for value in values]
    largest = max((abs(float(v)) for v in known if math.isfinite(v)), default=0.0)
    decimals = min(6, max(0, 2 - math.floor(math.log10(largest)))) if largest else 0
    return [
        f"{float(value):,.{decimals}f}" if isinstance(value, numbers.Real) else "–"
        for value in values
    ]


def _is_numeric(values: Sequence[object]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(
        isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))
        for value in known
    )


def _missing_as_none(value: object) -> object:
    return None if isinstance(value, numbers.Real) and math.isnan(value) else value


# --- figures and frames -------------------------------------------------------------------------


def _checked_svg(svg: str, number: int) -> markupsafe.Markup:
    """`svg`, allowed to stand in the page as it is."""
    try:
        root = ET.fromstring(svg)
    except ET.ParseError as error:
        raise ValueError(f"figure {number}: expected an SVG string, received {error}") from error
    if root.tag != _SVG:
        raise ValueError(f"figure {number}: expected an <svg> element, received <{root.tag}>")
    return markupsafe.Markup(svg)


def _frame(image: np.ndarray, caption: str, number: int) -> dict:
    """What the template needs of one frame: its data URI, size and caption."""
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(
            f"frame {number}: expected uint8 of shape [height, width, 3], received {image.dtype} "
            f"of shape {list(image.shape)}"
        )
    height, width, _ = image.shape
    return {
        "uri": _data_uri(image),
        "width": width,
        "height": height,
        "pixelated": width < _SMALL_FRAME,
        "caption": caption,
    }


def _data_uri(image: np.ndarray) -> str:
    """`image` as PNG or JPEG, whichever is smaller: drawn pictures are PNG, photographs JPEG."""
    picture = Image.fromarray(image)
    encoded = []
    for kind, options in (("png", {"optimize": True}), ("jpeg", {"quality": 88})):
        buffer = io.BytesIO()
        picture.save(buffer, kind, **options)
        encoded.append((len(buffer.getvalue()), kind, buffer.getvalue()))
    _, kind, data = min(encoded)
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
