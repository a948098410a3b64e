"""Nested models compute what Keras computes: their calls, inputs, training modes and dtypes."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from per_frame import as_arrays
from random_weights import randomize

from mpvn.graph.data import Graph
from mpvn.graph.reading import read_graph


def run(graph: Graph, frame: Any, training: bool | None = None) -> Any:
    """Run the model node by node, in the order of the graph."""
    values = dict(zip(graph.inputs, graph.pack_inputs(frame), strict=True))
    for node in graph.nodes:
        outputs = node.call([values[tensor] for tensor in node.inputs], training)
        values.update(zip(node.outputs, outputs, strict=True))
    for tensor in graph.tensors:
        assert values[tensor.index].dtype == tensor.dtype, tensor.name
        assert tuple(values[tensor.index].shape[1:]) == tensor.shape, tensor.name
    return graph.pack_outputs([values[tensor] for tensor in graph.outputs])


def assert_as_keras(model: keras.Model, frame: Any, rng: np.random.Generator) -> Graph:
    randomize(model, rng)
    graph = read_graph(model)
    for training in (None, False):
        expected, actual = model(frame, training=training), run(graph, frame, training)
        keras.tree.assert_same_structure(actual, expected)
        for value, keras_value in zip(as_arrays(actual), as_arrays(expected), strict=True):
            np.testing.assert_allclose(value, keras_value, rtol=1e-5, atol=1e-5)
        dtypes = [x.dtype for x in keras.tree.flatten(actual)]
        assert dtypes == [x.dtype for x in keras.tree.flatten(expected)]
    return graph


@pytest.fixture
def frame(rng: np.random.Generator) -> tf.Tensor:
    return tf.constant(rng.normal(size=(3, 4)), "float32")


@pytest.fixture
def policy(request: pytest.FixtureRequest) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield
    keras.config.set_dtype_policy(before)


def difference() -> keras.Model:
    z, a = keras.Input((1,), name="z"), keras.Input((1,), name="a")
    return keras.Model([z, a], z - 2 * a, name="sub")


# --- inputs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda sub, i: sub({"a": i[:, 1:2], "z": i[:, :1]}),
        lambda sub, i: sub({"z": i[:, :1], "more": i, "a": i[:, 1:2]}),
        lambda sub, i: sub((i[:, :1], i[:, 1:2])),
        lambda sub, i: sub(inputs=[i[:, :1], i[:, 1:2]]),
        lambda sub, i: sub([i[:, :1], i[:, 1:2]], training=False, mask=None),
        lambda sub, i: sub([i[:, 0], i[:, 1]]),
    ],
    ids=["by name", "more names", "tuple", "keyword", "with a mode", "without the last axis"],
)
def test_a_nested_model_gets_its_inputs_as_keras_passes_them(
    call: Callable, frame: tf.Tensor, rng: np.random.Generator
) -> None:
    """Inputs by name were swapped: -4 for 4."""
    image = keras.Input((4,))
    graph = assert_as_keras(keras.Model(image, call(difference(), image)), frame, rng)
    assert graph.names[-1].startswith("sub/"), "the nested model is read through"


def test_nested_structures_of_inputs_and_outputs(
    frame: tf.Tensor, rng: np.random.Generator
) -> None:
    p, r, s = (keras.Input((4,), name=name) for name in "prs")
    outputs = {"o": p - r, "w": (s * 3,)}
    block = keras.Model({"p": p, "q": [r, {"s": s}]}, outputs, name="block")
    image = keras.Input((4,))
    found = block({"q": [image * 2, {"s": image * 5}], "p": image})
    model = keras.Model(image, {"a": found["w"][0], "b": [found["o"], found["o"]], "c": image})
    assert assert_as_keras(model, frame, rng).names[-1].startswith("block/")


def test_a_constant_for_an_input_leaves_the_nested_model_to_keras(
    frame: tf.Tensor, rng: np.random.Generator
) -> None:
    image, constant = keras.Input((4,)), ops.ones((1, 1))
    model = keras.Model(image, difference()([image[:, :1], constant]))
    assert assert_as_keras(model, frame, rng).names[-1] == "sub"


def test_a_nested_model_built_without_a_frame_size_gets_that_of_the_frame(
    rng: np.random.Generator,
) -> None:
    """The idiom of `keras.applications` without top; such models were refused."""
    open_input = keras.Input((None, None, 3))
    half = layers.Conv2D(2, 3, strides=2, name="half")(open_input)
    base = keras.Model(open_input, [half, layers.GlobalAveragePooling2D(name="mean")(half)])
    image = keras.Input((7, 7, 3))
    model = keras.Model(image, base(image))
    graph = assert_as_keras(model, tf.constant(rng.normal(size=(2, 7, 7, 3)), "float32"), rng)
    assert graph.tensors[graph.outputs[0]].shape == (3, 3, 2)


# --- calls of their own -----------------------------------------------------------------------


class Scaled(keras.Model):
    """A functional model that divides its input."""

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        return super().call(inputs / 255.0, training=training)


class Called(keras.Model):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*args, **kwargs) * 3


class Stack(keras.Sequential):
    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        return super().call(inputs) - 5


class Narrow(keras.Model):
    """Its own call returns another shape and dtype than its layers do."""

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        return ops.cast(super().call(inputs)[:, :2] > 0, "int32")


def dense(kind: type, units: int = 3) -> keras.Model:
    inputs = keras.Input((4,))
    return kind(inputs, layers.Dense(units)(inputs), name="own")


def patched() -> keras.Model:
    model = dense(keras.Model)
    call = model.call
    model.call = lambda inputs, training=None, mask=None: call(inputs) * 2
    return model


def regularized() -> keras.Model:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)], name="own")
    model.activity_regularizer = keras.regularizers.L2(0.1)
    return model


OWN: dict[str, Callable[[], keras.Model]] = {
    "functional": lambda: dense(Scaled),
    "__call__": lambda: dense(Called),
    "sequential": lambda: Stack([keras.Input((4,)), layers.Dense(3)], name="own"),
    "attribute": patched,
    "activity regularizer": regularized,
}


@pytest.mark.parametrize("kind", OWN)
def test_a_nested_model_with_a_call_of_its_own_is_one_node(
    kind: str, frame: tf.Tensor, rng: np.random.Generator
) -> None:
    """It was read through, and its own call was ignored."""
    image = keras.Input((4,))
    model = keras.Model(image, layers.ReLU(name="relu")(OWN[kind]()(image)))
    assert assert_as_keras(model, frame, rng).names[0] == "own"


def test_the_activity_regularizer_of_a_nested_model_adds_its_loss(frame: tf.Tensor) -> None:
    image = keras.Input((4,))
    graph = read_graph(keras.Model(image, regularized()(image)))
    run(graph, frame)
    assert graph.pop_losses() == ["own"]


def test_the_outputs_of_a_nested_model_are_those_of_its_own_call(
    frame: tf.Tensor, rng: np.random.Generator
) -> None:
    image = keras.Input((4,))
    graph = assert_as_keras(keras.Model(image, dense(Narrow)(image)), frame, rng)
    assert graph.tensors[1].shape == (2,)
    assert graph.tensors[1].dtype == "int32"


def test_a_subclass_that_only_builds_its_graph_is_read_through(
    frame: tf.Tensor, rng: np.random.Generator
) -> None:
    class Hub(keras.Model):
        def __init__(self) -> None:
            inputs = keras.Input((4,))
            super().__init__(inputs, layers.Dense(3, name="inner")(inputs), name="hub")

    image = keras.Input((4,))
    assert assert_as_keras(keras.Model(image, Hub()(image)), frame, rng).names == ("hub/inner",)


# --- training modes ---------------------------------------------------------------------------


def updates_of(call: Callable[[], Any], model: keras.Model) -> tuple[list, list]:
    """Return the outputs of `call` and the weights after it; restore the weights."""
    weights = model.get_weights()
    outputs = as_arrays(call())
    after = model.get_weights()
    model.set_weights(weights)
    return outputs, after


@pytest.mark.parametrize("given", [True, False, None])
@pytest.mark.parametrize("outer", [True, False, None])
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [x]], ids=["tensor", "list"])
def test_the_training_mode_of_a_nested_call_reaches_its_layers(
    wrap: Callable, outer: bool | None, given: bool | None, rng: np.random.Generator
) -> None:
    """Also the layer after it, which Keras runs in the mode that it was left in."""
    inner = keras.Input((4,))
    base = keras.Model(wrap(inner), layers.BatchNormalization()(layers.Dense(4)(inner)))
    image = keras.Input((4,))
    x = base(wrap(image), training=given)
    model = keras.Model(image, layers.BatchNormalization(momentum=0.5)(layers.Dense(3)(x)))
    randomize(model, rng)
    graph, frame = read_graph(model), tf.constant(rng.normal(size=(6, 4)), "float32")
    expected = updates_of(lambda: model(frame, training=outer), model)
    actual = updates_of(lambda: run(graph, frame, outer), model)
    for value, keras_value in zip(sum(actual, []), sum(expected, []), strict=True):
        np.testing.assert_allclose(value, keras_value, rtol=1e-4, atol=1e-4)


def test_a_layer_without_a_training_argument_passes_the_mode_on() -> None:
    class Wrapper(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.drop = layers.Dropout(0.5)

        def call(self, inputs: Any) -> Any:
            return self.drop(inputs)

    image = keras.Input((64,))
    graph, ones = read_graph(keras.Model(image, Wrapper()(image))), tf.ones((2, 64))
    assert np.any(run(graph, ones, True) == 0)
    assert not np.any(run(graph, ones, False) == 0)


# --- dtypes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"], indirect=True)
def test_a_nested_model_casts_at_its_door(policy: None, rng: np.random.Generator) -> None:
    inner = keras.Input((4,), name="door")
    block = keras.Model(inner, inner + layers.Dense(4)(inner), name="block")
    image = keras.Input((4,))
    model = keras.Model(image, layers.Dense(2)(block(layers.Dense(4, name="first")(image))))
    graph = assert_as_keras(model, tf.constant(rng.normal(size=(2, 4)), "float32"), rng)
    assert graph.names[:2] == ("first", "block/door")
    assert graph.tensors[graph.by_name["block/door"].outputs[0]].dtype == "float32"


def whole_numbers() -> keras.Model:
    image = keras.Input((4,))
    inner = keras.Input((4,), dtype="int32")
    return keras.Model(image, keras.Model(inner, layers.Embedding(9, 2)(abs(inner)))(image * 3))


def variable_argument() -> keras.Model:
    image, variable = keras.Input((4,)), keras.Variable(np.arange(4) / 3)
    return keras.Model(image, layers.Dense(4, dtype="mixed_bfloat16")(image) * variable)


def mixed_models() -> keras.Model:
    parts = []
    for dtype in ("mixed_bfloat16", "float32", "mixed_float16"):
        inner = keras.Input((4,), dtype=dtype.removeprefix("mixed_"))
        parts.append(keras.Model(inner, ops.tanh(layers.Dense(4, dtype=dtype)(inner)) + inner))
    image = keras.Input((4,))
    return keras.Model(image, parts[2](parts[1](parts[0](image))))


def changed_policy() -> keras.Model:
    image = keras.Input((4,))
    last = layers.Dense(3, dtype="mixed_bfloat16")
    model = keras.Model(image, last(image) * 2)
    last.dtype_policy = "float32"
    return model


def float32_output() -> keras.Model:
    class Precise(layers.Layer):
        def call(self, inputs: Any) -> Any:
            return ops.cast(inputs, "float32") * 1.001

        def compute_output_shape(self, input_shape: tuple) -> tuple:
            return input_shape

    image = keras.Input((4,))
    return keras.Model(image, layers.Dense(3, dtype="float32")(Precise()(layers.Dense(4)(image))))


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"], indirect=True)
@pytest.mark.parametrize(
    "make", [whole_numbers, variable_argument, mixed_models, changed_policy, float32_output]
)
def test_values_have_the_dtypes_that_keras_computes(
    make: Callable[[], keras.Model], policy: None, frame: tf.Tensor, rng: np.random.Generator
) -> None:
    assert_as_keras(make(), frame, rng)
