"""Schedules of training equal simulations, and the figures and tables of the papers."""

import doctest
import itertools
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence

import pytest

from mpvn.report.training_schedule import training_schedule_figure, training_schedule_text
from mpvn.sideways import schedule as schedule_module
from mpvn.sideways.schedule import (
    Pass,
    TrainingSchedule,
    back_propagation,
    gpipe,
    sideways,
    training_schedules,
)

MAKERS = (back_propagation, gpipe, sideways)
SIZES = [(1, 1), (1, 4), (3, 1), (2, 2), (3, 6), (4, 8), (5, 3), (11, 12)]
Rows = list[list[Pass | None]]

on_all_sizes = pytest.mark.parametrize(("subnetworks", "frames"), SIZES)


def rows(schedule: TrainingSchedule) -> Rows:
    return [list(row) for row in schedule.cells]


# --- cells --------------------------------------------------------------------------------------


def as_soon_as_possible(subnetworks: int, order: Sequence[Pass]) -> Rows:
    """Simulate subnetworks that run `order`, a pass a unit, as soon as its inputs are there."""
    done: set[tuple[int, Pass]] = set()
    queues = [list(order) for _ in range(subnetworks)]
    cells: Rows = [[] for _ in range(subnetworks)]

    def ready(s: int, task: Pass) -> bool:
        forward = Pass(task.frame, False)
        if not task.backward:
            return s == 0 or (s - 1, forward) in done
        return (s, forward) in done and (s == subnetworks - 1 or (s + 1, task) in done)

    while any(queues):
        unit = [q.pop(0) if q and ready(s, q[0]) else None for s, q in enumerate(queues)]
        for s, task in enumerate(unit):
            cells[s].append(task)
            if task:
                done.add((s, task))
    return cells


@on_all_sizes
def test_gpipe_runs_all_frames_forward_and_then_backward(subnetworks: int, frames: int) -> None:
    forward = [Pass(frame, False) for frame in range(1, frames + 1)]
    order = forward + [Pass(task.frame, True) for task in reversed(forward)]
    assert rows(gpipe(subnetworks, frames)) == as_soon_as_possible(subnetworks, order)


@on_all_sizes
def test_back_propagation_runs_a_frame_both_ways_before_the_next(
    subnetworks: int, frames: int
) -> None:
    order = [Pass(frame, backward) for frame in range(1, frames + 1) for backward in (False, True)]
    assert rows(back_propagation(subnetworks, frames)) == as_soon_as_possible(subnetworks, order)


@on_all_sizes
def test_sideways_moves_frames_and_gradients_at_every_step(subnetworks: int, frames: int) -> None:
    present: list[int | None] = [None] * subnetworks
    gradients: list[int | None] = [None] * subnetworks
    cells: Rows = [[] for _ in range(subnetworks)]
    for step in range(1, frames + 2 * subnetworks - 1):
        present = [step if step <= frames else None, *present[:-1]]
        gradients = [*gradients[1:], present[-1]]
        for row, frame, gradient in zip(cells, present, gradients, strict=True):
            row.append(frame and Pass(frame, False))
            row.append(gradient and Pass(gradient, True))
    assert rows(sideways(subnetworks, frames)) == cells


@pytest.mark.parametrize("make", MAKERS)
@on_all_sizes
def test_each_subnetwork_runs_each_frame_once_forward_and_then_once_backward(
    make: Callable[[int, int], TrainingSchedule], subnetworks: int, frames: int
) -> None:
    """A subnetwork runs one pass at a time, because a cell holds one."""
    schedule = make(subnetworks, frames)
    unit = {
        (s, *cell): at
        for s, row in enumerate(schedule.cells)
        for at, cell in enumerate(row)
        if cell
    }
    every = itertools.product(range(subnetworks), range(1, frames + 1), (False, True))
    assert sorted(unit) == sorted(every)
    assert sum(bool(cell) for row in schedule.cells for cell in row) == len(unit)
    for s, frame, backward in unit:
        at = unit[s, frame, backward]
        if backward:
            assert unit[s, frame, False] < at
            assert s == subnetworks - 1 or unit[s + 1, frame, True] < at
        else:
            assert s == 0 or unit[s - 1, frame, False] < at


