"""What `mpvn eval` draws: activation maps, and accuracy against cost."""

import argparse
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mpvn.cli.mistakes import Mistake
from mpvn.cli.parsers import percentage
from mpvn.files import write_atomically

if TYPE_CHECKING:
    from mpvn.training import Experiment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the drawings, and how to draw."""
    parser.add_argument(
        "--activations",
        metavar="FOLDER",
        help="actions: also write class activation maps of three videos, those of several runs "
        "below each other; several runs without --views are only drawn",
    )
    parser.add_argument(
        "--highlight",
        type=percentage,
        metavar="PERCENT",
        help="draw activation maps as the PERCENT of pixels with the highest activation, the "
        "others darkened (default: whole maps in colors)",
    )
    parser.add_argument(
        "--cost",
        metavar="FILE",
        help="with --views: also draw accuracy against multiply-adds per video and parameters, as "
        "SVG",
    )


def check(arguments: argparse.Namespace) -> None:
    """Raise `Mistake` if an option has nothing to apply to."""
    if arguments.cost and not arguments.views:
        raise Mistake("--cost is that of all views of a video. Add --views.")
    if arguments.highlight and not arguments.activations:
        raise Mistake("--highlight applies to activation maps. Add --activations FOLDER.")


def write_activations(
    arguments: argparse.Namespace, experiments: "Mapping[str, Experiment]"
) -> None:
    """Write the activation maps of networks by their runs, if asked for, and name the paths."""
    if arguments.activations:
        from mpvn.report import activation_pictures

        for path in activation_pictures.write_activations(
            experiments, arguments.activations, highlighted=arguments.highlight
        ):
            print(f"written to {path}")


def write_cost(
    arguments: argparse.Namespace,
    experiments: "Mapping[str, Experiment]",
    metrics: Mapping[str, Mapping[str, float]],
) -> None:
    """Draw accuracy against cost, if asked for, and name the path.

    Args:
        arguments: The parsed arguments.
        experiments: The networks by their runs.
        metrics: Metrics by run, with the main metric first. An entry that is no run is the ensemble
            of all runs.
    """
    if arguments.cost:
        from mpvn.report.cost import Cost, Network, cost_figure

        if not all(metrics.values()):
            raise ValueError(
                "--cost: expected videos with labels, to compute an accuracy. Received: none"
            )
        costs = {run: Cost.of_views(experiment) for run, experiment in experiments.items()}
        together = Cost.together(costs.values())
        networks = [
            Network(os.path.basename(os.path.normpath(run)), costs.get(run, together), [value])
            for run, (value, *_) in ((run, values.values()) for run, values in metrics.items())
        ]
        (metric, *_), *_ = metrics.values()
        write_atomically(arguments.cost, cost_figure(networks, metric, "video"))
        print(f"written to {arguments.cost}")
