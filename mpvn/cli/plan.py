"""`mpvn plan`: print a plan's schedule, latencies and costs, or draw it."""

import argparse
import json
import shutil
from typing import TYPE_CHECKING

from mpvn.cli.devices import planned
from mpvn.cli.measured_plan import MeasuredPlan, add_time_options, check_time_options
from mpvn.cli.mistakes import Mistake, as_mistakes
from mpvn.cli.model_and_plan import MODEL_HELP, add_model_and_plan_options, load_model_and_plan
from mpvn.cli.parsers import Commands, add_command
from mpvn.cli.paths import JSON, SVG, declare_paths
from mpvn.files import write_atomically

if TYPE_CHECKING:
    from mpvn.plan import Plan

EXAMPLES = """\
mpvn plan par_densenet --subnetworks 14 --figure par_densenet.svg
mpvn plan par_densenet --subnetworks 5 --phases flat
mpvn plan par_inception --option classes=400 --option clocks=False
mpvn plan ResNet50 --subnetworks 4 --partition balanced
mpvn plan my_model.keras --clocks 1,2,4 --subnetworks 3 --phases aligned
mpvn plan MobileNetV2 --profile --subnetworks 4 --partition balanced
mpvn plan ResNet50 --fps 30 --latency 2 --json plan.json
mpvn plan par_inception --partition branches
mpvn plan par_inception --assignment stem=0,mixed=1,mixed_4b.b1=2,head=1
mpvn plan vgg8 --subnetworks 4 --training 8 --training-figure training.svg"""


def add_parser(commands: Commands) -> None:
    """Add `mpvn plan`."""
    summary = "print a plan's schedule, latencies and costs"
    parser = add_command(commands, "plan", run, summary, EXAMPLES)
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "--json",
        metavar="FILE",
        help="also write the plan as JSON, for --plan, config.plan.file and Plan.from_config",
    )
    parser.add_argument("--figure", metavar="FILE", help="also draw the network as SVG")
    parser.add_argument(
        "--training",
        type=int,
        metavar="M",
        help="also print the schedules of back-propagation, GPipe and Sideways for M frames",
    )
    parser.add_argument(
        "--training-figure",
        metavar="FILE",
        help="also draw these schedules as SVG (requires --training)",
    )
    add_time_options(parser)
    add_model_and_plan_options(parser, devices=True)
    declare_paths(
        parser,
        reads=["--weights", "--assignment", "--plan", "--costs"],
        runs=["MODEL"],
        writes={
            "--json": JSON,
            "--profile-json": JSON,
            "--figure": SVG,
            "--training-figure": SVG,
        },
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the plan, and write what the options ask for."""
    if arguments.training_figure and arguments.training is None:
        raise Mistake("--training-figure needs the number of frames. Add --training M.")
    check_time_options(arguments)
    make_plan = MeasuredPlan(arguments)
    _, plan = load_model_and_plan(arguments, make_plan, planned)
    from mpvn.report.summary import summary

    print(plan)
    print()
    lines = summary(plan) | (make_plan.rate.summary() if make_plan.rate else {})
    for name, value in lines.items():
        print(f"{name:<34} {value}")
    with as_mistakes():
        if arguments.profile_json and make_plan.profile:
            _write(arguments.profile_json, make_plan.profile.to_json())
        if arguments.training is not None:
            _check_chain(plan)
            _print_training_schedules(plan, arguments.training)
        _write_files(plan, arguments)
    return 0


def _check_chain(plan: "Plan") -> None:
    if plan.depth != plan.subnetworks:
        raise Mistake(
            "--training draws a chain of subnetworks. Expected a plan whose subnetworks read one "
            f"another in turn. Received: {plan.subnetworks} subnetworks, of which a frame goes "
            f"through {plan.depth} at most. Leave out --training."
        )


def _print_training_schedules(plan: "Plan", frames: int) -> None:
    from mpvn.report.training_schedule import training_schedule_text

    columns = shutil.get_terminal_size().columns
    print(f"\n{training_schedule_text(plan.subnetworks, frames, columns)}")


def _write_files(plan: "Plan", arguments: argparse.Namespace) -> None:
    from mpvn.report import architecture_figure
    from mpvn.report.training_schedule import training_schedule_figure

    if arguments.json:
        _write(arguments.json, json.dumps(plan.get_config(), indent=1) + "\n")
    if arguments.figure:
        _write(arguments.figure, architecture_figure(plan))
    if arguments.training_figure:
        figure = training_schedule_figure(plan.subnetworks, arguments.training)
        _write(arguments.training_figure, figure)


def _write(path: str, content: str) -> None:
    write_atomically(path, content)
    print(f"\nwritten to {path}")