# *Sideways*, section 3.4, for D = 3 and K = 6. For each step and module: the frames of the
# Jacobians in the gradient so far, that of the loss first | the frame of the present Jacobian; and
# the masks of the three modules.
WORKED = """
    1    - | 1      -         -        0 0 0
    2    - | 2      - | 1     -        0 0 0
    3    - | 3      - | 2     1 | 1    0 0 1
    4    - | 4      1 | 3     2 | 2    0 1 1
    5    1,3 | 5    2 | 4     3 | 3    1 1 1
    6    2,4 | 6    3 | 5     4 | 4    1 1 1
"""


def test_sideways_is_the_worked_table_of_three_modules_and_six_frames() -> None:
    schedule = sideways(3, 6)
    forward, backward = (
        [[cell and cell.frame for cell in row[way::2]] for row in schedule.cells] for way in (0, 1)
    )
    drawn = []
    for step in range(6):
        cells, masks = [], []
        for module in range(3):
            lag = 2 - module  # steps since the gradient left the loss
            gradient, frame = backward[module][step], forward[module][step]
            jacobians = [forward[2 - back][step - lag + back] for back in range(lag or 1)]
            assert gradient in (None, jacobians[0])
            before = ",".join(map(str, jacobians)) if gradient else "-"
            cells.append(f"{before} | {frame}" if frame else "-")
            masks.append(str(int(gradient is not None)))
        drawn.append([str(step + 1), *cells, " ".join(masks)])
    assert drawn == [re.split(r"\s{3,}", line.strip()) for line in WORKED.strip().splitlines()]


# --- lengths and bubbles ------------------------------------------------------------------------


def idle(schedule: TrainingSchedule) -> float:
    """Return the share of dots among the cells of the grid."""
    cells = [word for line in schedule.grid().splitlines()[1:] for word in line.split()[2:]]
    return cells.count(".") / len(cells)


@on_all_sizes
def test_lengths_and_bubbles_equal_the_papers(subnetworks: int, frames: int) -> None:
    d, m = subnetworks, frames
    one, pipe, side = training_schedules(d, m)
    assert [one.length, pipe.length, side.length] == [
        2 * d * m,
        2 * (m + d - 1),
        2 * (m + 2 * d - 2),
    ]
    bubbles = [(d - 1) / d, (d - 1) / (m + d - 1), (2 * d - 2) / (m + 2 * d - 2)]
    for schedule, bubble in zip((one, pipe, side), bubbles, strict=True):
        assert (schedule.subnetworks, schedule.frames) == (d, m)
        assert schedule.bubble_fraction == idle(schedule) == bubble


@on_all_sizes
def test_in_a_stream_only_sideways_is_never_idle(subnetworks: int, frames: int) -> None:
    one, pipe, side = training_schedules(subnetworks, frames)
    assert side.throughput_over(pipe) == (frames + subnetworks - 1) / frames
    assert side.throughput_over(one) == subnetworks
    assert side.stream_bubble == 0
    for schedule in (one, pipe):
        assert math.isclose(schedule.stream_bubble, schedule.bubble_fraction, abs_tol=1e-12)


def test_the_bubble_of_sideways_vanishes_in_long_streams() -> None:
    bubbles = [sideways(4, frames).bubble_fraction for frames in (1, 10, 100, 1000)]
    assert bubbles == sorted(bubbles, reverse=True)
    assert bubbles[-1] < 0.01


@pytest.mark.parametrize("frames", [1, 5])
def test_a_single_subnetwork_is_never_idle(frames: int) -> None:
    one, pipe, side = training_schedules(1, frames)
    assert one.cells == side.cells
    assert {schedule.bubble_fraction for schedule in (one, pipe, side)} == {0}
    assert {schedule.length for schedule in (one, pipe, side)} == {2 * frames}


