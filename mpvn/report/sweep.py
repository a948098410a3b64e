"""What a sweep found: the figures of *Massively Parallel Video Networks*, section 4, and its table.

Accuracy against the number of subnetworks (its figure 6), loss against prediction latency
(figure 7), speed against subnetworks (figure 8), accuracy against speed (figure 10), table 1. A
point is the mean over seeds, its bar their range.
"""

import os
import pathlib
import platform
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mpvn.report.page import Figure, write_report
from mpvn.report.plots import Point, lines_figure

Row = Mapping[str, Any]

SUBNETWORKS, LATENCY, SEED = "plan.subnetworks", "task.latency", "seed"
SPEED = "frames/s"
OF_PLAN = (SPEED, "clock_speedup", "parallel_bound", "information_latency")
"""Columns that say nothing of what was learned."""


def write_sweep_report(
    path: str | os.PathLike, rows: Sequence[Row], keys: Sequence[str]
) -> pathlib.Path:
    """Writes the figures and the table of a sweep.

    Args:
        path: the HTML file to write.
        rows: of `mpvn.training.hyperparameter_sweep.collect` and `add_speeds`.
        keys: of the grid.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("a sweep without results has nothing to show")
    settings = [key for key in keys if key != SEED]
    metric = main_metric(rows[0], keys)
    table = [_summary(group, settings) for group in _grouped(rows, settings).values()]
    best = (min if metric == "loss" else max)(table, key=lambda row: row[metric])
    lead = (
        f"{len(rows)} runs in {len(table)} settings"
        + (f", {len({row[SEED] for row in rows})} seeds" if SEED in keys else "")
        + f". The best {_words(metric)}, {best[metric]:.3f}, has "
        + (", ".join(f"{_words(key)} {best[key]}" for key in settings) or "the only setting")
        + f", at {best[SPEED]:.0f} frames per second on this machine."
    )
    notes = {"machine": f"{platform.platform()}, {os.cpu_count()} cores"}
    figures = list(sweep_figures(rows, keys))
    return write_report(path, "A sweep", lead, table, figures, notes=notes)


def main_metric(row: Row, keys: Sequence[str]) -> str:
    """The first metric by name that is no loss; the loss, where there is none."""
    losses = ("loss", "cross_entropy", "distance")
    found = [name for name in sorted(row) if name not in (*keys, *OF_PLAN, *losses)]
    return found[0] if found else "loss"


def sweep_figures(rows: Sequence[Row], keys: Sequence[str]) -> Iterator[Figure]:
    """The figures that the grid has the keys for."""
    settings = [key for key in keys if key != SEED]
    metric = main_metric(rows[0], keys)
    varying = [key for key in settings if len({row[key] for row in rows}) > 1]
    if len(varying) > 0:
        by_speed = _lines(rows, SPEED, metric, [k for k in settings if k != SUBNETWORKS], varying)
        yield Figure(
            lines_figure(by_speed, "frames per second, streaming", _words(metric)),
            f"{_words(metric).capitalize()} against speed on this machine.",
        )
    if SUBNETWORKS in varying:
        others = [key for key in settings if key != SUBNETWORKS]
        for name in dict.fromkeys((metric, "loss")):
            lines = _lines(rows, SUBNETWORKS, name, others)
            yield Figure(
                lines_figure(lines, "parallel subnetworks", _words(name), log_x=True),
                f"{_words(name).capitalize()} against the number of parallel subnetworks.",
            )
        plans = [key for key in others if key != LATENCY]
        measured = _lines(rows, SUBNETWORKS, SPEED, plans)
        bound = _lines(_bounds(rows, plans), SUBNETWORKS, SPEED, plans)
        both = {f"{name} measured".strip(): line for name, line in measured.items()}
        both |= {f"{name} bound".strip(): line for name, line in bound.items()}
        yield Figure(
            lines_figure(both, "parallel subnetworks", "frames per second", log_x=True),
            "Speed against the number of parallel subnetworks: measured on this machine, and what "
            "the plan allows if each subnetwork had a free device of the kind that runs one now.",
        )
    if LATENCY in varying:
        lines = _lines(rows, LATENCY, "loss", [key for key in settings if key != LATENCY])
        yield Figure(
            lines_figure(lines, "prediction latency, steps", "loss"),
            "Loss against prediction latency.",
        )


def _bounds(rows: Sequence[Row], plans: Sequence[str]) -> list[dict[str, Any]]:
    """`rows` with the speed of one subnetwork times the bound of the plan."""
    least = min(row[SUBNETWORKS] for row in rows)
    one = _grouped([row for row in rows if row[SUBNETWORKS] == least], plans)
    bounds = []
    for row in rows:
        alike = one.get(tuple(row[key] for key in plans))
        if alike:
            gain = row["parallel_bound"] / alike[0]["parallel_bound"]
            bounds.append({**row, SPEED: alike[0][SPEED] * gain})
    return bounds


def _lines(
    rows: Sequence[Row], x: str, y: str, by: Sequence[str], labels: Sequence[str] = ()
) -> dict[str, list[Point]]:
    """A line for each combination of values of `by`; its points are means over the rest."""
    lines: dict[str, list[Point]] = {}
    for values, group in _grouped(rows, by).items():
        points = []
        splits = labels if x == SPEED else [x]
        for alike in _grouped(group, splits).values():
            ys = [row[y] for row in alike]
            label = _setting(alike[0], [key for key in labels if key not in by])
            center = statistics.fmean(row[x] for row in alike)
            points.append(Point.of(center, ys, label))
        name = ", ".join(f"{_words(key)} {value}" for key, value in zip(by, values, strict=True))
        lines[name] = sorted(points)
    return lines


def _grouped(rows: Sequence[Row], keys: Sequence[str]) -> dict[tuple, list[Row]]:
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return groups


def _summary(group: Sequence[Row], settings: Sequence[str]) -> dict[str, Any]:
    """A row of the table: means over the seeds of a setting, and the range of each metric."""
    first = group[0]
    numbers = [key for key in first if key not in settings and key != SEED]
    row: dict[str, Any] = {key: first[key] for key in settings}
    for key in numbers:
        row[key] = statistics.fmean(each[key] for each in group)
        if len(group) > 1 and key not in OF_PLAN:
            row[f"{key}, range"] = max(r[key] for r in group) - min(r[key] for r in group)
    return row


def _setting(row: Row, keys: Sequence[str]) -> str:
    return ", ".join(f"{_words(key)} {row[key]}" for key in keys)


def _words(key: str) -> str:
    """A key as a reader would call it."""
    known = {SUBNETWORKS: "subnetworks", LATENCY: "latency", SEED: "seed"}
    return known.get(key, key.rpartition(".")[2].replace("_", " "))
