"""TensorBoard logs, read back from the event files."""

import math
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mpvn.network import VideoNetwork
from mpvn.plan import Plan
from mpvn.tasks import Autoencoding
from mpvn.training import RunFolder
from mpvn.training.tensorboard import TensorBoard


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> RunFolder:
    """A run with rows of 10 and 20 batches."""
    folder = RunFolder(tmp_path)
    folder.write(step=10, split="train", seconds=1.5, loss=0.5)
    folder.write(step=20, split="train", seconds=1.25, loss=0.25)
    folder.write(step=20, split="evaluation", loss=0.375, pck_10=0.75)
    return folder


def read(folder: RunFolder) -> EventAccumulator:
    return EventAccumulator(str(folder.path / "tensorboard"), {"tensors": 0}).Reload()


def scalars(folder: RunFolder) -> dict[str, dict[int, float]]:
    """Return values by tag and step."""
    events = read(folder)
    return {
        tag: {
            event.step: float(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)
        }
        for tag in events.Tags()["tensors"]
    }


def test_rows_become_curves(folder: RunFolder) -> None:
    with TensorBoard(folder) as board:
        board.scalars({"step": 30, "split": "train", "loss": 0.125, "learning_rate": 0.5})
        values = scalars(folder)  # visible before the writer is closed
    assert values == {
        "train/loss": {10: 0.5, 20: 0.25, 30: 0.125},
        "train/seconds": {10: 1.5, 20: 1.25},
        "train/learning_rate": {30: 0.5},
        "evaluation/loss": {20: 0.375},
        "evaluation/pck_10": {20: 0.75},
    }


def test_a_resumed_run_does_not_go_back_in_time(folder: RunFolder) -> None:
    """Killed after 30 batches with a checkpoint of 20: the values of batch 30 are dropped."""
    with TensorBoard(folder) as board:
        board.scalars({"step": 30, "split": "train", "loss": 9.0})
    with TensorBoard(folder) as board:
        board.scalars({"step": 25, "split": "train", "loss": 0.125})
    assert scalars(folder)["train/loss"] == {10: 0.5, 20: 0.25, 25: 0.125}
    assert len(list((folder.path / "tensorboard").iterdir())) == 1


def test_values_that_are_not_finite_are_skipped(folder: RunFolder) -> None:
    with TensorBoard(folder) as board:
        board.scalars({"step": 30, "split": "evaluation", "loss": math.nan, "pck_10": 0.5})
    assert scalars(folder)["evaluation/loss"] == {20: 0.375}
    assert scalars(folder)["evaluation/pck_10"] == {20: 0.75, 30: 0.5}


def test_a_clip_is_a_strip_of_pictures(folder: RunFolder, rng: np.random.Generator) -> None:
    task = Autoencoding(latency=2)
    frames, outputs, targets = rng.uniform(-1, 1, (3, 5, 16, 8, 3))
    with TensorBoard(folder) as board:
        board.clip(20, task, frames, outputs, targets)
    (event,) = read(folder).Tensors("clip")
    wide, high, png = event.tensor_proto.string_val
    height, width, _ = task.picture(frames[2], outputs[2], targets[2]).shape
    assert event.step == 20
    assert (int(wide), int(high)) == (3 * width, height)
    assert png.startswith(b"\x89PNG")


def test_the_plan_is_text(folder: RunFolder) -> None:
    frame = keras.Input((8, 8, 3))
    model = keras.Model(frame, keras.layers.Conv2D(2, 3)(keras.layers.Conv2D(2, 3)(frame)))
    network = VideoNetwork(model, Plan(model, subnetworks=2))
    with TensorBoard(folder) as board:
        board.plan(network)
    (event,) = read(folder).Tensors("plan")
    (text,) = event.tensor_proto.string_val
    assert text.decode() == f"```\n{network.plan}\n```"
