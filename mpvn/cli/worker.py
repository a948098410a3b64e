"""`mpvn worker`: run subnetworks for a command on another process or host."""

import argparse
import math
import sys

from mpvn.cli.mistakes import Mistake, as_mistakes
from mpvn.cli.parsers import Commands, add_command
from mpvn.cli.paths import declare_paths
from mpvn.cluster.watch import DEADLINE

EXAMPLES = """\
mpvn worker --cluster cluster.json --task 0
mpvn worker --cluster cluster.json --task 1 --threads 4"""

TRUST = (
    "trusted network only: whoever reaches its port runs what they like, because servers of "
    "TensorFlow have no authentication and listen on all interfaces"
)


def add_parser(commands: Commands) -> None:
    """Add `mpvn worker`."""
    summary = f"run subnetworks for commands with --cluster ({TRUST})"
    parser = add_command(commands, "worker", run, summary, EXAMPLES)
    parser.add_argument(
        "--cluster",
        required=True,
        metavar="FILE",
        help="the JSON file of addresses, the same for all processes: "
        '{"chief": "host:port", "workers": ["host:port", ...]}',
    )
    parser.add_argument(
        "--task",
        required=True,
        type=int,
        metavar="K",
        help="which of the workers this is, from 0; spares follow the workers",
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="threads of a step (default: one for each core)"
    )
    parser.add_argument(
        "--deadline",
        type=float,
        default=DEADLINE,
        metavar="SECONDS",
        help="a chief or server that has not answered for so long is considered hung, and the "
        f"server starts again (default: {DEADLINE:g})",
    )
    declare_paths(parser, reads=["--cluster"], writes={})


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    if arguments.threads is not None and arguments.threads < 1:
        raise Mistake(f"--threads: expected at least 1. Received: {arguments.threads}.")
    if not 0 < arguments.deadline < math.inf:
        raise Mistake(f"--deadline: expected a number above 0. Received: {arguments.deadline}.")
    with as_mistakes():
        from mpvn.cluster.cluster_file import Cluster
        from mpvn.cluster.worker import Worker

        cluster = Cluster.read(arguments.cluster)
        _say(f"worker {arguments.task} starts ({TRUST})")
        options = arguments.task, arguments.threads, arguments.deadline
        with Worker(cluster, *options, _say) as worker:
            worker.run()
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
