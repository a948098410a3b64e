"""Devices for measurements on one machine: server processes of one thread, each on its own core.

Logical devices of one process share its threads, so they are not busy or idle apart. Each device
here is a `tf.distribute.Server` with one thread, pinned to a core where the system can do that. The
process that measures is their chief: it traces, calls, and reads what comes back.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

HOPS = 16
"""Times that a tensor travels when the link is measured."""

SIMULATED = (2, 4, 8, 14)
"""Numbers of simulated devices."""

SMALL, LARGE = 2**6, 2**18
"""Numbers of float32 in a small message and in a large one: 256 bytes and 1 MiB."""


@dataclasses.dataclass(frozen=True)
class Setup:
    """What is measured on, and how long.

    Attributes:
        devices: names of two devices.
        small: whether all sizes are tiny.
        latency, per_byte, call: seconds, of `measure_link`.
    """

    devices: list[str]
    small: bool
    latency: float
    per_byte: float
    call: float

    @property
    def rounds(self) -> int:
        """Calls that are timed."""
        return 1 if self.small else 3

    @property
    def link(self) -> Any:
        """The link between two devices, in seconds."""
        from mpvn.plan.simulation import Link

        return Link(self.latency, self.per_byte)

    def profile(self, model: Any) -> Any:
        """Return the measured times of the layers of a model, on one thread."""
        from mpvn.runtime import measure_profile

        return measure_profile(model, threads=1, seconds=0.1 if self.small else 3.0)


def table_arguments(script: str, doc: str, tables: Iterable[str]) -> argparse.Namespace | None:
    """Return the command line of a script that makes one table: `table` and `small`.

    Without a table, make each in a process of its own, which connects once, and return None.

    Args:
        script: `__file__` of the script.
        doc: its `__doc__`.
        tables: names of its tables.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("table", nargs="?", choices=sorted(tables))
    parser.add_argument("--small", action="store_true", help="tiny sizes; writes nothing")
    arguments = parser.parse_args()
    if arguments.table is not None:
        return arguments
    for table in tables:
        flags = ["--small"] * arguments.small
        subprocess.run([sys.executable, script, table, *flags], check=True)
    return None


@contextlib.contextmanager
def local_devices(count: int) -> Iterator[list[str]]:
    """Start devices, connect this process to them, and end them when the block ends.

    A process can do this once, before it uses TensorFlow.

    Args:
        count: number of devices.

    Yields:
        Their names.
    """
    addresses = [f"localhost:{port}" for port in free_ports(1 + count)]
    jobs = {"chief": addresses[:1], "worker": addresses[1:]}
    servers = [
        subprocess.Popen(
            [sys.executable, __file__, json.dumps(jobs), str(task)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for task in range(count)
    ]
    try:
        for server in servers:
            if not server.stdout.readline():
                raise RuntimeError("A device did not start. See its message above.")
        import tensorflow as tf

        tf.config.threading.set_inter_op_parallelism_threads(2)
        tf.config.threading.set_intra_op_parallelism_threads(1)
        cluster = tf.train.ClusterSpec(jobs)
        tf.config.experimental_connect_to_cluster(cluster, job_name="chief", task_index=0)
        yield [f"/job:worker/task:{task}/device:CPU:0" for task in range(count)]
    finally:
        for server in servers:
            server.kill()
            server.wait()
            server.stdin.close()
            server.stdout.close()


def measure_link(devices: list[str], rounds: int = 9) -> dict[str, float]:
    """Measure how tensors travel between the first two devices.

    A tensor travels to and fro, one addition on each device; the time of the additions alone, on
    one device, is subtracted. Best times count: whatever else runs can only make them longer.

    Returns:
        Seconds: `"latency"` of a message, `"per_byte"`, and `"call"` of a call of both devices.
    """
    seconds = {
        (size, apart): min(_seconds(_to_and_fro(devices if apart else devices[:1], size), rounds))
        for size in (SMALL, LARGE)
        for apart in (False, True)
    }
    small, large = (max(0.0, seconds[n, True] - seconds[n, False]) / HOPS for n in (SMALL, LARGE))
    return {
        "latency": small,
        "per_byte": max(0.0, large - small) / (4 * (LARGE - SMALL)),
        "call": seconds[SMALL, False],
    }


def median_seconds(call: Callable[[], Any], rounds: int) -> float:
    """Return the median time of a call, after one that does not count."""
    return statistics.median(_seconds(call, rounds))


def _seconds(call: Callable[[], Any], rounds: int) -> list[float]:
    """Return the times of calls, after one that does not count."""
    times = []
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return times[1:]


def _to_and_fro(devices: list[str], size: int) -> Callable[[], Any]:
    import tensorflow as tf

    with tf.device(devices[0]):
        sent = tf.Variable(tf.ones(size))

    @tf.function(autograph=False)
    def run(offset: tf.Tensor) -> tf.Tensor:
        # Without an argument, TensorFlow runs all of it on the device of the variable.
        x = sent.read_value()
        for hop in range(1, HOPS + 1):
            with tf.device(devices[hop % len(devices)]):
                x = tf.sin(x) + offset
        with tf.device(devices[0]):
            return tf.reduce_sum(x)

    return lambda: run(tf.constant(1.0)).numpy()


def free_ports(count: int) -> list[int]:
    """Return ports that nothing listens to."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("localhost", 0))
        return [each.getsockname()[1] for each in sockets]


def _serve(jobs: dict[str, list[str]], task: int) -> None:
    """Be a device until standard input is closed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[task % len(cores)]})
    import tensorflow as tf

    config = tf.compat.v1.ConfigProto(
        inter_op_parallelism_threads=1, intra_op_parallelism_threads=1
    )
    server = tf.distribute.Server(jobs, "worker", task, config=config)
    print(server.target, flush=True)
    sys.stdin.read()
    os._exit(0)  # a server cannot be stopped


if __name__ == "__main__":
    _serve(json.loads(sys.argv[1]), int(sys.argv[2]))
