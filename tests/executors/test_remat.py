"""Rematerialization gives the same numbers from a second computation of each segment."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from random_weights import randomize

import keras_layers
from mpvn import Plan, VideoNetwork
from mpvn.executors.segment import segments

CUTS = ["second", "third"]
STEPS = 4


def forward_model() -> keras.Model:
    """Return a model with batch norm, dropout, a memory, and a skip over two boundaries."""
    frame = keras.Input((4, 4, 2), name="frame")
    x = layers.Conv2D(3, 3, padding="same", name="first")(frame)
    skip = x = layers.BatchNormalization(momentum=0.5, name="norm")(x)
    x = layers.Conv2D(3, 1, activation="tanh", name="second")(x)
    x = layers.Dropout(0.4, seed=7, name="dropout")(x)
    x = keras_layers.TemporalConv3D(3, (2, 3, 3), name="third")(x)
    x = layers.BatchNormalization(momentum=0.5, name="last_norm")(x)
    return keras.Model(frame, layers.Add(name="sum")([skip, x]))


def unit_model() -> keras.Model:
    """Return a model of three units that looks into the future, so it is one subnetwork."""
    frame = keras.Input((4, 4, 2), name="frame")
    x = layers.Conv2D(3, 3, padding="same", name="a.conv")(frame)
    skip = x = layers.BatchNormalization(momentum=0.5, name="a.norm")(x)
    x = keras_layers.TemporalConv3D(3, 3, temporal_padding="symmetric", name="b.conv")(x)
    x = layers.Dropout(0.4, seed=7, name="b.dropout")(x)
    x = layers.BatchNormalization(momentum=0.5, name="b.norm")(x)
    x = layers.Conv2D(3, 1, activation="tanh", name="c.conv")(x)
    return keras.Model(frame, layers.Add(name="c.sum")([skip, x]))


def feedback_model() -> keras.Model:
    frame = keras.Input((4, 4, 2), name="frame")
    back = keras_layers.Feedback("sum", (4, 4, 3), name="back")(frame)
    x = layers.Concatenate(name="join")([frame, back])
    skip = x = layers.Conv2D(3, 3, padding="same", activation="tanh", name="first")(x)
    x = layers.Dropout(0.4, seed=7, name="second")(x)
    x = layers.Conv2D(3, 1, activation="tanh", name="third")(x)
    return keras.Model(frame, layers.Add(name="sum")([skip, x]))


CASES: dict[str, tuple[Callable[[], keras.Model], dict[str, Any], str]] = {
    "layerwise, pipelined": (forward_model, {"boundaries": CUTS}, "layerwise"),
    "layerwise, units": (unit_model, {}, "layerwise"),
    "layerwise, without units": (forward_model, {}, "layerwise"),
    "layerwise, clocks": (forward_model, {"boundaries": CUTS, "clocks": [1, 2, 2]}, "layerwise"),
    "unroll, sequential": (forward_model, {}, "unroll"),
    "unroll, clocks": (forward_model, {"boundaries": CUTS, "clocks": [1, 2, 2]}, "unroll"),
    "feedback": (feedback_model, {"boundaries": CUTS}, "unroll"),
}


def network(case: str, rematerialize: bool) -> VideoNetwork:
    build, options, executor = CASES[case]
    keras.utils.set_random_seed(3)
    model = build()
    randomize(model, np.random.default_rng(4))
    plan = Plan(model, **options)
    return VideoNetwork(model, plan, executor=executor, rematerialize=rematerialize)


def forward_and_back(net: VideoNetwork) -> dict[str, list[np.ndarray]]:
    """Return all results of a training step from a random state."""
    rng = np.random.default_rng(5)
    clip = tf.constant(rng.normal(size=(2, STEPS, 4, 4, 2)), net.compute_dtype)
    specs = net.plan.histories.specs
    names = sorted(specs)
    past = [tf.constant(rng.normal(size=(2, *specs[n].shape[1:])), specs[n].dtype) for n in names]
    weights = [variable.value for variable in net.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch([clip, *past])
        before = dict(zip(names, past, strict=True))
        (outputs,), after = net.run_clip([clip], before, number=0, training=True)
        ends = [after[name] for name in names]
        loss = tf.add_n([tf.reduce_sum(tf.sin(tf.cast(x, tf.float32))) for x in [outputs, *ends]])
    gradients = tape.gradient(loss, [clip, *past, *weights], unconnected_gradients="zero")
    return {
        "outputs": [outputs.numpy(), *(end.numpy() for end in ends)],
        "gradients": [gradient.numpy() for gradient in gradients],
        "variables": [np.asarray(variable) for variable in net.variables],
    }


@pytest.mark.parametrize("case", CASES)
def test_outputs_gradients_and_statistics_are_the_same(case: str) -> None:
    """Dropout drops the same values twice, and batch norm counts once."""
    plain = network(case, False)
    before = [np.asarray(variable) for variable in plain.variables]
    results, expected = forward_and_back(network(case, True)), forward_and_back(plain)
    moved = zip(before, expected["variables"], strict=True)
    assert any(not np.array_equal(old, new) for old, new in moved), "statistics, or the seed"
    for kind, values in expected.items():
        for number, (ours, theirs) in enumerate(zip(results[kind], values, strict=True)):
            assert np.isfinite(theirs).all()
            message = f"{kind} {number}"
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-4, err_msg=message)
    assert sum(np.abs(gradient).max() > 1e-3 for gradient in expected["gradients"]) > 5


@pytest.mark.parametrize("case", ["layerwise, clocks", "unroll, clocks"])
@pytest.mark.usefixtures("restore_dtype_policy")
def test_mixed_precision(case: str) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    results, expected = (
        forward_and_back(network(case, rematerialize))["gradients"]
        for rematerialize in (True, False)
    )
    largest = max(np.abs(gradient.astype(np.float32)).max() for gradient in expected)
    for ours, theirs in zip(results, expected, strict=True):
        assert np.abs(ours.astype(np.float32) - theirs.astype(np.float32)).max() < 0.02 * largest


@pytest.mark.parametrize(
    ("build", "options", "expected"),
    [
        (unit_model, {}, ["a.conv", "b.conv", "c.conv"]),
        (unit_model, {"clocks": {"c.sum": 2}}, ["a.conv", "b.conv", "c.conv"]),
        (forward_model, {}, ["first", "dropout"]),  # 7 nodes without units
        (forward_model, {"boundaries": CUTS}, ["first", "second", "dropout", "third"]),
    ],
)
def test_segments_begin_at_units_and_boundaries(
    build: Callable[[], keras.Model], options: dict, expected: list[str]
) -> None:
    """A network of one subnetwork used to be one segment, which saves nothing.

    All of its activations were computed again at once (*Skip-Sideways*, supplement, section 4).
    """
    plan = Plan(build(), **options)
    runs = segments(plan)
    assert [nodes[0].name for nodes in runs] == expected
    assert [node.name for nodes in runs for node in nodes] == list(plan.nodes)


@keras.saving.register_keras_serializable(package="tests")
class Counting(layers.Layer):
    """Doubles its input; counts its calls."""

    calls = 0

    def call(self, inputs: Any) -> Any:
        Counting.calls += 1
        return 2.0 * inputs


@pytest.mark.parametrize("rematerialize", [False, True])
def test_the_second_computation_is_in_the_backward_pass_only(rematerialize: bool) -> None:
    frame = keras.Input((2,))
    model = keras.Model(frame, layers.Dense(2)(Counting()(layers.Dense(2)(frame))))
    net = VideoNetwork(model, executor="layerwise", rematerialize=rematerialize)
    clip = tf.ones((1, 3, 2))
    Counting.calls = 0
    net(clip)
    assert Counting.calls == 1
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(net(clip, training=True))
    assert Counting.calls == 2
    tape.gradient(loss, net.trainable_variables)
    assert Counting.calls == 2 + rematerialize


@pytest.mark.parametrize("case", ["layerwise, pipelined", "feedback"])
def test_fit_takes_the_same_steps(case: str, rng: np.random.Generator) -> None:
    """Keras compiles `fit` by XLA, which must not merge the two computations."""
    clips = rng.normal(size=(2, STEPS, 4, 4, 2)).astype("float32")
    targets = rng.normal(size=(2, STEPS, 4, 4, 3)).astype("float32")
    weights = []
    for rematerialize in (True, False):
        net = network(case, rematerialize)
        net.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
        net.fit(clips, targets, batch_size=2, epochs=2, shuffle=False, verbose=0)
        weights.append([np.asarray(variable) for variable in net.variables])
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


def test_the_option_is_saved_and_can_be_changed() -> None:
    net = network("layerwise, pipelined", True)
    loaded = VideoNetwork.from_config(net.get_config())
    assert loaded.rematerialize
    loaded.rematerialize = False
    assert not loaded.get_config()["rematerialize"]
