"""`mpvn sweep`: train or evaluate a grid of runs and plot the results."""

import argparse
import pathlib
from typing import TYPE_CHECKING, Any

from mpvn.cli.clusters import add_cluster_option, check_cluster
from mpvn.cli.devices import add_devices_option
from mpvn.cli.mistakes import Mistake, as_mistakes
from mpvn.cli.parsers import Commands, add_command
from mpvn.cli.paths import Output, check_paths, declare_paths
from mpvn.cli.startup import import_tensorflow

if TYPE_CHECKING:
    from mpvn.training.grids import Grid

EXAMPLES = """\
mpvn sweep --config configs/rendered_keypoints.py --grid plan.subnetworks=1,4 \
--grid task.latency=0,2 --grid seed=0,1,2
mpvn sweep --config configs/par_densenet_pose.py --config.data.path=VIDEOS
mpvn sweep --config configs/rendered_keypoints.py --grid figure_6_right --grid seed=0,1,2
mpvn sweep --rewire runs/sequential --grid plan.subnetworks=1,2,4,8
mpvn sweep --rewire runs/sequential runs/parallel --grid plan.subnetworks=1,2,4,8"""


def add_parser(commands: Commands) -> None:
    """Add `mpvn sweep`."""
    summary = "train or evaluate a grid of runs, measure their speed, plot accuracy against speed"
    parser = add_command(commands, "sweep", run, summary, EXAMPLES)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--config", metavar="FILE", help="a file of configs/, to train")
    source.add_argument(
        "--rewire",
        metavar="RUN",
        nargs="+",
        help="runs, to evaluate under other plans without training: of sequential networks under "
        "parallel plans, and the reverse",
    )
    parser.add_argument(
        "--grid",
        action="append",
        default=[],
        metavar="KEY=VALUE,VALUE or NAME",
        help="the values of a config key, or a grid of the config, get_grid_NAME(); may be "
        "repeated, for their product (default: get_grid() of the config)",
    )
    parser.add_argument(
        "--output", metavar="FOLDER", help="default: sweeps/ and the name of the config or runs"
    )
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time (default: 1)")
    add_devices_option(parser)
    add_cluster_option(parser)
    parser.set_defaults(takes_overrides=True)
    output = Output(files=("results.json", "report.html"))
    declare_paths(
        parser, reads=["--config", "--cluster"], runs=["--rewire"], writes={"--output": output}
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the missing cells of the grid, and write the table and the report."""
    sources = arguments.rewire or [arguments.config]
    if sources == [None]:
        raise Mistake(
            "mpvn sweep needs a source. Add --config FILE to train, or --rewire RUN to evaluate a "
            "run under other plans."
        )
    if arguments.cluster and (arguments.rewire or arguments.jobs > 1):
        received = "--rewire" if arguments.rewire else f"--jobs {arguments.jobs}"
        raise Mistake(
            "--cluster: expected runs to train (--config), one at a time, because a cluster has "
            f"one chief. Received: {received}."
        )
    if arguments.cluster:
        check_cluster(arguments.cluster)
    name = "+".join(pathlib.Path(source).stem for source in sources)
    arguments.output = arguments.output or str(pathlib.Path("sweeps", name))
    check_paths(arguments)
    import_tensorflow(devices=None if arguments.cluster else arguments.devices)
    from mpvn.report.sweep import write_sweep_report
    from mpvn.training import hyperparameter_sweep as sweep
    from mpvn.training.grids import changed_keys
    from mpvn.training.lock import FolderLock

    overrides = arguments.overrides
    if arguments.devices:
        overrides = [*overrides, f"--config.plan.devices={arguments.devices}"]
    with as_mistakes():
        grid = _grid(arguments)
        folder = pathlib.Path(arguments.output)
        if arguments.rewire:
            cells = sweep.rewired_cells(folder, arguments.rewire, grid, overrides)
        else:
            cells = sweep.grid_cells(
                folder, arguments.config, grid, overrides, cluster=arguments.cluster
            )
        axes = list(cells[0].labels)
        with FolderLock(folder, "sweep"):
            sweep.run_cells(cells, arguments.jobs)
            keys = dict.fromkeys([*axes, *changed_keys(grid), sweep.SUBNETWORKS, sweep.SEED])
            rows = sweep.collect(cells, keys)
            sweep.add_speeds(rows, cells)
            sweep.write_results(folder, axes, rows)
            page = write_sweep_report(folder / "report.html", rows, axes, sweep.histories(cells))
            print(f"written to {page}")
    return 0


def _grid(arguments: argparse.Namespace) -> "Grid":
    """Return the product of the grids that are given, or the default of the config."""
    from mpvn.training.grids import config_grid

    source = arguments.config or arguments.rewire[0]
    if not arguments.grid:
        return config_grid(source)
    grid: dict[str, Any] = {}
    given: set[str] = set()
    for text in arguments.grid:
        if arguments.config and text.isidentifier():
            grid |= config_grid(source, text)
        else:
            key, values = _grid_key(text)
            if key in given:
                raise ValueError(
                    f"--grid: expected the values of {key} at once. Received: {text!r}"
                )
            given.add(key)
            grid[key] = values
    return grid


def _grid_key(text: str) -> tuple[str, list[str]]:
    """Return the key and the values of KEY=VALUE,VALUE,..."""
    key, equals, values = text.partition("=")
    if not equals or not values:
        raise ValueError(f"--grid: expected KEY=VALUE,VALUE such as seed=0,1. Received: {text!r}")
    return key.removeprefix("config."), _values(values)


def _values(text: str) -> list[str]:
    """Split text at its commas, but not at those of tuples."""
    values, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and not depth:
            values.append("")
        else:
            values[-1] += character
    return values
