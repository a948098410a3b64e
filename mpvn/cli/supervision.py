"""Commands with `--cluster` that are run again after a fault, from where they were.

The command itself is the supervisor, which starts at once and needs no TensorFlow. It runs the same
command line in a process of its own, which is told so by an environment variable.
"""

import argparse
import math
import sys
import traceback
from collections.abc import Callable, Sequence

from mpvn.cli.mistakes import Mistake
from mpvn.cluster import supervised
from mpvn.cluster.supervise import DEADLINE, GIVEN_UP, GivenUp, Supervisor


def add_supervision(
    parser: argparse.ArgumentParser, after_fault: Callable[[argparse.Namespace], str]
) -> None:
    """Let a command with `--cluster` be supervised, and add `--deadline`.

    Args:
        parser: the parser of the command.
        after_fault: says what happens then; see `Supervisor`.
    """
    parser.add_argument(
        "--deadline",
        type=float,
        default=DEADLINE,
        metavar="SECONDS",
        help="with --cluster: a process that has not finished a batch or frame for so long hangs, "
        "and goes on in another one; ten times as long where functions are traced (default: "
        f"{DEADLINE:g})",
    )
    parser.set_defaults(after_fault=after_fault)


def run_command(arguments: argparse.Namespace, argv: Sequence[str]) -> int:
    """Run a command in this process, or under a supervisor in another, and return its exit code.

    Args:
        arguments: the parsed arguments.
        argv: the command line that they come from.

    Raises:
        Mistake: there is no such cluster, or it has failed for good.
    """
    is_child = supervised.attend()
    has_chief = getattr(arguments, "task", None) is None  # else peers, which end together
    if hasattr(arguments, "after_fault") and arguments.cluster and has_chief and not is_child:
        return _supervise(arguments, argv)
    try:
        code: int = arguments.command_function(arguments)
    except (Mistake, BrokenPipeError):
        raise
    except Exception:
        if not is_child:
            raise
        sys.stdout.flush()
        supervised.fault(traceback.format_exc())
    return code


def _supervise(arguments: argparse.Namespace, argv: Sequence[str]) -> int:
    if not 0 < arguments.deadline < math.inf:
        raise Mistake(f"--deadline: expected a number above 0. Received: {arguments.deadline}.")
    from mpvn.cli.clusters import check_cluster

    cluster = check_cluster(arguments.cluster)
    command = [sys.executable, "-m", "mpvn.cli", *argv]
    try:
        return Supervisor(
            cluster, command, arguments.after_fault(arguments), _say, arguments.deadline
        ).run()
    except ConnectionError as error:
        raise Mistake(str(error)) from error
    except GivenUp as error:
        print(f"mpvn: {error}", file=sys.stderr)
        return GIVEN_UP


def _say(line: str) -> None:
    print(f"\nmpvn: {line}", file=sys.stderr, flush=True)
