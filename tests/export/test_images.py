"""Exports that take pictures show the network what evaluation shows it, and name classes."""

import functools
import io
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from random_weights import randomize

import mpvn
from mpvn.data.video.framing import Cropped, frame_arrays
from mpvn.export.answers import PROBABILITIES
from mpvn.export.description import read_description
from mpvn.pixels import RANGES
from mpvn.prediction.models import open_model
from mpvn.prediction.opened import OpenStream
from mpvn.tasks.classes import ClassTask
from mpvn.tasks.registry import TASKS

SIZE = (12, 20)
NAMES = ["jump", "höpp", "run"]


def create_network(**metadata: object) -> mpvn.VideoNetwork:
    """Return a network that outputs its frame, and scores of classes."""
    inputs = keras.Input((*SIZE, 3), name="video")
    pooled = keras.layers.Flatten(name="flat")(inputs)
    scores = keras.layers.Dense(3, name="dense")(pooled)
    model = keras.Model(
        inputs, {"scores": scores, "scores_classes": keras.layers.Identity(name="same")(inputs)}
    )
    randomize(model, np.random.default_rng(1))
    known = mpvn.Metadata(names={"classes": NAMES}, task="action", size=SIZE, **metadata)
    return mpvn.VideoNetwork(model, metadata=known)


FRAME = "scores_classes"
"""Name of the output that is the frame. The names of classes get another one."""


