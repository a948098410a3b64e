"""Accuracy against speed-up, both relative to the sequential network, for several sweeps.

*Massively Parallel Video Networks*, figure 10: recognition and keypoints in one picture. The
accuracy of keypoints is the inverse of the loss.
"""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mpvn.report.plots import Point, lines_figure
from mpvn.training.grids import is_config_key
from mpvn.training.hyperparameter_sweep import SEED, SPEED, SUBNETWORKS, WEIGHTS

Row = Mapping[str, Any]

LOSS = "loss"

ACCURACIES = ("clip_top1", "clip_map")
"""Metrics of recognition. Sweeps of other tasks are compared by the inverse of their loss."""


def speed_up_figure(sweeps: Mapping[str, Sequence[Row]]) -> str:
    """Return SVG with a line for each sweep, from its sequential network at (1, 1) on.

    A sweep whose settings vary in more than subnetworks and seeds has a line for each setting, with
    a sequential network of its own; or, if a setting divides all of its networks, with that of the
    same setting but for the plan. Points are means over seeds, with their range and the number of
    subnetworks. Networks that cannot stream have no speed, and are left out.

    Args:
        sweeps: The rows of each sweep, as `mpvn.training.hyperparameter_sweep.read_results` returns
            them, by name.

    Raises:
        ValueError: If a sweep has no network that streams, a line has no sequential network, or its
            accuracy is 0 or not finite.
    """
    lines: dict[str, list[Point]] = {}
    for sweep, rows in sweeps.items():
        streaming = [row for row in rows if row[SPEED]]
        if not streaming:
            raise ValueError(
                f"{sweep}: expected networks with a speed ({SPEED}). Received: {len(rows)} rows "
                "without one"
            )
        for setting, group in _by_setting(streaming):
            name = f"{sweep}, {setting}" if setting else sweep
            lines[name] = list(_points(name, group, _sequential(group, streaming)))
    return lines_figure(lines, "speed-up", "accuracy or 1 / loss, relative to sequential")


def _sequential(group: Sequence[Row], rows: Sequence[Row]) -> list[Row]:
    """Return the sequential networks that a line is compared with."""
    sequential = [row for row in rows if row[SUBNETWORKS] == 1]
    own = [row for row in sequential if row in group]
    return own or [row for row in sequential if _beside_plan(row) == _beside_plan(group[0])]


def _beside_plan(row: Row) -> dict[str, Any]:
    settings = {key: row[key] for key in row if _is_setting(key)}
    return {key: value for key, value in settings.items() if not key.startswith("plan.")}


def _points(name: str, rows: Sequence[Row], sequential: Sequence[Row]) -> Iterator[Point]:
    """Yield the points of a line, by number of subnetworks, relative to sequential networks."""
    groups: dict[int, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row[SUBNETWORKS]):
        groups.setdefault(row[SUBNETWORKS], []).append(row)
    if not sequential:
        raise ValueError(
            f"{name}: expected a row of the sequential network, {SUBNETWORKS}=1, which others are "
            f"compared with. Received: {', '.join(map(str, groups))}. Add it to the grid"
        )
    speed, accuracy = (statistics.fmean(map(f, sequential)) for f in (_speed, _accuracy))
    if not (math.isfinite(accuracy) and accuracy > 0):
        raise ValueError(
            f"{name}: expected a sequential network that is right at times, to compare with. "
            f"Received: a mean accuracy, or 1 / loss, of {accuracy:g}. Train it longer"
        )
    for number, group in groups.items():
        speed_up = statistics.fmean(map(_speed, group)) / speed
        yield Point.of(speed_up, [_accuracy(row) / accuracy for row in group], str(number))


def _by_setting(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Yield the rows of each setting of the other keys that vary, with the setting in words."""
    keys = {key for row in rows for key in row if _is_setting(key)} - {SUBNETWORKS}
    varying = [key for key in sorted(keys) if len({str(row.get(key)) for row in rows}) > 1]
    groups: dict[str, list[Row]] = {}
    for row in rows:
        values = (f"{key.rpartition('.')[2].replace('_', ' ')} {row.get(key)}" for key in varying)
        groups.setdefault(", ".join(values), []).append(row)
    yield from groups.items()


def _is_setting(key: str) -> bool:
    return (is_config_key(key) or key == WEIGHTS) and key != SEED


def _speed(row: Row) -> float:
    return row[SPEED]


def _accuracy(row: Row) -> float:
    known = next((row[name] for name in ACCURACIES if name in row), None)
    if known is None:
        return 1 / row[LOSS] if row[LOSS] else math.inf
    return known
