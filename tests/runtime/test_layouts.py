"""Channels stay last in OpenVINO's models, but in convolutions and pools."""

from typing import Any

import keras
import numpy as np
from keras import layers
from random_weights import randomize

from mpvn import Plan
from mpvn.runtime.freeze import freeze
from mpvn.runtime.openvino_models import ModelCompiler, openvino_core
from mpvn.runtime.specs import place_specs
from mpvn.runtime.unit import divide

READ_TRANSPOSED = {"Convolution", "MaxPool"}


def dense_block() -> Plan:
    """A plan whose last subnetwork joins late maps: with a convolution of them, and with a pool."""
    frame = keras.Input((8, 8, 2))
    late = [layers.Conv2D(4, 3, padding="same", name=name)(frame) for name in ("a", "b")]
    joined = layers.Concatenate(name="join")(late)
    new = layers.Conv2D(4, 3, padding="same")(layers.ReLU()(layers.BatchNormalization()(joined)))
    x = layers.Concatenate()([joined, layers.Activation("tanh")(new)])
    x = layers.Conv2D(12, 1)(layers.ReLU()(layers.BatchNormalization()(x)))
    half = layers.Rescaling(0.5)(joined)
    x = layers.Add()([x, layers.Concatenate()([half, late[0]])])  # the convolution adds it
    x = layers.Maximum()([layers.MaxPooling2D(3, 1, "same")(joined), joined, x[..., :8]])
    model = keras.Model(frame, layers.Conv2D(3, 1)(x))
    randomize(model, np.random.default_rng(0))
    return Plan(model, boundaries=["join"])


def converted() -> tuple[Any, Any]:
    """Return the last block as a graph of TensorFlow, and as a model of OpenVINO."""
    plan = dense_block()
    frozen = freeze(divide(plan, "zeros", "block")(plan.settled_step)[-1], place_specs(plan))
    return frozen, ModelCompiler({}).convert(frozen)


def test_only_convolutions_and_pools_read_transposed_maps() -> None:
    _, model = converted()
    transposed = [
        node
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Transpose"
        and list(node.input_value(1).get_node().get_data()) == [0, 3, 1, 2]
    ]
    readers = {
        target.get_node().get_type_name()
        for node in transposed
        for target in node.output(0).get_target_inputs()
    }
    joins = [node for node in model.get_ordered_ops() if node.get_type_name() == "Concat"]
    assert transposed and readers <= READ_TRANSPOSED | {"Add"}
    assert [join.get_axis() for join in joins] == [3, 3, 3]


def test_convolutions_still_add_what_is_added_to_them() -> None:
    _, model = converted()
    sums = [
        {value.get_node().get_type_name() for value in node.input_values()}
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Add"
    ]
    assert {"Add", "Transpose"} in sums  # the convolution with its bias, and the shortcut


def test_values_stay() -> None:
    frozen, model = converted()
    rng = np.random.default_rng(1)
    values = [rng.normal(size=(2, *x.shape[1:])).astype("float32") for x in frozen.function.inputs]
    expected = frozen.function(*map(keras.ops.convert_to_tensor, values))
    results = openvino_core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(
        values
    )
    for index, value in enumerate(expected):
        np.testing.assert_allclose(results[index], value, rtol=1e-5, atol=1e-5)
