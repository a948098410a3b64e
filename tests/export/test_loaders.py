"""An exported network streams without our packages as it did here, through every loader.

Streams of all ages share batches; each must get what it gets alone.
"""

import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from random_weights import randomize
from rounds import Call, Values, serve
from saved_model_client import load_v2
from tensorflow.core.protobuf import saved_model_pb2

import keras_layers
import mpvn

STREAMS, FRAMES = 4, 9
ROUNDS = [
    [0],
    [2, 0],
    [0, 2, 1],
    [2],
    [1, 3, 0],
    [3, 2],
    [0, 1],
    [1, 2, 3, 0],
    [3, 1],
    [2, 3, 1, 0],
]


@pytest.fixture(scope="module")
def network() -> mpvn.VideoNetwork:
    """A network with temporal layers, strides, skips, clocks, feedback and two outputs."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((4, 4, 3), name="video")
    back = keras_layers.Feedback("scores", (5,), name="back")(inputs)
    x = keras_layers.TemporalConv3D(6, (2, 3, 3), activation="relu", name="first")(inputs)
    y = keras_layers.TemporalMaxPooling3D((2, 2, 2), (2, 2, 2), name="pool")(x)
    y = keras.layers.Conv2D(6, 3, padding="same", name="second")(y)
    y = keras.layers.BatchNormalization(name="norm")(y)
    up = keras.layers.UpSampling2D(2, name="up")(y)
    merged = keras.layers.Add(name="merge")([x, up])
    pooled = keras.layers.GlobalAveragePooling2D(name="mean")(merged)
    scores = keras.layers.Dense(5, name="scores")(keras.layers.Concatenate()([pooled, back]))
    model = keras.Model(inputs, {"scores": scores, "map": merged})
    randomize(model, np.random.default_rng(5))
    plan = mpvn.Plan(model, boundaries=["pool", "up", "merge"], clocks="auto")
    return mpvn.VideoNetwork(model, plan)


@pytest.fixture(scope="module")
def clips() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(STREAMS, FRAMES, 4, 4, 3)).astype("float32")


@pytest.fixture(scope="module")
def expected(network: mpvn.VideoNetwork, clips: np.ndarray) -> Values:
    outputs = streams_alone(network, clips)
    assert np.abs(outputs["scores"]).max() > 0.1
    return outputs


def streams_alone(network: mpvn.VideoNetwork, clips: np.ndarray) -> Values:
    """Return the outputs `[S, T, ...]` of each stream alone."""
    alone = [network(clips[s : s + 1]) for s in range(STREAMS)]
    return {name: np.concatenate([y[name] for y in alone]) for name in alone[0]}


@pytest.fixture(scope="module")
def folder(
    network: mpvn.VideoNetwork, clips: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """A folder with the exported network, and what its clients read."""
    folder = tmp_path_factory.mktemp("exported")
    network.export(folder / "model", verbose=False)
    np.save(folder / "clips.npy", clips)
    (folder / "rounds.json").write_text(json.dumps(ROUNDS))
    return folder


def check(outputs: Values, expected: Values, rounds: list[list[int]]) -> None:
    """Compare the outputs of the frames that were sent."""
    assert set(outputs) == set(expected)
    for name, values in outputs.items():
        sent = ~np.isnan(values.reshape(STREAMS, FRAMES, -1)).any(axis=-1)
        assert sent.sum() == sum(map(len, rounds))
        np.testing.assert_allclose(values[sent], expected[name][sent], rtol=1e-4, atol=1e-5)


def test_python_loaders_stream_without_our_packages(folder: pathlib.Path, expected: Values) -> None:
    client = pathlib.Path(__file__).parents[1] / "saved_model_client.py"
    command = [sys.executable, str(client), str(folder)]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    for loader in ("v2", "v1"):
        check(dict(np.load(folder / f"{loader}.npz")), expected, ROUNDS)
        for name, values in np.load(folder / f"{loader}_clip.npz").items():
            np.testing.assert_allclose(values, expected[name], rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def call(folder: pathlib.Path) -> Call:
    """The signatures, loaded in this process."""
    return load_v2(str(folder / "model"))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    rounds=st.lists(
        st.lists(st.integers(0, STREAMS - 1), min_size=1, max_size=STREAMS, unique=True),
        min_size=1,
        max_size=FRAMES,
    )
)
def test_streams_of_all_ages_share_batches(
    rounds: list[list[int]], call: Call, clips: np.ndarray, expected: Values
) -> None:
    check(serve(call, clips, rounds), expected, rounds)


def test_streams_start_primed_whenever_they_join(
    network: mpvn.VideoNetwork, clips: np.ndarray, expected: Values, tmp_path: pathlib.Path
) -> None:
    primed = mpvn.VideoNetwork(network.frame_model, network.plan, start="primed")
    primed.export(tmp_path / "model", verbose=False)
    outputs = serve(load_v2(str(tmp_path / "model")), clips, ROUNDS)
    check(outputs, streams_alone(primed, clips), ROUNDS)
    assert np.abs(outputs["scores"][:, 0] - expected["scores"][:, 0]).min() > 1e-3


def test_the_loader_of_servers_streams(folder: pathlib.Path, expected: Values) -> None:
    """The C++ loader, which TensorFlow Serving uses, knows neither Python nor Keras."""
    libraries = sorted(pathlib.Path(tf.sysconfig.get_lib()).glob("libtensorflow_cc.so.*"))
    if not libraries:
        pytest.skip("optional: this TensorFlow has no C++ library (libtensorflow_cc.so)")
    (folder / "signatures.json").write_text(json.dumps(signatures(folder / "model")))
    client = pathlib.Path(__file__).parents[1] / "c_client.py"
    command = [sys.executable, str(client), str(folder), str(libraries[0])]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    check(dict(np.load(folder / "c.npz")), expected, ROUNDS)


def signatures(model: pathlib.Path) -> dict[str, dict[str, dict[str, str]]]:
    """Return the names of the tensors in the signatures of a SavedModel."""
    content = (model / "saved_model.pb").read_bytes()
    (graph,) = saved_model_pb2.SavedModel.FromString(content).meta_graphs
    return {
        key: {
            "inputs": {name: tensor.name for name, tensor in signature.inputs.items()},
            "outputs": {name: tensor.name for name, tensor in signature.outputs.items()},
        }
        for key, signature in graph.signature_def.items()
    }


def test_every_tensor_of_the_signatures_has_the_batch_axis(folder: pathlib.Path) -> None:
    """TensorFlow Serving needs it for its row format, and to batch requests."""
    signatures = tf.saved_model.load(folder / "model").signatures
    tensors = [
        spec
        for key in ("step", "clip")
        for specs in (
            signatures[key].structured_input_signature[1],
            signatures[key].structured_outputs,
        )
        for spec in specs.values()
    ] + list(signatures["init_states"].structured_outputs.values())
    for spec in tensors:
        assert spec.shape.rank >= 1, spec
        assert spec.shape[0] is None, spec
    sizes = {size for spec in tensors for size in spec.shape[1:] if size is None}
    assert len(sizes) <= 1, "only the number of frames is open besides the batch"


def test_idle_subnetworks_are_skipped_in_the_exported_step(folder: pathlib.Path) -> None:
    """Every convolution on a slow clock is inside a branch of a conditional."""
    step = tf.saved_model.load(folder / "model").signatures["step"]
    functions = step.graph.as_graph_def().library.function
    ops_of = {f.signature.name: [node.op for node in f.node_def] for f in functions}
    conditional = [ops for ops in ops_of.values() if "If" in ops or "StatelessIf" in ops]
    branches = [ops for name, ops in ops_of.items() if "_true_" in name]
    assert [ops.count("Conv2D") for ops in conditional] == [1]  # The first layer, at rate 1.
    assert sum(ops.count("Conv2D") for ops in branches) == 1  # The second layer, at rate 2.
