"""Networks take and return the structures of their frame models, as Keras does."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from per_frame import assert_as_keras, per_frame, run_clip

from mpvn import Plan, VideoNetwork
from mpvn.sideways.back_propagation import BackPropagationTrainer
from mpvn.sideways.sideways_trainer import SidewaysTrainer


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")


def tensors() -> tuple[keras.KerasTensor, keras.KerasTensor, keras.KerasTensor]:
    image = keras.Input((4,), name="größe")
    first = layers.Dense(2, name="_hidden")(image)
    return image, first, layers.Dense(3)(first)


@pytest.mark.parametrize(
    "pack",
    [
        lambda i, a, b: a,
        lambda i, a, b: [a],
        lambda i, a, b: (a, b),
        lambda i, a, b: [a, a, b],
        lambda i, a, b: {"a": a},
        lambda i, a, b: {"z": [b, (a,)], "a": i, "日本": {"self": b}},
        lambda i, a, b: [i, i, a],
        lambda i, a, b: [[a], {"b": [b]}],
    ],
)
def test_outputs_have_the_structure_of_the_frame_model(
    pack: Any, clip: np.ndarray, rng: np.random.Generator
) -> None:
    image, first, second = tensors()
    model = keras.Model(image, pack(image, first, second))
    network = assert_as_keras(model, clip, rng)
    expected = model(clip[:, 0])
    for outputs in (network(clip), run_clip(network, clip, "step")):
        keras.tree.assert_same_structure(outputs, expected)
    symbolic = network(keras.Input(clip.shape[1:]))
    keras.tree.assert_same_structure(symbolic, expected)
    shapes = [x.shape for x in keras.tree.flatten(symbolic)]
    assert shapes == [(None, *x.shape[1:]) for x in keras.tree.flatten(network(clip))]


def two_inputs(structure: Any) -> keras.Model:
    z, a = keras.Input((4,), name="z"), keras.Input((2,), name="a")
    return keras.Model(structure(z, a), layers.Dense(2)(z) - a)


@pytest.mark.parametrize(
    ("structure", "pack"),
    [
        (lambda z, a: [z, a], lambda z, a: {"a": a, "z": z}),
        (lambda z, a: [z, a], lambda z, a: {"a": a, "b": z, "z": z}),
        (lambda z, a: {"z": z, "a": a}, lambda z, a: {"a": a, "z": z, "zz": z}),
        (lambda z, a: {"a": a, "z": z}, lambda z, a: [a, z]),
        (lambda z, a: (z, [a]), lambda z, a: [z, (a,)]),
    ],
)
def test_inputs_are_matched_by_name_and_structure(
    structure: Any, pack: Any, clip: np.ndarray
) -> None:
    model = two_inputs(structure)
    network = VideoNetwork(model, executor="layerwise")
    own = network.graph.input_structure
    values = {"z": clip, "a": clip[..., 2:]}
    inputs = keras.tree.map_structure(lambda tensor: values[tensor.name], own)
    outputs = run_clip(network, pack(clip, clip[..., 2:]), "layerwise")
    np.testing.assert_allclose(outputs, per_frame(model, inputs)[0], rtol=1e-5, atol=1e-6)


def test_inputs_that_do_not_match_are_refused(clip: np.ndarray) -> None:
    """A dict built as z, a takes no list: Keras refuses it, too."""
    network = VideoNetwork(two_inputs(lambda z, a: {"z": z, "a": a}))
    for inputs in ([clip, clip[..., 2:]], {"z": clip}, clip, {"z": clip, "a": [clip]}):
        with pytest.raises(ValueError, match="Expected inputs in the structure.*Received"):
            network(inputs)


def test_an_output_that_appears_twice_learns_twice(clip: np.ndarray) -> None:
    """Sideways step by step counted its gradient four times."""
    image, first, _ = tensors()
    model = keras.Model(image, [first, first])
    before, after = model.get_weights(), []
    for trainer in (SidewaysTrainer, BackPropagationTrainer):
        model.set_weights(before)
        trained = trainer(VideoNetwork(model, Plan(model)))
        trained.compile(optimizer=keras.optimizers.SGD(1.0), loss="mse", run_eagerly=True)
        trained.fit(clip, [np.zeros((2, 3, 2)), np.ones((2, 3, 2))], verbose=0)
        after.append(model.get_weights()[0])
    assert np.abs(after[0] - before[0]).max() > 0.01
    np.testing.assert_allclose(after[0], after[1], rtol=1e-4, atol=1e-6)
