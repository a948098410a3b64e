"""Sideways and GPipe over subnetworks that are branches, no chain."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from random_weights import randomize
from sideways_networks import WIDTH, assert_close, dense_layer, fit

from mpvn import Plan, VideoNetwork
from mpvn.sideways.back_propagation import BackPropagationTrainer, GPipeTrainer
from mpvn.sideways.real_time import RealTime
from mpvn.sideways.rules import SidewaysRules
from mpvn.sideways.sideways_trainer import SidewaysTrainer

DIAMOND = {"module0": 0, "module1": 1, "module2": 2, "merge": 3}
RATE = 0.125  # exact in float32


def model() -> keras.Model:
    """Module 0; branches of modules 1 and 3, and of module 2; their sum and module 4."""
    frame = keras.Input((WIDTH,), dtype="float64")
    modules = [dense_layer(index) for index in range(5)]
    stem = modules[0](frame)
    first, second = modules[1](stem), modules[2](stem)
    merged = layers.Add(dtype="float64", name="merge")([modules[3](first), second])
    built = keras.Model(frame, modules[4](merged))
    randomize(built, np.random.default_rng(5))
    return built


def network(assignment: Any = DIAMOND, **options: Any) -> VideoNetwork:
    built = model()
    return VideoNetwork(built, Plan(built, assignment=assignment), dtype="float64", **options)


def by_variable(net: VideoNetwork) -> list[np.ndarray]:
    return [np.asarray(variable) for variable in net.frame_model.trainable_variables]


def updates(net: VideoNetwork, trainer: Any, *clips: Any) -> list[np.ndarray]:
    """Return what an update by gradient descent takes from each weight."""
    before = by_variable(net)
    trainer.compile(keras.optimizers.SGD(RATE), keras.losses.MeanSquaredError(dtype="float64"))
    fit(trainer, *clips)
    return [(old - new) / RATE for old, new in zip(before, by_variable(net), strict=True)]


ASSIGNMENTS = {
    "diamond": DIAMOND,
    "merge in a branch": {"module1": 1, "module2": 2, "module3": 1},
    "branches and stem": {"module2": 1, "module1": 0, "merge": 2},
    "a branch in two": {"module1": 1, "module3": 2, "module2": 1, "merge": 3},
}


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_on_a_clip_of_identical_frames_it_is_back_propagation(
    name: str, rng: np.random.Generator
) -> None:
    """Of the frame model on one frame, in both forms: step by step, and over whole clips."""
    frame, target = rng.normal(size=(2, 2, WIDTH))
    clip, targets = (np.repeat(x[:, None], 9, axis=1) for x in (frame, target))
    built = model()
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((built(frame) - target) ** 2)
    expected = tape.gradient(loss, [v.value for v in built.trainable_variables])
    step_by_step = network(ASSIGNMENTS[name])
    assert_close(updates(step_by_step, SidewaysTrainer(step_by_step), clip, targets), expected)
    whole = network(ASSIGNMENTS[name], gradient="sideways")
    assert_close(updates(whole, whole, clip, targets), expected)


def test_on_a_moving_clip_branches_of_equal_length_are_one_module(
    rng: np.random.Generator,
) -> None:
    """Modules 1 and 2 of the diamond as one subnetwork compute and learn the same."""
    clip, targets = rng.normal(size=(2, 2, 12, WIDTH))
    pairs = (DIAMOND, {"module0": 0, "module1": 1, "module2": 1, "merge": 2})
    nets = [network(assignment) for assignment in pairs]
    assert_close(np.asarray(nets[0](clip)), np.asarray(nets[1](clip)))
    ours, theirs = (updates(net, SidewaysTrainer(net), clip, targets) for net in nets)
    assert_close(ours, theirs)


def test_both_forms_learn_the_same_from_a_moving_clip(rng: np.random.Generator) -> None:
    """The trainer delays targets by the slowest path, of three boundaries; `fit` does not."""
    clip, targets = rng.normal(size=(2, 2, 12, WIDTH))
    net = network(ASSIGNMENTS["a branch in two"])
    ours = updates(net, SidewaysTrainer(net), clip, targets)
    whole = network(ASSIGNMENTS["a branch in two"], gradient="sideways")
    # Weights of mean 1, like those of tasks.
    weights = np.broadcast_to(12 / 9 * (np.arange(12) >= 3), (2, 12)).astype("float32")
    assert_close(ours, updates(whole, whole, clip, np.roll(targets, 3, axis=1), weights), 1e-6)


def test_the_slowest_path_decides_when_a_subnetwork_learns() -> None:
    """Two boundaries to the output of the diamond, and as many back to the stem."""
    assert SidewaysRules(network().plan).first_steps[:4] == (4, 3, 3, 2)
    uneven = SidewaysRules(network(ASSIGNMENTS["a branch in two"]).plan)
    assert uneven.first_steps[:4] == (6, 5, 4, 3)


CIRCLE = {"module1": 1, "module2": 0, "merge": 0}
DESCENDING = {"module0": 1, "module1": 0, "module2": 0, "merge": 0}


@pytest.mark.parametrize("assignment", [CIRCLE, DESCENDING])
def test_subnetworks_that_are_no_pipeline_are_refused(
    assignment: dict, rng: np.random.Generator
) -> None:
    """Back-propagation on single frames has no pipeline, and exact gradients need none."""
    clip, targets = rng.normal(size=(2, 2, 4, WIDTH))
    net = network(assignment)
    for method, build in (
        ("Sideways", lambda: SidewaysTrainer(net)),
        ("Sideways", lambda: setattr(net, "gradient", "sideways")),
        ("GPipe", lambda: updates(net, GPipeTrainer(net), clip, targets)),
    ):
        with pytest.raises(ValueError, match=f"{method}: expected subnetworks.*subnetwork 0 reads"):
            build()
    assert all(np.isfinite(updates(net, BackPropagationTrainer(net), clip, targets)[0].ravel()))


def test_gpipe_has_the_gradients_of_back_propagation(rng: np.random.Generator) -> None:
    clip, targets = rng.normal(size=(2, 2, 4, WIDTH))
    nets = [network(ASSIGNMENTS["merge in a branch"]) for _ in range(2)]
    trainers = GPipeTrainer(nets[0]), BackPropagationTrainer(nets[1])
    results = [updates(net, t, clip, targets) for net, t in zip(nets, trainers, strict=True)]
    assert_close(*results)


def test_in_real_time_branches_take_one_step_together() -> None:
    """A frame goes through 3 of the 4 subnetworks of the diamond in turn, there and back."""
    assert BackPropagationTrainer(network(), realtime=True).frame_stride == 5
    assert RealTime(network(), blocked=True).first_step == 2
