"""Whole models with a call of their own: one node, run, trained, saved and exported as they are."""

import pathlib
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from per_frame import as_arrays, assert_as_keras, per_frame
from random_weights import randomize

import keras_layers
from mpvn import Plan, PlanError, VideoNetwork
from mpvn.outputs import with_outputs

register = keras.saving.register_keras_serializable(package="own_call")
quiet = pytest.mark.filterwarnings("ignore:.*has a call of its own:UserWarning")
pytestmark = quiet


@register
class Scaled(keras.Model):
    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        return super().call(inputs / 255.0, training=training)


@register
class Doubled(keras.Sequential):
    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        return super().call(inputs, training=training) * 2


@register
class Subclassed(keras.Model):
    """Structures in and out, and layers with variables and a training mode of their own."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dense, self.norm = layers.Dense(3), layers.BatchNormalization()
        self.drop = layers.Dropout(0.5, seed=1)

    def build(self, input_shape: Any) -> None:
        self.dense.build((None, 4))
        self.norm.build((None, 3))

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        x = self.norm(self.dense(inputs["u"]), training=training)
        return {"y": self.drop(x, training=training), "rest": [inputs["v"] - 1, x[:, :1]]}


def scaled() -> keras.Model:
    inputs = keras.Input((4,), name="frame")
    return Scaled(inputs, layers.Dense(3)(layers.BatchNormalization()(inputs)), name="scaled")


def doubled() -> keras.Model:
    return Doubled([keras.Input((4,)), layers.Dense(3)], name="doubled")


def subclassed() -> keras.Model:
    model = Subclassed(name="subclassed")
    model({"u": np.zeros((5, 4), "float32"), "v": np.zeros((5, 2), "float32")})
    return model


def replaced() -> keras.Model:
    model = doubled()
    call = model.call
    model.call = lambda inputs, training=None, mask=None: call(inputs)[:, :2] - 7
    return model


MODELS = {function.__name__: function for function in (scaled, doubled, subclassed, replaced)}


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")


def inputs_of(model: keras.Model, clip: np.ndarray) -> Any:
    return {"u": clip, "v": clip[..., :2]} if isinstance(model, Subclassed) else clip


@pytest.mark.parametrize("name", MODELS)
def test_a_model_with_a_call_of_its_own_is_one_node(
    name: str, clip: np.ndarray, rng: np.random.Generator
) -> None:
    """Its own call was ignored without a word."""
    model = MODELS[name]()
    network = assert_as_keras(model, inputs_of(model, clip), rng)
    assert network.graph.names == (model.name,)
    assert network.frame_model is model
    (node,) = network.graph.nodes
    assert {id(v) for v in model.variables} == {id(v) for v in node.variables}


def test_a_warning_says_so_once() -> None:
    model = scaled()
    with pytest.warns(UserWarning, match="Scaled 'scaled' has a call of its own.*keras.Model"):
        Plan(model)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*has a call of its own")
        Plan(model)


@pytest.mark.parametrize("make", [scaled, subclassed])
def test_it_trains_and_is_saved(
    make: Callable[[], keras.Model], clip: np.ndarray, tmp_path: pathlib.Path
) -> None:
    model, rng = make(), np.random.default_rng(1)
    randomize(model, rng)
    values = inputs_of(model, clip)
    network = VideoNetwork(model)
    network.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
    before = model.get_weights()
    targets = keras.tree.map_structure(np.zeros_like, network.predict(values, verbose=0))
    network.fit(values, targets, verbose=0)
    assert all(np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True))
    expected = per_frame(model, values, training=False)
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    assert type(loaded.frame_model) is type(model)
    for value, keras_value in zip(as_arrays(loaded(values)), expected, strict=True):
        np.testing.assert_allclose(value, keras_value, rtol=1e-4, atol=1e-5)


def test_it_is_exported(clip: np.ndarray, tmp_path: pathlib.Path) -> None:
    network = VideoNetwork(scaled())
    network.export(tmp_path / "exported", verbose=False)
    signature = tf.saved_model.load(tmp_path / "exported").signatures["clip"]
    (exported,) = signature(frame=tf.constant(clip)).values()
    np.testing.assert_allclose(exported, network(clip), rtol=1e-5, atol=1e-6)


def test_it_cannot_be_divided() -> None:
    with pytest.raises(PlanError, match="Models with a call of their own: scaled. To divide it"):
        Plan(scaled(), 2)


def test_clocks_from_the_resolution_leave_it_at_rate_1() -> None:
    class Head(keras.Model):
        def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            return super().call(inputs) + 1

    image = keras.Input((16, 16, 1))
    x = layers.AveragePooling2D(4)(image)
    inner = keras.Input((16, 16, 1))
    head = Head(inner, layers.Conv2D(1, 1)(layers.AveragePooling2D(4)(inner)), name="head")
    assert Plan(keras.Model(image, x), clocks="auto").period == 2
    assert Plan(head, clocks="auto").period == 1
    assert Plan(keras.Model(image, head(image)), clocks="auto").period == 1
    assert Plan(head).node_costs == (16,)


def test_what_needs_its_layers_is_refused() -> None:
    network = VideoNetwork(scaled())
    with pytest.raises(ValueError, match="has a call of its own"):
        with_outputs(network, ["scaled"])


@pytest.mark.parametrize("nested", [False, True])
def test_temporal_layers_inside_are_refused(nested: bool) -> None:
    inputs = keras.Input((4, 4, 1))
    shift = keras_layers.TemporalConv3D(1, (2, 1, 1), name="past")(inputs)
    model = Scaled(inputs, shift, name="own")
    image = keras.Input((4, 4, 1))
    with pytest.raises(ValueError, match="cannot give its layers their past frames: past"):
        Plan(keras.Model(image, model(image)) if nested else model)


def test_outputs_that_are_no_tensors_are_refused() -> None:
    class Nothing(keras.Model):
        def call(self, inputs: Any) -> Any:
            return inputs, None

    model = Nothing(name="nothing")
    model(np.zeros((1, 2), "float32"))
    with pytest.raises(ValueError, match="whose outputs are tensors. Received: 'nothing'"):
        Plan(model)