@pytest.fixture(scope="module")
def uint8(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("exported") / "uint8"
    create_network(pixels="torch").export(folder, verbose=False, images="uint8", classes=2)
    return folder


@pytest.fixture(scope="module")
def jpeg(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("exported") / "jpeg"
    network = create_network(shorter_side=16)
    network.export(folder, verbose=False, images="jpeg", pixels="-1..1", streams=4, idle=0)
    return folder


def pictures(height: int, width: int, count: int = 2) -> np.ndarray:
    """Return pictures with soft edges, whose corners differ, uint8 `[N, height, width, 3]`."""
    rng = np.random.default_rng(height * width)
    coarse = rng.integers(0, 256, (count, 4, 5, 3)).astype(np.uint8)
    resized = [Image.fromarray(x).resize((width, height), Image.Resampling.BICUBIC) for x in coarse]
    return np.stack([np.asarray(each) for each in resized])


def bytes_of(picture: np.ndarray, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).convert(mode).save(file, "JPEG", quality=98, subsampling=0)
    return file.getvalue()


load = functools.cache(tf.saved_model.load)


def step(folder: pathlib.Path, video: object, **inputs: object) -> dict[str, np.ndarray]:
    """Return the values of a step: of new streams, where the states go in and out."""
    signatures = load(folder).signatures
    if "init_states" in signatures:
        inputs |= signatures["init_states"](batch_size=tf.constant(len(video)))
    values = signatures["step"](video=tf.constant(video), **inputs)
    return {name: value.numpy() for name, value in values.items()}


def near(frames: np.ndarray, expected: np.ndarray, pixels: str, levels: float) -> None:
    """Compare frames, to within some levels of 255."""
    one = np.abs(RANGES[pixels](np.float32([[1] * 3])) - RANGES[pixels](np.float32([[0] * 3])))
    assert np.abs((frames - RANGES[pixels](expected)) / one).max() < levels


@pytest.mark.parametrize("size", [SIZE, (24, 41), (61, 60), (7, 33)])
def test_pictures_are_framed_as_in_evaluation(size: tuple[int, int], uint8: pathlib.Path) -> None:
    given = pictures(*size)
    values = step(uint8, given)
    near(values[FRAME], frame_arrays(given, Cropped(SIZE)).frames, "torch", 1.1)


def test_a_stream_has_its_pictures_where_predict_has_them(
    jpeg: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    given = pictures(60, 83)
    for number, picture in enumerate(given):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    network = create_network(shorter_side=16, pixels="-1..1")
    with OpenStream(open_model(network), tmp_path) as opened:
        seen = np.stack([view.frame for view in opened.views()])
    ids = tf.constant([7, -7], tf.int64)
    values = step(jpeg, [bytes_of(picture) for picture in given], stream_id=ids)
    near(values[FRAME], seen, "-1..1", 4)
    near(values[FRAME], frame_arrays(given, Cropped(SIZE, shorter_side=16)).frames, "-1..1", 4)


def test_jpeg_files_may_be_gray_or_cmyk_and_differ_in_size(jpeg: pathlib.Path) -> None:
    (wide,), (high,), (small,) = pictures(40, 90, 1), pictures(50, 70, 1), pictures(20, 30, 1)
    gray = np.asarray(Image.fromarray(high).convert("L").convert("RGB"))
    files = [bytes_of(wide), bytes_of(high, "L"), bytes_of(small, "CMYK")]
    values = step(jpeg, files, stream_id=tf.constant([1, 2, 3], tf.int64))
    for row, picture in enumerate((wide, gray, small)):
        expected = frame_arrays(picture[None], Cropped(SIZE, shorter_side=16)).frames
        near(values[FRAME][row], expected[0], "-1..1", 4)


def test_clips_are_prepared_as_frames_are(jpeg: pathlib.Path, uint8: pathlib.Path) -> None:
    given = pictures(40, 90, 6)
    clips = load(uint8).signatures["clip"](video=tf.constant(given.reshape(2, 3, 40, 90, 3)))
    expected = frame_arrays(given, Cropped(SIZE)).frames
    near(clips[FRAME].numpy().reshape(6, *SIZE, 3), expected, "torch", 1.1)
    files = np.array([bytes_of(each) for each in given], object).reshape(2, 3)
    clips = load(jpeg).signatures["clip"](video=tf.constant(files))
    expected = frame_arrays(given, Cropped(SIZE, shorter_side=16)).frames
    near(clips[FRAME].numpy().reshape(6, *SIZE, 3), expected, "-1..1", 4)
    assert clips["scores_classes_1"].shape == (2, 3, 3)


@pytest.mark.parametrize("kind", ["text", "empty", "cut", "narrow", "huge"])
def test_a_damaged_picture_is_named_and_no_stream_goes_on(kind: str, jpeg: pathlib.Path) -> None:
    files = [bytes_of(each) for each in pictures(40, 90, 3)]
    bad = {
        "text": b"not a picture",
        "empty": b"",
        "cut": files[1][: len(files[1]) // 2],
        "narrow": bytes_of(pictures(90, 40, 1)[0]),  # 20 columns are more than 16
    }
    ids = tf.constant([41, 42, 43], tf.int64)
    start = files[1].index(b"\xff\xc0") + 5  # of the height and the width
    bad["huge"] = files[1][:start] + b"\xea\x60\xea\x60" + files[1][start + 4 :]
    messages = {"narrow": "cover 12 x 20", "huge": "at most 33,554,432 pixels"}
    message = messages.get(kind, "whole JPEG") + r".*rows \[1\b"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        step(jpeg, [files[0], bad[kind], files[2]], stream_id=ids)
    assert step(jpeg, files, stream_id=ids)["step"].tolist() == [0, 0, 0]
    load(jpeg).signatures["reset"](stream_id=ids)


def test_a_picture_without_pixels_is_refused(uint8: pathlib.Path) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="at least one pixel"):
        step(uint8, np.zeros((1, 0, 5, 3), np.uint8))


def test_the_answer_names_the_likeliest_classes(uint8: pathlib.Path) -> None:
    values = step(uint8, pictures(30, 50))
    answers = read_description(uint8)["answers"]["scores"]
    assert answers == {"classes": "scores_classes_1", "scores": "scores_scores", "top": 2}
    shares = np.exp(values["scores"]) / np.exp(values["scores"]).sum(axis=1, keepdims=True)
    order = np.argsort(-shares, axis=1)[:, :2]
    named = [[NAMES[index] for index in row] for row in order]
    assert [[x.decode() for x in row] for row in values["scores_classes_1"]] == named
    best = np.take_along_axis(shares, order, axis=1)
    np.testing.assert_allclose(values["scores_scores"], best, rtol=1e-5)


def test_probabilities_are_those_of_the_tasks() -> None:
    logits = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    tasks = {name: task for name, task in TASKS.items() if issubclass(task, ClassTask)}
    assert tasks.keys() == PROBABILITIES.keys()
    for name, task in tasks.items():
        expected = task(classes=3).probabilities(logits)
        np.testing.assert_allclose(PROBABILITIES[name](logits), expected, rtol=1e-6)


@pytest.mark.parametrize(("activation", "known"), [("softmax", True), (None, False)])
def test_classes_need_probabilities(
    activation: str | None, known: bool, tmp_path: pathlib.Path
) -> None:
    """Without a task, outputs of a linear layer may be logits of any kind, or something else."""
    inputs = keras.Input((2,), name="vector")
    model = keras.Model(inputs, keras.layers.Dense(3, activation=activation, name="out")(inputs))
    metadata = mpvn.Metadata(names={"classes": NAMES})
    network = mpvn.VideoNetwork(model, metadata=metadata)
    if not known:
        with pytest.raises(ValueError, match="Set the task of its metadata"):
            network.export(tmp_path / "new", classes=1)
        return
    network.export(tmp_path / "new", classes=9, verbose=False)
    clip = tf.saved_model.load(tmp_path / "new").signatures["clip"](vector=tf.ones((1, 1, 2)))
    assert (
        sorted(clip["out"].numpy()[0, 0], reverse=True) == clip["out_scores"][0, 0].numpy().tolist()
    )
