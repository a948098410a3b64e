"""A chief connects to its workers, and says what is wrong if it cannot."""

import socket
import threading
from collections.abc import Iterator

import pytest
from cluster.local_cluster import LocalCluster, free_addresses, local_cluster

from mpvn.cluster import Cluster, connect
from mpvn.cluster.connect import check_address


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with local_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


def test_each_worker_computes_in_a_process_of_its_own(cluster: LocalCluster) -> None:
    program = """
import tensorflow as tf
from mpvn.cluster import versions
from mpvn.cluster.connect import check_versions
answer = []
for device in devices:
    with tf.device(device):
        variable = tf.Variable(20.0)
        process = tf.io.read_file("/proc/self/stat").numpy().split()[0]
        answer.append([variable.device, float(variable + 1.0), int(process)])
versions.sys.modules["mpvn"].__version__ = "0.0"
try:
    check_versions(1, "host:9")
except ValueError as error:
    answer.append(str(error))
"""
    *answers, message = cluster.run(program)
    names = [f"/job:worker/replica:0/task:{task}/device:CPU:0" for task in (0, 1)]
    assert answers == [[names[task], 21.0, cluster.processes[task]] for task in (0, 1)]
    assert message.startswith("Cluster. Expected worker 1 at host:9 to have the versions of the")
    assert "chief, mpvn 0.0, TensorFlow" in message and "Received: mpvn 0." in message


def test_an_unreachable_worker_is_named_with_the_seconds_and_the_remedy() -> None:
    chief, *workers = free_addresses(2)
    message = f"worker 0 at {workers[0]} to answer within 0.2 s. Received: .* --task 0"
    with pytest.raises(ConnectionError, match=message):
        connect(Cluster(chief, tuple(workers)), seconds=0.2)


def test_a_port_in_use_is_refused_before_anything_waits() -> None:
    with socket.create_server(("localhost", 0)) as other:
        chief = f"localhost:{other.getsockname()[1]}"
        with pytest.raises(ConnectionError, match=f"chief to listen at {chief}.*port is in use"):
            connect(Cluster(chief, ("localhost:1",)))


def test_a_port_whose_process_is_about_to_end_is_waited_for() -> None:
    """A command that is given again at once found the address of its killed process in use."""
    with socket.create_server(("localhost", 0)) as other:
        address = f"localhost:{other.getsockname()[1]}"
        timer = threading.Timer(0.3, other.close)
        timer.start()
        check_address(address, "chief", seconds=30.0)
        timer.join()


@pytest.mark.parametrize(
    ("host", "message"),
    [("192.0.2.1", "is not one of this host"), ("nowhere.invalid", "no address of the host")],
)
def test_a_chief_of_another_host_is_refused(host: str, message: str) -> None:
    with pytest.raises(ConnectionError, match=message):
        connect(Cluster(f"{host}:9000", ("localhost:1",)))
