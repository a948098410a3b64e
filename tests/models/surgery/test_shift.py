"""Temporal shifts inserted into image networks: where they go, and what they compute."""

import pathlib

import keras
import numpy as np
import pytest
from absl import logging
from keras import layers
from random_weights import randomize

import mpvn
from keras_layers.pure_call import without_values
from keras_layers.temporal_shift import TemporalShift
from mpvn.models import insert_temporal_shift, shifted_layers
from mpvn.models.surgery.shift import PLACEMENTS


def residual_model(name: str = "images") -> keras.Model:
    """Build two blocks: one with an identity, one with a convolution as its shortcut.

    A third skip connection goes around both blocks. One block adds by `+` instead of a layer.
    """
    frame = keras.Input((8, 8, 3), name="frame")
    stem = x = layers.Conv2D(8, 3, padding="same", activation="relu", name="stem")(frame)
    y = layers.Conv2D(4, 1, activation="relu", name="a1")(x)
    y = layers.Conv2D(8, 3, padding="same", name="a2")(y)
    x = a = layers.ReLU(name="a")(layers.Add(name="a_add")([x, y]))
    y = layers.Conv2D(4, 1, activation="relu", name="b1")(x)
    y = layers.Conv2D(8, 3, padding="same", name="b2")(y)
    x = layers.Conv2D(8, 1, name="b0")(a) + y
    x = layers.Add(name="around")([stem, x])
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    model = keras.Model(frame, layers.Dense(5, name="scores")(x), name=name)
    randomize(model, np.random.default_rng(3))
    return model


def shift_causally(clip: np.ndarray, fold: int) -> np.ndarray:
    """Take the first `fold` channels of each frame from the previous frame; clip [T, ...]."""
    previous = np.concatenate([np.zeros_like(clip[:1]), clip[:-1]])
    return np.concatenate([previous[..., :fold], clip[..., fold:]], axis=-1)


def run_by_definition(model: keras.Model, clip: np.ndarray, placement: str) -> np.ndarray:
    """Run the residual model with a causal shift of 1/4 on one clip [T, H, W, C]."""

    def run(name: str, x: np.ndarray) -> np.ndarray:
        return np.asarray(model.get_layer(name)(x))

    def block(x: np.ndarray, first: str, second: str, shortcut: str | None) -> np.ndarray:
        shifted = shift_causally(x, 2)
        identity = shifted if placement == "in_place" else x
        if shortcut:
            identity = run(shortcut, identity)
        return identity + run(second, run(first, shifted))

    stem = run("stem", clip)
    x = np.maximum(block(stem, "a1", "a2", None), 0)
    x = stem + block(x, "b1", "b2", "b0")
    return run("scores", x.mean(axis=(1, 2)))


@pytest.mark.parametrize("placement", ["residual", "in_place"])
@pytest.mark.parametrize("where", [None, ["a1", "b1"]])
def test_a_shifted_network_computes_the_definition(
    placement: str, where: list[str] | None, rng: np.random.Generator
) -> None:
    model = residual_model()
    if where and placement == "in_place":
        where = ["b1"]  # the skip around both blocks reads the same tensor as a1
    shifted = insert_temporal_shift(model, "causal", 4, placement, where=where)
    clip = rng.normal(size=(1, 5, 8, 8, 3)).astype("float32")
    network = mpvn.VideoNetwork(shifted)
    state, steps = network.initial_state(1), []
    for time in range(5):
        outputs, state = network.step(clip[:, time], state)
        steps.append(outputs)
    np.testing.assert_allclose(network(clip), np.stack(steps, 1), rtol=1e-5, atol=1e-6)
    if where != ["b1"]:
        expected = run_by_definition(model, clip[0], placement)
        np.testing.assert_allclose(network(clip)[0], expected, rtol=1e-4, atol=1e-5)


def test_weights_are_shared_and_the_original_model_does_not_change(
    rng: np.random.Generator,
) -> None:
    model = residual_model()
    images = rng.normal(size=(4, 8, 8, 3)).astype("float32")
    config, expected = model.get_config(), np.asarray(model(images))
    names = mpvn.Plan(model).graph.names
    shifted = insert_temporal_shift(model)
    assert {id(weight) for weight in shifted.weights} == {id(weight) for weight in model.weights}
    assert model.get_config() == config
    assert mpvn.Plan(model).graph.names == names
    np.testing.assert_array_equal(model(images), expected)
    shifted.get_layer("stem").kernel.assign(np.zeros((3, 3, 3, 8)))
    assert np.abs(model(images) - expected).max() > 0.01


