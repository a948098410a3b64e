"""The files of configs/: they train on tiny fakes in the layouts of the real data sets."""

import importlib
import pathlib
import runpy
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from fake_config_data import write_data_set
from ml_collections import ConfigDict

from mpvn.data.sets.registry import needs_path
from mpvn.training import (
    Experiment,
    SidewaysTrainer,
    as_json,
    build,
    evaluate,
    load_config,
    override,
    sibling,
)
from mpvn.training.build.videos import build_videos
from mpvn.training.grids import Changes, Grid, choices
from mpvn.training.run_folder import flat

CONFIGS = sorted((pathlib.Path(__file__).parents[2] / "configs").glob("*.py"))
FILES = {path.stem: path for path in CONFIGS}
NARROW = ["--config.model.size=64", "--config.model.options.width=0.125"]


def grids(name: str) -> dict[str, Grid]:
    """Return the grids of a config, by function."""
    functions = runpy.run_path(str(FILES[name]))
    return {key: get() for key, get in functions.items() if key.startswith("get_grid")}


def grid(name: str) -> Grid:
    return grids(name).get("get_grid", {})


def fake_data(name: str, root: pathlib.Path) -> list[str]:
    return write_data_set(load_config(FILES[name]).data.name, root)


def overrides(changes: Changes) -> list[str]:
    return [f"--config.{key}={value}" for key, value in changes.items()]


def far_end(name: str) -> list[str]:
    *_, last = choices(grid(name))
    return overrides(last.changes)


