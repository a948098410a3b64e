"""Which executor runs a clip."""

import keras
import pytest
from keras import layers

from keras_layers import Feedback, TemporalConv3D
from mpvn import Plan
from mpvn.executors.choose import LAYERWISE_BYTES, check_executor, choose_executor


def plan(*parts: keras.layers.Layer) -> Plan:
    x = frame = keras.Input((4, 4, 2))
    for part in (layers.Conv2D(4, 1, name="conv"), *parts):
        x = part(x)
    return Plan(keras.Model(frame, x))


SMALL = 4 * 4 * 4 * 4  # bytes of the largest activation of a frame; the frame has half of them


def test_the_size_of_activations_decides() -> None:
    steps = LAYERWISE_BYTES // SMALL
    assert choose_executor("auto", plan(), 1, steps) == "layerwise"
    assert choose_executor("auto", plan(), 1, steps + 1) == "unroll"
    assert choose_executor("auto", plan(), steps // 16, None) == "layerwise"  # 16 steps assumed
    assert choose_executor("auto", plan(), steps // 16 + 1, None) == "unroll"
    slow = Plan(plan().graph.model, clocks=[2])  # one activation for two frames
    assert choose_executor("auto", slow, 1, 2 * steps) == "layerwise"


@pytest.mark.parametrize("steps", [1, LAYERWISE_BYTES])
def test_some_plans_need_one_executor(steps: int) -> None:
    symmetric = plan(TemporalConv3D(2, 3, temporal_padding="symmetric"))
    losses = plan(layers.ReLU(activity_regularizer="l2"))
    norm = plan(layers.BatchNormalization())
    feedback = plan(Feedback("conv", (4, 4, 4), name="back"))
    assert choose_executor("auto", symmetric, 1, steps) == "layerwise"
    assert choose_executor("auto", losses, 1, steps) == "layerwise"
    assert choose_executor("auto", norm, 1, steps, training=True) == "layerwise"
    assert choose_executor("auto", plan(), 1, steps, sideways=True) == "layerwise"
    assert choose_executor("auto", feedback, 1, steps) == "unroll"
    assert choose_executor("unroll", norm, 1, steps, training=True) == "unroll"
    assert choose_executor("layerwise", plan(), 1, steps) == "layerwise"


def test_an_executor_that_cannot_run_a_plan_is_refused() -> None:
    assert check_executor("unroll", plan()) == "unroll"
    with pytest.raises(ValueError, match="executor. Expected one of.*Received: 'sweep'"):
        check_executor("sweep", plan())
    with pytest.raises(ValueError, match='sideways.*executor="layerwise"'):
        check_executor("unroll", plan(), sideways=True)
