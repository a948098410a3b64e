"""`mpvn sweep`: train or evaluate a grid of runs and plot the results."""

import argparse
import pathlib

from mpvn.cli.mistakes import Mistake, as_mistakes
from mpvn.cli.parsers import Commands, add_command
from mpvn.cli.paths import Output, check_paths, declare_paths
from mpvn.cli.startup import import_tensorflow

EXAMPLES = """\
mpvn sweep --config configs/rendered_keypoints.py --grid plan.subnetworks=1,4 \
--grid task.latency=0,2 --grid seed=0,1,2
mpvn sweep --config configs/par_densenet_pose.py --config.data.path=VIDEOS
mpvn sweep --rewire runs/rendered_keypoints --grid plan.subnetworks=1,2,4,8"""


def add_parser(commands: Commands) -> None:
    """Add `mpvn sweep`."""
    summary = "train or evaluate a grid of runs, measure their speed, plot accuracy against speed"
    parser = add_command(commands, "sweep", run, summary, EXAMPLES)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--config", metavar="FILE", help="a file of configs/, to train")
    source.add_argument("--rewire", metavar="RUN", help="a run, to evaluate under other plans")
    parser.add_argument(
        "--grid",
        action="append",
        default=[],
        metavar="KEY=VALUE,VALUE",
        help="the values of a config key; may be repeated (default: get_grid() of the config)",
    )
    parser.add_argument(
        "--output", metavar="FOLDER", help="default: sweeps/ and the name of the config or run"
    )
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time (default: 1)")
    parser.set_defaults(takes_overrides=True)
    output = Output(files=("results.json", "report.html"))
    declare_paths(parser, reads=["--config"], runs=["--rewire"], writes={"--output": output})


def run(arguments: argparse.Namespace) -> int:
    """Run the missing cells of the grid, and write the table and the report."""
    source = arguments.rewire or arguments.config
    if source is None:
        raise Mistake(
            "mpvn sweep needs a source. Add --config FILE to train, or --rewire RUN to evaluate a "
            "run under other plans."
        )
    arguments.output = arguments.output or str(pathlib.Path("sweeps", pathlib.Path(source).stem))
    check_paths(arguments)
    import_tensorflow()
    from mpvn.report.sweep import write_sweep_report
    from mpvn.training import hyperparameter_sweep
    from mpvn.training.lock import FolderLock

    with as_mistakes():
        options = dict(_grid_key(text) for text in arguments.grid)
        grid = options or hyperparameter_sweep.default_grid(source)
        folder = pathlib.Path(arguments.output)
        cells = hyperparameter_sweep.grid_cells(folder, source, grid, arguments.overrides)
        with FolderLock(folder, "sweep"):
            hyperparameter_sweep.run_cells(cells, arguments.jobs)
            rows = hyperparameter_sweep.collect(cells, grid)
            hyperparameter_sweep.add_speeds(rows, cells)
            hyperparameter_sweep.write_rows(folder / hyperparameter_sweep.RESULTS, rows)
            print(f"written to {write_sweep_report(folder / 'report.html', rows, list(grid))}")
    return 0


def _grid_key(text: str) -> tuple[str, list[str]]:
    """Return the key and the values of KEY=VALUE,VALUE,..."""
    key, equals, values = text.partition("=")
    if not equals or not values:
        raise ValueError(f"--grid: expected KEY=VALUE,VALUE such as seed=0,1. Received: {text!r}")
    return key.removeprefix("config."), values.split(",")
