"""The files of configs/: they build, as they say, on tiny fakes in the layouts of the real sets."""

import json
import pathlib
import runpy
from collections.abc import Callable
from typing import Any

import keras
import pytest
from ml_collections import ConfigDict
from PIL import Image
from rendered_video import write_rendered_video

from mpvn.models import PUBLISHED
from mpvn.training import SidewaysTrainer, build, load_config
from mpvn.training.build import build_optimizer

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

SHIFTED = {  # videos to train on, epochs, learning rate, dropout, clips of a video in the test
    "tsm_kinetics400_resnet50": (240_000, 100, 0.01, 0.5, 10),
    "tsm_something_v1_resnet50": (86_017, 50, 0.01, 0.5, 2),
    "tsm_something_v2_resnet50": (168_913, 50, 0.01, 0.5, 2),
    "tsm_jester_mobilenet_v2": (118_562, 50, 0.01, 0.5, 2),
    "tsm_ucf101_resnet50": (9_537, 25, 0.001, 0.8, 2),
    "tsm_hmdb51_resnet50": (3_570, 25, 0.001, 0.8, 2),
}
"""*Temporal Shift Module*, section 5; the last two after the authors' script."""


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


def kinetics400(root: pathlib.Path) -> list[str]:
    """All classes, of which two have a video."""
    for split in ("train", "val"):
        rows = ["label,youtube_id,time_start,time_end"]
        rows += [f"class {number:03d},video{number},0,10" for number in range(400)]
        write(root / f"{split}.csv", "\n".join(rows))
        for number in (0, 7):
            name = f"video{number}_000000_000010.mp4"
            encode(root / split / f"class {number:03d}" / name, 20)
    return [f"--config.data.path={root}", "--config.model.size=64"]


def ucf101(root: pathlib.Path) -> list[str]:
    """Two classes, a video to train on and one to test on of each."""
    lists = root / "ucfTrainTestlist"
    write(lists / "classInd.txt", "1 Jump\n2 Run")
    for number, split in enumerate(("train", "test"), 1):
        names = [f"{name}/v_{name}_g0{number}_c01.avi" for name in ("Jump", "Run")]
        write(lists / f"{split}list01.txt", "\n".join(names))
        for name in names:
            path = root / "UCF-101" / name
            encode(path.with_suffix(".mp4"), 20)
            path.with_suffix(".mp4").rename(path)
    return [f"--config.data.path={root}", "--config.model.size=64"]


GESTURES = ("Swiping Left", "Swiping Right")


def folders_of_frames(root: pathlib.Path, prefix: str) -> list[str]:
    """Jester, or Something-Something V1: two classes, of a video of fewer frames than a clip."""
    write(root / f"{prefix}-labels.csv", "\n".join(GESTURES))
    for number, split in enumerate(("train", "validation")):
        rows = [f"{2 * number + label};{name}" for label, name in enumerate(GESTURES)]
        write(root / f"{prefix}-{split}.csv", "\n".join(rows))
    for number in range(4):
        for frame in range(1, 8):  # of which flow of five pairs needs six
            path = root / f"20bn-{prefix}" / str(number) / f"{frame:05d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (48, 32)).save(path)
    return [f"--config.data.path={root}", "--config.model.size=64"]


def something_something_v2(root: pathlib.Path) -> list[str]:
    """Two classes, a video to train on and one to test on of each."""
    prefix = "something-something-v2"
    labels = {name: str(label) for label, name in enumerate(GESTURES)}
    write(root / f"{prefix}-labels.json", json.dumps(labels))
    for number, split in enumerate(("train", "validation")):
        videos = [{"id": f"{2 * number + n}", "template": name} for n, name in enumerate(GESTURES)]
        write(root / f"{prefix}-{split}.json", json.dumps(videos))
        for video in videos:
            path = root / f"20bn-{prefix}" / f"{video['id']}.webm"
            encode(path.with_suffix(".mp4"), 20)
            path.with_suffix(".mp4").rename(path)
    return [f"--config.data.path={root}", "--config.model.size=64"]


def class_folders(root: pathlib.Path) -> list[str]:
    for name in ("jump", "run"):
        for number in range(3):
            encode(root / name / f"{number}.mp4", 10)
    return [f"--config.data.path={root}"]


FAKES: dict[str, Callable[[pathlib.Path], list[str]]] = {
    "hmdb51": hmdb51,
    "ucf101": ucf101,
    "kinetics400": kinetics400,
    "something_v1": lambda root: folders_of_frames(root, "something-something-v1"),
    "something_v2": something_something_v2,
    "jester": lambda root: folders_of_frames(root, "jester-v1"),
    "class_folders": class_folders,
}


def overrides(name: str, root: pathlib.Path) -> list[str]:
    """What the user of a config must say: where the data is."""
    if "rendered" in name:
        return []
    for part, fake in FAKES.items():
        if part in name:
            return fake(root)
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


@pytest.mark.parametrize("name", SHIFTED)
def test_temporal_shift_s_settings(name: str) -> None:
    """Epochs as batches; and PyTorch's weight decay, of which Keras keeps momentum away."""
    videos, epochs, rate, dropout, clips = SHIFTED[name]
    config = load_config(FILES[name])
    training, optimizer = config.training, config.optimizer
    per_epoch = videos / training.batch_size
    assert training.batch_size == 64
    assert training.steps == pytest.approx(epochs * per_epoch, rel=0.01)
    falls = [update / per_epoch / epochs for update in optimizer.boundaries]
    assert falls == pytest.approx([0.4, 0.8], rel=0.01)
    assert (optimizer.learning_rate, optimizer.factor, optimizer.momentum) == (rate, 0.1, 0.9)
    assert optimizer.weight_decay == pytest.approx(1e-4 / (1 - optimizer.momentum))
    assert config.model.options.dropout == dropout
    assert config.clip.sampling == ("dense" if "kinetics" in name else "segments")
    assert config.augmentation.flip == ("something" not in name and "jester" not in name)
    assert (config.clip.frames, config.clip.evaluated, config.model.size) == (8, 0, 224)
    assert tuple(config.views.values()) == (clips, 3, 256, 256)
    online = config.model.options.temporal_padding == "causal"
    assert online == ("jester" in name)


@pytest.mark.parametrize("name", [name for name in NAMES if "rendered" in name])
def test_every_seed_is_evaluated_on_the_same_videos(name: str) -> None:
    from mpvn.training.build import build_videos

    first, second = (load_config(FILES[name], [f"--config.seed={seed}"]) for seed in (0, 1))
    names = [[v.name for v in build_videos(c, "evaluation").videos] for c in (first, second)]
    assert names[0] == names[1]
    names = [[v.name for v in build_videos(c, "train").videos] for c in (first, second)]
    assert names[0] != names[1]
