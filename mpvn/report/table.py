"""Tables as text, for the terminal."""

from collections.abc import Mapping, Sequence


def text_table(rows: Sequence[Mapping[str, object]]) -> str:
    """Return `rows` as text, with one column per key; the first column is aligned to the left."""
    cells = [[_cell_text(value) for value in row.values()] for row in rows]
    header = list(rows[0])
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    lines = []
    for line in [header, ["-" * width for width in widths], *cells]:
        (first, width), *others = zip(line, widths, strict=True)
        lines.append("  ".join([first.ljust(width), *(c.rjust(w) for c, w in others)]))
    return "\n".join(lines)


def _cell_text(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