@pytest.mark.parametrize("make", [*MAKERS, training_schedules, training_schedule_text])
@pytest.mark.parametrize(
    ("subnetworks", "frames"), [(0, 2), (2, -1), (2.0, 2), (2, True), (0, "3")]
)
def test_sizes_that_are_not_positive_integers_are_refused(
    make: Callable, subnetworks: object, frames: object
) -> None:
    message = f"integers of at least 1. Received: subnetworks={subnetworks!r}, frames={frames!r}"
    with pytest.raises(ValueError, match=re.escape(message)):
        make(subnetworks, frames)


# --- drawings -----------------------------------------------------------------------------------


def test_the_docstring_shows_the_grids() -> None:
    drawn = [line for schedule in training_schedules(3, 4) for line in schedule.grid().splitlines()]
    shown = re.findall(r"^    ((?:unit|subnetwork) .*)$", schedule_module.__doc__, re.MULTILINE)
    assert shown == drawn


def test_the_examples_of_the_docstrings_run() -> None:
    results = doctest.testmod(schedule_module)
    assert results.attempted > 0
    assert results.failed == 0


@pytest.mark.parametrize("width", [1, 30, 80, 1000])
def test_a_narrow_grid_continues_below(width: int) -> None:
    whole, broken = (sideways(3, 12).grid(most).splitlines() for most in (None, width))
    assert max(map(len, broken)) <= max(width, len("subnetwork 0  f12"))
    for line in whole[1:]:
        name, cells = line[:12], line[13:].split()
        parts = [part[13:].split() for part in broken if part.startswith(name)]
        assert list(itertools.chain(*parts)) == cells
    numbers = [number for line in broken if line.startswith("unit") for number in line.split()[1:]]
    assert numbers == whole[0].split()[1:]


def test_the_text_states_lengths_bubbles_and_throughput() -> None:
    text = training_schedule_text(4, 8)
    for words in (
        "back-propagation: 64 units, bubble 75 %",
        "GPipe: 22 units, bubble 27 %; in an endless stream 2.75 units per frame",
        "Sideways: 28 units, bubble 43 %; in an endless stream 2 units per frame, bubble 0 %",
        "Sideways in an endless stream: 4.00 times that of back-propagation, 1.38 times that of G",
        "Sideways ends with unit 16",
    ):
        assert words in text
    for schedule in training_schedules(4, 8):
        assert f"\n{schedule.grid()}\n" in text


@on_all_sizes
def test_the_figure_has_the_cells_of_the_schedules(subnetworks: int, frames: int) -> None:
    root = ET.fromstring(training_schedule_figure(subnetworks, frames))
    wide, high = float(root.get("width")), float(root.get("height"))
    drawn = {}
    for rect in root.iter("{http://www.w3.org/2000/svg}rect"):
        assert 0 <= float(rect.get("x")) <= wide - float(rect.get("width"))
        assert 0 <= float(rect.get("y")) <= high - float(rect.get("height"))
        if "data-unit" in rect.attrib:
            cell = tuple(rect.get(f"data-{key}") for key in ("schedule", "subnetwork", "unit"))
            kind = rect.get("class").split()[0].replace("card", "idle")
            drawn[cell] = kind, rect.get("data-frame")
    assert drawn == {
        (schedule.name, str(s), str(unit)): (
            ("backward" if cell.backward else "forward", str(cell.frame))
            if cell
            else ("idle", None)
        )
        for schedule in training_schedules(subnetworks, frames)
        for s, row in enumerate(schedule.cells)
        for unit, cell in enumerate(row, start=1)
    }
    for text in root.iter("{http://www.w3.org/2000/svg}text"):
        assert 0 <= float(text.get("x")) <= wide
        assert 8 <= float(text.get("y")) <= high - 2
