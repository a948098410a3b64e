"""Replicas that share each batch: they train as one replica does with the whole batch."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from small_runs import small_config, steps, weights

from mpvn.cluster import Cluster
from mpvn.cluster.peers import LOST
from mpvn.network import VideoNetwork
from mpvn.training import RunFolder, train
from mpvn.training.data_parallel import Group, Place, _check_batch, group_of

ROOT = pathlib.Path(__file__).parents[2]

PROGRAM = """
import json, os, signal, sys
import tensorflow as tf
from small_runs import small_config
from mpvn.cluster import Cluster
from mpvn.training import Interrupted, run, train
from mpvn.training.callbacks import Progress
from mpvn.training.data_parallel import Place
folder, changes, addresses, task, stop_at, by = json.loads(sys.argv[1])
if addresses:
    place = Place(Cluster("localhost:1", tuple(addresses)), task)
else:
    place, halves = None, [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], halves)
ended = Progress.on_train_batch_end
def count(self, batch, logs=None):
    ended(self, batch, logs)
    if self.step == stop_at:
        os.kill(os.getpid(), signal.Signals[by])
Progress.on_train_batch_end = count
build = run.build
def shown(*arguments, **options):
    experiment = build(*arguments, **options)
    print("devices", *sorted({v.value.device[-5:] for v in experiment.network.variables}))
    return experiment
run.build = shown
try:
    train(small_config(**changes), folder, place)
except Interrupted as interrupted:
    print(interrupted)
"""

SIDEWAYS = {
    "training__trainer": "sideways",
    "training__batch_size": 4,
    "plan__subnetworks": 2,
    "optimizer__clip_norm": 0.5,
    "clip__frames": 4,
}
FIT = {
    "training__batch_size": 4,
    "training__accumulate": 2,
    "training__steps": 4,
    "optimizer__clip_norm": 0.5,
    "optimizer__base_batch": 8,
    "optimizer__warm_up": 2,
    "training__label_smoothing": 0.1,
}


def start(*arguments: object) -> subprocess.Popen:
    """Start a process that trains."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": paths}
    command = [sys.executable, "-c", PROGRAM, json.dumps(arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, env={**os.environ, **quiet}, stdout=pipe, stderr=pipe, text=True
    )


def free_addresses() -> list[str]:
    """Return two addresses of this machine whose ports no process uses."""
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("localhost", 0))
        return [f"localhost:{each.getsockname()[1]}" for each in (one, other)]


def train_on_two(
    folder: pathlib.Path, stop_at: int = 0, by: str = "SIGINT", codes: tuple[int, int] = (0, 0)
) -> list[tuple[str, str]]:
    """Train on two workers; the second gets a signal after a batch. Return what they print."""
    devices = ["/CPU:0", "/CPU:1"]  # of each worker
    changes = {**SIDEWAYS, "training__strategy": "multi_worker", "plan__devices": devices}
    stops, addresses = (0, stop_at), free_addresses()
    # Only the first is given the folder of the run.
    folders = (folder, folder.with_name("untouched"))
    workers = [start(str(folders[k]), changes, addresses, k, stops[k], by) for k in (0, 1)]
    printed = [worker.communicate(timeout=240) for worker in workers]
    assert tuple(worker.returncode for worker in workers) == codes, printed
    return printed


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> tuple:
    """A run of two workers, stopped, then without one of them, then resumed to its end.

    Returns:
        The folder of the run, what the first part printed and when it stopped, and what the first
        worker said when the second was lost.
    """
    folder = tmp_path_factory.mktemp("replicas") / "run"
    first = [output for output, _ in train_on_two(folder, stop_at=2)]
    stopped = steps(RunFolder(folder))
    (_, errors), _ = train_on_two(folder, stop_at=4, by="SIGKILL", codes=(LOST, -signal.SIGKILL))
    train_on_two(folder)
    return folder, first, stopped, errors


def assert_same(run: pathlib.Path, other: pathlib.Path) -> None:
    """Compare the losses to six digits, and the weights and optimizer states."""
    rows = [
        {(row["step"], row["split"]): row for row in RunFolder(path).rows()}
        for path in (run, other)
    ]
    common = rows[0].keys() & rows[1].keys()
    assert any(split == "train" for _, split in common)
    for key in common:
        assert rows[0][key]["loss"] == pytest.approx(rows[1][key]["loss"], rel=1e-6), key
        assert rows[0][key]["learning_rate" if key[1] == "train" else "loss"] == pytest.approx(
            rows[1][key]["learning_rate" if key[1] == "train" else "loss"], rel=1e-6
        )
    expected, values = weights(RunFolder(other)), weights(RunFolder(run))
    assert values.keys() == expected.keys()
    for name, value in values.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-6, err_msg=name)


