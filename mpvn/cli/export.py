"""`mpvn export`: write a SavedModel that streams without this package."""

import argparse

from mpvn.cli.mistakes import as_mistakes
from mpvn.cli.model_and_plan import (
    MODEL_HELP,
    add_model_and_plan_options,
    load_model_and_plan,
    warn_of_random_weights,
)
from mpvn.cli.parsers import Commands, add_command
from mpvn.cli.paths import NEW_FOLDER, declare_paths

EXAMPLES = "mpvn export MobileNetV2 served/1 --subnetworks 4 --clocks auto"


def add_parser(commands: Commands) -> None:
    """Add `mpvn export`."""
    summary = "write a SavedModel that streams without this package"
    parser = add_command(commands, "export", run, summary, EXAMPLES)
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("folder", metavar="FOLDER", help="the folder to create")
    add_model_and_plan_options(parser)
    declare_paths(
        parser,
        reads=["--weights", "--assignment", "--plan"],
        runs=["MODEL"],
        writes={"FOLDER": NEW_FOLDER},
    )


def run(arguments: argparse.Namespace) -> int:
    """Export the network."""
    loaded, plan = load_model_and_plan(arguments)
    warn_of_random_weights(loaded)

    with as_mistakes():
        loaded.network(plan).export(arguments.folder, verbose=False)
    print(f"written to {arguments.folder}: signatures init_states, step, clip")
    return 0
