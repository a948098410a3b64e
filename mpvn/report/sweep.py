"""The report of a sweep: figures and tables as in *Massively Parallel Video Networks*, section 4.

- Accuracy and loss against the number of parallel subnetworks (figure 6; for rewired networks that
  are not trained, figure 8 left: "Seq. weights" and "Par. weights").
- Throughput against the number of subnetworks (tables 2 to 4).
- Loss against prediction latency (figure 8 right).
- Accuracy against speed (figure 10 has the speed-up: `mpvn.report.speed_up`).
- The table of all settings (table 1).
- The curves of training of all settings in one picture (*Sideways*, figure 4).

If networks differ in cost: accuracy against multiply-adds, with the numbers of parameters as areas
(*Temporal Shift Module*, figure 5).

Points are means over seeds; error bars are their ranges.
"""

import os
import pathlib
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mpvn.machine import machine_text
from mpvn.report.cost import Cost, Network, cost_figure
from mpvn.report.page import Figure, write_report
from mpvn.report.plots import Point, lines_figure
from mpvn.report.training_curves import History, Setting, training_curves_figure
from mpvn.training.grids import is_config_key
from mpvn.training.hyperparameter_sweep import SEED, SPEED, SUBNETWORKS

Row = Mapping[str, Any]

LATENCY = "task.latency"
REAL_TIME = "_realtime"  # end of the names of metrics in real time
COST = ("multiply_adds", "parameters")
PLAN_COLUMNS = (SPEED, "clock_speedup", "parallel_bound", "information_latency", *COST)
"""Columns that depend on the plan and not on the learned weights."""
LOWER_IS_BETTER = ("loss", "mse")
"""Main metrics whose best value is the lowest."""


def write_sweep_report(
    path: str | os.PathLike,
    rows: Sequence[Row],
    keys: Sequence[str],
    histories: Sequence[History] = (),
) -> pathlib.Path:
    """Write the figures and the table of a sweep, and return the path.

    Args:
        path: The HTML file to write.
        rows: Rows of `mpvn.training.hyperparameter_sweep.collect` and `add_speeds`.
        keys: The axes of the grid: keys of the config, and names.
        histories: The training of each row, of `mpvn.training.hyperparameter_sweep.histories`; none
            of networks that were not trained.

    Raises:
        ValueError: If there are no rows.
    """
    if not rows:
        raise ValueError("Cannot report a sweep. Expected at least one row. Received: none.")
    settings = [key for key in keys if key != SEED]
    metric = main_metric(rows[0], keys)
    table = [_table_row(group, settings) for group in _grouped(rows, settings).values()]
    best = (min if metric in LOWER_IS_BETTER else max)(table, key=lambda row: row[metric])
    number = len({row.get(SEED) for row in rows})
    seeds = f", {number} seeds" if number > 1 or SEED in keys else ""
    speed = "of a network that cannot stream"
    if best[SPEED] is not None:
        speed = f"at {best[SPEED]:.0f} frames per second on this machine"
    lead = (
        f"{len(rows)} runs in {len(table)} settings{seeds}. "
        f"Best {_readable(metric)}: {best[metric]:.3f} "
        f"({_setting(best, settings) or 'the only setting'}), {speed}."
    )
    notes = {"machine": machine_text()}
    figures = list(sweep_figures(rows, keys))
    if histories:
        figures.append(_training_figure(rows, settings, histories, metric))
    return write_report(path, "Sweep", lead, table, figures, notes=notes)


def main_metric(row: Row, keys: Sequence[str]) -> str:
    """Return the first metric by name that is not a loss, or `"loss"` if there is none."""
    losses = ("loss", "cross_entropy", "distance")
    names = [name for name in sorted(_measured(row, keys)) if not name.endswith(REAL_TIME)]
    return next((name for name in names if name not in (*PLAN_COLUMNS, *losses)), "loss")


def _measured(row: Row, keys: Sequence[str]) -> list[str]:
    """Return the columns that are no settings: no axis, and no key of the config."""
    return [name for name in row if name not in keys and not is_config_key(name)]


def sweep_figures(rows: Sequence[Row], keys: Sequence[str]) -> Iterator[Figure]:
    """Yield the figures for the keys that vary in the grid.

    Args:
        rows: Rows of `mpvn.training.hyperparameter_sweep.collect` and `add_speeds`.
        keys: The axes of the grid.
    """
    settings = [key for key in keys if key != SEED]
    metric = main_metric(rows[0], keys)
    varying = [key for key in settings if len({row[key] for row in rows}) > 1]
    streaming = [row for row in rows if row[SPEED] is not None]
    if varying and streaming:
        others = [key for key in settings if key != SUBNETWORKS]
        by_speed = _lines(streaming, SPEED, metric, others, varying)
        yield Figure(
            lines_figure(by_speed, "frames per second, streaming", _readable(metric)),
            f"{_readable(metric).capitalize()} against speed on this machine.",
        )
    if SUBNETWORKS in varying:
        others = [key for key in settings if key != SUBNETWORKS]
        for name in dict.fromkeys((metric, "loss")):
            lines = _lines(rows, SUBNETWORKS, name, others)
            yield Figure(
                lines_figure(lines, "parallel subnetworks", _readable(name), log_x=True),
                f"{_readable(name).capitalize()} against the number of parallel subnetworks.",
            )
        if streaming:
            yield _speed_figure(streaming, [key for key in others if key != LATENCY])
    if LATENCY in varying:
        lines = _lines(rows, LATENCY, "loss", [key for key in settings if key != LATENCY])
        yield Figure(
            lines_figure(lines, "prediction latency, steps", "loss"),
            "Loss against prediction latency.",
        )
    if len({tuple(row[key] for key in COST) for row in rows}) > 1:
        yield _cost_figure(rows, settings, varying, metric)


