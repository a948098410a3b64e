"""The report: one self-contained HTML file for small and large screens, light and dark pages.

All text is escaped. Figures are inserted as they are and must be well-formed SVG. The content
security policy of the page forbids loading or running anything. The file is written atomically.
"""

import base64
import io
import math
import numbers
import os
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import markupsafe
import numpy as np
from PIL import Image

from mpvn.files import write_atomically

_SVG = "{http://www.w3.org/2000/svg}svg"
_SMALL_FRAME = 128
"""Frames that are narrower than this many pixels are enlarged without smoothing."""


class Figure(NamedTuple):
    """SVG, as the functions of `mpvn.report` return it, with a caption.

    Attributes:
        svg: The picture.
        caption: The caption.
        samples: Frames, in a strip below.
    """

    svg: str
    caption: str
    samples: "Sequence[Sample]" = ()


class Sample(NamedTuple):
    """An RGB frame, uint8 `[height, width, 3]`, with a caption."""

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
    """Write a report and return its path.

    Args:
        path: The file to write. Its folder must exist. An existing file is replaced.
        title: Heading of the page.
        lead: The paragraph with the main result.
        table: Rows of the table: values by column name. Columns keep the order in which they first
            appear. Numeric columns are right-aligned, with three significant digits for the
            largest number. None, NaN and missing values are shown as a dash.
        figures: Figures with captions. The first one stands directly below the table.
        frames: Sample frames with captions, in a strip below the first figure.
        notes: Versions, command and similar facts, by name.

    Raises:
        ValueError: If the folder does not exist, a figure is not SVG, or a frame is not an RGB
            image.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise ValueError(f"{path}: The folder {path.parent} does not exist. Create it first.")
    columns, rows = _table(table)
    with_strips = [Figure(*figure) for figure in figures]
    page = _template().render(
        title=title,
        lead=lead,
        columns=columns,
        rows=rows,
        figures=[
            {
                "svg": _checked_svg(figure.svg, index),
                "caption": figure.caption,
                "frames": _frames([*(() if index else frames), *figure.samples]),
            }
            for index, figure in enumerate(with_strips)
        ],
        frames=[] if figures else _frames(frames),
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
    """Return the columns (name, whether numeric) and the cells as text."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_nan_to_none(row.get(name)) for row in rows] for name in names]
    columns = [
        {"name": name, "numeric": _is_numeric(values)}
        for name, values in zip(names, cells, strict=True)
    ]
    texts = [_column_text(values) for values in cells]
    return columns, [list(row) for row in zip(*texts, strict=True)]


def _column_text(values: Sequence[object]) -> list[str]:
    """Return the cells of one column, all with the same number of decimals."""
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


def _nan_to_none(value: object) -> object:
    return None if isinstance(value, numbers.Real) and math.isnan(value) else value


# --- figures and frames -------------------------------------------------------------------------


def _checked_svg(svg: str, index: int) -> markupsafe.Markup:
    """Return `svg` as markup that is not escaped."""
    try:
        root = ET.fromstring(svg)
    except ET.ParseError as error:
        raise ValueError(f"figure {index}: Expected an SVG string. Received: {error}") from error
    if root.tag != _SVG:
        raise ValueError(f"figure {index}: Expected an <svg> element. Received: <{root.tag}>")
    return markupsafe.Markup(svg)


def _frames(samples: Sequence[Sample | tuple[np.ndarray, str]]) -> list[dict]:
    """Return frames for the template."""
    return [_frame(image, caption, index) for index, (image, caption) in enumerate(samples)]


def _frame(image: np.ndarray, caption: str, index: int) -> dict:
    """Return a frame for the template: its data URI, size and caption."""
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(
            f"frame {index}: Expected uint8 [height, width, 3]. Received: {image.dtype} "
            f"{list(image.shape)}"
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
    """Return `image` as PNG if that is smaller, as of drawings, else as JPEG, as of photos."""
    picture = Image.fromarray(image)
    kind, data = "jpeg", _encoded(picture, "jpeg", quality=88)
    if len(_encoded(picture, "png")) <= len(data):
        kind, data = "png", _encoded(picture, "png", optimize=True)  # only now: 10 times slower
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()
