"""Names of devices: which are taken, what `auto` means, and what happens where one is missing."""

import types
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_runs import small_config

from mpvn import Plan, VideoNetwork
from mpvn.cluster import devices
from mpvn.cluster.devices import DeviceError, present_devices, resolve_devices
from mpvn.models.loading import load_frame_model
from mpvn.training.build.frame_model import build_frame_model
from mpvn.training.build.network import build_network

WORKERS = [
    f"/job:{job}/replica:0/task:{task}/device:{kind}"
    for job, task, kind in (
        ("chief", 0, "CPU:0"),
        ("chief", 0, "GPU:0"),
        ("worker", 1, "CPU:0"),
        ("worker", 0, "CPU:0"),
        ("worker", 0, "GPU:0"),
        ("worker", 0, "GPU:1"),
    )
]


@pytest.fixture(autouse=True, scope="module")
def started() -> None:
    """Start TensorFlow: before, `auto` would create logical CPUs for all tests of this process."""
    tf.config.list_logical_devices()


@pytest.fixture
def have(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that makes TensorFlow list other devices, those of this process first."""

    def list_devices(*names: str) -> None:
        listed = [types.SimpleNamespace(name=name) for name in names]
        monkeypatch.setattr(devices.tf.config, "list_logical_devices", lambda: listed)
        first = tf.DeviceSpec.from_string(names[0])
        here = tf.DeviceSpec(job=first.job or "localhost", replica=0, task=first.task or 0)
        monkeypatch.setattr(devices, "_here", lambda: here)

    return list_devices


def two_layers() -> keras.Model:
    frame = keras.Input((3,))
    x = keras.layers.Dense(4, "tanh", name="first")(frame)
    return keras.Model(frame, keras.layers.Dense(2, name="second")(x))


def test_auto_gives_each_subnetwork_a_device_in_order(have: Any) -> None:
    have("/device:CPU:0", "/device:CPU:1", "/device:CPU:2", "/device:CPU:3")
    assert resolve_devices("auto", 3) == ["/CPU:0", "/CPU:1", "/CPU:2"]


def test_auto_takes_the_gpus_if_there_are_any(have: Any) -> None:
    have("/device:CPU:0", "/device:GPU:0", "/device:GPU:1")
    assert resolve_devices("auto", 2) == ["/GPU:0", "/GPU:1"]


def test_neighbors_share_a_device_where_there_are_few(have: Any) -> None:
    have("/device:CPU:0", "/device:GPU:0", "/device:GPU:1")
    assert resolve_devices("auto", 5) == ["/GPU:0"] * 3 + ["/GPU:1"] * 2


def test_auto_goes_over_the_workers_of_a_cluster_and_not_to_the_chief(have: Any) -> None:
    have(*WORKERS)
    task = "/job:worker/task:{}/device:{}".format
    assert resolve_devices("auto", 3) == [task(0, "GPU:0"), task(0, "GPU:1"), task(1, "CPU:0")]


def test_auto_places_nothing_where_there_is_one_device(have: Any) -> None:
    have("/device:CPU:0")
    assert resolve_devices("auto", 3) is None


def test_a_worker_stands_for_its_first_gpu_or_else_its_cpu(have: Any) -> None:
    have(*WORKERS)
    given = "/job:worker/task:1, /job:worker/task:0"
    task = "/job:worker/task:{}/device:{}".format
    assert resolve_devices(given, 2) == [task(1, "CPU:0"), task(0, "GPU:0")]
    assert resolve_devices(["/GPU:0", None], 2) == ["/GPU:0", None]


@pytest.mark.parametrize(
    "given, message",
    [
        ("/GPU:7,/CPU:0", "no device /GPU:7. Expected one of /CPU:0.*Received: '/GPU:7'"),
        ("/CPU:0,/CPU:3", "no device /CPU:3.*before TensorFlow starts"),
        ("/job:worker/task:0,/CPU:0", "no device /job:worker/task:0.*Connect the cluster"),
        ("/CPU:0", "one for each of the 2 subnetworks.*Received: /CPU:0"),
        ("CPU0,/CPU:0", "Invalid devices.*'CPU0'"),
        ("/TPU:0,/CPU:0", "Invalid devices.*'/TPU:0'"),
        (3, "Invalid devices.*Received: 3"),
        ([0, 1], r"Invalid devices.*Received: \[0, 1\]"),
    ],
)
def test_other_devices_are_refused_by_what_there_is(have: Any, given: Any, message: str) -> None:
    have("/device:CPU:0")
    with pytest.raises(DeviceError, match=message):
        resolve_devices(given, 2)


def test_auto_of_equal_workers_stays_on_their_own_devices(have: Any) -> None:
    have(*(f"/job:worker/task:{task}/device:CPU:{n}" for task in (1, 0) for n in (0, 1)))
    assert resolve_devices("auto", 2) == ["/CPU:0", "/CPU:1"]
    with pytest.raises(DeviceError, match="no device /CPU:2"):
        resolve_devices("/CPU:0,/CPU:2", 2)


def test_a_gpu_of_a_worker_is_none_of_this_machine(have: Any) -> None:
    have(*WORKERS)
    with pytest.raises(DeviceError, match="no device /GPU:1"):
        resolve_devices("/GPU:0,/GPU:1", 2)


def test_a_network_is_not_silently_put_on_another_device() -> None:
    """TensorFlow puts variables of a missing device on the CPU, and says nothing."""
    model = two_layers()
    with pytest.raises(DeviceError, match="no device /GPU:6, /GPU:7"):
        VideoNetwork(model, Plan(model, 2, devices=["/GPU:6", "/GPU:7"]))


def test_a_saved_network_loads_without_the_devices_that_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = two_layers(), tmp_path / "network.keras"
    with monkeypatch.context() as there:
        there.setattr(devices, "missing_devices", lambda names: [])
        network = VideoNetwork(model, Plan(model, 2, devices=["/CPU:0", "/job:localhost/task:0"]))
        vars(network)["plan"] = network.plan.with_devices(["/CPU:0", "/GPU:7"])
        network.save(path)
    clip = np.ones((1, 4, 3), "float32")
    with pytest.warns(RuntimeWarning, match="no /GPU:7, so nothing is placed.*There are: /CPU:0"):
        loaded = load_frame_model(path)
    assert loaded.plan is not None and loaded.plan.devices == (None, None)
    answers = [each(clip).numpy() for each in (network, loaded.network(loaded.plan))]
    np.testing.assert_array_equal(*answers)


def test_devices_that_exist_are_kept_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert present_devices(("/CPU:0", None), 2) == ["/CPU:0", None]
        assert present_devices(None, 2) is None


def test_the_config_places_subnetworks_and_evaluation_does_without_missing_devices() -> None:
    config = small_config(plan__subnetworks=2, plan__devices="/CPU:0,/CPU:0")
    loaded = build_frame_model(config, {"classes": 3})
    assert build_network(config, loaded, to_train=True).plan.devices == ("/CPU:0", "/CPU:0")
    config.plan.devices = ("/CPU:0", "/GPU:7")
    with pytest.raises(DeviceError, match="no device /GPU:7"):
        build_network(config, loaded, to_train=True)
    with pytest.warns(RuntimeWarning, match="no /GPU:7"):
        assert build_network(config, loaded).plan.devices == (None, None)


def test_logical_cpus_of_a_started_tensorflow_stay_as_they_are() -> None:
    before = tf.config.list_logical_devices("CPU")
    devices.start_devices("auto")
    devices.start_devices("/CPU:5")
    assert tf.config.list_logical_devices("CPU") == before
