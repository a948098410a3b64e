"""The files of configs/: they build, as they say, on tiny fakes in the layouts of the real sets."""

import json
import pathlib
import runpy
from typing import Any

import keras
import pytest
from ml_collections import ConfigDict
from PIL import Image

from mpvn.data import write_rendered_video
from mpvn.models import PUBLISHED
from mpvn.training import SidewaysTrainer, build, load_config
from mpvn.training.building import build_optimizer

CONFIGS = sorted((pathlib.Path(__file__).parents[2] / "configs").glob("*.py"))
NAMES = [path.stem for path in CONFIGS]
FILES = dict(zip(NAMES, CONFIGS, strict=True))

SCHEDULES = {  # learning rate, updates before it falls, batches, clips of a batch, frames of a clip
    "par_densenet_pose": (1.0, (100_000,), 150_000, 1, 32),
    "par_densenet_action": (0.1, (100_000,), 150_000, 2, 64),
    "par_inception_pose": (0.1, (35_000, 55_000), 70_000, 4, 32),
    "par_inception_action": (0.1, (50_000, 60_000), 70_000, 4, 64),
}
"""Appendix C of *Massively Parallel Video Networks*."""


def write(path: pathlib.Path, text: str) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def encode(path: pathlib.Path, frames: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_rendered_video(path, frames, size=(32, 48))


def pose_track(root: pathlib.Path) -> list[str]:
    """One person with 17 joints in fewer frames than a clip has."""
    for split in ("train", "val"):
        images = [{"id": n, "file_name": f"images/{split}/a/{n:05d}.jpg"} for n in range(5)]
        for image in images:
            path = root / str(image["file_name"])
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (48, 32)).save(path)
        person = {"track_id": 0, "keypoints": 17 * [20, 10, 1]}
        content = {
            "images": images,
            "annotations": [{"image_id": n, **person} for n in range(5)],
            "categories": [{"keypoints": [f"joint {n}" for n in range(17)]}],
        }
        write(root / "annotations" / split / "a.json", json.dumps(content))
    return [f"--config.data.path={root}"]


def mini_kinetics(root: pathlib.Path) -> list[str]:
    """Two classes of which one video each is there, and one is not."""
    for split in ("train", "val"):
        rows = ["label,youtube_id,time_start,time_end"]
        for name in ("swimming", "zumba"):
            rows += [f"{name},{name}_{n},0,10" for n in range(2)]
            encode(root / split / name / f"{name}_0_000000_000010.mp4", 70)
        write(root / f"{split}.csv", "\n".join(rows))
    names = write(root / "classes.txt", "zumba\nswimming\n")
    lists = [f"--config.data.{split}.class_list={names}" for split in ("train", "evaluation")]
    return [f"--config.data.path={root}", *lists]


def hmdb51(root: pathlib.Path) -> list[str]:
    """Two classes, a video to train on and one to test on of each, shorter than a clip."""
    for name in ("jump", "run"):
        lines = []
        for number in (1, 2):
            encode(root / name / f"{name}_{number}.mp4", 20)
            (root / name / f"{name}_{number}.mp4").rename(root / name / f"{name}_{number}.avi")
            lines.append(f"{name}_{number}.avi {number}")
        write(root / "testTrainMulti_7030_splits" / f"{name}_test_split1.txt", "\n".join(lines))
    return [f"--config.data.path={root}", "--config.model.size=64"]  # at 224 pixels it is slow


def class_folders(root: pathlib.Path) -> list[str]:
    for name in ("jump", "run"):
        for number in range(3):
            encode(root / name / f"{number}.mp4", 10)
    return [f"--config.data.path={root}"]


def overrides(name: str, root: pathlib.Path) -> list[str]:
    """What the user of a config must say: where the data is."""
    if "rendered" in name:
        return []
    if "hmdb51" in name:
        return hmdb51(root)
    if name == "class_folders":
        return class_folders(root)
    return pose_track(root) if name.endswith("pose") else mini_kinetics(root)


