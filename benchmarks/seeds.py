"""What benchmarks of training share: settings by seeds, each a run of its own, as a table."""

import argparse
import json
import pathlib
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from reporting import environment, insert_table, markdown

from mpvn.files import write_atomically
from mpvn.training.hyperparameter_sweep import Cell, run_cells

SEEDS = (0, 1, 2)
JOBS = 2

Measured = Sequence[tuple[Any, Sequence[Cell]]]
"""Each setting, of whatever kind, and its runs: one a seed."""


def arguments(doc: str, sections: Iterable[str]) -> argparse.Namespace:
    """Of the command line: `section`, `small`, `runs`, `jobs`, `only_results`."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("section", nargs="?", choices=list(sections))
    parser.add_argument("--small", action="store_true", help="two batches a run; writes nothing")
    parser.add_argument("--runs", type=pathlib.Path, help="where runs are kept and taken up")
    parser.add_argument("--jobs", type=int, default=JOBS, help="runs at a time")
    parser.add_argument("--only-results", action="store_true", help="of the runs that are done")
    return parser.parse_args()


def measure(
    here: pathlib.Path,
    section: str,
    measured: Measured,
    row: Callable[[Any, Sequence[Cell]], dict[str, Any]],
    asked: argparse.Namespace,
) -> Measured:
    """Runs what is not done, and writes the table: results/SECTION.json, and into README.md.

    Args:
        here: folder of the benchmark.
        section: name of the results, and of the markers in the README.
        measured: all settings, in the order of the table.
        row: the row of a setting with the runs that are done.
        asked: as `arguments` gives it.

    Returns:
        What is done.
    """
    started = time.time()
    if not asked.only_results:
        run_cells([cell for _, cells in measured for cell in cells], asked.jobs)
    done = [(setting, [cell for cell in cells if cell.done]) for setting, cells in measured]
    done = [(setting, cells) for setting, cells in done if cells]
    result = {
        "rows": [row(setting, cells) for setting, cells in done],
        "environment": environment(started),
    }
    print(markdown(result["rows"]))
    if not asked.small:
        (here / "results").mkdir(exist_ok=True)
        write_atomically(here / "results" / f"{section}.json", json.dumps(result, indent=1) + "\n")
        insert_table(here / "README.md", section, result)
    return done


def spread(values: Sequence[float], digits: int = 3) -> dict[str, str]:
    """Mean, and least and greatest, in words."""
    return {
        "mean": f"{statistics.fmean(values):.{digits}f}",
        "least to greatest": f"{min(values):.{digits}f} to {max(values):.{digits}f}",
    }