def test_two_workers_train_as_one_does_also_after_a_stop(two_workers, tmp_path) -> None:
    """Sideways, two subnetworks on devices of their own in each worker, batch norm of all clips,
    clipped by the norm of the whole gradient.
    """
    folder, *_ = two_workers
    train(small_config(**SIDEWAYS), tmp_path / "one")
    assert_same(folder, tmp_path / "one")


def test_a_signal_to_one_worker_stops_both_at_the_same_batch(two_workers) -> None:
    folder, printed, stopped, _ = two_workers
    batches = [re.findall(r"stopped after (\d+) batches", text) for text in printed]
    assert batches[0] == batches[1] == [str(stopped)]
    assert 2 <= stopped < 6


def test_each_worker_places_its_subnetworks_on_its_devices(two_workers) -> None:
    _, printed, *_ = two_workers
    assert all("devices CPU:0 CPU:1" in text for text in printed)


def test_a_worker_that_has_lost_another_ends_and_says_so(two_workers) -> None:
    *_, errors = two_workers
    assert re.search(r"mpvn: worker 1 at \S+ is gone .*Start the command again on all", errors)


def test_only_the_first_worker_writes(two_workers) -> None:
    folder, *_ = two_workers
    assert RunFolder(folder).finished
    assert not folder.with_name("untouched").exists()


def test_mirrored_replicas_train_as_one_does(tmp_path) -> None:
    """`fit`: gradients accumulated, clipped, with warm-up and the linear scaling rule."""
    mirrored = start(
        str(tmp_path / "two"), {**FIT, "training__strategy": "mirrored"}, None, 0, 0, ""
    )
    train(small_config(**FIT), tmp_path / "one")
    _, errors = mirrored.communicate(timeout=240)
    assert mirrored.returncode == 0, errors
    assert_same(tmp_path / "two", tmp_path / "one")


def test_shares_are_the_parts_of_a_batch(rng: np.random.Generator) -> None:
    """A share decodes its own videos alone; mixed clips are those of the whole batch."""
    from mpvn.training import build

    for changes in ({}, {"augmentation__mixup": 0.5}):
        experiment = build(small_config(training__batch_size=4, **changes))
        whole = [*experiment.training_batches(1, 2)]
        shares = [[*experiment.training_batches(1, 2, (part, 2))] for part in (0, 1)]
        for batch, *parts in zip(whole, *shares, strict=True):
            for entry, *halves in zip(batch, *parts, strict=True):
                np.testing.assert_array_equal(entry, tf.concat(halves, axis=0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training__strategy": "ring"}, "Expected one of mirrored, multi_worker.*'ring'"),
        ({"training__strategy": "multi_worker"}, "no cluster. Give --cluster FILE --task K"),
        ({"training__strategy": "mirrored"}, "two GPUs or more"),
        (
            {"training__strategy": "mirrored", "plan__devices": ["/CPU:0"]},
            "each mirrored replica is on one device.*Use config.training.strategy=multi_worker",
        ),
        (
            {"training__strategy": "mirrored", "training__dtype_policy": "mixed_float16"},
            "Expected float32 or mixed_bfloat16",
        ),
    ],
)
def test_a_strategy_says_what_it_lacks(changes: dict, message: str, tmp_path) -> None:
    with pytest.raises(ValueError, match=message):
        train(small_config(**changes), tmp_path / "run")


def test_a_task_is_one_of_the_workers() -> None:
    place = Place(Cluster("localhost:1", ("localhost:2",)), 3)
    config = small_config(training__strategy="multi_worker")
    with pytest.raises(ValueError, match="Expected a number from 0 to 0.*Received: 3"):
        group_of(config, place).__enter__()


def test_a_batch_is_shared_equally() -> None:
    strategy = type("Strategy", (), {"num_replicas_in_sync": 3})()
    with pytest.raises(ValueError, match="multiple of 3.*Received: 4"):
        _check_batch(small_config(training__batch_size=4), Group(strategy))


def test_fit_is_refused_under_a_strategy_of_several_hosts(monkeypatch) -> None:
    """Keras 3 fails there, in words that do not say why."""
    from mpvn.models import simple_cnn

    network = VideoNetwork(simple_cnn((16, 16, 3), classes=2, width=0.125))
    network.compile("sgd", "mse")
    kind = tf.distribute.MultiWorkerMirroredStrategy
    monkeypatch.setattr(network, "_distribute_strategy", object.__new__(kind))
    with pytest.raises(ValueError, match="multi_worker, which has a loop of its own"):
        network.make_train_function()
