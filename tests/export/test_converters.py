"""What converters do to graphs: faults, dtypes, shared weights, quantization, and refusals."""

import json
import os
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers
from network_data import to_keras
from random_networks import networks, settings_for
from random_weights import randomize
from tflite_operators import read_model, read_operators

import keras_layers
import mpvn
from mpvn.export import litert_files
from mpvn.export.runner import Runner
from mpvn.export.schedule import static_network
from mpvn.export.specs import clip_specs
from mpvn.runtime import Calibration

FORMATS = ("litert", "onnx", "openvino")
EXAMPLES = max(1, int(os.environ.get("MPVN_EXAMPLES", "1")) // 10)  # conversion takes seconds


def build(x: keras.KerasTensor, *outputs: keras.KerasTensor, **plan: Any) -> mpvn.VideoNetwork:
    """Build a network with random weights."""
    model = keras.Model(x, outputs)
    randomize(model, np.random.default_rng(0))
    return mpvn.VideoNetwork(model, mpvn.Plan(model, **plan))


def two_blocks() -> mpvn.VideoNetwork:
    """Build a wide layer that ticks in both of two patterns, and one that ticks in one of them."""
    x = frame = keras.Input((6, 6, 3), name="video")
    x = layers.Conv2D(48, 3, padding="same", activation="relu", name="wide")(x)
    x = keras_layers.TemporalConv3D(32, (2, 3, 3), activation="relu", name="slow")(x)
    return build(frame, layers.Dense(4, name="scores")(x), boundaries=["slow"], clocks=[1, 2])


def export(network: mpvn.VideoNetwork, folder: pathlib.Path, format: str, **options: Any) -> dict:
    """Export a network; return its description."""
    network.export(folder, format=format, verbose=False, **options)
    return json.loads((folder / "mpvn.json").read_text("utf-8"))


def non_local() -> mpvn.VideoNetwork:
    """Build a layer that subtracts a transposed mask from 1."""
    frame = keras.Input((4, 4, 8), name="video")
    return build(frame, keras_layers.NonLocal(3, frames=2, name="attention")(frame))


def test_a_difference_with_a_number_keeps_its_sides(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LiteRT's converter made `transpose(x - 1)` of `1 - transpose(x)`.

    Streams of a network with attention were wrong from the first frame on. Every export is
    compared with the network, so this one, without our help for the converter, is refused.
    """
    network = non_local()
    export(network, tmp_path / "right", "litert")
    monkeypatch.setattr(litert_files, "widen_constants", None)
    with pytest.raises(ValueError, match="'litert' fails: .* computes 'attention' wrongly"):
        export(network, tmp_path / "wrong", "litert")
    assert [path.name for path in tmp_path.iterdir()] == ["right"]


@pytest.mark.parametrize("format", FORMATS)
def test_patterns_share_their_weights(format: str, tmp_path: pathlib.Path) -> None:
    network = two_blocks()
    description = export(network, tmp_path / "model", format)
    assert len(description["schedule"]["graphs"]) == 2
    weights = sum(variable.numpy().nbytes for variable in network.variables)
    if format == "litert":
        model = read_model(tmp_path / "model" / "model.tflite")
        values = {
            t.buffer: model.buffers[t.buffer].data for g in model.subgraphs for t in g.tensors
        }
        contents = [data.tobytes() for data in values.values() if data is not None]
        assert len(contents) == len({*contents})
        size = sum(map(len, contents))
    else:
        size = (tmp_path / "model" / "weights.bin").stat().st_size
    assert weights * 0.9 < size < weights * 1.1 + 3000
    assert set(description["files"]) >= {path.name for path in (tmp_path / "model").iterdir()} - {
        "mpvn.json"
    }


def test_int8_streams_within_its_bound(tmp_path: pathlib.Path) -> None:
    network = two_blocks()
    clips = [*np.random.default_rng(1).normal(size=(2, 1, 12, 6, 6, 3)).astype("float32")]
    options = {"quantization": "int8", "calibration": clips}
    description = export(network, tmp_path / "model", "litert", **options)
    (output,) = description["measured"]["outputs"]
    assert 1e-4 < output["error"] < 0.1
    assert description["measured"]["held_out"] == 6
    file = tmp_path / "model" / "model.tflite"
    kinds = [*read_operators(file, "step_0")]
    assert {"QUANTIZE", "DEQUANTIZE"} <= {*kinds}
    assert file.stat().st_size < 70_000 < sum(v.numpy().nbytes for v in network.variables)
    for name, state in description["schedule"]["states"].items():
        assert state["dtype"] == "float32", name  # is never rounded while it is held
    options["calibration"] = Calibration(clips, max_error=1e-6)
    with pytest.raises(ValueError, match="Quantization changes 'scores' by .*Expected at most"):
        export(network, tmp_path / "bounded", "litert", **options)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_is_computed_in_float32(policy: str, tmp_path: pathlib.Path) -> None:
    frame = keras.Input((4, 4, 3), name="video")
    x = layers.Conv2D(4, 3, dtype=policy, name="first")(frame)
    x = keras_layers.TemporalConv3D(4, 2, dtype=policy, name="second")(x)
    network = build(frame, x, boundaries=["second"])
    static = static_network(network, clip_specs(network.graph), 2)
    assert {spec.dtype for spec in static.states.values()} == {tf.float32}
    export(network, tmp_path / "model", "onnx", batch=2)
    full = keras.models.clone_model(
        network.frame_model, clone_function=lambda layer: _in_float32(layer)
    )
    full.set_weights(network.frame_model.get_weights())
    in_float32 = mpvn.VideoNetwork(full, mpvn.Plan(full, boundaries=["second"]))
    clip = np.random.default_rng(0).normal(size=(2, 4, 4, 4, 3)).astype("float32")
    runner = Runner(static, lambda graph, values: graph.function(*values), 2)
    steps = [next(iter(runner.step({"video": clip[:, t]}).values())) for t in range(4)]
    (expected,) = keras.tree.flatten(in_float32(clip))
    np.testing.assert_allclose(np.stack(steps, 1), expected, rtol=1e-5, atol=1e-5)


def _in_float32(layer: keras.layers.Layer) -> keras.layers.Layer:
    return layer.__class__.from_config({**layer.get_config(), "dtype": "float32"})


def test_bytes_become_numbers_inside(tmp_path: pathlib.Path) -> None:
    network = non_local()
    signature = tf.TensorSpec((2, 4, 4, 8), "uint8")
    description = export(network, tmp_path / "model", "openvino", input_signature=signature)
    assert description["schedule"]["frames"]["video"] == {"dtype": "uint8", "shape": [2, 4, 4, 8]}


class Logarithm(layers.Layer):
    """A layer that is not defined at zero."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return tf.math.log(tf.nn.relu(x))


def test_values_without_a_range_are_refused_in_int8(tmp_path: pathlib.Path) -> None:
    """The converter ended the process, without a message."""
    frame = keras.Input((3, 3, 2), name="video")
    network = build(frame, layers.Activation("sigmoid")(Logarithm(name="logs")(frame)))
    clips = [np.random.default_rng(1).normal(size=(8, 3, 3, 2)).astype("float32")]
    with pytest.raises(ValueError, match="Received: infinities or NaN from Log, of 'logs'"):
        export(network, tmp_path / "x", "litert", quantization="int8", calibration=clips)


class Gamma(layers.Layer):
    """A layer that no format has."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return tf.math.igamma(tf.abs(x) + 1, tf.abs(x) + 1)


@pytest.mark.parametrize("format", FORMATS)
def test_layers_that_do_not_convert_are_named(format: str, tmp_path: pathlib.Path) -> None:
    frame = keras.Input((3, 3, 2), name="video")
    network = build(frame, Gamma(name="odd")(frame))
    with pytest.raises(ValueError, match="cannot express 'step_0' .*Received: Igamma, of 'odd'"):
        export(network, tmp_path / "model", format)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("format", "options", "message"),
    [
        ("onnx", {"opset": 3}, "Invalid opset. Expected 13 to 18. Received: 3"),
        ("onnx", {"batch": 0}, "Invalid batch. Expected a positive int or None. Received: 0"),
        (
            "onnx",
            {"batch": 3, "input_signature": tf.TensorSpec((2, 4, 4, 8))},
            "Expected 2, the batch size of the input_signature",
        ),
        ("openvino", {"precision": "int4"}, "Invalid precision. .*Received: 'int4'"),
        ("litert", {"quantization": "int4"}, "Invalid quantization. .*Received: 'int4'"),
        ("litert", {"quantization": "int8"}, "Expected calibration=clips. Received: None"),
        ("litert", {"calibration": [np.zeros(2)]}, "Expected None without quantization"),
        (
            "litert",
            {"quantization": "int8", "calibration": [np.zeros((1, 4, 4, 8), "float32")]},
            "Expected clips of at least",
        ),
    ],
)
def test_wrong_options_are_refused(
    format: str, options: dict, message: str, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(ValueError, match=message):
        export(non_local(), tmp_path / "model", format, **options)
    assert not [*tmp_path.iterdir()]


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
@pytest.mark.parametrize("format", FORMATS)
def test_random_networks_pass_the_check_of_exports(
    format: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each export is compared with the network over all its steps before it is written."""
    network = data.draw(networks())
    model = to_keras(network)
    plan = data.draw(settings_for(network, mpvn.Plan(model).nodes))
    start = data.draw(st.sampled_from(["zeros", "primed"]))
    batch = data.draw(st.sampled_from([1, 2, None]))
    video = mpvn.VideoNetwork(model, mpvn.Plan(model, **plan.plan_arguments()), start=start)
    export(video, tmp_path_factory.mktemp("random") / "model", format, batch=batch)
