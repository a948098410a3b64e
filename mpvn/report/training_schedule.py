"""The training schedules of back-propagation, GPipe and Sideways, one below the other.

After figure 1 of the supplement of *Skip-Sideways* (CVPR 2021). All three share one time axis, and
back-propagation takes long, so that many frames or subnetworks make a wide figure.
"""

import xml.etree.ElementTree as ET

from mpvn.report import svg
from mpvn.report.theme import category
from mpvn.report.wording import count, percent
from mpvn.sideways.schedule import TICK, Pass, TrainingSchedule, training_schedules

_LEFT, _RIGHT = 100, 14
_TITLE = 48  # Height of the title of a schedule.
_ROW = 20  # Height of a subnetwork's row.
_LINE = 18  # Height of a line of text below the legend.
_FAINT = "0.22"


def training_schedule_text(subnetworks: int, frames: int, width: int | None = None) -> str:
    """Return the schedules as text grids, with their lengths and bubbles.

    Args:
        subnetworks: Number D of subnetworks.
        frames: Number M of frames; GPipe's micro-batches.
        width: Maximum number of characters in a line of a grid; see `TrainingSchedule.grid`.

    Raises:
        ValueError: If a number is not a positive integer.
    """
    schedules = training_schedules(subnetworks, frames)
    legend = "f: forward pass of a frame, b: backward pass of its loss, dot: idle"
    lines = [_subject(subnetworks, frames), legend]
    lines += [f"\n{_heading(schedule)}\n{schedule.grid(width)}" for schedule in schedules]
    return "\n".join([*lines, "", *_notes(*schedules)])


def training_schedule_figure(subnetworks: int, frames: int) -> str:
    """Return the schedules as SVG: one row per subnetwork, time to the right, on one axis.

    A box is a pass of one unit; its number and color are the frame. A filled box is a forward pass,
    a framed box a backward pass, a gray cell is idle.

    Args:
        subnetworks: Number D of subnetworks.
        frames: Number M of frames; GPipe's micro-batches.

    Raises:
        ValueError: If a number is not a positive integer.
    """
    schedules = training_schedules(subnetworks, frames)
    longest = max(schedule.length for schedule in schedules)
    min_width = max(16.0, 4 + svg.text_width(str(frames)))
    width = max(min_width, min(32.0, (svg.WIDTH - _LEFT - _RIGHT) / longest))
    height = _TITLE + subnetworks * _ROW  # Of one schedule.
    bottom = len(schedules) * height + 12
    lines = [_subject(subnetworks, frames), *_notes(*schedules)]
    right = max(svg.WIDTH, _LEFT + longest * width + _RIGHT)
    figure = svg.canvas(right, bottom + 36 + _LINE * len(lines), lines[0])

    for index, schedule in enumerate(schedules):
        _draw_schedule(figure, schedule, index * height + _TITLE, width)
    _draw_legend(figure, bottom + 20)
    for index, line in enumerate(lines):
        svg.text(figure, _LEFT, bottom + 44 + _LINE * index, line, "soft", size=svg.SMALL)
    return svg.to_string(figure)


def _subject(subnetworks: int, frames: int) -> str:
    sizes = f"{count(frames, 'frame')}, {count(subnetworks, 'subnetwork')}"
    return f"training on {sizes}; one unit is one pass through one subnetwork"


def _heading(schedule: TrainingSchedule) -> str:
    return (
        f"{schedule.name}: {count(schedule.length, 'unit')}, "
        f"bubble {percent(schedule.bubble_fraction)} %; in an endless stream "
        f"{schedule.units_per_frame:.3g} units per frame, "
        f"bubble {percent(schedule.stream_bubble)} %"
    )


def _notes(*schedules: TrainingSchedule) -> list[str]:
    """Return lines of text that compare Sideways with the other two schedules."""
    *others, sideways = schedules
    ratios = [
        f"{sideways.throughput_over(other):.2f} times that of {other.name}" for other in others
    ]
    return [
        f"throughput of {sideways.name} in an endless stream: {', '.join(ratios)}",
        f"for a single clip, {sideways.name} ends with unit {sideways.period}: later gradients are "
        "masked",
    ]


def _draw_schedule(
    figure: ET.Element, schedule: TrainingSchedule, top: float, width: float
) -> None:
    bottom = top + schedule.subnetworks * _ROW
    svg.text(figure, _LEFT, top - 24, _heading(schedule), "ink")
    svg.text(figure, _LEFT - 12, top - 5, "unit", "soft", "end", svg.SMALL)
    for unit in range(TICK, schedule.length + 1, TICK):
        svg.text(figure, _LEFT + unit * width, top - 5, unit, "soft", "end", svg.SMALL)
        svg.line(figure, _LEFT + unit * width, top - 3, _LEFT + unit * width, bottom + 3, "rule")
    for subnetwork, row in enumerate(schedule.cells):
        y = top + subnetwork * _ROW
        svg.text(figure, _LEFT - 12, y + 14, f"subnetwork {subnetwork}", "ink", "end", svg.SMALL)
        for unit, pass_ in enumerate(row, start=1):
            cell = _draw_cell(figure, pass_, _LEFT + (unit - 1) * width, y, width)
            cell.set("data-schedule", schedule.name)
            cell.set("data-subnetwork", str(subnetwork))
            cell.set("data-unit", str(unit))
            svg.tooltip(cell, f"unit {unit}, subnetwork {subnetwork}: {_description(pass_)}")


def _description(pass_: Pass | None) -> str:
    """Return the tooltip of a cell."""
    if pass_ is None:
        return "idle"
    return f"frame {pass_.frame}, {_direction(pass_)}"


def _direction(pass_: Pass) -> str:
    return "backward" if pass_.backward else "forward"


def _draw_cell(
    figure: ET.Element, pass_: Pass | None, x: float, y: float, width: float
) -> ET.Element:
    if pass_ is None:
        return svg.rect(figure, x + 1, y + 1, width - 2, _ROW - 2, "card idle cell", radius=3)
    color, text_color = category(pass_.frame - 1)
    text_class, text_fill = ("ink", None) if pass_.backward else (None, text_color)
    cell = svg.rect(
        figure,
        x + 2,  # Half of the stroke lies outside.
        y + 2,
        width - 4,
        _ROW - 4,
        f"{_direction(pass_)} cell",
        radius=2,
        data_frame=pass_.frame,
        fill=color,
        fill_opacity=_FAINT if pass_.backward else None,
        stroke=color,
        stroke_width=2,
    )
    middle = x + width / 2
    svg.text(figure, middle, y + 14, pass_.frame, text_class, "middle", svg.SMALL, fill=text_fill)
    return cell


def _draw_legend(figure: ET.Element, y: float) -> None:
    x = float(_LEFT)
    for pass_, text in (
        (Pass(1, backward=False), "forward pass of a frame"),
        (Pass(1, backward=True), "backward pass of its loss"),
        (None, "idle"),
    ):
        _draw_cell(figure, pass_, x, y - 14, 22)
        svg.text(figure, x + 28, y, text, "soft", size=svg.SMALL)
        x += 28 + svg.text_width(text) + 16
    svg.text(figure, x, y, "number and color: the frame", "soft", size=svg.SMALL)