def grid(name: str) -> dict[str, tuple[Any, ...]]:
    return runpy.run_path(str(FILES[name])).get("get_grid", dict)()


def at_end(name: str, place: int) -> list[str]:
    return [f"--config.{key}={values[place]}" for key, values in grid(name).items()]


@pytest.mark.parametrize("name", NAMES)
def test_every_config_builds(name: str, tmp_path: pathlib.Path) -> None:
    config = load_config(FILES[name], overrides(name, tmp_path))
    experiment = build(config)
    kind = {"": experiment.network, "sideways": SidewaysTrainer}[config.training.trainer]
    assert experiment.model is kind or type(experiment.model) is kind
    batch = next(iter(experiment.training.dataset(batches=1).map(experiment.prepare)))
    clips = (config.training.batch_size, config.clip.frames)
    assert tuple(batch[0].shape) == (*clips, *experiment.network.frame_model.input_shape[1:])
    assert experiment.network.frame_model.input_shape[1] == config.model.size


@pytest.mark.parametrize("name", [name for name in NAMES if grid(name)])
def test_the_far_end_of_every_grid_builds(name: str, tmp_path: pathlib.Path) -> None:
    """Also shows that all of its keys exist, for others are refused; in small, for it is slow."""
    small = ["--config.model.size=64", *at_end(name, -1)]
    config = load_config(FILES[name], [*overrides(name, tmp_path), *small])
    plan = build(config).network.plan
    assert plan.subnetworks == config.plan.subnetworks
    for key, values in grid(name).items():
        assert dict(leaves(config))[key] == values[-1], key
        assert len(set(values)) == len(values) > 1


def leaves(tree: ConfigDict, prefix: str = "") -> list[tuple[str, Any]]:
    found = []
    for key, value in tree.items():
        name = f"{prefix}{key}"
        found += leaves(value, f"{name}.") if isinstance(value, ConfigDict) else [(name, value)]
    return found


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_paper_s_settings(name: str) -> None:
    rate, boundaries, steps, batch_size, frames = SCHEDULES[name]
    config = load_config(FILES[name])
    assert (config.training.steps, config.training.batch_size) == (steps, batch_size)
    assert (config.clip.frames, config.clip.evaluated, config.clip.stride) == (frames, 250, 1)
    assert (config.augmentation.crop, config.augmentation.flip) == ("random", True)
    assert config.model.size == 224
    assert config.distillation.weight == (1.0 if name.endswith("pose") else 100.0)
    optimizer = build_optimizer(config, keras.Model())
    assert (type(optimizer).__name__, optimizer.momentum) == ("SGD", 0.9)
    for number, boundary in enumerate(boundaries):
        for update, expected in (
            (boundary, rate / 10**number),
            (boundary + 1, rate / 10**number / 10),
        ):
            optimizer.iterations.assign(update)
            assert float(optimizer.learning_rate) == pytest.approx(expected)
    network, _, task = name.rpartition("_")
    assert config.task.name == {"pose": "keypoints", "action": "action"}[task]
    assert grid(name)["plan.subnetworks"] == PUBLISHED[network].subnetworks
    assert grid(name)["model.options.clocks"] == (True, False)
    filters = "temporal_kernel" if network == "par_densenet" else "temporal_filters"
    assert filters in config.model.options
    assert ("feedback" in config.model.options) == (task == "pose")


@pytest.mark.parametrize("name", [name for name in NAMES if "rendered" in name])
def test_every_seed_is_evaluated_on_the_same_videos(name: str) -> None:
    from mpvn.training.building import build_videos

    first, second = (load_config(FILES[name], [f"--config.seed={seed}"]) for seed in (0, 1))
    names = [[v.name for v in build_videos(c, "evaluation").videos] for c in (first, second)]
    assert names[0] == names[1]
    names = [[v.name for v in build_videos(c, "train").videos] for c in (first, second)]
    assert names[0] != names[1]
