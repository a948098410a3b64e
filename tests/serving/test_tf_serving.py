"""What `mpvn tf-serving` writes, read as TensorFlow Serving reads it."""

import json
import pathlib
import shutil
import subprocess

import numpy as np
import pytest
import tensorflow as tf
from command_line import assert_mistake, mpvn
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2
from tf_serving_stand_in import StandIn

from mpvn.export.description import read_description
from mpvn.serving import Client
from mpvn.serving.grpc_transport import zeros_proto
from mpvn.serving.tf_serving import as_shell, docker_command, write_tf_serving
from mpvn.serving.tf_serving_warm_up import tick_steps, warm_up_records

RECORDS = "assets.extra/tf_serving_warmup_requests"


@pytest.fixture(scope="module")
def served(root: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder after the command."""
    served = tmp_path_factory.mktemp("kit") / "served"
    shutil.copytree(root, served)
    assert mpvn("tf-serving", served, "--batch", 6, "--wait-ms", 1.5) == 0
    return served


def batching_parameters(text: str):
    """Return a `BatchingParameters`, which the package of the protocol does not have.

    From tensorflow_serving/servables/tensorflow/session_bundle_config.proto.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name="batching.proto",
        package="test",
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    message = file.message_type.add(name="BatchingParameters")
    wrapped = ["max_batch_size", "batch_timeout_micros", "max_enqueued_batches"]
    for number, name in enumerate([*wrapped, "num_batch_threads"], 1):
        message.field.add(
            name=name, number=number, label=1, type=11, type_name=".google.protobuf.Int64Value"
        )
    message.field.add(
        name="thread_pool_name",
        number=5,
        label=1,
        type=11,
        type_name=".google.protobuf.StringValue",
    )
    message.field.add(name="allowed_batch_sizes", number=6, label=3, type=3)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName("test.BatchingParameters"))
    return text_format.Parse(text, kind())


def requests(path: pathlib.Path) -> list:
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    return [
        prediction_log_pb2.PredictionLog.FromString(each).predict_log.request for each in records
    ]


def test_the_models_are_named(served: pathlib.Path) -> None:
    config = text_format.Parse(
        (served / "models.config").read_text(), model_server_config_pb2.ModelServerConfig()
    )
    models = {each.name: each for each in config.model_config_list.config}
    assert models.keys() == {"carried", "served", "kinds", "slots"}
    assert models["carried"].base_path == "/models/carried"
    assert models["carried"].model_platform == "tensorflow"


def test_only_models_of_carried_state_are_batched(served: pathlib.Path) -> None:
    assert batching_parameters((served / "batching.config").read_text()).ByteSize()
    found = [path.relative_to(served) for path in served.rglob("batching_params.pbtxt")]
    assert found == [pathlib.Path("carried/1/batching_params.pbtxt")]
    parameters = batching_parameters((served / found[0]).read_text())
    assert parameters.max_batch_size.value == 6
    assert parameters.batch_timeout_micros.value == 1500
    assert list(parameters.allowed_batch_sizes) == [1, 2, 4, 6]


