"""Frame models as people write them are what Keras computes for each frame, and stream."""

import copy
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from per_frame import per_frame, run_clip
from random_weights import randomize
from real_models import (
    assert_keras_per_frame,
    assert_near,
    assert_streams_give_the_clip,
    random_clip,
)
from user_models import MODELS, conv, image

from mpvn import Plan, VideoNetwork


def build(name: str) -> keras.Model:
    model = MODELS[name]()
    randomize(model, np.random.default_rng(3))
    return model


# Keras's warnings about a nested model that is called with other keys, or with a mask.
@pytest.mark.filterwarnings("ignore:The structure of .inputs. doesn't match:UserWarning")
@pytest.mark.filterwarnings(
    "ignore:Layer 'functional.*' .of type Functional. was passed:UserWarning"
)
@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_keras_per_frame_and_its_pipeline_streams(name: str) -> None:
    model = build(name)
    assert_keras_per_frame(model, batch=2)
    subnetworks = min(3, len(Plan(model).graph.nodes))
    assert_streams_give_the_clip(VideoNetwork(model, Plan(model, subnetworks)), steps=4)


@pytest.mark.parametrize("how", ["load", "copy"])
@pytest.mark.parametrize("name", ["own_call_arguments", "nested_by_name", "sizes_declared_wrong"])
def test_a_network_is_restored(name: str, how: str, tmp_path: pathlib.Path) -> None:
    model = build(name)
    network = VideoNetwork(model, Plan(model, 3))
    clip = random_clip(model, steps=4)
    if how == "copy":
        again = copy.deepcopy(network)
    else:
        network.save(tmp_path / "network.keras")
        again = keras.saving.load_model(tmp_path / "network.keras")
    assert_near(run_clip(again, clip, "step"), run_clip(network, clip, "layerwise"))


def test_a_layer_that_loses_its_size_runs_in_clips_of_any_length() -> None:
    """In a loop over frames, a slot must have the same static shape after each step."""
    model = build("sizes_unknown")
    network = VideoNetwork(model, Plan(model, 4), executor="unroll")
    clip = random_clip(model, steps=5)
    any_length = tf.TensorSpec((None, None, *clip.shape[2:]))
    traced = tf.function(lambda x: network(x, training=False), input_signature=[any_length])
    assert_near(traced(clip), run_clip(network, clip, "layerwise"))


# --- dtype policies ---------------------------------------------------------------------------


def residual() -> keras.Model:
    frame = image()
    x = layers.BatchNormalization()(conv(3)(frame)) + frame
    return keras.Model(frame, x * 0.5)


def attending() -> keras.Model:
    """Operations and layers of several dtypes around a nested model."""
    frame = image()
    x = residual()(conv(3)(frame))
    tokens = ops.reshape(x, (-1, 64, 3))
    x = layers.MultiHeadAttention(2, 2)(tokens, tokens)
    scores = layers.Dense(2, dtype="float32", activation="softmax")(ops.mean(x, axis=1))
    return keras.Model(frame, [x, scores])


def built_under(policy: str, function) -> keras.Model:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return function()
    finally:
        keras.config.set_dtype_policy(before)


def two_policies() -> keras.Model:
    """Models of other policies than the one around them."""
    half, wide = built_under("mixed_bfloat16", residual), built_under("float64", residual)
    frame = image()
    return keras.Model(frame, [wide(half(frame)) + 1, half(wide(conv(3)(frame)))])


@pytest.mark.parametrize(
    ("policy", "function"),
    [
        ("mixed_bfloat16", attending),
        ("mixed_float16", attending),
        ("float64", attending),
        ("mixed_bfloat16", two_policies),
        ("float32", two_policies),
    ],
)
def test_a_policy_is_that_of_keras(policy: str, function) -> None:
    model = built_under(policy, function)
    randomize(model, np.random.default_rng(3))
    clip = random_clip(model, steps=3)
    network = VideoNetwork(model)
    expected = per_frame(model, clip, training=False)
    outputs = run_clip(network, clip, "unroll")
    assert [value.dtype for value in outputs] == [value.dtype for value in model(clip[:, 0])]
    for how, share in (("unroll", 1e-6), ("step", 0.05)):  # graphs round less often
        for value, keras_value in zip(run_clip(network, clip, how), expected, strict=True):
            tolerance = share * np.std(keras_value)
            np.testing.assert_allclose(np.asarray(value, "float32"), keras_value, atol=tolerance)
    pipeline = VideoNetwork(model, Plan(model, 4))
    for value, other in zip(
        run_clip(pipeline, clip, "step"), run_clip(pipeline, clip, "unroll"), strict=True
    ):
        value, other = np.asarray(value, "float32"), np.asarray(other, "float32")
        np.testing.assert_allclose(value, other, atol=0.1 * np.std(other))
