"""`mpvn compare`: accuracy against speed-up of finished sweeps, in one picture."""

import argparse
import pathlib

from mpvn.cli.mistakes import as_mistakes
from mpvn.cli.parsers import Commands, add_command
from mpvn.cli.paths import SVG, declare_paths
from mpvn.files import write_atomically

EXAMPLES = """\
mpvn compare sweeps/rendered_keypoints sweeps/rendered_actions --output compared.svg"""


def add_parser(commands: Commands) -> None:
    """Add `mpvn compare`."""
    summary = "plot accuracy against speed-up, relative to sequential networks, of several sweeps"
    parser = add_command(commands, "compare", run, summary, EXAMPLES)
    parser.add_argument("sweeps", metavar="SWEEP", nargs="+", help="the folder of a sweep")
    parser.add_argument("--output", metavar="FILE", required=True, help="the SVG file to write")
    declare_paths(parser, reads=["SWEEPS"], writes={"--output": SVG})


def run(arguments: argparse.Namespace) -> int:
    """Draw the figure."""
    from mpvn.report.speed_up import speed_up_figure
    from mpvn.training.hyperparameter_sweep import read_results

    with as_mistakes():
        folders = [pathlib.Path(sweep) for sweep in arguments.sweeps]
        names = {path.resolve().name for path in folders}
        several = len(names) < len(folders)
        rows = {str(p) if several else p.resolve().name: read_results(p) for p in folders}
        write_atomically(arguments.output, speed_up_figure(rows))
    print(f"written to {arguments.output}")
    return 0
