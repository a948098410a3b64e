"""An exported network streams without our packages as it did here, through every loader.

Streams of all ages share batches; each must get what it gets alone.
"""

import json
import pathlib
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow as tf
from exported_network import FRAMES, STREAMS, create_clips, create_network, streams_alone
from hypothesis import given, settings
from hypothesis import strategies as st
from rounds import Call, Values, serve, serve_ids
from saved_model_client import load_v2
from tensorflow.core.protobuf import saved_model_pb2

import mpvn
from mpvn.export.description import read_description

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
    return create_network()


@pytest.fixture(scope="module")
def clips() -> np.ndarray:
    return create_clips()


@pytest.fixture(scope="module")
def expected(network: mpvn.VideoNetwork, clips: np.ndarray) -> Values:
    outputs = streams_alone(network, clips)
    assert np.abs(outputs["scores"]).max() > 0.1
    return outputs


@pytest.fixture(scope="module")
def folder(
    network: mpvn.VideoNetwork, clips: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
    """A folder with the network, exported in both forms, and what its clients read."""
    folder = tmp_path_factory.mktemp("exported")
    network.export(folder / "model", verbose=False)
    network.export(folder / "server", verbose=False, streams=STREAMS)
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
        check(dict(np.load(folder / f"{loader}_server.npz")), expected, ROUNDS)
        for name, values in np.load(folder / f"{loader}_clip.npz").items():
            np.testing.assert_allclose(values, expected[name], rtol=1e-4, atol=1e-5)
    for name, values in expected.items():
        for time, form in enumerate(("server", "model")):
            by_command = np.load(folder / f"{form}_cli" / f"{name}.npy")
            np.testing.assert_allclose(by_command, values[:3, time], rtol=1e-4, atol=1e-5)


def test_the_example_streams(
    folder: pathlib.Path, expected: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = pathlib.Path(__file__).parents[2] / "examples" / "run_saved_model.py"
    frames, outputs = folder / "clips.npy", folder / "example.npz"
    arguments = [folder / "model", "--frames", frames, "--save", outputs]
    monkeypatch.setattr(sys, "argv", [str(example), *map(str, arguments)])
    monkeypatch.syspath_prepend(example.parent)  # as for a script
    runpy.run_path(str(example), run_name="__main__")
    check(dict(np.load(outputs)), expected, [[*range(STREAMS)]] * FRAMES)


@pytest.fixture(scope="module")
def call(folder: pathlib.Path) -> Iterator[Call]:
    """The signatures, loaded in this process."""
    with load_v2(str(folder / "model")) as call:
        yield call


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
    primed.export(tmp_path / "server", verbose=False, streams=STREAMS)
    with load_v2(str(tmp_path / "server")) as call:
        outputs = serve_ids(call, clips, ROUNDS)
    check(outputs, streams_alone(primed, clips), ROUNDS)
    assert np.abs(outputs["scores"][:, 0] - expected["scores"][:, 0]).min() > 1e-3


def test_the_code_of_the_document_runs(
    folder: pathlib.Path,
    clips: np.ndarray,
    expected: Values,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document = pathlib.Path(__file__).parents[2] / "docs" / "export.md"
    monkeypatch.chdir(tmp_path)
    for name, form in {"served": "model", "cameras": "server"}.items():
        pathlib.Path(name).mkdir()
        pathlib.Path(name, "1").symlink_to(folder / form)
    names = {"camera": tf.constant(clips[:2].swapaxes(0, 1)), "print": lambda *_: None}
    for block in re.findall(r"```python\n(.*?)```", document.read_text(), re.DOTALL):
        exec(compile(block, str(document), "exec"), names)
        scores = names["values"]["scores"]
        np.testing.assert_allclose(scores, expected["scores"][:2, -1], rtol=1e-4, atol=1e-5)


def test_the_loader_of_servers_streams(folder: pathlib.Path, expected: Values) -> None:
    """The C++ loader, which TensorFlow Serving uses, knows neither Python nor Keras."""
    libraries = sorted(pathlib.Path(tf.sysconfig.get_lib()).glob("libtensorflow_cc.so.*"))
    if not libraries:
        pytest.skip("optional: this TensorFlow has no C++ library (libtensorflow_cc.so)")
    for form in ("model", "server"):
        (folder / f"{form}.json").write_text(json.dumps(signatures(folder / form)))
    client = pathlib.Path(__file__).parents[1] / "c_client.py"
    command = [sys.executable, str(client), str(folder), str(libraries[0])]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    check(dict(np.load(folder / "c.npz")), expected, ROUNDS)
    check(dict(np.load(folder / "c_server.npz")), expected, ROUNDS)


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


def test_what_fits_no_network_is_refused(folder: pathlib.Path, clips: np.ndarray) -> None:
    """Model servers do not check it. One row would be taken for that of every stream."""
    with load_v2(str(folder / "model")) as call:
        states = call("init_states", {"batch_size": 1})
        for inputs, message in (
            ({"video": clips[:3, 0]}, "from 1 to 3 rows"),
            ({"video": clips[:1, 0, :3]}, "not compatible with expected shape"),
            ({"step": np.array([-1])}, "Invalid step"),
        ):
            with pytest.raises(tf.errors.InvalidArgumentError, match=message):
                call("step", {"video": clips[:1, 0], **states, **inputs})
        with pytest.raises(tf.errors.InvalidArgumentError, match="at least one frame"):
            call("clip", {"video": clips[:, :0]})


@pytest.mark.parametrize("form", ["model", "server"])
def test_every_tensor_of_the_signatures_has_the_batch_axis(form: str, folder: pathlib.Path) -> None:
    """TensorFlow Serving needs it for its row format, and to batch requests."""
    described = read_description(folder / form)["signatures"]
    described.get("init_states", {}).pop("inputs", None)
    tensors = [
        tensor["shape"]
        for signature in described.values()
        for side in signature.values()
        for tensor in side.values()
    ]
    assert {shape[0] for shape in tensors} == {None}
    assert sum(None in shape[1:] for shape in tensors) == 3, "the number of frames, in clip alone"
    for key, signature in signatures(folder / form).items():
        if key in described:
            assert signature["outputs"].keys() == described[key]["outputs"].keys()


@pytest.mark.parametrize("form", ["model", "server"])
def test_idle_subnetworks_are_skipped_in_the_exported_step(form: str, folder: pathlib.Path) -> None:
    """Every convolution on a slow clock is inside a branch of a conditional."""
    step = tf.saved_model.load(folder / form).signatures["step"]
    functions = step.graph.as_graph_def().library.function
    ops_of = {f.signature.name: [node.op for node in f.node_def] for f in functions}
    conditional = [ops for ops in ops_of.values() if "If" in ops or "StatelessIf" in ops]
    branches = [ops for name, ops in ops_of.items() if "_true_" in name]
    assert [ops.count("Conv2D") for ops in conditional] == [1]  # The first layer, at rate 1.
    assert sum(ops.count("Conv2D") for ops in branches) == 1  # The second layer, at rate 2.
