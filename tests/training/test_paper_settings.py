"""The configs of the papers have the papers' settings."""

import itertools
import pathlib

import pytest

from mpvn.models import PUBLISHED
from mpvn.training import load_config
from mpvn.training.build.length import training_length
from mpvn.training.build.optimizer import build_optimizer
from mpvn.training.grids import choices, config_grid

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"

SCHEDULES = {  # learning rate, updates before it falls, batches, clips per batch, frames per clip
    "par_densenet_pose": (1.0, (100_000,), 150_000, 1, 32),
    "par_densenet_action": (0.1, (100_000,), 150_000, 2, 64),
    "par_inception_pose": (0.1, (35_000, 55_000), 70_000, 4, 32),
    "par_inception_action": (0.1, (50_000, 60_000), 70_000, 4, 64),
}
"""*Massively Parallel Video Networks*, appendix C."""

SHIFTED = {  # training videos, epochs, learning rate, dropout, clips per video in the test
    "tsm_kinetics400_resnet50": (240_000, 100, 0.01, 0.5, 10),
    "tsm_something_v1_resnet50": (86_017, 50, 0.01, 0.5, 2),
    "tsm_something_v2_resnet50": (168_913, 50, 0.01, 0.5, 2),
    "tsm_jester_mobilenet_v2": (118_562, 50, 0.01, 0.5, 2),
    "tsm_ucf101_resnet50": (9_537, 25, 0.001, 0.8, 2),
    "tsm_hmdb51_resnet50": (3_570, 25, 0.001, 0.8, 2),
}
"""*Temporal Shift Module*, section 5; the last two from the authors' script."""


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_settings_of_massively_parallel_video_networks(name: str) -> None:
    rate, boundaries, steps, batch_size, frames = SCHEDULES[name]
    config = load_config(CONFIGS / f"{name}.py")
    length = training_length(config, videos=1000)
    assert (length.steps, config.training.batch_size) == (steps, batch_size)
    assert (config.clip.frames, config.clip.evaluated, config.clip.stride) == (frames, 250, 1)
    assert (config.augmentation.crop, config.augmentation.flip) == ("random", True)
    assert (config.model.size, config.clip.shorter_side) == (224, 256)
    assert config.distillation.distance == "sum"
    assert config.distillation.weight == (1.0 if name.endswith("pose") else 100.0)
    optimizer = build_optimizer(config, length)
    assert (type(optimizer).__name__, optimizer.momentum) == ("SGD", 0.9)
    for number, boundary in enumerate(boundaries):
        for update, expected in (
            (boundary, rate / 10**number),
            (boundary + 1, rate / 10**number / 10),
        ):
            assert float(optimizer._learning_rate(update)) == pytest.approx(expected)
    network, _, task = name.rpartition("_")
    assert config.model.name == network
    assert config.task.name == {"pose": "keypoints", "action": "action"}[task]
    filters = "temporal_kernel" if network == "par_densenet" else "temporal_filters"
    assert filters in config.model.options
    assert ("feedback" in config.model.options) == (task == "pose")


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name.endswith("pose")])
def test_figure_6_left_has_the_published_subnetworks(name: str) -> None:
    network = name.removesuffix("_pose")
    assert config_grid(CONFIGS / f"{name}.py") == {
        "plan.subnetworks": PUBLISHED[network].subnetworks
    }


def test_figure_6_right_varies_clocks_filters_and_feedback() -> None:
    points = list(choices(config_grid(CONFIGS / "par_densenet_pose.py", "figure_6_right")))
    assert len(points) == 5 * 2 * 2 * 2
    keys = ["clocks", "temporal_kernel", "feedback"]
    seen = {tuple(point.changes[f"model.options.{key}"] for key in keys) for point in points}
    assert seen == set(itertools.product((True, False), (1, 2), (None, "heatmaps")))


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("par_inception_action", (5, 10)),
        ("par_densenet_action", (7, 14)),
        ("rendered_actions", (5, 10)),
    ],
)
def test_table_1_has_clocks_and_temporal_filters(name: str, numbers: tuple[int, int]) -> None:
    file = CONFIGS / f"{name}.py"
    rows = {
        point.labels["network"]: load_config(
            file, [f"--config.{key}={value}" for key, value in point.changes.items()]
        )
        for point in choices(config_grid(file))
    }
    semi_parallel, parallel = f"semi-parallel ({numbers[0]})", f"parallel ({numbers[1]})"
    assert list(rows) == ["non-causal", "sequential", semi_parallel, parallel]
    assert [config.plan.subnetworks for config in rows.values()] == [1, 1, *numbers]
    for name, config in rows.items():
        options = config.model.options
        assert options.clocks
        assert options.get("temporal_filters") in (True, "all")
        assert options.get("temporal_kernel", 2) == 2
        assert (options.get("temporal_padding") == "symmetric") == (name == "non-causal")


@pytest.mark.parametrize("name", SHIFTED)
def test_the_settings_of_temporal_shift_module(name: str) -> None:
    """PyTorch multiplies the weight decay by the momentum's sum, Keras does not."""
    videos, epochs, rate, dropout, clips = SHIFTED[name]
    config = load_config(CONFIGS / f"{name}.py")
    training, optimizer = config.training, config.optimizer
    assert (training.batch_size, training.epochs) == (64, epochs)
    assert training_length(config, videos).steps == pytest.approx(epochs * videos / 64, abs=1)
    assert [boundary / epochs for boundary in optimizer.boundaries] == pytest.approx([0.4, 0.8])
    assert (optimizer.learning_rate, optimizer.factor, optimizer.momentum) == (rate, 0.1, 0.9)
    assert optimizer.weight_decay == pytest.approx(1e-4 / (1 - optimizer.momentum))
    assert optimizer.policy == "tsm"
    assert config.model.options.dropout == dropout
    assert config.clip.sampling == ("dense" if "kinetics" in name else "segments")
    assert config.augmentation.flip == ("something" not in name and "jester" not in name)
    assert (config.clip.frames, config.clip.evaluated, config.model.size) == (8, None, 224)
    assert tuple(config.views.values()) == (clips, 3, 256, 256)
    online = config.model.options.temporal_padding == "causal"
    assert online == ("jester" in name)
