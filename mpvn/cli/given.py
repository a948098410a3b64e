"""The options of `mpvn eval` for a network without a run."""

import argparse
from typing import TYPE_CHECKING

from mpvn.cli.mistakes import Mistake

if TYPE_CHECKING:
    from ml_collections import ConfigDict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    group = parser.add_argument_group("a network without a run, in place of RUN")
    group.add_argument(
        "--model", metavar="MODEL", help="a .keras file, or the name of a network (see mpvn models)"
    )
    group.add_argument(
        "--weights",
        metavar="FILE|NAME",
        help="weights of a network by name: a checkpoint, or published weights (see mpvn models "
        "--weights)",
    )
    group.add_argument(
        "--data",
        metavar="NAME",
        help="the data set, at --config.data.path (default: folder, videos in class folders)",
    )
    group.add_argument(
        "--config",
        metavar="FILE",
        help="a file of configs/ with data, clips and views, and with the model unless --model is "
        "given (default: clips as the network was trained on, or else as in TSM's test)",
    )


def is_given(arguments: argparse.Namespace) -> bool:
    """Return whether a network without a run is to be evaluated."""
    return arguments.model is not None or arguments.config is not None


def check(arguments: argparse.Namespace) -> None:
    """Raise `Mistake` unless there are either runs or a network without one."""
    if is_given(arguments):
        if arguments.runs:
            raise Mistake(
                "Expected either the folders of runs, or --model or --config for a network without "
                f"a run. Received: both, {' '.join(arguments.runs)} and "
                f"{arguments.model or arguments.config}. Leave out one of them."
            )
    elif arguments.weights or arguments.data:
        option = "--weights" if arguments.weights else "--data"
        raise Mistake(f"{option} is of a network without a run. Add --model MODEL.")
    elif not arguments.runs:
        raise Mistake(
            "Expected the folder of a run, or a network without one. Received: none. Add RUN, or "
            "--model MODEL --data NAME --config.data.path=FOLDER."
        )


def config_of(arguments: argparse.Namespace) -> "ConfigDict":
    """Return the config of the evaluation.

    Raises:
        ValueError: A file cannot be loaded, or an override does not fit.
    """
    from mpvn.training import given_config, load_config, override

    if arguments.config is None:
        config = given_config(arguments.model, arguments.weights, arguments.data)
        return override(config, arguments.overrides)
    changes = {
        "model.name": arguments.model,
        "model.weights": arguments.weights,
        "data.name": arguments.data,
    }
    overrides = [f"--config.{key}={value}" for key, value in changes.items() if value is not None]
    return load_config(arguments.config, [*overrides, *arguments.overrides])
