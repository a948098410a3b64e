"""Tasks with plain Keras (`compile`, `fit`, `evaluate`, saving), and networks that only delay."""

import pathlib
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from random_weights import randomize
from small_models import chain

from mpvn import Plan, VideoNetwork
from mpvn.tasks import ActionRecognition, Autoencoding, FutureFrame, Keypoints, Task

FRAME = (12, 16, 3)


def frame_model(outputs: int, labels: bool = False) -> keras.Model:
    """Build two convolutions in the global dtype policy, and a head in float32."""
    frame = keras.Input(FRAME, name="frame")
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="c0")(frame)
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="c1")(x)
    if labels:
        x = layers.GlobalAveragePooling2D(name="mean")(x)
        return keras.Model(frame, layers.Dense(outputs, dtype="float32", name="head")(x))
    return keras.Model(frame, layers.Conv2D(outputs, 1, dtype="float32", name="head")(x))


CASES: dict[str, tuple[Callable[..., Task], Callable[[], keras.Model]]] = {
    "action": (lambda **kwargs: ActionRecognition(6, **kwargs), lambda: frame_model(6, True)),
    "keypoints": (lambda **kwargs: Keypoints(4, FRAME[:2], **kwargs), lambda: frame_model(4)),
    "autoencoding": (Autoencoding, lambda: frame_model(3)),
    "future": (lambda **kwargs: FutureFrame(2, **kwargs), lambda: frame_model(3)),
}
every_case = pytest.mark.parametrize("name", CASES)


def clips(rng: np.random.Generator) -> tf.data.Dataset:
    """Return two batches of two clips of 6 frames; the brightness depends on the label."""
    label = np.arange(4)
    joints = np.ones((4, 6, 1, 4, 3), "float32")
    joints[..., :2] = rng.uniform(0, (15, 11), (4, 6, 1, 4, 2))
    frames = rng.normal(0, 0.1, (4, 6, *FRAME)) + label[:, None, None, None, None] / 2 - 0.75
    batch = {"frames": frames.astype("float32"), "label": label, "joints": joints}
    return tf.data.Dataset.from_tensor_slices(batch).batch(2)


@pytest.mark.parametrize(
    ("name", "policy"),
    [*((name, "mixed_float16") for name in CASES), ("keypoints", "float32")],
)
def test_fit_lowers_the_loss(
    name: str, policy: str, rng: np.random.Generator, restore_dtype_policy: None
) -> None:
    keras.config.set_dtype_policy(policy)
    make_task, make_model = CASES[name]
    task, model = make_task(latency=1), make_model()
    network = VideoNetwork(model, Plan(model, boundaries=["c1"], head="head"))
    network.compile(keras.optimizers.Adam(0.01), task.loss, metrics=task.metrics())
    data = clips(rng).map(task.prepare)
    losses = network.fit(data, epochs=8, shuffle=False, verbose=0).history
    assert all(np.all(np.isfinite(values)) for values in losses.values())
    assert losses["loss"][-1] < 0.9 * losses["loss"][0]
    assert set(losses) == {"loss", *(metric.name for metric in task.metrics())}


@every_case
def test_evaluate_equals_the_scores_of_the_task(name: str, rng: np.random.Generator) -> None:
    """As `metrics` and as `weighted_metrics`, with and without XLA. The loss is a mean."""
    make_task, make_model = CASES[name]
    task, model = make_task(latency=2), make_model()
    network = VideoNetwork(model)
    data = clips(rng)
    batch = next(iter(data.unbatch().batch(4)))
    expected = task.score(network(batch["frames"]), batch)
    loss_name = "mse" if "mse" in expected else "cross_entropy"
    for argument, jit_compile in (("metrics", True), ("weighted_metrics", False)):
        network.compile(loss=task.loss, jit_compile=jit_compile, **{argument: task.metrics()})
        results = network.evaluate(data.map(task.prepare), verbose=0, return_dict=True)
        assert results.pop("loss") == pytest.approx(expected[loss_name], rel=1e-4)
        assert results == pytest.approx(expected, rel=1e-4)


@every_case
@pytest.mark.usefixtures("eager")
def test_a_compiled_network_survives_saving(
    name: str, rng: np.random.Generator, tmp_path: pathlib.Path
) -> None:
    make_task, make_model = CASES[name]
    task, model = make_task(latency=1), make_model()
    network = VideoNetwork(model, Plan(model, boundaries=["c1"]))
    network.compile("sgd", task.loss, metrics=task.metrics())
    data = clips(rng).map(task.prepare)
    network.fit(data, shuffle=False, verbose=0)
    network.save(tmp_path / "network.keras")
    restored = keras.models.load_model(tmp_path / "network.keras")
    expected = network.evaluate(data, verbose=0, return_dict=True)
    assert restored.evaluate(data, verbose=0, return_dict=True) == pytest.approx(expected)
    assert restored.loss.get_config() == network.loss.get_config()
    for metric in task.metrics():
        copy = type(metric).from_config(metric.get_config())
        assert copy.get_config() == metric.get_config()
    restored.fit(data, shuffle=False, verbose=0)


