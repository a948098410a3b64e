"""Makes this process the chief of a cluster: its TensorFlow then knows the workers' devices."""

import errno
import os
import socket
import time

from mpvn.cluster.cluster_file import Cluster, host_and_port
from mpvn.cluster.ping import wait_for_answer
from mpvn.cluster.versions import VERSIONS_VARIABLE, versions_of_this

ENDS = 5.0
"""Seconds in which a process that was killed gives up its address."""

WAIT = 30.0
"""Seconds in which all workers must answer: one that has just lost its chief starts anew."""


def connect(cluster: Cluster, seconds: float = WAIT) -> list[str]:
    """Connect this process to the workers, as their chief.

    Call it before anything else uses TensorFlow. A process connects once.

    Args:
        cluster: the addresses.
        seconds: how long to wait for the workers.

    Returns:
        The names of all devices of the workers, such as `"/job:worker/task:0/device:CPU:0"`.

    Raises:
        ConnectionError: a worker does not answer, or the chief's address cannot be used.
        ValueError: a worker has other versions of mpvn, TensorFlow or Python.
    """
    check_address(cluster.chief, "chief")
    end = time.monotonic() + seconds
    for task, address in enumerate(cluster.workers):
        # The first answer of each is awaited to the common end, but for a second at least.
        if not wait_for_answer(address, max(1.0, end - time.monotonic())):
            raise ConnectionError(missing_worker(task, address, seconds))
    import tensorflow as tf

    tf.config.experimental_connect_to_cluster(
        tf.train.ClusterSpec(cluster.jobs()), job_name="chief", task_index=0
    )
    for task, address in enumerate(cluster.workers):
        check_versions(task, address)
    names = [device.name for device in tf.config.list_logical_devices()]
    return [name.replace("/replica:0", "") for name in names if "/job:worker/" in name]


def missing_worker(task: int, address: str, seconds: float) -> str:
    """Return the message about a worker that does not answer."""
    return (
        f"Cluster. Expected worker {task} at {address} to answer within {seconds:g} s. Received: "
        f"no answer. Start it on that host with mpvn worker --cluster FILE --task {task}, and let "
        "firewalls pass its port."
    )


def check_address(address: str, role: str, seconds: float = 0.0) -> None:
    """Check that a process of this host can listen at an address.

    Args:
        address: the address.
        role: what listens there, for messages.
        seconds: how long to wait for a process that uses it, and may be about to end.

    Raises:
        ConnectionError: another process does, or it is the address of another host.
    """
    host, port = host_and_port(address)
    end = time.monotonic() + seconds
    while (error := _refusal(host, port)) and error.errno == errno.EADDRINUSE:
        if time.monotonic() > end:
            break
        time.sleep(0.1)
    if error is not None:
        raise ConnectionError(f"Cluster: {_fault(address, role, error)}") from error


def _refusal(host: str, port: int) -> OSError | None:
    """Return why this process cannot listen at a port; None if it can."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[
            0
        ]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        return error
    return None


def _fault(address: str, role: str, error: OSError) -> str:
    expected = f"expected the {role} to listen at {address}."
    if isinstance(error, socket.gaierror):
        return (
            f"{expected} Received: no address of the host ({error.strerror}). Correct its name in "
            "the cluster file."
        )
    if error.errno == errno.EADDRINUSE:
        return (
            f"{expected} Received: the port is in use. End the process that uses it, or choose "
            "another port in the cluster file, the same for all processes."
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return (
            f"{expected} Received: the address is not one of this host ({socket.gethostname()}). "
            f"Run the command on the {role}'s host, or correct the cluster file."
        )
    return f"{expected} Received: {error.strerror}. Choose another port in the cluster file."


def check_versions(task: int, address: str) -> None:
    """Compare the versions of a worker with ours.

    Its process carries them in its environment, which TensorFlow can read there as a file.

    Raises:
        ValueError: they differ, or cannot be read.
    """
    import tensorflow as tf

    with tf.device(f"/job:worker/task:{task}/device:CPU:0"):
        try:
            environment = tf.io.read_file("/proc/self/environ").numpy()
        except tf.errors.OpError:
            environment = b""
    prefix = f"{VERSIONS_VARIABLE}=".encode()
    theirs = [each for each in environment.split(b"\0") if each.startswith(prefix)]
    received = os.fsdecode(theirs[0].removeprefix(prefix)) if theirs else "an unknown version"
    if received != versions_of_this():
        raise ValueError(
            f"Cluster. Expected worker {task} at {address} to have the versions of the chief, "
            f"{versions_of_this()}. Received: {received}. Install the same versions on all hosts, "
            "and start workers with mpvn worker."
        )
