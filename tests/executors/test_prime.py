"""Primed memories: a stream starts as if its first frame had always been there.

The reference knows nothing of priming: it is the network that starts from zeros, on the same clip
with its first frame repeated for long enough before it. Values and gradients must be equal.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from random_weights import randomize
from small_models import looping

import keras_layers
from mpvn import Plan, VideoNetwork

pytestmark = pytest.mark.usefixtures("double_precision")

BEFORE = 24  # repetitions of the first frame: a multiple of all periods, longer than all memories

PLANS = {
    "sequential": {},
    "boundaries": {"boundaries": ["c1", "shift", "sum"]},
    "clocks": {"boundaries": ["c1", "shift"], "clocks": [1, 2, 4]},
    "aligned clocks": {"boundaries": ["c1", "shift"], "clocks": [2, 2, 4], "phases": "aligned"},
    "late phases": {"boundaries": ["c1"], "clocks": [3, 3], "phases": [2, 1]},
    "head": {"boundaries": ["c1", "shift"], "head": "sum"},
}


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """Return a frame model with a skip, a window of 3, and a layer that remembers a part."""
    frame = keras.Input((2, 3, 4), name="frame")
    first = x = layers.Conv2D(4, 3, padding="same", name="c0")(frame)
    x = keras_layers.TemporalConv3D(4, (3, 1, 1), name="window")(x)
    x = layers.Conv2D(4, 1, activation="tanh", name="c1")(x)
    x = keras_layers.TemporalShift("causal", 4, name="shift")(x)
    x = layers.Add(name="sum")([first, x])
    built = keras.Model(frame, layers.GlobalAveragePooling2D(name="pool")(x))
    randomize(built, np.random.default_rng(3))
    return built


def network_of(model: keras.Model, plan: str, **settings: object) -> VideoNetwork:
    return VideoNetwork(model, Plan(model, **PLANS[plan]), **settings)


def with_gradients(
    network: VideoNetwork, clip: tf.Tensor, before: int = 0
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return outputs, and gradients of the clip and all weights, for an uneven loss.

    The first frame is repeated `before` times before the clip, and these steps are dropped.
    """
    with tf.GradientTape() as tape:
        tape.watch(clip)
        repeated = tf.concat([tf.repeat(clip[:, :1], before, axis=1), clip], axis=1)
        outputs = network(repeated)[:, before:]
        loss = tf.reduce_sum(outputs**2 * tf.range(1.0, 6.0, dtype=tf.float64)[:, None])
    gradients = tape.gradient(loss, [clip, *(v.value for v in network.trainable_variables)])
    return outputs.numpy(), [gradient.numpy() for gradient in gradients]


@pytest.mark.parametrize("plan", PLANS)
def test_a_primed_clip_equals_a_clip_whose_first_frame_was_always_there(
    model: keras.Model, plan: str, rng: np.random.Generator
) -> None:
    clip = tf.constant(rng.normal(size=(2, 5, 2, 3, 4)))
    outputs, gradients = with_gradients(
        network_of(model, plan, executor="layerwise"), clip, before=BEFORE
    )
    assert all(np.abs(gradient).max() > 1e-3 for gradient in gradients)
    for settings in (
        {"executor": "unroll"},
        {"executor": "layerwise"},
        {"executor": "layerwise", "rematerialize": True},
    ):
        primed = with_gradients(network_of(model, plan, start="primed", **settings), clip)
        np.testing.assert_allclose(primed[0], outputs, atol=1e-12, err_msg=str(settings))
        for received, expected in zip(primed[1], gradients, strict=True):
            np.testing.assert_allclose(received, expected, atol=1e-11, err_msg=str(settings))


