"""A student imitates its teacher: which layers and steps are compared, and how."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpvn.models import par_densenet, simple_cnn
from mpvn.network import VideoNetwork
from mpvn.plan import Plan
from mpvn.training import Distillation
from mpvn.training.distillation import default_layers

SIZE, STEPS = 16, 7


def networks(subnetworks: int, **options: object) -> tuple[VideoNetwork, VideoNetwork]:
    """Return a student and a sequential teacher with the same weights."""
    models = []
    for _ in range(2):
        models.append(simple_cnn((SIZE, SIZE, 3), classes=3, width=0.25, **options))
    models[0].set_weights(models[1].get_weights())
    plan = Plan(models[0], subnetworks, partition="units")
    return VideoNetwork(models[0], plan), VideoNetwork(models[1])


@pytest.fixture
def clip() -> np.ndarray:
    shape = (2, STEPS, SIZE, SIZE, 3)
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def distance(model: Distillation, clip: np.ndarray) -> float:
    """Return what `model` adds to the loss."""
    model(clip, training=True)
    (added,) = model.losses
    return float(added)


def activations(network: VideoNetwork, name: str, clip: np.ndarray) -> np.ndarray:
    """Return activations of a sequential network, computed by a plain Keras model over frames."""
    node = network.graph.by_name[name]
    plain = keras.Model(network.frame_model.input, node.symbolic_outputs[0])
    frames = clip.reshape(-1, *clip.shape[2:])
    values = plain(frames, training=False).numpy()
    return values.reshape(*clip.shape[:2], *values.shape[1:])


def test_the_last_layer_of_a_late_chain_equals_the_teacher_s(clip: np.ndarray) -> None:
    """With the teacher's weights and two boundaries: at lag 2, not at 0, 1 or 3."""
    student, teacher = networks(3)
    last = [default_layers(student.plan, teacher.plan)[-1]]
    by_lag = [distance(Distillation(student, teacher, last, lag=lag), clip) for lag in range(4)]
    assert by_lag[2] < 1e-10
    assert min(by_lag[0], by_lag[1], by_lag[3]) > 0.1


@pytest.mark.parametrize("form", ["sum", "mean", "whitened"])
def test_the_distance_is_as_defined(clip: np.ndarray, form: str) -> None:
    """Of maps of 64, 16, 4 and 1 positions. Once, the paper's sum over positions was a mean."""
    student, teacher = networks(1)
    rng = np.random.default_rng(1)
    for variable in student.trainable_variables:
        variable.assign_add(0.1 * rng.normal(size=variable.shape))
    names = ["conv1.conv_relu", "conv3.conv_relu", "conv5.conv_relu", "linear.mean"]
    model = Distillation(student, teacher, names, 3.0, form, lag=1, first_step=2)
    expected, positions = [], []
    for name in names:
        learned = activations(student, name, clip)[:, 2:]
        taught = activations(teacher, name, clip)[:, 1:-1]
        clips, steps, *_, channels = learned.shape
        squares = (learned - taught) ** 2
        norms = squares.reshape(clips * steps, -1).sum(axis=1) / channels  # one for each frame
        positions.append(learned[0, 0, ..., 0].size)
        if form == "mean":
            norms /= positions[-1]
        elif form == "whitened":
            variance = taught.var(axis=tuple(range(taught.ndim - 1)))
            norms = (squares / (variance + 1e-3 * variance.mean() + 1e-7)).mean()
        expected.append(norms.mean())
    assert positions == [64, 16, 4, 1]
    assert distance(model, clip) == pytest.approx(3.0 * np.mean(expected), rel=1e-4)


def test_only_the_student_is_trained(clip: np.ndarray) -> None:
    student, teacher = networks(2, norm="batch")
    model = Distillation(student, teacher, weight=5.0, lag=1)
    assert {id(v) for v in model.variables} == {id(v) for v in student.variables}
    before = [teacher.get_weights(), student.get_weights()]
    model.compile("sgd", keras.losses.MeanSquaredError())
    model.fit(clip, np.zeros((2, STEPS, 3), "float32"), verbose=0)
    for old, new in zip(before[0], teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    moved = [
        np.abs(old - new).max() > 0
        for old, new in zip(before[1], student.get_weights(), strict=True)
    ]
    assert all(moved)


def test_training_brings_activations_closer(clip: np.ndarray) -> None:
    student, teacher = networks(2)
    rng = np.random.default_rng(1)
    for variable in student.trainable_variables:
        variable.assign_add(0.05 * rng.normal(size=variable.shape))
    model = Distillation(student, teacher, lag=1)
    model.compile(keras.optimizers.Adam(0.005), lambda y, x: tf.zeros(tf.shape(x)[:2]))
    first = distance(model, clip)
    model.fit(clip, np.zeros((2, STEPS, 3)), epochs=30, verbose=0)
    assert distance(model, clip) < 0.7 * first


def test_evaluation_runs_the_student_alone(clip: np.ndarray) -> None:
    student, teacher = networks(2)
    model = Distillation(student, teacher, lag=1)
    outputs = model(clip, training=False)
    assert not model.losses
    np.testing.assert_array_equal(outputs, student(clip, training=False))


def test_default_layers_are_evenly_spaced_and_end_at_the_head() -> None:
    model = par_densenet((32, 32, 3), width=0.05)
    student = Plan(model, 4, partition="units")
    names = default_layers(student, student)
    assert [name.split(".")[0] for name in names] == ["block2_4", "block3_5", "block4_6"]
    without_clocks = Plan(par_densenet((32, 32, 3), width=0.05, clocks=False))
    assert student.graph.by_name.keys() - without_clocks.graph.by_name.keys()
    for others in ((student, without_clocks), (without_clocks, student)):
        assert set(default_layers(*others, count=28)) <= {*others[0].nodes} & {*others[1].nodes}
    stock = keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3))
    assert len(default_layers(Plan(stock, 2), Plan(stock))) == 3
    with pytest.raises(ValueError, match="no node of the student before its head.*Give layers"):
        default_layers(Plan(stock), without_clocks)


def test_a_teacher_that_does_not_fit_is_refused() -> None:
    student, teacher = networks(2)
    other = VideoNetwork(simple_cnn((SIZE, SIZE, 3), classes=3, width=0.5))
    with pytest.raises(ValueError, match="Expected one of sum, mean, whitened. Received: 'max'"):
        Distillation(student, teacher, distance="max")
    with pytest.raises(ValueError, match="answers later.*2 steps below"):
        Distillation(student, teacher, lag=-2)
    with pytest.raises(ValueError, match="has no layer 'conv9'.*such as"):
        Distillation(student, teacher, ["conv9"])
    with pytest.raises(ValueError, match="same architecture. Received: shape .* in the student"):
        Distillation(student, other)
