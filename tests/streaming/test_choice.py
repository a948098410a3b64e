"""What runs the steps of a stream: equal values, what `"auto"` takes, and choices without sense."""

import importlib.util
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from bfloat16 import needs_bfloat16
from random_weights import randomize

import mpvn
from mpvn.prediction import open_model
from mpvn.streaming import RuntimeChoice, Stream

HAS_OPENVINO = importlib.util.find_spec("openvino") is not None


def clocked(start: str = "zeros") -> mpvn.VideoNetwork:
    x = inputs = keras.Input((8, 8, 3))
    for index in range(3):
        x = keras.layers.Conv2D(4, 3, padding="same", name=f"conv{index}")(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    randomize(model, np.random.default_rng(1))
    return mpvn.VideoNetwork(model, mpvn.Plan(model, 3, clocks=[1, 2, 4]), start=start)


@pytest.fixture(scope="module")
def network() -> mpvn.VideoNetwork:
    return clocked()


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.random.default_rng(2).normal(size=(11, 8, 8, 3)).astype("float32")


@pytest.mark.parametrize("runtime", ["network", "tensorflow", "auto"])
def test_streams_are_equal_whatever_runs_them(
    runtime: str, network: mpvn.VideoNetwork, frames: np.ndarray
) -> None:
    stream, expected = Stream(network, runtime=runtime), np.asarray(network(frames[None])[0])
    outputs = np.stack([stream.step(frame) for frame in frames])
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5 * abs(expected).max())
    stream.restart()
    np.testing.assert_allclose(stream.step(frames[0]), outputs[0], rtol=1e-6)
    assert stream.remark == ""


def test_the_report_names_what_ran(network: mpvn.VideoNetwork) -> None:
    threads = f"{mpvn.machine.usable_cores()} thread"
    assert Stream(network).runtime.startswith(f"TensorFlow, {threads}")
    compiled = Stream(network, runtime="tensorflow").runtime
    assert compiled.startswith(f"TensorFlow, compiled, float32, {threads}")
    if HAS_OPENVINO:
        fastest = Stream(network, runtime="auto").runtime
        assert fastest.startswith(f"OpenVINO by pattern, float32, {threads}")


@pytest.mark.skipif(not HAS_OPENVINO, reason="no OpenVINO")
def test_streams_in_less_precision_keep_less(network: mpvn.VideoNetwork) -> None:
    needs_bfloat16("openvino")
    whole = Stream(network, runtime="openvino")
    half = Stream(network, runtime="openvino", precision="bfloat16")
    assert whole.state_bytes == network.plan.cached_bytes + 8
    output = 4 * 4  # four numbers stay in float32
    assert half.state_bytes == (network.plan.cached_bytes - output) // 2 + output + 8


def test_auto_goes_on_with_what_can_run_the_network(
    network: mpvn.VideoNetwork, frames: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_inference = type(network).compile_inference

    def refuse(*refused: str) -> None:
        def compile_or_refuse(self: Any, runtime: str, *settings: Any, **others: Any) -> Any:
            if runtime in refused:
                raise ValueError("no such operation")
            return compile_inference(self, runtime, *settings, **others)

        monkeypatch.setattr(type(network), "compile_inference", compile_or_refuse)

    refuse("openvino")
    stream = Stream(network, runtime="auto")
    assert stream.runtime.startswith("TensorFlow, compiled")
    assert ("OpenVINO cannot run it (no such operation)" in stream.remark) == HAS_OPENVINO
    refuse("openvino", "tensorflow")
    stream = Stream(network, runtime="auto")
    assert stream.runtime.startswith("TensorFlow,") and "no such operation" in stream.remark
    np.testing.assert_allclose(stream.step(frames[0]), network(frames[None, :1])[0, 0], atol=1e-6)
    with pytest.raises(ValueError, match="no such operation"):  # of which nothing else is capable
        Stream(network, runtime="auto", precision="bfloat16")


def test_auto_takes_what_was_measured(
    network: mpvn.VideoNetwork, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPVN_CACHE", str(tmp_path))
    RuntimeChoice("tensorflow", units="block").keep(network)
    assert Stream(network, runtime="auto").runtime.startswith("TensorFlow, compiled by block")
    other = mpvn.VideoNetwork(network.frame_model, mpvn.Plan(network.frame_model, 2))
    assert RuntimeChoice("auto").ways(other)[0].units != "block" or HAS_OPENVINO


def test_auto_leaves_out_what_nobody_reads() -> None:
    """Blocks took three times as long where slow blocks read few of the values of fast ones."""
    x = inputs = keras.Input((8, 8, 3))
    for index in range(2):
        x = keras.layers.Conv2D(4, 3, padding="same", name=f"conv{index}")(x)
    model = keras.Model(inputs, x)
    network = mpvn.VideoNetwork(model, mpvn.Plan(model, 2, clocks=[1, 4]))
    assert network.plan.unread_share > 0.5
    first, *_ = RuntimeChoice("auto").ways(network)
    assert (first.runtime, first.units) == ("openvino" if HAS_OPENVINO else "tensorflow", "pattern")


def test_auto_leaves_networks_on_their_devices(
    network: mpvn.VideoNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = mpvn.Plan(network.frame_model, 2, devices=["/CPU:0", "/CPU:0"])
    placed = mpvn.VideoNetwork(network.frame_model, devices)
    assert Stream(placed, runtime="auto").runtime.startswith("TensorFlow, compiled")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    assert Stream(network, runtime="auto").runtime.startswith("TensorFlow, compiled")


@pytest.mark.parametrize("start", ["zeros", "primed"])
def test_no_step_waits_for_a_trace(start: str, frames: np.ndarray) -> None:
    """A primed stream traced the step after its first period, of which the first one is unlike."""
    network = clocked(start)
    stream = Stream(network)
    traced = network.trace_count
    for frame in frames:
        stream.step(frame)
    assert network.trace_count == traced


def test_an_open_network_follows_its_weights_unless_it_is_compiled(frames: np.ndarray) -> None:
    network = clocked()
    alive = open_model(network).stream
    compiled = open_model(network, choice=RuntimeChoice("tensorflow")).stream
    picture = np.zeros((8, 8, 3), np.uint8)
    steps = 4 * [picture]
    before = [alive.step(each) for each in steps][-1], [compiled.step(each) for each in steps][-1]
    np.testing.assert_allclose(*before, rtol=1e-5)
    network.set_weights([2 * weight for weight in network.get_weights()])
    for stream in (alive, compiled):
        stream.restart()
    after = [alive.step(each) for each in steps][-1], [compiled.step(each) for each in steps][-1]
    np.testing.assert_allclose(after[1], before[1], rtol=1e-6)
    assert abs(after[0] - before[0]).max() > 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"runtime": "onnx"}, "Expected one of .*'openvino'.*Received: 'onnx'"),
        ({"precision": "bfloat16"}, "Expected a compiled runtime beside precision, threads"),
        ({"threads": 1}, "Expected a compiled runtime beside precision, threads"),
        ({"units": "block"}, "beside precision, threads, units, parallel and buffer"),
        ({"parallel": True}, "beside precision, threads, units, parallel and buffer"),
        ({"runtime": "tensorflow", "precision": "float8"}, "Invalid precision"),
        ({"runtime": "tensorflow", "threads": 0}, "Invalid threads"),
    ],
)
def test_choices_without_sense_are_refused(
    arguments: dict[str, Any], message: str, network: mpvn.VideoNetwork
) -> None:
    with pytest.raises(ValueError, match=message):
        Stream(network, **arguments)
