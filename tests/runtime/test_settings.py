"""Settings of compiled networks: what they mean, and which are refused."""

import builtins
import concurrent.futures
import sys
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from bfloat16 import needs_bfloat16
from keras import layers, ops
from random_weights import randomize
from small_models import looping

import keras_layers
from mpvn import Plan, VideoNetwork
from mpvn.runtime import on_openvino, on_tensorflow

RUNTIMES = ("tensorflow", "openvino")
FRAME = np.random.default_rng(0).normal(size=(2, 4, 4, 2)).astype("float32")


def build(end: Any = None, dtype: str | None = None, **plan: Any) -> VideoNetwork:
    """Build a convolution and another one, or another end."""
    frame = keras.Input((4, 4, 2), dtype=dtype)
    x = frame if dtype else layers.Conv2D(8, 3, padding="same", activation="tanh")(frame)
    model = keras.Model(frame, end(x) if end else layers.Conv2D(4, 3, name="end")(x))
    randomize(model, np.random.default_rng(1))
    return VideoNetwork(model, Plan(model, **plan))


@pytest.fixture(scope="module")
def network() -> VideoNetwork:
    return build(subnetworks=2)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_weights_are_those_of_the_moment(runtime: str) -> None:
    network = build(subnetworks=2)
    compiled = network.compile_inference(runtime=runtime, batch=2)
    expected, _ = network.step(FRAME, network.initial_state(2))
    for variable in network.variables:
        variable.assign(variable + 1.0)
    network.frame_model.layers[1].activation = keras.activations.relu
    outputs, _ = compiled.step(FRAME, compiled.initial_state(2))
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_bfloat16_is_near_and_not_equal(network: VideoNetwork, runtime: str) -> None:
    needs_bfloat16(runtime)
    compiled = network.compile_inference(runtime=runtime, precision="bfloat16", batch=2)
    state, own = network.initial_state(2), compiled.initial_state(2)
    for _ in range(3):
        expected, state = network.step(FRAME, state)
        outputs, own = compiled.step(FRAME, own)
    error = np.abs(np.asarray(outputs) - expected).max() / np.abs(expected).max()
    assert 1e-5 < error < 2e-2
    assert np.asarray(outputs).dtype == np.float32


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_feedback_alone_in_a_block_only_changes_the_dtype(runtime: str) -> None:
    """OpenVINO dropped the name of an output that is an input: StopIteration."""
    needs_bfloat16(runtime)
    model = looping()
    randomize(model, np.random.default_rng(1))
    parts = {"loop": 1, "entry": 0, "merge": 0, "opinion": 0}
    network = VideoNetwork(model, Plan(model, assignment=parts))
    compiled = network.compile_inference(runtime, "bfloat16", units="block")
    state, own = network.initial_state(1), compiled.initial_state(1)
    for number in range(4):
        frame = np.random.default_rng(number).normal(size=(1, 8, 8, 3)).astype("float32")
        expected, state = network.step(frame, state)
        outputs, own = compiled.step(frame, own)
        np.testing.assert_allclose(outputs, expected, atol=2e-2 * np.abs(expected).max())


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_observer_runs_the_units(network: VideoNetwork, runtime: str) -> None:
    compiled = network.compile_inference(runtime=runtime, units="block", batch=2)
    state = compiled.initial_state(2)
    expected, _ = compiled.step(FRAME, state)
    seen = []

    def observe(unit: Any, run: Any, values: Any, step: int) -> Any:
        seen.append(unit.name)
        return run(values)

    compiled.observer = observe
    outputs, _ = compiled.step(FRAME, state)
    np.testing.assert_array_equal(outputs, expected)
    assert len(seen) == 2
    assert seen[1] == "end"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"runtime": "onnx"}, "Invalid runtime. Expected one of"),
        ({"precision": "float16"}, "Invalid precision. Expected one of"),
        ({"units": "layer"}, "Invalid units. Expected one of"),
        ({"threads": 0}, "Invalid threads. Expected a positive int or None. Received: 0"),
        ({"batch": None}, "Invalid batch. Expected a positive int. Received: None"),
        ({"batch": True}, "Invalid batch. Expected a positive int. Received: True"),
        ({"clip": 0}, "Invalid clip. Expected a positive int or None. Received: 0"),
        ({"threads": 77}, "TensorFlow's threads are set before it starts"),
    ],
)
def test_other_settings_are_refused(network: VideoNetwork, settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        network.compile_inference(**settings)


def test_frames_and_states_are_checked(network: VideoNetwork) -> None:
    compiled = network.compile_inference(runtime="openvino")
    state = compiled.initial_state(2)
    (slot,) = (name for name in state if name != "step")
    with pytest.raises(ValueError, match="Expected a batch of 2, the batch size of the state"):
        compiled.step(FRAME[:1], state)
    with pytest.raises(ValueError, match=r"Expected a frame of shape \[B, 4, 4, 2\]"):
        compiled.step(FRAME[:, :3], state)
    with pytest.raises(ValueError, match=f"Missing: .*{slot}"):
        compiled.step(FRAME, {"step": state["step"]})
    with pytest.raises(ValueError, match=f"Expected '{slot}' in the state with shape"):
        compiled.step(FRAME, {**state, slot: state[slot][:, 1:]})
    with pytest.raises(ValueError, match="Expected integers. Received: float64"):
        compiled.step(FRAME, {**state, "step": np.zeros(2)})
    with pytest.raises(TypeError, match="same_kind"):
        compiled.step(FRAME, {**state, slot: state[slot].astype("complex64")})
    with pytest.raises(ValueError, match="read-only"):
        state[slot][0] = 1.0
    outputs, _ = compiled.step(FRAME.astype("float64"), state)
    np.testing.assert_array_equal(outputs, compiled.step(tf.constant(FRAME), state)[0])


@keras.saving.register_keras_serializable(package="test_settings")
class Noise(layers.Layer):
    """A layer that draws numbers in inference, too."""

    def build(self, shape: tuple) -> None:
        self.seed = keras.random.SeedGenerator(0)

    def call(self, x):
        return x + keras.random.normal((1, *x.shape[1:]), seed=self.seed)


@keras.saving.register_keras_serializable(package="test_settings")
class InPython(layers.Layer):
    """A layer that calls back into Python."""

    def call(self, x):
        return tf.ensure_shape(tf.numpy_function(lambda v: 2 * v, [x], tf.float32), x.shape)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_variables_that_change_are_refused(runtime: str) -> None:
    """Constants in their place would give the same random numbers at every step."""
    with pytest.raises(ValueError, match="which assigns .*seed.*Use network.step"):
        build(lambda x: Noise()(x)).compile_inference(runtime=runtime)


def test_openvino_says_what_it_cannot_compile() -> None:
    with pytest.raises(ValueError, match=r"cannot compile '.*in_python'.*: PyFunc\. Use runtime="):
        build(lambda x: InPython(name="in_python")(x)).compile_inference(runtime="openvino")
    network = build(lambda x: ops.abs(x) * 3, dtype="float64")
    with pytest.raises(ValueError, match="it has no float64.*Use runtime='tensorflow'"):
        network.compile_inference(runtime="openvino")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_fixed_batch_size_needs_streams_of_one_age(runtime: str) -> None:
    frame = keras.Input((4,), batch_size=2)
    x = layers.Dense(3, name="first")(frame)
    model = keras.Model(frame, layers.Dense(2, name="second")(x))
    network = VideoNetwork(model, Plan(model, boundaries=["second"], clocks=[1, 2]))
    compiled = network.compile_inference(runtime=runtime)
    frames, state = np.eye(2, 4, dtype="float32"), network.initial_state(2)
    own = compiled.initial_state(2)
    for _ in range(3):
        expected, state = network.step(frames, state)
        outputs, own = compiled.step(frames, own)
        np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="takes batches of 2 only"):
        compiled.step(frames, compiled.reset(own, [True, False]))
    with pytest.raises(ValueError, match="Expected a batch of 2"):
        compiled.step(frames[:1], compiled.initial_state(1))


