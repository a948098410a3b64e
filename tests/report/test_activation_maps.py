"""Class activation maps: their mean is the logit for every plan; colors and sizes of pictures."""

import pathlib

import keras
import numpy as np
import pytest
from keras import layers
from ml_collections import ConfigDict
from PIL import Image
from random_weights import randomize

import mpvn
from keras_layers import TemporalShift
from mpvn import cli
from mpvn.data import VideoReader
from mpvn.report.activation_maps import ActivationMapper, overlay, strip, write_activations
from mpvn.report.theme import ramp
from mpvn.training import RunFolder, base_config, build
from mpvn.training.checkpoint import save_checkpoint

CLASSES = 5


def classifier(rng: np.random.Generator, temporal_padding: str = "", last: str = "") -> keras.Model:
    """Two convolutions and a head; optionally a temporal shift and a last activation."""
    x = frame = keras.Input((12, 8, 3), name="frame")
    x = layers.Conv2D(8, 3, 2, activation="relu", name="first.conv")(x)
    if temporal_padding:
        x = TemporalShift(temporal_padding, 4, name="second.shift")(x)
    x = layers.Conv2D(6, 2, name="second.conv")(x)
    x = layers.GlobalAveragePooling2D(name="head.mean")(x)
    x = layers.Dropout(0.5, name="head.dropout")(x)
    x = layers.Dense(CLASSES, name="head.logits")(x)
    if last:
        x = layers.Activation(last, name="head.last")(x)
    model = keras.Model(frame, x)
    randomize(model, rng)
    return model


@pytest.mark.parametrize("temporal_padding", ["", "causal", "symmetric"])
def test_mean_of_a_map_plus_bias_is_the_logit(
    temporal_padding: str, rng: np.random.Generator
) -> None:
    network = mpvn.VideoNetwork(classifier(rng, temporal_padding))
    frames = rng.uniform(-1, 1, (6, 12, 8, 3)).astype("float32")
    maps, outputs = ActivationMapper(network)(frames)
    assert maps.shape == (6, 4, 2, CLASSES)
    assert maps.dtype == np.float32
    bias = np.asarray(network.frame_model.get_layer("head.logits").bias)
    np.testing.assert_allclose(maps.mean(axis=(1, 2)) + bias, outputs, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(outputs, np.asarray(network(frames[None]))[0])
    # With a shift, and only then, a map depends on the order of the frames.
    reversed_maps, _ = ActivationMapper(network)(frames[::-1])
    assert np.allclose(reversed_maps[::-1], maps, atol=1e-5) == (temporal_padding == "")


@pytest.mark.parametrize("head", [None, "head.mean"])
def test_maps_across_boundaries_are_as_late_as_the_logits(
    head: str | None, rng: np.random.Generator
) -> None:
    """Boundaries before the mean and the dense layer, or a head within the step."""
    model = classifier(rng, "causal")
    boundaries = ["second.conv"] if head else ["second.conv", "head.mean", "head.logits"]
    network = mpvn.VideoNetwork(model, mpvn.Plan(model, boundaries=boundaries, head=head))
    frames = rng.uniform(-1, 1, (7, 12, 8, 3)).astype("float32")
    maps, outputs = ActivationMapper(network)(frames)
    bias = np.asarray(model.get_layer("head.logits").bias)
    np.testing.assert_allclose(maps.mean(axis=(1, 2)) + bias, outputs, rtol=1e-5, atol=1e-6)
    delay = 0 if head else 2
    assert not maps[:delay].any()
    assert len({step.tobytes() for step in maps[delay:]}) == 7 - delay


def test_classifier_may_end_with_an_activation(rng: np.random.Generator) -> None:
    network = mpvn.VideoNetwork(classifier(rng, last="softmax"))
    maps, outputs = ActivationMapper(network)(rng.uniform(-1, 1, (2, 12, 8, 3)))
    logits = maps.mean(axis=(1, 2)) + np.asarray(network.frame_model.get_layer("head.logits").bias)
    exponentials = np.exp(logits)
    expected = exponentials / exponentials.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5)


