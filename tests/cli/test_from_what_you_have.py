"""From what somebody has to a named answer, by the command line alone.

A checkpoint of PyTorch, a network of `keras.applications`, or a file of one's own, and a folder of
videos by class. The classes are "night" and "day", so a few batches are enough to name new videos.
The evaluation of a checkpoint is in tests/cli/test_given.py.
"""

import importlib
import json
import pathlib

import keras
import numpy as np
import pytest
import torch_files
import video_files
from command_line import mpvn
from own_models import PROBABILITIES, own_model
from torch_states import resnet_state, with_small_kernels

from mpvn.models import shifted_layers

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
BLOCKS = (1, 1, 1, 1)  # tests/models/torch/ reads whole networks; here, tracing would take longest
LEVELS = {"day": (150, 240), "night": (10, 100)}
QUICK = [
    "--config.training.steps=12",
    "--config.training.batch_size=4",
    "--config.training.evaluate_every=12",
    "--config.optimizer.warm_up=0",
    "--config.optimizer.learning_rate=0.01",
    "--config.training.batch_norm_momentum=0.5",
]


def write_videos(folder: pathlib.Path, seed: int, count: int) -> None:
    """Write noisy videos of a second by class, as FOLDER/CLASS/VIDEO."""
    rng = np.random.default_rng(seed)
    for name, (low, high) in LEVELS.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            frames = rng.integers(low, high, (25, 40, 56, 3)).astype(np.uint8)
            video_files.encode(folder / name / f"{name}{number}.mp4", frames)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Videos to train on, and held-out ones."""
    root = tmp_path_factory.mktemp("videos")
    write_videos(root / "train", seed=0, count=5)
    write_videos(root / "new", seed=1, count=2)
    return root


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The file of a training of TSM-ResNet-50, in the layout of its authors."""
    saved = {
        "epoch": 3,
        "arch": "resnet50",
        "state_dict": with_small_kernels(resnet_state(blocks=BLOCKS)),
        "best_prec1": np.float64(61.5),
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.01, "momentum": 0.9}]},
    }
    folder = tmp_path_factory.mktemp("download")
    return torch_files.write(saved, folder / "TSM_resnet50_shift8_blockres.pth.tar")


def train(videos: pathlib.Path, run: pathlib.Path, *changes: str) -> pathlib.Path:
    """Fine-tune on the class folders."""
    config = ["--config", CONFIGS / "finetune_tsm.py", f"--config.data.path={videos / 'train'}"]
    assert mpvn("train", *config, "--run", run, *QUICK, *changes) == 0
    return run


def assert_named(model: pathlib.Path, videos: pathlib.Path, table: pathlib.Path) -> None:
    """Assert that `mpvn predict` names the held-out videos."""
    assert mpvn("predict", videos / "new", "--model", model, "--output", table) == 0
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    expected = {f"{name}{n}.mp4": name for name in LEVELS for n in range(2)}
    assert {pathlib.Path(row["video"]).name: row["answer"] for row in rows} == expected


def test_a_checkpoint_of_pytorch_is_fine_tuned(
    checkpoint: pathlib.Path,
    videos: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr(importlib.import_module("mpvn.models.resnet"), "STAGES", {50: BLOCKS})
    run = train(
        videos,
        tmp_path / "run",
        "--config.model.name=tsm_resnet50",
        "--config.model.options.width=0.05",
        "--config.model.options.dropout=0.5",
        f"--config.model.weights={checkpoint}",
        "--config.model.size=32",
    )
    assert "2 classes (day, night)" in capsys.readouterr().err
    assert_named(run, videos, tmp_path / "answers.jsonl")


@pytest.mark.usefixtures("short_mobilenet")
def test_a_network_of_keras_applications_becomes_an_online_tsm(
    videos: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    run = train(
        videos,
        tmp_path / "run",
        "--config.model.name=MobileNetV2",
        "--config.model.options={'alpha': 0.35}",
        "--config.model.surgery.shift.temporal_padding=causal",
        "--config.model.size=32",
    )
    network = tmp_path / "moved.keras"
    (run / "network.keras").rename(network)
    assert shifted_layers(keras.saving.load_model(network).frame_model)
    capsys.readouterr()
    video = videos / "new" / "night" / "night0.mp4"
    assert mpvn("stream", video, "--model", network, "--output", tmp_path / "seen.mp4") == 0
    printed = capsys.readouterr()
    assert "shown at 4 per second, as in its training" in printed.err
    assert "4 frames in" in printed.out
    assert "answer: night " in printed.out


def test_a_model_of_ones_own_becomes_an_online_tsm(
    videos: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    own_model(PROBABILITIES["dense"], classes=7).save(tmp_path / "own.keras")
    run = train(
        videos,
        tmp_path / "run",
        f"--config.model.name={tmp_path / 'own.keras'}",
        "--config.model.options={}",
        "--config.model.surgery.shift.temporal_padding=causal",
        "--config.model.size=8",
        "--config.optimizer.learning_rate=0.1",
    )
    printed = capsys.readouterr().err
    assert "softmax of 'scores' removed" in printed
    assert "classifier 'scores' of 7 classes replaced by one of 2" in printed
    (tmp_path / "own.keras").unlink()
    assert_named(run, videos, tmp_path / "answers.jsonl")
