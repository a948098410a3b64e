"""The option `--cluster`: subnetworks of this command run on `mpvn worker` processes."""

import argparse
import dataclasses
import functools
from typing import TYPE_CHECKING

from mpvn.cli.mistakes import as_mistakes
from mpvn.cluster import supervised

if TYPE_CHECKING:
    from mpvn.cluster import Cluster


def add_cluster_option(parser: argparse.ArgumentParser) -> None:
    """Add `--cluster`."""
    parser.add_argument(
        "--cluster",
        metavar="FILE",
        help="the JSON file of a cluster, on whose mpvn worker processes subnetworks can be "
        "placed: /job:worker/task:0 and so on (trusted network only; see docs/distributed.md)",
    )


def named_cluster(arguments: argparse.Namespace) -> str | None:
    """Return the file that `--cluster` names; None for none, or for a command that has none."""
    path: str | None = getattr(arguments, "cluster", None)
    return path


@functools.cache  # when this process is the chief, the address is in use
def check_cluster(path: str) -> "Cluster":
    """Return the cluster of a file, whose chief can be this process.

    A supervisor may have replaced workers by spares.

    Raises:
        Mistake: the file describes none, or this process cannot listen at the chief's address.
    """
    with as_mistakes():
        from mpvn.cluster.cluster_file import Cluster
        from mpvn.cluster.connect import ENDS, check_address

        cluster = Cluster.read(path)
        check_address(cluster.chief, "chief", ENDS)
        if orders := supervised.orders():
            cluster = dataclasses.replace(cluster, workers=orders.workers, spares=())
        return cluster


@functools.cache  # a process connects once
def connect_once(cluster: "Cluster") -> None:
    """Become the chief of a cluster.

    Raises:
        Mistake: a worker is missing or has other versions.
    """
    from mpvn.cluster.connect import connect

    with as_mistakes():
        connect(cluster)
    supervised.connected()