def test_a_constant_clip_gives_the_output_of_the_frame_model_from_the_first_step_on(
    rng: np.random.Generator,
) -> None:
    frame = keras.Input((3,))
    x = layers.Dense(3, "tanh", name="d0")(frame)
    x = layers.Add(name="sum")([layers.Dense(3, name="d1")(x), frame])
    model = keras.Model(frame, layers.Dense(2, name="d2")(x))
    randomize(model, rng)
    plan = Plan(model, boundaries=["d1", "d2"], clocks=[1, 2, 4], phases=[0, 1, 3])
    still = rng.normal(size=(2, 3))
    outputs = VideoNetwork(model, plan, start="primed")(np.repeat(still[:, None], 6, axis=1))
    expected = np.repeat(model(still).numpy()[:, None], 6, axis=1)
    np.testing.assert_allclose(outputs, expected, atol=1e-14)


def test_feedback_reads_zeros_while_memories_are_primed(rng: np.random.Generator) -> None:
    model = looping()
    randomize(model, rng)
    clip = rng.normal(size=(2, 2, 8, 8, 3))
    entry, opinion = model.get_layer("entry"), model.get_layer("opinion")
    first = opinion(entry(clip[:, 0]))
    expected = opinion(entry(clip[:, 0]) + first)
    outputs = VideoNetwork(model, start="primed")(clip)
    np.testing.assert_allclose(outputs[:, 0], expected, atol=1e-14)
    assert np.abs(expected - first).max() > 1e-3


@keras.saving.register_keras_serializable(package="test_prime")
class Counter(layers.Layer):
    """Counts its calls in a weight of its own, and adds a loss of 1 at each."""

    def build(self, shape: tuple) -> None:
        self.calls = self.add_weight(name="calls", initializer="zeros", trainable=False)

    def call(self, inputs):
        self.calls.assign_add(1.0)
        self.add_loss(keras.ops.ones(()))
        return inputs


@pytest.mark.parametrize("rematerialize", [False, True])
def test_the_first_frame_counts_once(rematerialize: bool, rng: np.random.Generator) -> None:
    frame = keras.Input((3,))
    x = layers.BatchNormalization(name="norm", momentum=0.9)(frame)
    x = Counter(name="counter")(x)
    model = keras.Model(frame, layers.Dense(2, name="dense")(x))
    network = VideoNetwork(
        model, Plan(model, 2), start="primed", rematerialize=rematerialize, executor="layerwise"
    )
    clip = rng.normal(size=(4, 3, 3))
    network(clip, training=True)
    np.testing.assert_allclose(
        model.get_layer("norm").moving_mean, 0.1 * clip.mean((0, 1)), atol=1e-12
    )
    assert model.get_layer("counter").calls.numpy() == 1
    assert len(network.losses) == 1


def test_values_of_an_outer_scope_are_read_while_memories_are_primed(
    model: keras.Model, rng: np.random.Generator
) -> None:
    network = network_of(model, "boundaries", start="primed")
    clip = rng.normal(size=(1, 5, 2, 3, 4))
    trainable = [0.5 * tf.convert_to_tensor(v) for v in network.trainable_variables]
    fixed = [tf.convert_to_tensor(v) for v in network.non_trainable_variables]
    outputs, _ = network.stateless_call(trainable, fixed, clip)
    copy = keras.models.clone_model(model)
    copy.set_weights([0.5 * weight for weight in model.get_weights()])
    expected = network_of(copy, "boundaries", start="primed")(clip)
    np.testing.assert_allclose(outputs, expected, atol=1e-12)


def test_the_start_is_a_setting_of_the_network(model: keras.Model) -> None:
    network = network_of(model, "boundaries", start="primed")
    assert VideoNetwork.from_config(network.get_config()).start == "primed"
    assert (network.first_informed_step, network.plan.first_informed_step) == (0, 1)
    assert network_of(model, "boundaries").first_informed_step == 1
    with pytest.raises(
        ValueError, match=r"Expected one of \('zeros', 'primed'\). Received: 'warm'"
    ):
        network_of(model, "boundaries", start="warm")
