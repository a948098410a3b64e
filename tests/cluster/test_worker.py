"""`mpvn worker` serves one chief after the other, and ends at once with what it started."""

import contextlib
import json
import pathlib
import signal
import socket
import subprocess
from collections.abc import Iterator

import psutil
import pytest
from cluster.local_cluster import LocalCluster, environment, free_addresses, write_cluster
from command_line import assert_mistake, process_arguments

from mpvn.cluster import Cluster


@pytest.fixture
def cluster_file(tmp_path: pathlib.Path) -> pathlib.Path:
    chief, *workers = free_addresses(2)
    return write_cluster(tmp_path / "cluster.json", Cluster(chief, tuple(workers)))


@contextlib.contextmanager
def worker(path: pathlib.Path) -> Iterator[subprocess.Popen[str]]:
    """Run a worker in the block, which kills it if it does not end before."""
    arguments = process_arguments("worker", "--cluster", path, "--task", 0, "--threads", 1)
    with subprocess.Popen(
        arguments, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def children(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def test_a_worker_serves_each_chief_afresh_and_ends_by_ctrl_c(cluster_file: pathlib.Path) -> None:
    cluster = LocalCluster(cluster_file, Cluster.read(cluster_file), {})
    program = """
import tensorflow as tf
with tf.device(devices[0]):
    answer = int(tf.io.read_file("/proc/self/stat").numpy().split()[0])
"""
    with worker(cluster_file) as process:
        lines = process.stderr
        assert "trusted network only" in lines.readline()
        assert f"serves at {cluster.cluster.workers[0]}" in lines.readline()
        served_by = cluster.run(program)
        assert served_by == children(process)[0].pid
        assert f"the chief at {cluster.cluster.chief} is here" in lines.readline()
        assert "the chief is gone; the server starts again" in lines.readline()
        assert "serves at" in lines.readline()
        (server,) = children(process)
        assert server.pid != served_by
        server.kill()
        assert "the server ended with code -9; the server starts again" in lines.readline()
        assert "serves at" in lines.readline()
        (server,) = children(process)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert not server.is_running()
        assert lines.read() == "mpvn: interrupted\n"


def test_the_server_ends_with_a_worker_that_is_killed(cluster_file: pathlib.Path) -> None:
    with worker(cluster_file) as process:
        while not (servers := children(process)):
            assert process.poll() is None
        process.kill()
        servers[0].wait(10)


def test_a_port_in_use_and_a_task_out_of_range_are_mistakes(cluster_file: pathlib.Path) -> None:
    command = ("worker", "--cluster", cluster_file, "--task")
    address = json.loads(cluster_file.read_text())["workers"][0]
    with socket.create_server(("localhost", int(address.split(":")[1]))):
        assert_mistake(f"worker 0 to listen at {address}.*port is in use", *command, 0)
    assert_mistake("--task. Expected a number from 0 to 0.*Received: 1", *command, 1)
    assert_mistake("--threads: expected at least 1. Received: 0", *command, 0, "--threads", 0)
    assert_mistake("--deadline: expected .* Received: nan", *command, 0, "--deadline", "nan")


@pytest.mark.parametrize(
    "command",
    [
        ("worker", "--task", 0),
        ("stream", "none.mp4", "--model", "MobileNetV2"),
        ("benchmark", "MobileNetV2"),
        ("train", "--config", "configs/rendered_keypoints.py"),
        ("sweep", "--config", "configs/rendered_keypoints.py"),
    ],
)
def test_a_wrong_cluster_file_is_one_message(command: tuple, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "cluster.json"
    path.write_text('{"chief": "localhost"}')
    message = f"^mpvn: Cluster file {path}. Expected .* Received: no workers.\n$"
    assert_mistake(message, *command, "--cluster", path)


def test_a_sweep_on_a_cluster_trains_one_run_at_a_time(cluster_file: pathlib.Path) -> None:
    command = ("sweep", "--config", "none.py", "--cluster", cluster_file)
    assert_mistake("one chief. Received: --jobs 2", *command, "--jobs", 2)
    assert_mistake("one chief. Received: --rewire", *command[:1], *command[3:], "--rewire", "run")