def test_masked_steps_have_no_gradients(rng: np.random.Generator) -> None:
    """The gradients equal those of the weighted steps alone."""
    task, model = Autoencoding(latency=2), frame_model(3)
    network, frames = VideoNetwork(model), next(iter(clips(rng)))["frames"]
    _, targets, weights = task.prepare({"frames": frames})
    with tf.GradientTape(persistent=True) as tape:
        outputs = network(frames)
        masked = task.loss(targets, outputs, weights)
        expected = tf.reduce_mean(tf.square(outputs[:, 2:] - frames[:, :-2]))
    variables = [variable.value for variable in network.trainable_variables]
    for gradient, expected_gradient in zip(
        tape.gradient(masked, variables), tape.gradient(expected, variables), strict=True
    ):
        np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-4, atol=1e-6)


# --- networks that only delay -------------------------------------------------------------------


def delay(steps: int, size: int, channels: int) -> VideoNetwork:
    """Return a network that outputs each frame `steps` steps later.

    It is a chain of identities with a boundary before each but the first. A chain of n subnetworks
    delays by n - 1 steps, because the first reads the frame without delay.
    """
    model = chain(*[channels] * (steps + 1), size=size, channels=channels)
    for layer in model.layers[1:]:
        layer.set_weights([np.eye(channels)[None, None], np.zeros(channels)])
    return VideoNetwork(model, Plan(model, steps + 1))


@pytest.mark.parametrize("late", [0, 1, 3])
@pytest.mark.usefixtures("eager")
def test_a_delay_auto_encodes_perfectly_only_at_its_latency(
    late: int, rng: np.random.Generator
) -> None:
    network = delay(late, 4, 3)
    batch = {"frames": rng.uniform(-1, 1, (2, 7, 4, 4, 3)).astype("float32")}
    for latency in range(5):
        task = Autoencoding(latency)
        network.compile(loss=task.loss, metrics=task.metrics())
        data = tf.data.Dataset.from_tensors(batch).map(task.prepare)
        results = network.evaluate(data, verbose=0, return_dict=True)
        assert (results["loss"] == 0) == (latency == late)
        assert np.isposinf(results["psnr"]) == (latency == late)


@pytest.mark.parametrize("late", [0, 2])
def test_a_delay_finds_joints_perfectly_only_at_its_latency(
    late: int, rng: np.random.Generator
) -> None:
    """The frames are heatmaps whose peaks jump, so that no wrong latency is right by chance."""
    network = delay(late, 8, 2)
    places = np.array([[(t % 4, 2 * t % 7), (7 - t % 4, (3 * t + 3) % 8)] for t in range(8)])
    frames = np.full((1, 8, 8, 8, 2), -10, "float32")
    for step, joint in np.ndindex(8, 2):
        x, y = places[step, joint]
        frames[0, step, y, x, joint] = 10
    joints = np.concatenate([places, np.ones((8, 2, 1))], -1)[None, :, None].astype("float32")
    for latency in range(4):
        task = Keypoints(2, (8, 8), latency=latency)
        batch = {"frames": frames, "joints": joints}
        scores = task.score(network(frames), batch)
        if latency == late:
            assert scores["pck_10"] == 1
            assert scores["distance"] < 0.2, "at the border, a single pixel is refined outwards"
        else:
            assert scores["pck_20"] < 1
            assert scores["distance"] > 0.5


@pytest.mark.parametrize("late", [0, 1, 3])
def test_a_delay_recognizes_actions_at_all_informed_steps(late: int) -> None:
    """Before, its outputs are equal for all classes, which is never right."""
    frames_late = delay(late, 2, 3).frame_model
    pooled = layers.GlobalAveragePooling2D(name="mean")(frames_late.output)
    model = keras.Model(frames_late.input, pooled)
    starts = [f"c{index}" for index in range(1, late + 1)]
    network = VideoNetwork(model, Plan(model, boundaries=starts, head="mean"))
    label = np.array([0, 1, 2])
    frames = np.broadcast_to(np.eye(3)[:, None, None, None], (3, 6, 2, 2, 3)).astype("float32")
    batch = {"frames": frames, "label": label}
    for latency in range(5):
        scores = ActionRecognition(3, latency=latency).score(network(frames), batch)
        expected = min(1, (6 - late) / (6 - latency))
        assert scores["accuracy"] == pytest.approx(expected)
    masked = ActionRecognition(3, first_informed_step=network.first_informed_step)
    assert masked.first_step == late
    assert masked.score(network(frames), batch)["accuracy"] == 1


def test_a_random_network_is_not_a_delay(rng: np.random.Generator) -> None:
    """Otherwise the tests above would pass for any network."""
    network = delay(1, 4, 3)
    randomize(network, rng)
    batch = {"frames": rng.uniform(-1, 1, (2, 7, 4, 4, 3)).astype("float32")}
    assert Autoencoding(1).score(network(batch["frames"]), batch)["mse"] > 0.01
