"""Compiled models are compared with TensorFlow before they are used, or kept."""

import importlib.util
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from random_weights import randomize

from mpvn import Plan, VideoNetwork
from mpvn.runtime.freeze import freeze
from mpvn.runtime.openvino_models import computes_in_bfloat16, convert
from mpvn.runtime.specs import place_specs
from mpvn.runtime.unit import divide
from mpvn.runtime.verify import is_equal, random_values
from mpvn.streaming import Stream

# Not `importorskip`: imported directly, OpenVINO would have its telemetry.
pytestmark = pytest.mark.skipif(not importlib.util.find_spec("openvino"), reason="no OpenVINO")


def build(seed: int, activation: str = "tanh") -> VideoNetwork:
    frame = keras.Input((5, 6, 3))
    model = keras.Model(frame, layers.Activation(activation)(layers.Conv2D(4, 1, name="c")(frame)))
    randomize(model, np.random.default_rng(seed))
    return VideoNetwork(model, Plan(model))


def test_a_log_softmax_behind_a_convolution_is_right() -> None:
    """OpenVINO 2026.4 takes it along another axis, without an error."""
    network, frame = build(1, "log_softmax"), np.ones((5, 6, 3), np.float32)
    frame[0] = 2
    expected = network(frame[None, None])[0, 0]
    np.testing.assert_allclose(Stream(network, runtime="auto").step(frame), expected, rtol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_wrong_model_is_neither_used_nor_kept(
    precision: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if precision == "bfloat16" and not computes_in_bfloat16():
        pytest.skip("this CPU has no bfloat16")
    monkeypatch.setenv("MPVN_CACHE", str(tmp_path))
    network, other = build(1), build(2)

    def convert_other(function: Any) -> Any:
        (unit,) = [u for u in divide(other.plan, "zeros", "pattern")(0) if u.nodes]
        return convert(freeze(unit, place_specs(other.plan)).function)

    monkeypatch.setattr("mpvn.runtime.openvino_models.convert", convert_other)
    with pytest.raises(ValueError, match="computes .* wrongly.*runtime='tensorflow'"):
        network.compile_inference("openvino", precision, units="pattern")
    assert not [*tmp_path.iterdir()]
    monkeypatch.undo()
    network.compile_inference("openvino", precision, units="pattern")


def test_values_are_equal_but_for_rounding(rng: np.random.Generator) -> None:
    value = rng.normal(size=(2, 30, 40)).astype("float32")
    value[0, 0, :2] = np.nan, np.inf
    assert is_equal(value * np.float32(1 + 1e-5), value, 1e-3)
    rounded = np.round(4 * value)
    rounded[0, 1, 1] += 1  # a number that was nearly half
    assert is_equal(rounded, np.round(4 * value), 1e-3)
    assert not is_equal(np.flip(value, axis=2), value, 0.3)
    assert not is_equal(1.01 * value, value, 1e-3)
    assert not is_equal(np.nan_to_num(value), np.where(value > 1, np.nan, value), 0.3)
    assert is_equal(np.zeros(3), np.zeros(3), 1e-3)
    assert not is_equal(np.ones(3), np.zeros(3), 0.3)


def test_random_values_have_the_dtypes_of_their_specs() -> None:
    dtypes = [tf.float32, tf.bfloat16, tf.int32, tf.bool]
    values = random_values([tf.TensorSpec((None, 50), dtype) for dtype in dtypes], 2)
    assert [value.shape for value in values] == 4 * [(2, 50)]
    assert [tf.as_dtype(value.dtype) for value in values] == dtypes
    assert all(len(np.unique(value)) > 1 for value in values)