@pytest.mark.parametrize("wrong", ["no mean", "two dense layers", "ReLU between", "of the frame"])
def test_other_classifiers_are_rejected(wrong: str) -> None:
    frame = keras.Input((4, 4, 3), name="frame")
    x = frame if wrong == "of the frame" else layers.Conv2D(2, 1, name="conv")(frame)
    kind = layers.Flatten if wrong == "no mean" else layers.GlobalAveragePooling2D
    x = kind(name="joined")(x)
    if wrong == "two dense layers":
        x = layers.Dense(4, name="hidden")(x)
    if wrong == "ReLU between":
        x = layers.ReLU(name="between")(x)
    network = mpvn.VideoNetwork(keras.Model(frame, layers.Dense(CLASSES, name="logits")(x)))
    with pytest.raises(ValueError, match=r"one Dense layer .* ends with .*logits \(Dense\)"):
        ActivationMapper(network)


# --- pictures -----------------------------------------------------------------------------------


def color(name: str) -> np.ndarray:
    return np.array(list(bytes.fromhex(name[1:])))


def test_minimum_of_a_clip_is_dark_and_maximum_is_light() -> None:
    """Frames of 8x12 are enlarged 28 times; the gray frame stays visible below the colors."""
    maps = np.zeros((2, 2, 3), "float32")
    maps[0, 0, 0], maps[1, 1, 2] = -3.0, 5.0
    frames = np.zeros((2, 8, 12, 3), np.uint8)
    pictures = overlay(frames, maps)
    assert pictures.shape == (2, 224, 336, 3)
    assert pictures.dtype == np.uint8
    dark, light = color(ramp(256)[0]), color(ramp(256)[-1])
    np.testing.assert_allclose(pictures[0, 0, 0], 0.6 * dark, atol=1)
    np.testing.assert_allclose(pictures[1, -1, -1], 0.6 * light, atol=1)
    between = pictures[1, 0, 0].astype(int)
    assert np.abs(between - 0.6 * dark).max() > 10
    assert np.abs(between - 0.6 * light).max() > 10
    white = overlay(np.full_like(frames, 255), maps).astype(int)
    np.testing.assert_allclose(white - pictures, 0.4 * 255, atol=1)


def test_constant_map_is_dark(rng: np.random.Generator) -> None:
    frames = rng.uniform(-1, 1, (1, 224, 224, 3))
    flat = overlay(frames, np.full((1, 7, 7), 2.0, "float32")).astype(float)
    tint = flat - 0.6 * color(ramp(256)[0])
    assert np.abs(tint - tint[..., :1]).max() < 1.01  # Gray apart from the dark color.


def test_strip_spans_the_first_to_the_last_picture() -> None:
    pictures = np.stack([np.full((4, 5, 3), n, np.uint8) for n in range(9)])
    row = strip(pictures, max_count=3)
    assert row.shape == (4, 3 * 5 + 2 * 2, 3)
    assert row[0, :, 0].tolist() == [*5 * [0], 255, 255, *5 * [4], 255, 255, *5 * [8]]
    assert strip(pictures[:2]).shape == (4, 12, 3)


# --- of a run -----------------------------------------------------------------------------------


def run_config(**changes: object) -> ConfigDict:
    config = base_config()
    config.data.train = {"count": 8, "frames": 12}
    config.data.evaluation = {"count": 5, "frames": 12}
    config.clip.frames, config.clip.sampling, config.clip.evaluated = 4, "segments", None
    config.task.name = "action"
    config.model.name, config.model.size = "simple_cnn", 32
    config.model.options = {"width": 0.1}
    config.training.batch_size = 2
    config.update_from_flattened_dict(changes)
    return config


def test_command_writes_strips_and_videos(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    run, folder = RunFolder(tmp_path / "run"), tmp_path / "maps" / "run"
    run.start(run_config())
    experiment = build(run.config())
    save_checkpoint(run.best, experiment.network, experiment.optimizers, {"step": 0})
    assert cli.main(["eval", str(run.path), "--activations", str(folder)]) == 0
    printed = capsys.readouterr().out
    names = [f"{number}.{suffix}" for number in range(3) for suffix in ("mp4", "png")]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert all(f"written to {folder / name}" in printed for name in names)
    with Image.open(folder / "0.png") as picture:
        assert picture.size == (4 * 224 + 3 * 2, 224)
    with VideoReader(folder / "2.mp4") as video:
        shapes = [frame.shape for frame in video]
    assert shapes == 4 * [(224, 224, 3)]


def test_other_tasks_are_rejected(tmp_path: pathlib.Path) -> None:
    changes = {"task.name": "autoencoding", "model.name": "autoencoder"}
    experiment = build(run_config(**changes))
    with pytest.raises(ValueError, match="Expected config.task.name=action. Received: Autoencod"):
        write_activations(experiment, tmp_path)
