"""Folded shifts compute the same, without splits where a convolution reads the shift."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from random_weights import randomize

from keras_layers import TemporalShift
from mpvn import Plan, VideoNetwork
from mpvn.runtime import quantizer
from mpvn.runtime.freeze import Frozen, freeze
from mpvn.runtime.nncf_models import run, weighted_operations
from mpvn.runtime.openvino_models import convert, import_openvino
from mpvn.runtime.quantizer import layer_name
from mpvn.runtime.shifts import fold_shifts
from mpvn.runtime.specs import place_specs
from mpvn.runtime.unit import divide


def shifted(read_by: str) -> Plan:
    """A plan of a residual block whose shift has certain readers."""
    frame = keras.Input((5, 5, 3))
    x = layers.Conv2D(12, 1, name="first")(frame)
    y = TemporalShift("causal", divisor=4)(x)
    second = layers.Conv2D(6, 3, strides=2, padding="same", name="second")
    if read_by == "two convolutions":
        y = layers.Concatenate()([second(y), layers.Conv2D(2, 1, strides=2, name="third")(y)])
    elif read_by == "a convolution":
        y = second(y)
    else:
        y = second(layers.ReLU()(y))
    z = layers.GlobalAveragePooling2D()(TemporalShift("causal", divisor=2)(y))
    model = keras.Model(frame, [layers.Dense(2)(z), layers.Subtract()([x, layers.ReLU()(x)])])
    randomize(model, np.random.default_rng(0))
    return Plan(model)


def converted(plan: Plan) -> tuple[Frozen, Any]:
    frozen = freeze(divide(plan, "zeros", "block")(plan.settled_step)[-1], place_specs(plan))
    return frozen, convert(frozen.function)


@pytest.mark.parametrize("read_by", ["a convolution", "two convolutions", "an activation"])
def test_folded_shifts_compute_the_same(read_by: str, rng: np.random.Generator) -> None:
    frozen, model = converted(shifted(read_by))
    folded = model.clone()
    fold_shifts(import_openvino(), folded)
    shapes = [x.shape[1:] for x in frozen.function.inputs]
    sample = [rng.normal(size=(2, *shape)).astype("float32") for shape in shapes]
    (expected,), (outputs,) = run(model, [sample]), run(folded, [sample])
    assert len(outputs) == 4  # two states
    for value, right in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(value, right, rtol=1e-5, atol=1e-5)

    def joined(model: Any) -> set[int]:
        nodes = (node for node in model.get_ordered_ops() if node.get_type_name() == "Concat")
        return {node.output(0).get_partial_shape()[1].get_length() for node in nodes}

    assert 12 in joined(model)
    assert (12 + 3 in joined(folded)) == (12 not in joined(folded)) == ("conv" in read_by)
    names = [
        [layer_name(frozen.unit, op) for op in weighted_operations(m)] for m in (model, folded)
    ]
    assert names[0] == names[1] and {"first", "second"} <= {*names[0]}


def test_units_are_compared_with_what_they_were_before(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """What int8 changes is measured on the model without folded shifts: a wrong one would show."""

    def fold_wrongly(ov: Any, model: Any) -> None:
        fold_shifts(ov, model)
        convolution = weighted_operations(model)[0]
        weights = np.array(convolution.input_value(1).get_node().get_data())
        swapped = ov.opset13.constant(np.ascontiguousarray(weights[::-1]))
        convolution.input(1).replace_source_output(swapped.output(0))

    network = VideoNetwork(shifted("a convolution").graph.model)
    clip = rng.normal(size=(24, 5, 5, 3)).astype("float32")
    for fold, is_right in ((fold_shifts, True), (fold_wrongly, False)):
        monkeypatch.setattr(quantizer, "fold_shifts", fold)
        compiled = network.compile_inference("openvino", "int8", calibration=[clip])
        (unit,) = compiled.quantization.units
        assert unit.int8 == is_right
