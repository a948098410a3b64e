"""Pictures of class activation maps: colors and sizes, of one run and of several."""

import dataclasses
import pathlib

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from mpvn import cli
from mpvn.data import VideoReader
from mpvn.data.video.errors import VideoError
from mpvn.data.video.timeline import Timeline
from mpvn.report.activation_pictures import highlight, overlay, strip, write_activations
from mpvn.report.theme import ramp
from mpvn.training import RunFolder, base_config, build
from mpvn.training.checkpoint import save_checkpoint


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


@pytest.mark.parametrize("percent", [5, 20, 100])
def test_highest_activations_of_a_clip_stay_bright(percent: float) -> None:
    """The first step has no activation; in the second, it rises from the top to the bottom."""
    frames = np.full((2, 224, 224, 3), 200, np.uint8)
    maps = np.zeros((2, 7, 7), "float32")
    maps[1] = np.arange(49).reshape(7, 7)
    pictures = highlight(frames, maps, percent)
    assert set(np.unique(pictures)) <= {50, 200}
    share = (pictures[..., 0] == 200).mean()
    if percent < 50:
        assert share == pytest.approx(percent / 100, abs=0.002)
        assert (pictures[0] == 50).all()  # The share is that of the clip, not of each step.
        assert (pictures[1, -16:] == 200).all() == (percent > 10)
        assert (pictures[1, :32] == 50).all()
    else:
        assert share == 1


def test_all_pixels_of_a_constant_map_stay_bright() -> None:
    frames = np.full((1, 224, 224, 3), 80, np.uint8)
    np.testing.assert_array_equal(highlight(frames, np.ones((1, 2, 2), "float32"), 20), frames)
    with pytest.raises(ValueError, match="at most 100. Received: 120"):
        highlight(frames, np.ones((1, 2, 2), "float32"), 120)


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
        write_activations({"run": experiment}, tmp_path)


class Unreadable:
    """A video that cannot be opened."""

    label = 0

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def timeline(self) -> Timeline:
        raise VideoError(f"{self.name}: no video.")


def test_networks_are_drawn_below_each_other(tmp_path: pathlib.Path) -> None:
    """Clips of 4 and 6 frames of 32 and 48 pixels; the second network cannot read video 1."""
    networks = {
        "short": build(run_config(), to_train=False),
        "long": build(run_config(**{"clip.frames": 6, "model.size": 48}), to_train=False),
    }
    other = networks["long"].evaluation
    broken = Unreadable(other.videos.videos[1].name)
    other.videos = dataclasses.replace(
        other.videos, videos=[other.videos.videos[0], broken, *other.videos.videos[2:]]
    )
    paths = write_activations(networks, tmp_path, videos=2, highlighted=20)
    assert [path.name for path in paths] == ["0.png", "0.mp4", "2.png", "2.mp4"]
    alone = write_activations({"short": networks["short"]}, tmp_path / "alone", highlighted=20)
    with Image.open(paths[2]) as both, Image.open(alone[4]) as one:
        assert both.size == (6 * 224 + 5 * 2, 2 * 224 + 2)
        whole, first = np.asarray(both), np.asarray(one)
    # Steps 0 to 5 of the longer clip are shown beside steps 0, 0, 1, 2, 2, 3 of the shorter one.
    for column, step in enumerate((0, 0, 1, 2, 2, 3)):
        here, there = 226 * column, 226 * step
        np.testing.assert_array_equal(whole[:224, here : here + 224], first[:, there : there + 224])
    with VideoReader(paths[3]) as video:
        assert [frame.shape for frame in video] == 6 * [(450, 224, 3)]
