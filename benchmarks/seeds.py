"""Helpers of the benchmarks that train: settings by seeds, one run each, summarized in a table."""

import argparse
import pathlib
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from reporting import environment, markdown, save

from mpvn.training.hyperparameter_sweep import Cell, run_cells

SEEDS = (0, 1, 2)
JOBS = 2

Measured = Sequence[tuple[Any, Sequence[Cell]]]
"""Settings (of any type), each with its runs: one per seed."""


def parse_arguments(doc: str, sections: Iterable[str]) -> argparse.Namespace:
    """Parse the command line: `section`, `small`, `runs`, `jobs`, `only_results`."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("section", nargs="?", choices=list(sections))
    parser.add_argument("--small", action="store_true", help="two batches per run; writes no table")
    parser.add_argument("--runs", type=pathlib.Path, help="folder of the runs; stopped runs resume")
    parser.add_argument("--jobs", type=int, default=JOBS, help="runs at a time")
    parser.add_argument(
        "--only-results", action="store_true", help="train nothing; tabulate the finished runs"
    )
    return parser.parse_args()


def measure(
    folder: pathlib.Path,
    section: str,
    measured: Measured,
    row: Callable[[Any, Sequence[Cell]], dict[str, Any]],
    options: argparse.Namespace,
) -> Measured:
    """Run what is not done yet, and save the table.

    Args:
        folder: Folder of the benchmark.
        section: Name of the result, and of its markers in the README.
        measured: All settings, in the order of the table.
        row: Returns the row of a setting, given its finished runs.
        options: From `parse_arguments`.

    Returns:
        The settings that have finished runs, with those runs.
    """
    started = time.time()
    if not options.only_results:
        run_cells([cell for _, cells in measured for cell in cells], options.jobs)
    done = [(setting, [cell for cell in cells if cell.done]) for setting, cells in measured]
    done = [(setting, cells) for setting, cells in done if cells]
    rows = [row(setting, cells) for setting, cells in done]
    print(markdown(rows))
    if not options.small:
        save(folder, section, {"rows": rows, "environment": environment(started)})
    return done


def mean_and_range(values: Sequence[float], digits: int = 3) -> tuple[str, str]:
    """Return the mean and the range of `values` as text."""
    smallest, largest = min(values), max(values)
    return (
        f"{statistics.fmean(values):.{digits}f}",
        f"{smallest:.{digits}f} to {largest:.{digits}f}",
    )
