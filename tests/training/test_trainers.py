"""Trainers in a config, and when the network's answer is due."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf
from small_runs import small_config

from mpvn.training import build, load_config
from mpvn.training.build.frame_model import build_frame_model
from mpvn.training.build.network import build_network
from mpvn.training.build.task import build_task, head_arguments, output_names
from mpvn.training.build.videos import build_videos

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
SIDEWAYS = sorted(path.stem for path in CONFIGS.glob("*sideways_*.py"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training__trainer": "forward"}, "Expected one of bp, gpipe, sideways.*'forward'"),
        ({"training__trainer": "gpipe", "training__realtime": True}, "only the trainer bp drops"),
        ({"training__trainer": "bp", "teacher": "runs/a"}, "cannot follow a teacher"),
        (
            {"training__trainer": "sideways", "model__name": "par_densenet", "model__size": 32,
             "task__name": "keypoints"},
            "clock rate",
        ),
    ],
)  # fmt: skip
def test_a_trainer_refuses_what_it_cannot_do(changes: dict, message: str) -> None:
    config = small_config(**changes)
    if config.model.name == "par_densenet":
        config.model.options = {"width": 0.05, "clocks": True}
    with pytest.raises(ValueError, match=message):
        build(config)


@pytest.mark.parametrize("name", SIDEWAYS)
def test_an_output_is_compared_with_the_target_of_its_frame(
    name: str, rng: np.random.Generator
) -> None:
    """Changing `plan.subnetworks` of a Sideways config used to misalign outputs and targets.

    `task.latency` stood beside it as another number. Now it is derived: the last output that a
    change of frame 0 reaches, along the slowest path, is compared with the target of frame 0.
    """
    narrow = ["--config.model.size=32", "--config.model.options.width=0.125"]
    data = ["--config.data.name=rendered_figures", "--config.data.train={'count': 2}"]
    published = load_config(CONFIGS / f"{name}.py").plan.subnetworks
    for subnetworks in (published, 3):
        overrides = [*narrow, *data, f"--config.plan.subnetworks={subnetworks}"]
        config = load_config(CONFIGS / f"{name}.py", overrides)
        videos = build_videos(config, "train")
        names = output_names(config, videos)
        network = build_network(config, build_frame_model(config, head_arguments(names)))
        task = build_task(config, names, network)
        assert task.latency == subnetworks - 1

        steps = subnetworks + 2 + task.ahead
        frames = rng.normal(size=(1, steps, 32, 32, 3)).astype("float32")
        changed = frames.copy()
        changed[:, 0] = rng.normal(size=changed[:, 0].shape)
        difference = np.abs(network(frames) - network(changed)).reshape(steps, -1).max(axis=1)
        answer = np.flatnonzero(difference > 1e-6)[-1]
        _, source, weights = task.late(frames, tf.range(steps)[None], tf.ones([1, steps]))
        assert source[0, answer] == 0
        np.testing.assert_array_equal(weights[0] > 0, np.arange(steps) >= answer)


def test_the_latency_may_be_set_or_derived() -> None:
    """Without a trainer it is 0: networks learn to predict ahead, as in the paper."""
    for changes, latency in (
        ({}, 0),
        ({"training__trainer": "bp"}, 2),
        ({"training__trainer": "gpipe", "model__options__norm": "group"}, 2),
        ({"training__trainer": "sideways"}, 2),
        ({"training__trainer": "sideways", "task__latency": 0}, 0),
        ({"task__latency": 1}, 1),
    ):
        config = small_config(plan__subnetworks=3, **changes)
        experiment = build(config)
        assert experiment.task.latency == latency
        if config.training.trainer == "sideways":
            assert experiment.model.latency == latency


def test_a_primed_network_has_no_uninformed_steps_to_mask() -> None:
    """The start is a key of the config, and reaches the network, the task and the trainer."""
    plan, masked = {"plan__subnetworks": 3}, {"task__mask_uninformed": True}
    assert build(small_config(**plan, **masked)).task.first_step == 2
    primed = build(small_config(**plan, **masked, model__start="primed"))
    assert (primed.network.start, primed.task.first_step) == ("primed", 0)