def _training_figure(
    rows: Sequence[Row], settings: Sequence[str], histories: Sequence[History], metric: str
) -> Figure:
    varying = [key for key in settings if len({row[key] for row in rows}) > 1]
    of_row = {id(row): history for row, history in zip(rows, histories, strict=True)}
    lines = [
        Setting(_setting(group[0], varying) or "all runs", values, [of_row[id(r)] for r in group])
        for values, group in _grouped(rows, varying).items()
    ]
    return Figure(
        training_curves_figure(lines, metric),
        "Curves of training, means over the seeds. Settings that differ in their last value alone "
        "share a color.",
    )


def _cost_figure(
    rows: Sequence[Row], settings: Sequence[str], varying: Sequence[str], metric: str
) -> Figure:
    networks = [
        Network(
            _setting(group[0], varying),
            Cost(*(group[0][key] for key in COST)),
            [row[metric] for row in group],
        )
        for group in _grouped(rows, settings).values()
    ]
    return Figure(
        cost_figure(networks, _readable(metric), "clip"),
        f"{_readable(metric).capitalize()} against the multiply-adds of a training clip. Areas are "
        "in proportion to the numbers of parameters.",
    )


def _speed_figure(rows: Sequence[Row], by: Sequence[str]) -> Figure:
    measured = _lines(rows, SUBNETWORKS, SPEED, by)
    bound = _lines(_bounds(rows, by), SUBNETWORKS, SPEED, by)
    lines = {f"{name} measured".strip(): line for name, line in measured.items()}
    lines |= {f"{name} bound".strip(): line for name, line in bound.items()}
    return Figure(
        lines_figure(lines, "parallel subnetworks", "frames per second", log_x=True),
        "Speed against the number of parallel subnetworks: measured on this machine, and the bound "
        "of the plan if each subnetwork had its own device as fast as this machine.",
    )


def _bounds(rows: Sequence[Row], by: Sequence[str]) -> list[dict[str, Any]]:
    """Return `rows` with the speed of the fewest subnetworks times the gain that the plan allows.

    A group without a row for the fewest subnetworks has no bounds.
    """
    fewest = min(row[SUBNETWORKS] for row in rows)
    baselines = _grouped([row for row in rows if row[SUBNETWORKS] == fewest], by)
    bounds = []
    for row in rows:
        baseline = baselines.get(tuple(row[key] for key in by))
        if baseline:
            gain = row["parallel_bound"] / baseline[0]["parallel_bound"]
            bounds.append({**row, SPEED: baseline[0][SPEED] * gain})
    return bounds


def _lines(
    rows: Sequence[Row], x: str, y: str, by: Sequence[str], labels: Sequence[str] = ()
) -> dict[str, list[Point]]:
    """Return one line per combination of values of `by`; points are means over the other keys."""
    lines: dict[str, list[Point]] = {}
    for values, group in _grouped(rows, by).items():
        points = []
        for similar in _grouped(group, labels if x == SPEED else [x]).values():
            label = _setting(similar[0], [key for key in labels if key not in by])
            mean_x = statistics.fmean(row[x] for row in similar)
            points.append(Point.of(mean_x, [row[y] for row in similar], label))
        lines[_setting(dict(zip(by, values, strict=True)), by)] = sorted(points)
    return lines


def _grouped(rows: Sequence[Row], keys: Sequence[str]) -> dict[tuple, list[Row]]:
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return groups


def _table_row(group: Sequence[Row], settings: Sequence[str]) -> dict[str, Any]:
    """Return the means over the seeds of one setting, and the range of each metric."""
    first = group[0]
    row: dict[str, Any] = {key: first[key] for key in settings}
    for key in _measured(first, settings):
        values = [other[key] for other in group]
        row[key] = None if None in values else statistics.fmean(values)
        if len(group) > 1 and key not in PLAN_COLUMNS:
            row[f"{key}, range"] = max(values) - min(values)
    return row


def _setting(row: Row, keys: Sequence[str]) -> str:
    """Return the values of `keys` in words. Names of an axis speak for themselves."""
    return ", ".join(
        f"{_readable(key)} {row[key]}" if is_config_key(key) else str(row[key]) for key in keys
    )


def _readable(key: str) -> str:
    """Return a readable name for a key."""
    names = {SUBNETWORKS: "subnetworks", LATENCY: "latency", SEED: "seed"}
    return names.get(key, key.rpartition(".")[2].replace("_", " "))
