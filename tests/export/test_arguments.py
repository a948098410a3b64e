"""The arguments of `network.export` are those of `keras.Model.export`."""

import inspect
import pathlib
import re
from collections.abc import Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_layers
import mpvn


@pytest.fixture(scope="module")
def network() -> mpvn.VideoNetwork:
    """A network with one input, one dict output, and one temporal layer."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((4, 4, 2), name="video")
    x = keras_layers.TemporalConv3D(2, (2, 1, 1), name="conv")(inputs)
    return mpvn.VideoNetwork(keras.Model(inputs, {"map": x}))


@pytest.fixture
def interactive() -> Iterator[None]:
    enabled = keras.config.is_interactive_logging_enabled()
    keras.config.enable_interactive_logging()
    yield
    if not enabled:
        keras.config.disable_interactive_logging()


def test_the_arguments_have_the_names_and_defaults_of_keras() -> None:
    def arguments(function) -> list[tuple]:
        parameters = inspect.signature(function).parameters.values()
        return [(parameter.name, parameter.default, parameter.kind) for parameter in parameters]

    assert arguments(mpvn.VideoNetwork.export) == arguments(keras.Model.export)


def test_export_prints_the_signatures(
    network: mpvn.VideoNetwork,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture,
    interactive: None,
) -> None:
    network.export(str(tmp_path / "as" / "text"))
    printed = capsys.readouterr().out
    assert f"'{tmp_path / 'as' / 'text'}'" in printed
    for line in ("* step", "input video: float32 (None, 4, 4, 2)", "output map: float32"):
        assert line in printed
    assert "output map: float32 (None, None, 4, 4, 2)" in printed
    for line in ("input x: the 2 states x", "output next_x: the 2 states x"):
        assert line in printed
    assert re.search(r"t0_video_past1 +128 bytes  float32 .None, 4, 4, 2.\n", printed)
    network.export(filepath=tmp_path / "path", format="tf_saved_model", verbose=False)
    assert capsys.readouterr().out == ""
    assert {path.name for path in tmp_path.rglob("saved_model.pb")} == {"saved_model.pb"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["as", "path"]


@pytest.mark.parametrize(
    "spec",
    [
        [tf.TensorSpec((2, 5, 4, 4, 2), "uint8")],
        keras.InputSpec("uint8", (2, 5, None, 4, 2)),
        {"video": tf.TensorSpec((2, 5, 4, 4, 2), "uint8")},
    ],
)
def test_input_signature_fixes_sizes_and_dtypes(
    spec: object, network: mpvn.VideoNetwork, tmp_path: pathlib.Path
) -> None:
    network.export(tmp_path / "model", verbose=False, input_signature=spec)
    signatures = tf.saved_model.load(tmp_path / "model").signatures
    step, clip = signatures["step"], signatures["clip"]
    assert clip.structured_input_signature[1]["video"] == tf.TensorSpec(
        (2, 5, 4, 4, 2), "uint8", "video"
    )
    assert step.structured_input_signature[1]["video"].shape == (2, 4, 4, 2)
    assert step.structured_outputs["map"].shape == (2, 4, 4, 2)
    frames = np.random.default_rng(0).integers(0, 255, (2, 5, 4, 4, 2)).astype("uint8")
    expected = network(frames.astype("float32"))["map"]
    np.testing.assert_allclose(clip(video=tf.constant(frames))["map"], expected, rtol=1e-5)
    states = signatures["init_states"](batch_size=tf.constant(2))
    values = step(video=tf.constant(frames[:, 0]), **states)
    np.testing.assert_allclose(values["map"], expected[:, 0], rtol=1e-5)


def test_input_signature_of_frames_fixes_the_batch_alone(
    network: mpvn.VideoNetwork, tmp_path: pathlib.Path
) -> None:
    network.export(tmp_path / "model", input_signature=tf.TensorSpec((1, 4, 4, 2)), verbose=False)
    signatures = tf.saved_model.load(tmp_path / "model").signatures
    assert signatures["clip"].structured_input_signature[1]["video"].shape.as_list() == [
        *(1, None, 4, 4, 2)
    ]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"format": "torch"}, ValueError, "Received: 'torch'. Keras has this format"),
        ({"format": "h5"}, ValueError, r"one of \['tf_saved_model', .*\]. Received: 'h5'\.$"),
        ({"is_static": True, "opset_version": 18}, TypeError, "is_static, opset_version"),
        ({"input_signature": [tf.TensorSpec((1, 4, 4, 3))]}, ValueError, "clip .B, T, 4, 4, 2."),
        ({"input_signature": tf.TensorSpec(None)}, ValueError, "Received: an unknown"),
        ({"input_signature": [tf.TensorSpec((1, 4, 4, 2))] * 2}, ValueError, "structure video"),
        ({"input_signature": "video"}, TypeError, "Received: 'video'"),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: dict,
    error: type[Exception],
    message: str,
    network: mpvn.VideoNetwork,
    tmp_path: pathlib.Path,
) -> None:
    with pytest.raises(error, match=message):
        network.export(tmp_path / "new" / "model", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_paths_that_cannot_be_new_folders_are_refused(
    network: mpvn.VideoNetwork, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(FileExistsError, match="Remove it or choose another path"):
        network.export(tmp_path)
    with pytest.raises(ValueError, match="Received: a URL"):
        network.export("gs://bucket/model")


def test_network_that_looks_into_the_future_is_rejected(tmp_path: pathlib.Path) -> None:
    inputs = keras.Input((8, 8, 3))
    outputs = keras_layers.TemporalConv3D(2, 3, temporal_padding="symmetric")(inputs)
    network = mpvn.VideoNetwork(keras.Model(inputs, outputs))
    with pytest.raises(ValueError, match="the future"):
        network.export(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_sequential_models_are_exported(tmp_path: pathlib.Path) -> None:
    """A sequential model that was never called has no `input`."""
    model = keras.Sequential([keras.Input((3,), name="video"), keras.layers.Dense(2, name="out")])
    network = mpvn.VideoNetwork(model)
    network.export(tmp_path / "model", verbose=False)
    clip = np.arange(6, dtype="float32").reshape(1, 2, 3)
    values = tf.saved_model.load(tmp_path / "model").signatures["clip"](video=tf.constant(clip))
    np.testing.assert_allclose(values["out"], network(clip), rtol=1e-6)


def test_export_leaves_no_trace_in_the_network(tmp_path: pathlib.Path) -> None:
    """Regularizers keep losses in their layers: those of an export are symbolic tensors."""
    inputs = keras.Input((3,))
    outputs = keras.layers.Dense(2, activity_regularizer="l2")(inputs)
    network = mpvn.VideoNetwork(keras.Model(inputs, outputs))
    network.export(tmp_path / "model", verbose=False)
    assert network.losses == []