def test_a_shifted_model_survives_saving(tmp_path: pathlib.Path, rng: np.random.Generator) -> None:
    shifted = insert_temporal_shift(residual_model(), "symmetric", 3, "in_place")
    shifted.save(tmp_path / "shifted.keras")
    loaded = keras.saving.load_model(tmp_path / "shifted.keras")
    clip = rng.normal(size=(1, 4, 8, 8, 3)).astype("float32")
    outputs, expected = (mpvn.VideoNetwork(model)(clip) for model in (loaded, shifted))
    np.testing.assert_array_equal(outputs, expected)
    assert [layer.divisor for layer in shifted_layers(loaded).values()] == [3, 3]


def test_with_time_folded_into_the_batch_it_trains_like_an_image_model(
    rng: np.random.Generator,
) -> None:
    model = residual_model()
    folded = insert_temporal_shift(model, divisor=4, segments=4)
    clips = rng.normal(size=(2, 4, 8, 8, 3)).astype("float32")
    expected = mpvn.VideoNetwork(insert_temporal_shift(model, divisor=4))(clips)
    frames = clips.reshape(8, 8, 8, 3)
    np.testing.assert_allclose(folded(frames), np.reshape(expected, (8, 5)), rtol=1e-4, atol=1e-5)
    folded.compile("sgd", "mse")
    folded.fit(frames, np.zeros((8, 5)), batch_size=4, shuffle=False, verbose=0)


def test_the_log_names_the_shifted_layers(caplog: pytest.LogCaptureFixture) -> None:
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.INFO)
    try:
        with caplog.at_level("INFO", logger="absl"):
            shifted = insert_temporal_shift(residual_model(), every=2)
    finally:
        logging.set_verbosity(verbosity)
    assert "images_shifted: symmetric shift of 1/8 before a1" in caplog.text
    assert list(shifted_layers(shifted)) == ["a1"]
    assert shifted_layers(residual_model()) == {}


APPLICATIONS = {
    "ResNet50": (16, "conv5_block3_1_conv"),
    "ResNet101": (18, "conv4_block23_1_conv"),
    "ResNet50V2": (16, "conv5_block3_1_conv"),
    "MobileNetV2": (10, "block_15_expand"),
    "MobileNetV3Small": (6, "expanded_conv_10_expand"),
    "EfficientNetV2B0": (15, "block6h_expand_conv"),
}
"""Number of shifted blocks, and a convolution that reads a shift (the last one of its stage)."""


@pytest.mark.parametrize("name", APPLICATIONS)
def test_residual_blocks_of_keras_applications_are_found(name: str) -> None:
    builder = getattr(keras.applications, name)
    with without_values():
        model = builder(weights=None, input_shape=(32, 32, 3), include_top=False)
    for placement in PLACEMENTS:
        shifted = insert_temporal_shift(model, "causal", 8, placement)
        count, reader = APPLICATIONS[name]
        if (name, placement) == ("ResNet101", "in_place"):
            count = 33  # as in the authors' implementation
        shifts = [layer for layer in shifted.layers if isinstance(layer, TemporalShift)]
        assert len(shifts) == len(shifted_layers(shifted)) == count
        assert f"{reader}_shift" in {layer.name for layer in shifts}
        if placement == "residual":
            assert reader in shifted_layers(shifted)
        assert len(shifted.weights) == len(model.weights)


def test_a_shift_has_the_dtype_policy_of_the_layer_that_reads_it(
    restore_dtype_policy: None,
) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = residual_model()
    keras.config.set_dtype_policy("float32")
    for shift in shifted_layers(insert_temporal_shift(model)).values():
        assert shift.compute_dtype == "bfloat16"


def two_streams() -> keras.Model:
    inputs = [keras.Input((8, 8, 8), name=name) for name in ("image", "flow")]
    merged = layers.Add(name="merge")(
        [layers.Conv2D(8, 1, name="image_conv")(inputs[0]), inputs[1]]
    )
    return keras.Model(inputs, merged, name="streams")


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (residual_model, {"placement": "block"}, "'residual', 'in_place'.*Received: 'block'"),
        (residual_model, {"where": ["a1", "c9"]}, "of 'images' .*such as stem.*Received: c9"),
        (residual_model, {"where": []}, "Received: none"),
        (residual_model, {"where": ["a_add"]}, "read one map.*Received: a_add"),
        (residual_model, {"every": 0}, "Invalid every.*Received: 0"),
        (residual_model, {"divisor": 9}, "'a1_shift'.*at least 9 channels. Received: 8"),
        (residual_model, {"temporal_padding": "backwards"}, "Received: 'backwards'"),
        (two_streams, {}, "No residual block was found in 'streams'.*where="),
    ],
)
def test_invalid_arguments_are_refused(make: object, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        insert_temporal_shift(make(), **options)