def test_frames_of_any_size_are_not_batched(served: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Requests with frames of two sizes would fail together."""
    folder = tmp_path / "root" / "pictures" / "1"
    shutil.copytree(served / "carried" / "1", folder)
    description = read_description(folder)
    description["signatures"]["step"]["inputs"]["video"]["shape"] = [None, None, None, 3]
    (folder / "assets.extra" / "mpvn.json").write_text(json.dumps(description))
    (found,) = write_tf_serving(tmp_path / "root")
    assert found.batches == ()
    assert found.records == 4
    assert not list(tmp_path.rglob("batching*"))


def test_warm_up_runs_all_ticks_and_batches(served: pathlib.Path) -> None:
    path = served / "carried" / "1" / RECORDS
    sent = requests(path)
    steps = [tf.make_ndarray(each.inputs["step"]).tolist() for each in sent]
    assert steps == [[0], [1], [2000], [2001], [0, 1], [0, 1, 2000, 2001], [0, 1, 2000, 2001, 0, 1]]
    assert {each.model_spec.signature_name for each in sent} == {"step"}
    assert path.stat().st_size < 700 * len(sent)


def test_warm_up_of_states_on_the_server_ends_with_a_reset(served: pathlib.Path) -> None:
    sent = requests(served / "served" / "1" / RECORDS)
    assert [each.model_spec.signature_name for each in sent] == ["step"] * 4 + ["reset"]
    assert {tf.make_ndarray(each.inputs["stream_id"]).item() for each in sent} == {-1}


@pytest.mark.parametrize(("dtype", "shape"), [("string", [None]), ("uint8", [None, None, None, 3])])
def test_warm_up_frames_of_any_size_have_that_of_the_network(
    dtype: str, shape: list, served: pathlib.Path
) -> None:
    description = read_description(served / "served" / "1")
    description["signatures"]["step"]["inputs"]["video"] = {"dtype": dtype, "shape": shape}
    description["metadata"] = {"size": [24, 32]}
    log = prediction_log_pb2.PredictionLog.FromString(warm_up_records(description, "served")[0])
    value = tf.make_ndarray(log.predict_log.request.inputs["video"])
    (frame,) = [tf.io.decode_jpeg(each) for each in value] if dtype == "string" else value
    np.testing.assert_array_equal(frame, np.zeros((24, 32, 3), "uint8"))


def test_a_warm_server_serves(
    served: pathlib.Path, clip: np.ndarray, expected: dict[str, np.ndarray]
) -> None:
    server = StandIn(served)
    try:
        warmed = {name: model.warmed for name, model in server.models.items()}
        assert warmed == {"carried": 7, "served": 5, "kinds": 0, "slots": 0}
        for name in ("carried", "served"):
            with Client(server.address("grpc"), name, timeout=5) as client:
                for number, frame in enumerate(clip):
                    scores = client.step(frame)["scores"]
                    np.testing.assert_allclose(scores, expected["scores"][number], atol=1e-5)
        clients = [Client(server.address("http"), "served", timeout=5) for _ in range(3)]
        for client in clients:
            client.step(clip[0])
        for client in clients:  # there was a place for each of them
            client.close()
    finally:
        server.kill()


def test_ticks_that_coincide() -> None:
    clocks = [[[1, 0, 5], [2, 1, 3]], [[4, 0, 1]]]
    plan = {"period": 4, "subnetworks": [{"clocks": each} for each in clocks]}
    assert tick_steps({"plan": plan}) == [0, 1, 2]


@pytest.mark.parametrize("code", ["DT_FLOAT", "DT_BFLOAT16", "DT_HALF", "DT_INT64", "DT_BOOL"])
def test_zeros_take_no_room(code: str) -> None:
    proto = zeros_proto(code, (1, 1000, 3))
    assert proto.ByteSize() < 20
    dtype = tf.as_dtype(types_pb2.DataType.Value(code))
    parsed = tf.io.parse_tensor(proto.SerializeToString(), dtype)  # as the server reads it
    np.testing.assert_array_equal(parsed, np.zeros((1, 1000, 3), dtype.as_numpy_dtype))


def test_the_command_is_one_of_a_shell(served: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    assert mpvn("tf-serving", served) == 0
    printed = capsys.readouterr().out
    command = printed[printed.index("docker run") :]
    shell = subprocess.run(
        ["sh", "-c", command.replace("docker", "printf '%s\\n'", 1)],
        capture_output=True,
        text=True,
        check=True,
    )
    words = shell.stdout.split("\n")
    assert f"{served}:/models:ro" in words
    assert "127.0.0.1:8500:8500" in words
    assert "--enable_per_model_batching_parameters" in words
    assert "carried version 1: state in and out" in printed
    assert "slots version 1: not exported by mpvn" in printed


def test_without_batches(served: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    assert mpvn("tf-serving", served, "--batch", 1) == 0
    assert "batching" not in capsys.readouterr().out.split("docker")[1]
    assert not list(served.rglob("batching*"))


def test_mistakes(tmp_path: pathlib.Path) -> None:
    assert_mistake("NAME/VERSION.*Received: none there", "tf-serving", tmp_path)
    for name in ("model", "actions/first"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "saved_model.pb").touch()
        assert_mistake(f"Received: a SavedModel in .*{name}", "tf-serving", tmp_path)
        (tmp_path / name / "saved_model.pb").unlink()
    assert_mistake("Expected a batch of at least 1", "tf-serving", tmp_path, "--batch", 0)


DOCS = pathlib.Path(__file__).parents[2] / "docs"


def test_sizes_of_the_document_are_those_of_the_networks() -> None:
    """The table of all networks is computed; `docs/serving.md` shows some of its rows."""
    rows = [line.split(" | ") for line in (DOCS / "networks.md").read_text().splitlines()]
    published = {(row[0][2:], row[3], row[-2], row[-1][:-2]) for row in rows if len(row) > 9}
    text = (DOCS / "serving.md").read_text()
    shown = [line[2:-2].split(" | ") for line in text.splitlines() if line.startswith("| ")]
    shown = [row for row in shown if len(row) == 5 and row[1].isdigit()]
    assert len(shown) == 5
    for *row, traffic in shown:
        assert tuple(row) in published
        assert float(traffic) == round(25 * float(row[2]))


def test_the_command_of_the_document_is_the_one_that_is_printed(served: pathlib.Path) -> None:
    write_tf_serving(served)
    printed = as_shell(docker_command(served)).replace(str(served), "$PWD/served")
    text = (DOCS / "serving.md").read_text()
    shown = text[text.index("    docker run") :].split("\n\n")[0]
    words = [
        [word for word in each.replace('"', "").split() if word != "\\"]
        for each in (shown, printed)
    ]
    assert words[0] == words[1]
