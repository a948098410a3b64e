"""The schedules of training drawn one above the other: back-propagation, GPipe and Sideways.

After figure 1 of the supplement of *Skip-Sideways* (CVPR 2021). All three have one time axis, so
that many frames or subnetworks make a wide figure: back-propagation takes long.
"""

import xml.etree.ElementTree as ET

from mpvn.report import svg
from mpvn.report.arrangement import text_width
from mpvn.report.theme import category
from mpvn.report.wording import count, percent
from mpvn.sideways.schedule import TICK, Pass, TrainingSchedule, training_schedules

_LEFT, _RIGHT = 100, 14
_TITLE = 48  # height of what stands above a schedule
_HIGH = 20  # a subnetwork's row
_LINE = 18  # below the legend
_FAINT = "0.22"


def training_schedule_text(subnetworks: int, frames: int, width: int | None = None) -> str:
    """The schedules of `subnetworks` and `frames` as grids, with their lengths and bubbles.

    Args:
        subnetworks: the number D of subnetworks.
        frames: the number M of frames; GPipe's micro-batches.
        width: most characters in a line of a grid, see `TrainingSchedule.grid`.

    Raises:
        ValueError: a number is no positive integer.
    """
    schedules = training_schedules(subnetworks, frames)
    legend = "f: a frame forward, b: the gradient of its loss backward, a dot: rest"
    lines = [_subject(subnetworks, frames), legend]
    lines += [f"\n{_heading(schedule)}\n{schedule.grid(width)}" for schedule in schedules]
    return "\n".join([*lines, "", *_notes(*schedules)])


def training_schedule_figure(subnetworks: int, frames: int) -> str:
    """The same drawn: a row per subnetwork, time to the right, three schedules on one axis.

    A box is a pass of one unit; its number and color are the frame. It is full if the frame goes
    forward, and framed if its gradient goes backward. A gray cell is rest.

    Raises:
        ValueError: a number is no positive integer.
    """
    schedules = training_schedules(subnetworks, frames)
    longest = max(schedule.length for schedule in schedules)
    narrowest = max(16.0, 4 + text_width(str(frames)))
    wide = max(narrowest, min(32.0, (svg.WIDTH - _LEFT - _RIGHT) / longest))
    bottom = len(schedules) * (_TITLE + subnetworks * _HIGH) + 12
    words = [_subject(subnetworks, frames), *_notes(*schedules)]
    right = max(svg.WIDTH, _LEFT + longest * wide + _RIGHT)
    figure = svg.canvas(right, bottom + 36 + _LINE * len(words), words[0])

    for number, schedule in enumerate(schedules):
        _draw_schedule(figure, schedule, number * (_TITLE + subnetworks * _HIGH) + _TITLE, wide)
    _draw_legend(figure, bottom + 20)
    for number, line in enumerate(words):
        svg.text(figure, _LEFT, bottom + 44 + _LINE * number, line, "soft", size=svg.SMALL)
    return svg.string(figure)


def _subject(subnetworks: int, frames: int) -> str:
    what = f"{count(frames, 'frame')} in training through {count(subnetworks, 'subnetwork')}"
    return f"{what}; a unit is one pass through one of them"


def _heading(schedule: TrainingSchedule) -> str:
    return (
        f"{schedule.name}: {count(schedule.length, 'unit')}, "
        f"bubble {percent(schedule.bubble_fraction)} %; in an endless stream "
        f"{schedule.units_per_frame:.3g} units a frame, bubble {percent(schedule.stream_bubble)} %"
    )


def _notes(*schedules: TrainingSchedule) -> list[str]:
    """What else is to be said of back-propagation, GPipe and Sideways."""
    *others, last = schedules
    ratios = [f"{last.throughput_over(other):.2f} times those of {other.name}" for other in others]
    return [
        f"frames in an endless stream, {last.name}: {', '.join(ratios)}",
        f"a clip alone ends {last.name} with unit {last.period}: gradients from then on are masked",
    ]


def _draw_schedule(figure: ET.Element, schedule: TrainingSchedule, top: float, wide: float) -> None:
    bottom = top + schedule.subnetworks * _HIGH
    svg.text(figure, _LEFT, top - 24, _heading(schedule), "ink")
    svg.text(figure, _LEFT - 12, top - 5, "unit", "soft", "end", svg.SMALL)
    for unit in range(TICK, schedule.length + 1, TICK):
        svg.text(figure, _LEFT + unit * wide, top - 5, unit, "soft", "end", svg.SMALL)
        svg.line(figure, _LEFT + unit * wide, top - 3, _LEFT + unit * wide, bottom + 3, "rule")
    for subnetwork, row in enumerate(schedule.cells):
        y = top + subnetwork * _HIGH
        svg.text(figure, _LEFT - 12, y + 14, f"subnetwork {subnetwork}", "ink", "end", svg.SMALL)
        for unit, done in enumerate(row, start=1):
            cell = _draw_cell(figure, done, _LEFT + (unit - 1) * wide, y, wide)
            cell.set("data-schedule", schedule.name)
            cell.set("data-subnetwork", str(subnetwork))
            cell.set("data-unit", str(unit))
            svg.tip(cell, f"unit {unit}, subnetwork {subnetwork}: {_does(done)}")


def _does(done: Pass | None) -> str:
    if done is None:
        return "rest"
    return f"{'gradient of ' if done.backward else ''}frame {done.frame}, {_way(done)}"


def _way(done: Pass) -> str:
    return "backward" if done.backward else "forward"


def _draw_cell(
    figure: ET.Element, done: Pass | None, x: float, y: float, wide: float
) -> ET.Element:
    if done is None:
        return svg.rect(figure, x + 1, y + 1, wide - 2, _HIGH - 2, "card rest cell", radius=3)
    color, on_color = category(done.frame - 1)
    shade, on_shade = ("ink", None) if done.backward else (None, on_color)
    drawn = svg.rect(
        figure,
        x + 2,  # half of the frame's stroke lies outside
        y + 2,
        wide - 4,
        _HIGH - 4,
        f"{_way(done)} cell",
        radius=2,
        data_frame=done.frame,
        fill=color,
        fill_opacity=_FAINT if done.backward else None,
        stroke=color,
        stroke_width=2,
    )
    middle = x + wide / 2
    svg.text(figure, middle, y + 14, done.frame, shade, "middle", svg.SMALL, fill=on_shade)
    return drawn


def _draw_legend(figure: ET.Element, y: float) -> None:
    x = float(_LEFT)
    for done, words in (
        (Pass(1, backward=False), "frame forward"),
        (Pass(1, backward=True), "gradient of its loss backward"),
        (None, "rest"),
    ):
        _draw_cell(figure, done, x, y - 14, 22)
        svg.text(figure, x + 28, y, words, "soft", size=svg.SMALL)
        x += 28 + text_width(words) + 16
    svg.text(figure, x, y, "number and color: the frame", "soft", size=svg.SMALL)
