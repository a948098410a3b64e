"""Processes of equal rank that train together: TensorFlow's collective operations between hosts.

Each process of a cluster's `workers` runs the same command with its own task. They find each other
through the first, and TensorFlow sums tensors over all of them. A process that waits for one that
is gone would wait for ever, so each watches the others and ends when one does not answer.
"""

import os
import sys
import threading
import time
from typing import Any

from mpvn.cluster.cluster_file import Cluster
from mpvn.cluster.connect import check_address
from mpvn.cluster.watch import DEADLINE, INTERVAL, Watch

LOST = 75
"""The exit status of a process that lost another: run the command again (`EX_TEMPFAIL`)."""


def strategy_of_peers(cluster: Cluster, task: int) -> Any:
    """Return the strategy of the workers of `cluster`, this process being one of them.

    It waits until all have come. A process has one replica, whose subnetworks may be on several of
    its devices. Call it before anything else uses TensorFlow.

    Raises:
        ConnectionError: the address of this task cannot be used.
        ValueError: there is no such task.
    """
    if not 0 <= task < len(cluster.workers):
        raise ValueError(
            f"--task. Expected a number from 0 to {len(cluster.workers) - 1}, because the cluster "
            f"has {len(cluster.workers)} workers. Received: {task}."
        )
    check_address(cluster.workers[task], f"worker {task}")
    import tensorflow as tf

    others = ", ".join(each for number, each in enumerate(cluster.workers) if number != task)
    print(f"worker {task} waits for {others}; for trusted networks only", file=sys.stderr)
    devices = tf.config.list_physical_devices("GPU")
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.workers)}),
        task_type="worker",
        task_id=task,
        rpc_layer="grpc",
        num_accelerators={"GPU": min(1, len(devices))},
    )
    return tf.distribute.MultiWorkerMirroredStrategy(resolver)


class PeerWatch:
    """A context manager that ends this process, with a message, when a worker is lost.

    Args:
        cluster: the addresses.
        deadline: seconds without an answer after which a worker is lost.
    """

    def __init__(self, cluster: Cluster, deadline: float = DEADLINE) -> None:
        self._addresses, self._deadline = cluster.workers, deadline
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PeerWatch":
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._done.set()
        self._thread.join()

    def wait_for_verdict(self) -> None:
        """Wait as long as it takes to notice that a worker is lost: then this does not return."""
        time.sleep(self._deadline + 1.0)

    def _watch(self) -> None:
        with Watch(self._addresses, self._deadline) as watch:
            while not self._done.wait(INTERVAL):
                watch.look(self._addresses)
                lost = watch.lost(self._addresses)
                if lost and not self._done.is_set():
                    _end(lost)


def _end(lost: str) -> None:
    print(
        f"\nmpvn: {lost}, so the training ends on all workers. Start the command again on all of "
        "them: it resumes from the last checkpoint",
        file=sys.stderr,
        flush=True,
    )
    os._exit(LOST)  # the main thread may wait for the lost worker inside of TensorFlow