@pytest.fixture
def shallow_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build one block of each kind: the layers take most of the time of two updates."""
    units = ("mixed_3b", "mixed_4b", "mixed_5b", "mixed_5c")
    inception = dict.fromkeys(units, (64, 96, 128, 16, 32, 32))
    for module, name, depths in (
        ("par_densenet", "MINIBLOCKS", (1, 1, 1, 1)),
        ("par_inception", "MODULES", inception),
        ("resnet", "STAGES", {50: (1, 1, 1, 1)}),
        ("mobilenet", "STAGES", ((1, 16, 1, 1), (6, 24, 2, 2), (6, 320, 1, 2))),
    ):
        monkeypatch.setattr(importlib.import_module(f"mpvn.models.{module}"), name, depths)


def small_clips(name: str) -> list[str]:
    """Return overrides: clips that are long enough for 8 modules, and not longer."""
    clip = load_config(FILES[name]).clip
    evaluated = ["--config.clip.evaluated=16"] if clip.evaluated else []
    return [f"--config.clip.frames={min(16, clip.frames)}", *evaluated]


def distinct_trainings() -> set[str]:
    """Return a config of each network, task, trainer and optimizer: others differ in their data."""
    groups = ("model.", "task.", "plan.", "distillation.", "data.flow.", "augmentation.mixup")
    names: dict[str, str] = {}
    for name, path in FILES.items():
        config = flat(as_json(load_config(path, NARROW)))
        keys = (*groups, "training.trainer", "training.update_every", "optimizer.name")
        names.setdefault(str([(k, config[k]) for k in sorted(config) if k.startswith(keys)]), name)
    return set(names.values())


TRAINED = distinct_trainings()


def train(experiment: Experiment, batches: tf.data.Dataset) -> None:
    """Make two updates, and check that they change the weights."""
    before = [np.array(weight) for weight in experiment.network.trainable_variables]
    # Tracing takes longer than two steps, except those of trainers, which are many.
    experiment.model.run_eagerly = type(experiment.model) is type(experiment.network)
    experiment.model.fit(batches, steps_per_epoch=2, shuffle=False, verbose=0)
    weights = experiment.network.trainable_variables
    changed = [not np.array_equal(*pair) for pair in zip(before, weights, strict=True)]
    assert np.mean(changed) > 0.5
    assert all(np.isfinite(weight).all() for weight in weights)


@pytest.mark.filterwarnings("ignore:Training clips have")  # these have 16 frames
@pytest.mark.usefixtures("shallow_networks")
@pytest.mark.parametrize("name", FILES)
def test_every_config_trains_for_two_updates_and_evaluates(
    name: str, tmp_path: pathlib.Path
) -> None:
    small = [*NARROW, "--config.model.size=32", "--config.training.batch_size=2"]
    # Flow is slow to compute: each pair of frames once.
    data = [*fake_data(name, tmp_path), f"--config.data.flow.folder={tmp_path / 'flow'}"]
    config = load_config(FILES[name], [*data, *small, *small_clips(name)])
    experiment = build(config)
    kind = {None: type(experiment.network), "sideways": SidewaysTrainer}[config.training.trainer]
    assert type(experiment.model) is kind
    assert needs_path(config.data.name) == ("rendered" not in name)
    batches = experiment.training.dataset(batches=2).map(experiment.prepare)
    batch = next(iter(batches))
    input_shape = experiment.network.frame_model.input_shape
    assert tuple(batch[0].shape) == (2, config.clip.frames, *input_shape[1:])
    assert input_shape[1] == 32
    assert experiment.length.steps > 0
    if name in TRAINED:
        train(experiment, batches)
    experiment.evaluator.run_eagerly = True
    metrics = evaluate(experiment, first=2)
    assert np.isfinite(metrics["loss"])
    assert not experiment.training.skipped | experiment.evaluation.skipped


def distinct_ends() -> list[str]:
    """Return configs with a grid, one for each network and far end of a grid."""
    names = {}
    for name in FILES:
        if grid(name):
            config = load_config(FILES[name])
            names.setdefault((config.model.name, str(grid(name)), config.plan.subnetworks), name)
    return list(names.values())


@pytest.mark.filterwarnings("ignore:Training clips have")  # 14 aligned subnetworks need more
@pytest.mark.parametrize("name", distinct_ends())
def test_the_far_end_of_every_grid_builds(name: str, tmp_path: pathlib.Path) -> None:
    config = load_config(FILES[name], [*fake_data(name, tmp_path), *NARROW, *far_end(name)])
    assert build(config).network.plan.subnetworks == config.plan.subnetworks


def test_the_first_row_of_table_1_looks_into_the_future() -> None:
    first = next(choices(grid("rendered_actions")))
    config = load_config(FILES["rendered_actions"], [*NARROW, *overrides(first.changes)])
    assert not build(config, to_train=False).network.plan.causal


@pytest.mark.parametrize("name", [name for name in FILES if grids(name)])
def test_every_point_of_every_grid_is_a_config(name: str) -> None:
    config = load_config(FILES[name])
    for of_function in grids(name).values():
        points = list(choices(of_function))
        seen = set()
        for point in points:
            changed = flat(as_json(override(config, overrides(point.changes))))
            seen.add(str(sorted(changed.items())))
            for key, value in point.changes.items():
                expected = list(value) if isinstance(value, tuple) else value
                assert changed.get(key, False) == expected  # False: without this operation
        assert len(seen) == len(points) > 1


def test_the_corners_of_figure_2b_shift_different_channels_in_different_places() -> None:
    """*Temporal Shift Module*: from an eighth in the residual branch to all channels in place."""
    points, shifts = list(choices(grids("tsm_rendered_actions")["get_grid_figure_2b"])), []
    for point in (points[0], points[-1]):
        config = load_config(FILES["tsm_rendered_actions"], overrides(point.changes))
        graph = build(config, to_train=False).network.graph
        shift = graph.by_name["block3.shift"]
        readers = {node.name for node in graph.nodes if shift in graph.producers(node)}
        shifts.append((shift.operation.divisor, readers))
    assert shifts == [
        (8, {"block3.expand_conv"}),
        (2, {"block3.expand_conv", "block3.add"}),
    ]


@pytest.mark.parametrize("name", [name for name in FILES if "rendered" in name])
def test_every_seed_is_evaluated_on_the_same_videos(name: str) -> None:
    configs = [load_config(FILES[name], [f"--config.seed={seed}"]) for seed in (0, 1)]
    for split, same in (("evaluation", True), ("train", False)):
        first, second = ([v.name for v in build_videos(c, split).videos] for c in configs)
        assert (first == second) == same


def test_a_config_edits_its_sibling() -> None:
    """Data sets share their settings; a flow stream is its RGB stream with flow."""

    def keys(name: str) -> dict[str, Any]:
        return flat(as_json(load_config(FILES[name])))

    for name, base, changed in (
        ("tsm_something_v2_resnet50", "tsm_something_v1_resnet50", {"data.name"}),
        ("tsm_jester_resnet50", "tsm_something_v1_resnet50", {"data.name"}),
        ("tsm_something_v2_resnet50_flow", "tsm_something_v1_resnet50_flow", {"data.name"}),
        ("tsm_hmdb51_resnet50", "tsm_ucf101_resnet50", {"data.name"}),
        (
            "tsm_something_v1_resnet50_flow",
            "tsm_something_v1_resnet50",
            {"data.flow.stack", "data.flow.method"},
        ),
    ):
        first, second = keys(base), keys(name)
        assert {key for key in first | second if first.get(key) != second.get(key)} == changed
    functions = sibling(FILES["tsm_hmdb51_resnet50"], "tsm_ucf101_resnet50")
    assert functions.get_grid() == grid("tsm_hmdb51_resnet50")
    assert isinstance(functions.get_config(), ConfigDict)


@pytest.mark.parametrize("name", FILES)
def test_every_config_says_what_it_takes_and_what_to_expect(name: str) -> None:
    doc = runpy.run_path(str(FILES[name]))["__doc__"]
    assert "Takes: " in doc
    assert "Expect:" in doc
