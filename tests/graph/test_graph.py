"""Functional Keras models as graphs: nodes, tensors, order and names.

The main test of any model: calling its nodes in order gives the same outputs as Keras.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from random_weights import randomize

import keras_layers
from mpvn.graph.data import Graph
from mpvn.graph.reading import read_graph


def run(graph: Graph, inputs: Any, training: bool | None = None) -> Any:
    """Run the model node by node, in the order of the graph."""
    values = dict(zip(graph.inputs, graph.pack_inputs(inputs), strict=True))
    for node in graph.nodes:
        outputs = node.call([values[tensor] for tensor in node.inputs], training)
        values.update(zip(node.outputs, outputs, strict=True))
    return graph.pack_outputs([values[tensor] for tensor in graph.outputs])


def assert_same_as_keras(model: keras.Model, inputs: Any, rng: np.random.Generator) -> Graph:
    """Compare both ways to run `model` with random weights; return its graph."""
    randomize(model, rng)
    inputs = keras.tree.map_structure(lambda value: tf.constant(value, "float32"), inputs)
    graph = read_graph(model)
    expected, actual = model(inputs, training=False), run(graph, inputs, training=False)
    keras.tree.assert_same_structure(actual, expected)
    pairs = zip(keras.tree.flatten(actual), keras.tree.flatten(expected), strict=True)
    for value, keras_value in pairs:
        np.testing.assert_allclose(value, keras_value, rtol=1e-5, atol=1e-5)
    assert_topological(graph)
    return graph


def assert_topological(graph: Graph) -> None:
    computed = set(graph.inputs)
    for index, node in enumerate(graph.nodes):
        assert node.index == index
        assert set(node.inputs) <= computed
        computed |= set(node.outputs)
    assert len(set(graph.names)) == len(graph.nodes)


@pytest.fixture
def frame(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(2, 6, 6, 3))


def test_a_chain_has_a_node_per_layer_and_no_input_node(
    frame: np.ndarray, rng: np.random.Generator
) -> None:
    image = keras.Input((6, 6, 3), name="image")
    x = layers.Conv2D(4, 3, name="conv")(image)
    graph = assert_same_as_keras(keras.Model(image, layers.ReLU(name="relu")(x)), frame, rng)
    assert graph.names == ("conv", "relu")
    assert [t.name for t in graph.tensors] == ["image", "conv", "relu"]
    assert graph.tensors[1].shape == (4, 4, 4)
    assert [t.dtype for t in graph.tensors] == ["float32"] * 3
    assert graph.producer(graph.inputs[0]) is None
    assert graph.producers(graph.nodes[1]) == [graph.nodes[0]]


def test_a_layer_called_twice_is_two_nodes_of_one_layer(
    frame: np.ndarray, rng: np.random.Generator
) -> None:
    image = keras.Input((6, 6, 3))
    conv = layers.Conv2D(3, 3, padding="same", name="conv")
    graph = assert_same_as_keras(keras.Model(image, conv(conv(image))), frame, rng)
    assert graph.names == ("conv", "conv:1")
    assert graph.nodes[0].operation is graph.nodes[1].operation is conv


def nested_block(name: str = "block") -> keras.Model:
    inner = keras.Input((6, 6, 3))
    x = layers.Conv2D(3, 3, padding="same", name="conv")(inner)
    x = layers.BatchNormalization(name="norm")(x)
    return keras.Model(inner, layers.Add(name="add")([inner, x]), name=name)


def test_nested_models_become_their_nodes(frame: np.ndarray, rng: np.random.Generator) -> None:
    image = keras.Input((6, 6, 3))
    tail = keras.Sequential([layers.Conv2D(2, 1, name="one"), layers.ReLU(name="two")], name="tail")
    model = keras.Model(image, tail(nested_block()(image)))
    graph = assert_same_as_keras(model, frame, rng)
    assert graph.names == ("block/conv", "block/norm", "block/add", "tail/one", "tail/two")


def test_models_nested_twice_become_their_nodes(
    frame: np.ndarray, rng: np.random.Generator
) -> None:
    image, again = keras.Input((6, 6, 3)), keras.Input((6, 6, 3))
    outer = keras.Model(image, layers.ReLU(name="relu")(nested_block()(image)), name="outer")
    graph = assert_same_as_keras(keras.Model(again, outer(again)), frame, rng)
    assert graph.names == tuple(f"outer/{n}" for n in ("block/conv", "block/norm", "block/add")) + (
        "outer/relu",
    )


def test_a_nested_model_called_twice_has_nodes_for_each_call(
    frame: np.ndarray, rng: np.random.Generator
) -> None:
    image, block = keras.Input((6, 6, 3)), nested_block()
    graph = assert_same_as_keras(keras.Model(image, block(block(image))), frame, rng)
    assert graph.names[:3] == ("block/conv", "block/norm", "block/add")
    assert graph.names[3:] == ("block:1/conv", "block:1/norm", "block:1/add")


def test_a_built_sequential_model_is_a_graph(frame: np.ndarray, rng: np.random.Generator) -> None:
    model = keras.Sequential(
        [keras.Input((6, 6, 3)), layers.Conv2D(2, 3, name="a"), layers.Flatten(name="b")]
    )
    assert assert_same_as_keras(model, frame, rng).names == ("a", "b")


def inner_model_in_inference() -> keras.Model:
    image = keras.Input((6, 6, 3))
    return keras.Model(image, nested_block()(image, training=False))


def layer_in_inference() -> keras.Model:
    image = keras.Input((6, 6, 3))
    return keras.Model(image, layers.BatchNormalization()(image, training=False))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("make", [inner_model_in_inference, layer_in_inference])
def test_the_training_argument_of_a_call_overrides_that_of_the_model_as_in_keras(
    make: Callable[[], keras.Model], training: bool, frame: np.ndarray, rng: np.random.Generator
) -> None:
    """Keras 3 lets `model(x, training=True)` override an inner `base(x, training=False)`."""
    model = make()
    graph = assert_same_as_keras(model, frame, rng)
    values = tf.constant(frame, "float32")
    expected = model(values, training=training)
    np.testing.assert_allclose(
        run(graph, values, training=training), expected, rtol=1e-4, atol=1e-4
    )


def test_the_training_mode_reaches_the_nodes(frame: np.ndarray, rng: np.random.Generator) -> None:
    model = nested_block()
    randomize(model, rng)
    graph, values = read_graph(model), tf.constant(frame, "float32")
    expected = model(values, training=True)
    np.testing.assert_allclose(run(graph, values, training=True), expected, rtol=1e-4, atol=1e-4)
    assert not np.allclose(run(graph, values, training=False), expected, atol=1e-2)


def test_dropout_drops_only_in_training(frame: np.ndarray) -> None:
    """Keras records the default `training=False` of `Dropout.call`; no user chose it."""
    image = keras.Input((6, 6, 3))
    graph = read_graph(keras.Model(image, layers.Dropout(0.5)(image)))
    values = tf.constant(frame, "float32")
    assert np.any(run(graph, values, training=True) == 0)
    assert not np.any(run(graph, values, training=False) == 0)


def test_calls_of_a_layer_count_in_the_order_in_which_they_were_made() -> None:
    image, conv = keras.Input((6, 6, 3)), layers.Conv2D(3, 1, name="conv")
    last = conv(layers.ReLU(name="relu")(image))  # deeper in the graph, but the first call
    model = keras.Model(image, layers.Add(name="add")([last, conv(image)]))
    graph = read_graph(model)
    by_name = dict(zip(graph.names, graph.nodes, strict=True))
    assert graph.producers(by_name["conv"]) == [by_name["relu"]]
    assert graph.producers(by_name["conv:1"]) == []


def two_inputs_and_outputs(inputs: Any, outputs: Any) -> keras.Model:
    image, flow = keras.tree.flatten(inputs)
    x = layers.Concatenate(name="join")([image, flow])
    mask, score = layers.Conv2D(2, 1, name="mask")(x), layers.Flatten(name="score")(x)
    packed = keras.tree.pack_sequence_as(outputs, [mask, score])
    return keras.Model(inputs, packed)


def test_several_inputs_and_outputs_as_lists(frame: np.ndarray, rng: np.random.Generator) -> None:
    inputs = [keras.Input((6, 6, 3), name="image"), keras.Input((6, 6, 1), name="flow")]
    model = two_inputs_and_outputs(inputs, [0, 0])
    assert_same_as_keras(model, [frame, frame[..., :1]], rng)


def test_several_inputs_and_outputs_as_dicts(frame: np.ndarray, rng: np.random.Generator) -> None:
    inputs = {
        "image": keras.Input((6, 6, 3), name="image"),
        "flow": keras.Input((6, 6, 1), name="flow"),
    }
    model = two_inputs_and_outputs(inputs, {"z": 0, "a": 0})
    assert_same_as_keras(model, {"image": frame, "flow": frame[..., :1]}, rng)


def test_inputs_by_name_for_a_model_with_a_list_of_inputs(
    frame: np.ndarray, rng: np.random.Generator
) -> None:
    inputs = [keras.Input((6, 6, 3), name="image"), keras.Input((6, 6, 1), name="flow")]
    graph = read_graph(two_inputs_and_outputs(inputs, [0, 0]))
    flow = frame[..., :1]
    packed = graph.pack_inputs({"flow": flow, "image": frame})
    assert packed[0] is frame
    assert packed[1] is flow


def test_an_input_can_be_an_output(frame: np.ndarray, rng: np.random.Generator) -> None:
    image = keras.Input((6, 6, 3), name="image")
    model = keras.Model(image, [image, layers.ReLU()(image)])
    graph = assert_same_as_keras(model, frame, rng)
    assert graph.outputs[0] == graph.inputs[0]


def test_keras_operations_are_nodes(frame: np.ndarray, rng: np.random.Generator) -> None:
    image = keras.Input((6, 6, 3))
    y = layers.Conv2D(3, 3, padding="same", name="conv")(image)
    model = keras.Model(image, ops.mean(image * 2 + y, axis=(1, 2)) - 0.5)
    graph = assert_same_as_keras(model, frame, rng)
    assert len(graph.nodes) == 5
    assert graph.tensors[graph.outputs[0]].shape == (3,)


@keras.saving.register_keras_serializable(package="tests")
class Halves(layers.Layer):
    """A layer with two outputs."""

    def call(self, inputs: Any) -> list:
        return list(ops.split(inputs, 2, axis=-1))


def test_a_layer_with_two_outputs_has_two_tensors(rng: np.random.Generator) -> None:
    image = keras.Input((6, 6, 4))
    left, right = Halves(name="halves")(image)
    model = keras.Model(image, layers.Subtract(name="difference")([left, right]))
    graph = assert_same_as_keras(model, rng.normal(size=(2, 6, 6, 4)), rng)
    assert graph.names == ("halves", "difference")
    assert [graph.tensors[t].name for t in graph.nodes[0].outputs] == ["halves", "halves#1"]
    assert graph.nodes[1].inputs == graph.nodes[0].outputs


def test_a_layer_with_inner_layers_is_one_node(frame: np.ndarray, rng: np.random.Generator) -> None:
    class Inside(layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="inside")
            self.conv = layers.Conv2D(2, 1)

        def call(self, inputs: Any) -> Any:
            return self.conv(inputs) * 2

    image = keras.Input((6, 6, 3))
    graph = assert_same_as_keras(keras.Model(image, Inside()(image)), frame, rng)
    assert graph.names == ("inside",)


def test_a_model_cut_from_another_starts_at_the_cut(
    frame: np.ndarray, rng: np.random.Generator
) -> None:
    image = keras.Input((6, 6, 3))
    x = layers.Conv2D(4, 1, name="before")(image)
    y = layers.Conv2D(2, 1, name="after")(x)
    graph = assert_same_as_keras(keras.Model(x, y), rng.normal(size=(2, 6, 6, 4)), rng)
    assert graph.names == ("after",)


def test_temporal_layers_and_feedback_are_recognized() -> None:
    image = keras.Input((6, 6, 3))
    loop = keras_layers.Feedback("conv", (3, 3, 2), name="loop")(image)
    conv = keras_layers.TemporalConv3D(2, (3, 3, 3), 2, name="conv")(image)
    still = keras_layers.TemporalConv3D(2, (1, 3, 3), name="still")(conv)
    graph = read_graph(keras.Model(image, layers.Add(name="add")([loop, still])))
    nodes = dict(zip(graph.names, graph.nodes, strict=True))
    assert (nodes["conv"].window, nodes["conv"].temporal_stride) == (3, 2)
    assert nodes["conv"].temporal is nodes["conv"].operation
    assert nodes["still"].temporal is None
    assert (nodes["still"].window, nodes["still"].temporal_stride) == (1, 1)
    assert nodes["loop"].feedback_source == "conv"
    assert graph.producers(nodes["loop"]) == []
    assert nodes["add"].feedback_source is None


def test_a_subclassed_model_that_is_not_built_is_rejected() -> None:
    class Subclassed(keras.Model):
        def call(self, inputs: Any) -> Any:
            return inputs

    with pytest.raises(TypeError, match="that is built.*Received: Subclassed 'mine'.*or call it"):
        read_graph(Subclassed(name="mine"))


def test_a_sequential_model_that_is_not_built_is_rejected() -> None:
    with pytest.raises(TypeError, match="a built Sequential model.*Received: Sequential 'later'"):
        read_graph(keras.Sequential([layers.ReLU()], name="later"))


def test_other_objects_are_rejected() -> None:
    with pytest.raises(TypeError, match="Received: int"):
        read_graph(3)


def test_unknown_frame_sizes_are_rejected() -> None:
    image = keras.Input((None, None, 3), name="image")
    model = keras.Model(image, layers.Conv2D(2, 3, name="conv")(image), name="free")
    with pytest.raises(ValueError, match="fixed frame size.*'free'.*unknown sizes: image, conv"):
        read_graph(model)


# --- order ------------------------------------------------------------------------------------


def two_scales() -> keras.Model:
    """Two scales with a side branch each; the last layer reads the fine scale first."""
    x = image = keras.Input((8, 8, 3))
    scores = []
    for scale in ("fine", "coarse"):
        x = layers.Conv2D(2, 3, strides=2, padding="same", name=f"{scale}_map")(x)
        side = layers.GlobalAveragePooling2D(name=f"{scale}_mean")(x)
        scores.append(layers.Dense(2, name=f"{scale}_score")(side))
    return keras.Model(image, layers.Concatenate(name="both")(scores))


def test_the_nodes_of_a_side_branch_are_consecutive() -> None:
    order = ["fine_map", "fine_mean", "fine_score", "coarse_map", "coarse_mean", "coarse_score"]
    assert list(read_graph(two_scales()).names) == [*order, "both"]


def test_the_order_survives_a_round_trip() -> None:
    model = two_scales()
    again = keras.Model.from_config(model.get_config())
    assert read_graph(again).names == read_graph(model).names


def test_the_order_follows_the_outputs() -> None:
    image = keras.Input((4,))
    late = layers.Dense(2, name="late")(layers.Dense(2, name="early")(image))
    model = keras.Model(image, [layers.Dense(2, name="first")(image), late])
    assert read_graph(model).names == ("first", "early", "late")
