"""Runs on a cluster whose workers, process and supervisor die or hang end like one without faults.

`MPVN_FAULTS=n` lets n faults happen at random moments of a run.
"""

import contextlib
import os
import pathlib
import random
import signal
import subprocess
import time
from collections.abc import Iterator

import numpy as np
import psutil
import pytest
from cluster.local_cluster import environment, free_addresses, write_cluster
from command_line import process_arguments
from small_runs import small_config, steps, weights

from mpvn.cluster import Cluster
from mpvn.training import RunFolder, train

FAULTS = int(os.environ.get("MPVN_FAULTS", 0))

CONFIG = """
from small_runs import small_config

def get_config():
    return small_config(**{changes})
"""
SMALL = {
    "training__trainer": "sideways",
    "training__steps": 6,
    "training__checkpoint_every": 1,
    "training__evaluate_every": 6,
    "plan__subnetworks": 2,
}


class RunningCluster:
    """Workers of a cluster, and the supervisor of a run on them.

    Args:
        folder: where files are written.
        workers, spares: numbers of processes.
        deadline: seconds after which workers take what does not answer for hanging.
    """

    def __init__(self, folder: pathlib.Path, workers: int, spares: int, deadline: float) -> None:
        chief, *addresses = free_addresses(1 + workers + spares)
        cluster = Cluster(chief, tuple(addresses[:workers]), tuple(addresses[workers:]))
        self.path = write_cluster(folder / "cluster.json", cluster)
        self.tasks = range(workers)
        self.log = folder / "log.txt"
        self._deadline = deadline
        self._workers = {task: self._start_worker(task) for task in range(workers + spares)}
        self.supervisor: subprocess.Popen | None = None

    def start(self, config: pathlib.Path, run: pathlib.Path) -> None:
        """Start or resume a run."""
        self._command = process_arguments(
            *("train", "--config", config, "--run", run),
            *("--cluster", self.path, "--deadline", 2 * self._deadline),
        )
        self.supervisor = self._popen(self._command)

    def server(self, task: int) -> psutil.Process | None:
        """Return the server of a worker, if there is one at the moment."""
        return self._child(self._workers[task])

    def process(self) -> psutil.Process | None:
        """Return the process that trains, if there is one at the moment."""
        return self._child(self.supervisor)

    def kill_worker(self, task: int) -> None:
        """Kill a worker, and start it anew."""
        self._workers[task].kill()
        self._workers[task].wait()
        self._workers[task] = self._start_worker(task)

    def kill_supervisor(self) -> None:
        """Kill the supervisor, and give its command again."""
        self.supervisor.kill()
        self.supervisor.wait()
        self.supervisor = self._popen(self._command)

    def events(self) -> str:
        """Return what all processes have said, without progress bars."""
        lines = self.log.read_text().splitlines()
        return "\n".join(line for line in lines if "batch/s" not in line and "s/batch" not in line)

    def close(self) -> None:
        for process in (*self._workers.values(), self.supervisor):
            if process is not None:
                process.kill()
                process.wait()

    def _start_worker(self, task: int) -> subprocess.Popen:
        options = ("--threads", 1, "--deadline", self._deadline)
        return self._popen(
            process_arguments("worker", "--cluster", self.path, "--task", task, *options)
        )

    def _popen(self, arguments: list[str]) -> subprocess.Popen:
        with open(self.log, "a") as log:
            return subprocess.Popen(arguments, stdout=log, stderr=log, env=environment())

    @staticmethod
    def _child(process: subprocess.Popen | None) -> psutil.Process | None:
        with contextlib.suppress(psutil.NoSuchProcess):
            return next(iter(psutil.Process(process.pid).children()), None)
        return None


@contextlib.contextmanager
def running_cluster(*arguments: object) -> Iterator[RunningCluster]:
    """Run workers in the block."""
    cluster = RunningCluster(*arguments)
    try:
        yield cluster
    finally:
        cluster.close()


def write_config(path: pathlib.Path, workers: int, **changes: object) -> pathlib.Path:
    """Write a config file whose last subnetworks are on workers."""
    devices = [None, *(f"/job:worker/task:{task}" for task in range(workers))][-2:]
    path.write_text(CONFIG.replace("{changes}", repr({"plan__devices": devices, **changes})))
    return path


