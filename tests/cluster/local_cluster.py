"""A cluster on this machine for tests: servers of TensorFlow, and a chief that runs a program.

Starting costs seconds, for TensorFlow is imported in each process: start one cluster for a module.
The servers are forks of one process that has imported it.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from mpvn.cluster import Cluster
from mpvn.cluster.versions import VERSIONS_VARIABLE, versions_of_this

ROOT = pathlib.Path(__file__).resolve().parents[2]

SERVERS = """
import json, os, sys
import tensorflow as tf
addresses = json.loads(sys.argv[1])
for task in range(len(addresses)):
    if os.fork() == 0:
        config = tf.compat.v1.ConfigProto(
            inter_op_parallelism_threads=1, intra_op_parallelism_threads=1
        )
        server = tf.distribute.Server({"worker": addresses}, "worker", task, config=config)
        print(os.getpid(), task, flush=True)
        server.join()
os.wait()
"""

CHIEF = """
import json, sys
from mpvn.cluster import Cluster, connect
cluster = Cluster.read(sys.argv[1])
devices = [f"/job:worker/task:{task}/device:CPU:0" for task in range(len(cluster.workers))]
connect(cluster)
{program}
print(json.dumps(answer))
"""


def free_addresses(count: int) -> list[str]:
    """Return addresses of this machine whose ports no process uses."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("localhost", 0))
        return [f"localhost:{each.getsockname()[1]}" for each in sockets]


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a process that can import this repository and its tests' help."""
    paths = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "cluster")]
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "MPVN_CACHE": ""}
    return {**os.environ, **quiet, "PYTHONPATH": os.pathsep.join(paths), **more}


@contextlib.contextmanager
def local_cluster(
    folder: pathlib.Path, workers: int = 2, spares: int = 0, versions: str | None = None
) -> Iterator[LocalCluster]:
    """Run servers in the block, each with one thread.

    Args:
        folder: where the cluster file is written.
        workers: number of workers.
        spares: number of further servers.
        versions: the versions that they carry, by default ours.
    """
    chief, *addresses = free_addresses(1 + workers + spares)
    cluster = Cluster(chief, tuple(addresses[:workers]), tuple(addresses[workers:]))
    path = write_cluster(folder / "cluster.json", cluster)
    servers = subprocess.Popen(
        [sys.executable, "-c", SERVERS, json.dumps(cluster.servers)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(**{VERSIONS_VARIABLE: versions or versions_of_this()}),
        start_new_session=True,
    )
    try:
        lines = [servers.stdout.readline().split() for _ in cluster.servers]
        processes = {int(task): int(process) for process, task in lines}
        yield LocalCluster(path, cluster, processes)
    finally:
        os.killpg(servers.pid, signal.SIGKILL)
        servers.wait()
        servers.stdout.close()


def write_cluster(path: pathlib.Path, cluster: Cluster) -> pathlib.Path:
    """Write a cluster file, and return its path."""
    content = {"chief": cluster.chief, "workers": cluster.workers, "spares": cluster.spares}
    path.write_text(json.dumps(content))
    return path


class LocalCluster:
    """The servers of `local_cluster`.

    Attributes:
        path: the cluster file.
        cluster: what it says.
        processes: the process of each task's server, which a test may stop or kill.
    """

    def __init__(self, path: pathlib.Path, cluster: Cluster, processes: Mapping[int, int]) -> None:
        self.path = path
        self.cluster = cluster
        self.processes = processes

    def run(self, program: str, *arguments: str, timeout: float = 300.0) -> Any:
        """Run a program as the chief, and return the value of its variable `answer`.

        `cluster` and the workers' `devices` are variables of the program. `answer` passes as JSON.

        Args:
            program: Python text. It can import the modules of `tests/cluster/`.
            arguments: `sys.argv[2:]` of the program.
            timeout: seconds.
        """
        text = CHIEF.replace("{program}", program)
        done = subprocess.run(
            [sys.executable, "-c", text, str(self.path), *arguments],
            capture_output=True,
            text=True,
            env=environment(),
            timeout=timeout,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])
