"""Transpositions are where they are views: what OpenVINO compiles moves no data for them."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from random_weights import randomize

from mpvn import Plan
from mpvn.runtime import openvino_models
from mpvn.runtime.freeze import freeze
from mpvn.runtime.openvino_models import convert, openvino_core
from mpvn.runtime.specs import place_specs
from mpvn.runtime.unit import divide


def dense_block() -> Plan:
    """A plan whose last subnetwork joins late maps, with each other and with convolutions."""
    frame = keras.Input((8, 8, 2))
    late = [layers.Conv2D(16, 3, padding="same", name=name)(frame) for name in ("a", "b")]
    joined = layers.Concatenate(name="join")(late)
    new = layers.Conv2D(16, 3, padding="same")(layers.ReLU()(layers.BatchNormalization()(joined)))
    wide = layers.Concatenate()([*late, layers.Activation("tanh")(new)])  # mostly late maps
    x = layers.Conv2D(32, 1)(layers.ReLU()(layers.BatchNormalization()(wide)))
    x = layers.Concatenate()([x, joined])  # as much of one as of the other
    x = layers.Conv2D(32, 1)(layers.Rescaling(0.5)(x))
    x = layers.Add()([x, layers.Rescaling(0.5)(joined)])  # the convolution adds it
    pooled = layers.MaxPooling2D(2, padding="same")(layers.Conv2D(16, 3, padding="same")(x))
    x = layers.Maximum()([pooled, layers.AveragePooling2D(2)(layers.Conv2D(16, 1)(wide))])
    outputs = [layers.Conv2D(16, 1)(x), x, new]  # outputs that others read, too
    model = keras.Model(frame, outputs)
    randomize(model, np.random.default_rng(0))
    return Plan(model, boundaries=["join"])


def pool_of_late_maps() -> Plan:
    """A plan whose last subnetwork pools late maps: only that moves data, in and out."""
    frame = keras.Input((8, 8, 2))
    late = [layers.Conv2D(16, 3, padding="same", name=name)(frame) for name in ("a", "b")]
    x = layers.Maximum()([late[0], layers.MaxPooling2D(3, 1, "same", name="c")(late[1])])
    model = keras.Model(frame, [x, layers.Conv2D(16, 1)(layers.ReLU()(x))])
    randomize(model, np.random.default_rng(0))
    return Plan(model, boundaries=["c"])


def compiled(plan: Plan) -> tuple[Any, Any]:
    """Return the last block as a graph of TensorFlow, and as compiled by OpenVINO."""
    frozen = freeze(divide(plan, "zeros", "block")(plan.settled_step)[-1], place_specs(plan))
    model = convert(frozen.function)
    model.reshape({index: [2, *x.shape[1:]] for index, x in enumerate(frozen.function.inputs)})
    config = {"INFERENCE_PRECISION_HINT": "f32"}
    return frozen, openvino_core().compile_model(model, "CPU", config)


def movements(model: Any) -> list[str]:
    """Return the operations of a compiled model that only move maps. OpenVINO's views are fakes."""
    found = []
    for node in model.get_runtime_model().get_ordered_ops():
        kind, name = node.get_rt_info()["layerType"].astype(str), node.get_friendly_name()
        maps = node.get_output_size() and node.output(0).get_partial_shape()[1:3].to_shape()
        if kind in ("Transpose", "Reorder") and not name.endswith("_fake") and max(maps) > 1:
            found.append(name)
    return found


def test_no_transposition_moves_data(monkeypatch: pytest.MonkeyPatch) -> None:
    _, model = compiled(dense_block())
    assert movements(model) == []
    monkeypatch.setattr(openvino_models, "keep_channels_last", lambda *_: None)
    assert movements(compiled(dense_block())[1])


def test_a_pool_of_late_maps_moves_them_once_in_and_once_out() -> None:
    _, model = compiled(pool_of_late_maps())
    assert len(movements(model)) == 2


@pytest.mark.parametrize("build", [dense_block, pool_of_late_maps])
def test_values_stay(build: Callable[[], Plan]) -> None:
    frozen, model = compiled(build())
    rng = np.random.default_rng(1)
    values = [rng.normal(size=(2, *x.shape[1:])).astype("float32") for x in frozen.function.inputs]
    expected = frozen.function(*map(keras.ops.convert_to_tensor, values))
    results = model(values)
    for index, value in enumerate(expected):
        np.testing.assert_allclose(results[index], value, rtol=1e-5, atol=1e-5)