def wait_for_steps(cluster: RunningCluster, run: RunFolder, count: int) -> None:
    """Wait until a checkpoint has a number of batches."""
    while steps(run) < count:
        assert cluster.supervisor.poll() is None, cluster.events()
        time.sleep(0.05)


def test_a_run_whose_worker_is_killed_and_hangs_ends_like_one_in_a_single_process(
    tmp_path: pathlib.Path,
) -> None:
    run, whole = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "whole")
    with running_cluster(tmp_path, 1, 0, 2.0) as cluster:
        cluster.start(write_config(tmp_path / "config.py", 1, **SMALL), run.path)
        train(small_config(**SMALL), whole.path)  # meanwhile
        wait_for_steps(cluster, run, 1)
        cluster.server(0).kill()
        wait_for_steps(cluster, run, steps(run) + 1)
        cluster.server(0).suspend()
        assert cluster.supervisor.wait() == 0, cluster.events()
    log = cluster.events()
    assert log.count("training resumes from the checkpoint of batch") == 2, log
    assert "Traceback" not in log
    losses = [each.last_evaluation["loss"] for each in (run, whole)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    expected = weights(whole)
    for name, value in weights(run).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.skipif(not FAULTS, reason="MPVN_FAULTS is not set; see `make soak`")
def test_a_run_with_random_faults_ends_with_the_same_weights(tmp_path: pathlib.Path) -> None:
    """Of workers, of the process that trains, and of its supervisor; also while they start."""
    changes = {**SMALL, "training__steps": 8 * FAULTS, "training__evaluate_every": 50}
    changes |= {"optimizer__schedule": "cosine", "optimizer__learning_rate": 0.01}
    config = write_config(tmp_path / "config.py", 2, **changes)
    chance = random.Random(3)
    whole, run = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "run")
    with running_cluster(tmp_path, 2, 1, 5.0) as cluster:
        cluster.start(config, whole.path)
        assert cluster.supervisor.wait() == 0, cluster.events()
        cluster.start(config, run.path)
        for number in range(FAULTS):
            if number % 4 != 3:  # each fourth comes soon after the third
                wait_for_steps(cluster, run, steps(run) + 1)
            time.sleep(chance.uniform(0, 2))
            assert cluster.supervisor.poll() is None, cluster.events()
            happened = disturb(cluster, number, chance)
            with open(cluster.log, "a") as log:
                log.write(f"\nfault {number}: {happened}, after batch {steps(run)}\n")
        assert cluster.supervisor.wait() == 0, cluster.events()
    print(
        *(x for x in cluster.events().splitlines() if x.startswith(("mpvn", "fault"))),
        sep="\n",
    )
    expected = weights(whole)
    for name, value in weights(run).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    evaluations = [
        [row for row in each.rows() if row["split"] == "evaluation"] for each in (run, whole)
    ]
    assert evaluations[0] == evaluations[1]
    assert "Traceback" not in cluster.events()


def disturb(cluster: RunningCluster, number: int, chance: random.Random) -> str:
    """Let one of all kinds of faults happen, each of them once in seven times; return its name."""
    task = chance.choice(cluster.tasks)
    if number % 7 == 0:
        cluster.kill_worker(task)
        return f"worker {task} killed"
    if number % 7 == 1:
        cluster.kill_supervisor()
        return "supervisor killed"
    if number % 7 == 2:  # nobody watches it, and its process goes on meanwhile
        os.kill(cluster.supervisor.pid, signal.SIGSTOP)
        time.sleep(2)
        cluster.kill_supervisor()
        return "supervisor stopped, and then killed"
    of_process, stops = number % 7 in (3, 4), number % 7 in (4, 6)
    while True:  # between two lives of it there is none
        victim = cluster.process() if of_process else cluster.server(task)
        with contextlib.suppress(psutil.NoSuchProcess):
            if victim is not None:
                victim.suspend() if stops else victim.kill()
                break
        time.sleep(0.05)
    name = "process" if of_process else f"server {task}"
    return f"{name} {'stopped' if stops else 'killed'}"
