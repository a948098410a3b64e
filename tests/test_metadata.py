"""`Metadata`: it travels with the network, and refuses what cannot be."""

import json
import pathlib
import shutil
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import mpvn
from mpvn.export.description import read_description
from mpvn.models import load_frame_model
from mpvn.tasks import ActionRecognition
from mpvn.tasks.registry import create_task

METADATA = mpvn.Metadata(
    task="action",
    options={"answer": "last"},
    latency=2,
    names={"classes": ("jump", "höpp", "run")},
    fps=12.5,
    stride=2,
    resampled=False,
    frames=16,
    size=(8, 6),
    shorter_side=10,
    pixels="0..1",
    versions={"mpvn": "0.1.0"},
)


def network(**arguments: Any) -> mpvn.VideoNetwork:
    inputs = keras.Input((8, 6, 3))
    outputs = layers.Dense(3)(layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(inputs)))
    model = keras.Model(inputs, outputs)
    return mpvn.VideoNetwork(model, mpvn.Plan(model, subnetworks=2), **arguments)


def test_files_and_copies_of_a_network_keep_its_metadata(tmp_path: pathlib.Path) -> None:
    original = network(metadata=METADATA)
    original.save(tmp_path / "n.keras")
    assert keras.saving.load_model(tmp_path / "n.keras").metadata == METADATA
    assert mpvn.VideoNetwork.from_config(original.get_config()).metadata == METADATA
    loaded = load_frame_model(tmp_path / "n.keras")
    assert loaded.metadata == METADATA
    assert loaded.network(mpvn.Plan(loaded.model)).metadata == METADATA
    frames = np.full((2, 2, 3), 255, np.uint8)
    assert np.all(loaded.prepare(frames) == 1) and np.all(loaded.prepare(0 * frames) == 0)


def test_a_network_without_metadata_has_none(tmp_path: pathlib.Path) -> None:
    network().save(tmp_path / "n.keras")
    assert keras.saving.load_model(tmp_path / "n.keras").metadata is None
    network().export(tmp_path / "served", verbose=False)
    assert read_description(tmp_path / "served")["metadata"] is None


def test_an_exported_network_has_them_beside_and_inside(tmp_path: pathlib.Path) -> None:
    network(metadata=METADATA).export(tmp_path / "first", verbose=False)
    shutil.move(tmp_path / "first", tmp_path / "moved")
    beside = read_description(tmp_path / "moved")
    loaded = tf.saved_model.load(tmp_path / "moved")
    inside = pathlib.Path(loaded.description.asset_path.numpy().decode())
    assert inside.is_relative_to(tmp_path / "moved")
    files = beside.pop("files")
    assert json.loads(inside.read_text("utf-8")) == beside
    assert mpvn.Metadata.from_json(beside["metadata"]) == METADATA
    assert inside.relative_to(tmp_path / "moved").as_posix() in files


def test_the_task_of_a_network_is_that_of_its_metadata() -> None:
    task = create_task(METADATA, network(metadata=METADATA))
    assert isinstance(task, ActionRecognition)
    assert (task.classes, task.names, task.latency) == (3, ("jump", "höpp", "run"), 2)


def test_without_a_latency_the_plan_decides() -> None:
    model = network().frame_model
    for subnetworks in (1, 2, 3):
        plan = mpvn.Plan(model, subnetworks=subnetworks)
        metadata = mpvn.Metadata(task="action", names={"classes": ["a", "b", "c"]}, latency=None)
        task = create_task(metadata, mpvn.VideoNetwork(model, plan))
        assert task.latency == subnetworks - 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"names": {"classes": "abc"}}, "Expected names to be lists of text.*Received: .*abc"),
        ({"names": {"labels": ["a"]}}, "by 'classes' or 'joints'"),
        ({"names": {"classes": [0, 1]}}, "lists of text"),
        ({"names": {"classes": None}}, "lists of text"),
        ({"names": {"classes": {"a", "b"}}}, "lists of text"),  # in any order
        ({"names": None}, "lists of text"),
        ({"fps": 0}, "Expected fps to be a positive number or None. Received: 0"),
        ({"fps": "25"}, "fps"),
        ({"stride": 0}, "stride"),
        ({"frames": -1}, "frames"),
        ({"size": (8,)}, "size to be two positive whole numbers"),
        ({"size": 8}, "size to be two positive whole numbers"),
        ({"shorter_side": 2.5}, "shorter_side"),
        ({"channels": 0}, "channels"),
        ({"sampling": "random"}, "sampling to be one of consecutive, segments, dense"),
        ({"pixels": "0-255"}, "pixels to be one of 0..255, 0..1, -1..1, caffe, torch, or None"),
    ],
)
def test_invalid_metadata_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mpvn.Metadata(**fields)


def test_metadata_of_a_later_version_are_refused() -> None:
    stored = METADATA.to_json()
    with pytest.raises(ValueError, match="Expected version 1.*Received: version 2"):
        mpvn.Metadata.from_json({**stored, "version": 2})
    with pytest.raises(ValueError, match="Received: version 1, and mood"):
        mpvn.Metadata.from_json({**stored, "mood": "sunny"})
    with pytest.raises(TypeError, match="Expected a Metadata or None"):
        network(metadata={"fps": 3})


def test_a_task_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="Expected a task of action, .*Received: 'dance'"):
        create_task(mpvn.Metadata(task="dance"), network())