def test_threads_may_share_a_compiled_network(network: VideoNetwork) -> None:
    compiled = network.compile_inference(runtime="openvino")
    frames = np.random.default_rng(2).normal(size=(4, 1, 4, 4, 2)).astype("float32")

    def stream(frame: np.ndarray) -> list[np.ndarray]:
        state, outputs = compiled.initial_state(1), []
        for number in range(20):
            y, state = compiled.step(frame * (number + 1), state)
            outputs.append(y)
        return outputs

    expected = [*map(stream, frames)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        np.testing.assert_array_equal([*pool.map(stream, frames)], expected)


def test_future_frames_are_refused() -> None:
    network = build(lambda x: keras_layers.TemporalConv3D(2, 3, temporal_padding="symmetric")(x))
    with pytest.raises(ValueError, match="looks into the future"):
        network.compile_inference()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_machine_without_bfloat16_says_so(
    network: VideoNetwork, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_tensorflow, "computes_in_bfloat16", lambda: False)
    monkeypatch.setattr(on_openvino, "computes_in_bfloat16", lambda: False)
    with pytest.raises(ValueError, match="does not compute in bfloat16 on this machine"):
        network.compile_inference(runtime=runtime, precision="bfloat16")


def test_a_missing_openvino_is_named(
    network: VideoNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ImportError, match=r"pip install 'mpvn\[openvino\]'"):
        network.compile_inference(runtime="openvino")


def test_openvino_has_no_telemetry(network: VideoNetwork) -> None:
    network.compile_inference(runtime="openvino")
    with pytest.raises(ImportError):
        builtins.__import__("openvino_telemetry")
