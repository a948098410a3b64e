"""Parameters and multiply-adds of whole clips are those that the TSM paper prints."""

import math
from typing import Any

import keras
import pytest

import keras_layers
from keras_layers.pure_call import without_values
from mpvn.models import PUBLISHED

REGION_GRAPHS = {"temporal_strides": (1, 1, 2), "conv5_strides": 1}
"""I3D of *Videos as Space-Time Region Graphs*, which TSM's table 2 cites."""

PRINTED: dict[str, tuple[str, dict[str, Any], int, float, float | None]] = {
    "table 2, TSN on BN-Inception": ("tsn_bn_inception", {}, 8, 10.7, 16),
    "table 2, TSM": ("tsm_resnet50", {}, 8, 24.3, 33),
    "table 2, I3D": ("i3d_resnet50_3x1x1", REGION_GRAPHS, 32, 28.0, 153),
    # The printed 168 G leave out most of what non-local blocks cost: 233 G by our count.
    "table 2, non-local I3D": (
        "i3d_resnet50_3x1x1",
        {**REGION_GRAPHS, "non_local": True},
        32,
        35.3,
        None,
    ),
    "table 10, 3x3x3": ("i3d_resnet50_3x3x3", {}, 16, 47.0, 40),
    # No choice of blocks in the authors' code of Non-local Networks has 29.3 M parameters.
    "table 10, 3x1x1": ("i3d_resnet50_3x1x1", {}, 32, 28.0, 33),
}
"""Network, options, frames of a clip, millions of parameters, and billions of multiply-adds."""


@pytest.mark.parametrize("row", PRINTED)
def test_counts_of_tsm(row: str) -> None:
    name, options, frames, parameters, multiply_adds = PRINTED[row]
    with without_values():
        model = PUBLISHED[name].build(**options)
    trained = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    assert trained / 1e6 == pytest.approx(parameters, rel=0.003)
    plan = PUBLISHED[name].plan(model)
    assert frames % plan.period == 0
    per_clip = sum(plan.step_costs) * frames / plan.period
    if multiply_adds is not None:
        assert per_clip / 1e9 == pytest.approx(multiply_adds, rel=0.025)


def test_bn_inception_has_the_parameters_of_the_caffe_model() -> None:
    """11,295,240 for ImageNet: with biases of convolutions, which batch norm makes redundant."""
    with without_values():
        model = PUBLISHED["tsn_bn_inception"].build(classes=1000)
    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    trained = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    assert trained + sum(layer.filters for layer in convolutions) == 11_295_240
    assert model.get_layer("mixed_3c.join").output.shape[1:] == (14, 14, 576)
    assert model.get_layer("mixed_5b.join").output.shape[1:] == (7, 7, 1024)


def test_non_local_blocks_of_i3d_read_the_whole_clip() -> None:
    """After blocks 2 and 4 of conv3, and 2, 4 and 6 of conv4, as in the authors' code."""
    options = {**REGION_GRAPHS, "non_local": True, "frames": 31, "width": 0.1}
    with without_values():
        model = PUBLISHED["i3d_resnet50_3x1x1"].build(**options)
    blocks = {x.name: x.frames for x in model.layers if isinstance(x, keras_layers.NonLocal)}
    places = ((3, 2), (3, 4), (4, 2), (4, 4), (4, 6))
    assert blocks == {f"conv{stage}_block{block}.nl": 16 for stage, block in places}
