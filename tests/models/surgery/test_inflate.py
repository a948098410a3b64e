"""Inflation: a temporal twin gives, of a picture shown over and over, what the picture gives."""

import pathlib
from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers
from random_weights import randomize

import keras_layers
import mpvn
from mpvn.models import i3d_resnet50, inflate, load_frame_model, transfer_weights, vgg16


def image_model() -> keras.Model:
    """Convolutions of all sorts and a nested block, with random weights."""
    inner_in = keras.Input((8, 8, 4))
    inner = layers.Conv2D(4, 3, padding="same", name="deep")(inner_in)
    block = keras.Model(inner_in, layers.BatchNormalization(name="norm")(inner), name="block")
    frame = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, 2, padding="same", activation="relu", name="first")(frame)
    x = layers.Conv2D(4, (3, 2), dilation_rate=2, padding="same", use_bias=False, name="wide")(x)
    x = block(x)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.Conv2D(4, 3, padding="same", groups=2, name="grouped")(x)
    x = layers.Conv2D(5, 1, name="pointwise")(x)
    model = keras.Model(frame, layers.Dense(3, name="scores")(layers.Flatten()(x)), name="images")
    randomize(model, np.random.default_rng(3))
    return model


def still(rng: np.random.Generator, size: int, frames: int) -> np.ndarray:
    """A clip of one picture."""
    picture = rng.normal(size=(1, 1, size, size, 3)).astype("float32")
    return np.repeat(picture, frames, axis=1)


def moving(rng: np.random.Generator, size: int, frames: int) -> np.ndarray:
    return rng.normal(size=(1, frames, size, size, 3)).astype("float32")


@pytest.mark.parametrize("padding", ["causal", "symmetric"])
def test_with_center_inflation_every_frame_gives_what_it_gives_alone(
    padding: str, rng: np.random.Generator
) -> None:
    model = image_model()
    twin = inflate(model, 3, temporal_padding=padding)
    clip = moving(rng, 16, 6)
    found = mpvn.VideoNetwork(twin)(clip)
    expected = np.stack([model(clip[:, time]) for time in range(6)], axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_with_mean_inflation_a_still_gives_what_its_picture_gives(
    rng: np.random.Generator,
) -> None:
    """Once all windows are full: three layers of three frames see seven."""
    model = image_model()
    twin = inflate(model, 3, inflation="mean")
    clip = still(rng, 16, 10)
    found = mpvn.VideoNetwork(twin)(clip)
    expected = model(clip[:, 0])
    np.testing.assert_allclose(found[:, 6:], np.repeat(expected[:, None], 4, 1), rtol=1e-4)
    assert np.abs(found[:, 0] - expected).max() > 0.01, "zeros before the start count"
    np.testing.assert_allclose(model(clip[:, 0]), expected)


def test_inflate_takes_the_layers_it_is_told_to() -> None:
    model = image_model()
    temporal = lambda twin: {  # noqa: E731
        node.name for node in mpvn.Plan(twin).graph.nodes if node.temporal
    }
    assert temporal(inflate(model)) == {"first", "wide", "block/deep"}
    assert temporal(inflate(model, 2, ["pointwise", "block/deep"])) == {"pointwise", "block/deep"}
    assert temporal(model) == set()
    with pytest.raises(ValueError, match="such as first, wide, .*Received: frist, grouped"):
        inflate(model, where=["frist", "grouped"])


@pytest.mark.parametrize("name", ["MobileNetV2", "InceptionV3", "EfficientNetV2B0"])
def test_any_image_network_has_a_temporal_twin_that_streams(
    name: str, rng: np.random.Generator
) -> None:
    model = load_frame_model(name, size=96).model
    randomize(model, np.random.default_rng(3))
    twin = inflate(model, 2, inflation="mean")
    assert any(isinstance(layer, keras_layers.TemporalConv3D) for layer in twin.layers)
    network = mpvn.VideoNetwork(twin)
    clip, state = moving(rng, 96, 3), network.initial_state(1)
    for time in range(3):
        scores, state = network.step(clip[:, time], state)
    np.testing.assert_allclose(scores, network(clip)[:, -1], rtol=1e-3, atol=1e-5)


def test_a_transfer_says_what_went_where() -> None:
    model = image_model()
    frame = keras.Input((16, 16, 3))
    x = keras_layers.TemporalConv3D(4, (2, 3, 3), (1, 2, 2), name="first")(frame)
    x = layers.Conv2D(4, (3, 2), padding="same", name="wide")(x)
    x = layers.Conv2D(6, 1, name="pointwise")(x)
    x = layers.Flatten()(layers.DepthwiseConv2D(3, padding="same", name="new")(x))
    target = keras.Model(frame, layers.Dense(3, name="score")(x), name="target")
    before = {layer.name: layer.get_weights() for layer in target.layers}
    done = transfer_weights(model, target, names=lambda name: name.replace("new", "depthwise"))
    assert done.inflated == ("first",)
    assert done.copied == ()
    assert set(done.left) == {"wide", "pointwise", "new", "score"}
    assert done.left["wide"] == "has bias, kernel, not kernel"
    assert done.left["pointwise"] == "kernel is (1, 1, 4, 6), not (1, 1, 4, 5)"
    assert "no layer 'score'" in done.left["score"]
    assert "pointwise" in done.unused
    assert "inflated 1, averaged 0, left 4" in str(done)
    kernel = np.asarray(target.get_layer("first").kernel)
    np.testing.assert_array_equal(kernel[1], model.get_layer("first").kernel)
    assert not kernel[0].any()
    for name in done.left:
        for old, new in zip(before[name], target.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)


def flow_model(temporal: bool) -> keras.Model:
    """Reads ten channels, by layers of the names of `image_model`'s."""
    frame = keras.Input((16, 16, 10))
    x = layers.ZeroPadding2D(1, name="room")(frame)  # has no weights, so passes on the frame
    if temporal:
        options: dict = {"inflation": "mean"}
        x = keras_layers.TemporalConv3D(4, (2, 3, 3), (1, 2, 2), name="first")(x)
    else:
        options = {}
        x = layers.Conv2D(4, 3, 2, name="first")(x)
    x = layers.Concatenate(name="wider")([x, x])
    x = layers.Conv2D(4, (3, 2), dilation_rate=2, padding="same", use_bias=False, name="wide")(x)
    model = keras.Model(frame, layers.Conv2D(6, 1, name="last")(x), name="flow")
    model.transferred = transfer_weights(image_model(), model, **options)
    return model


@pytest.mark.parametrize("temporal", [False, True])
def test_a_network_of_flow_begins_with_the_mean_over_red_green_and_blue(
    temporal: bool, rng: np.random.Generator
) -> None:
    """Every channel has the same filters, so that ten equal ones give what gray gives, ten thirds
    of it; only frames may have other channels, not what layers make of them."""
    model = flow_model(temporal)
    done = model.transferred
    assert (done.copied, done.averaged) == ((), ("first",))
    assert done.inflated == (("first",) if temporal else ())
    assert done.left["wide"] == "kernel is (3, 2, 8, 4), not (3, 2, 4, 4)"
    assert "averaged 1, left 2" in str(done)
    source = image_model().get_layer("first")
    expected = np.asarray(source.kernel).mean(axis=2, keepdims=True).repeat(10, axis=2)
    taps = np.asarray(model.get_layer("first").kernel)
    if temporal:
        np.testing.assert_allclose(taps, np.stack([expected, expected]) / 2, rtol=1e-6)
        return
    np.testing.assert_allclose(taps, expected, rtol=1e-6)
    gray = rng.normal(size=(1, 18, 18, 1)).astype("float32")
    found = model.get_layer("first")(gray.repeat(10, axis=-1)) - source.bias
    plain = keras.ops.conv(gray.repeat(3, axis=-1), source.kernel, 2, "valid")
    np.testing.assert_allclose(keras.ops.relu(plain) * 10 / 3, keras.ops.relu(found), atol=1e-3)


def test_a_transfer_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no layer of 'images' fits one of 'other'"):
        frame = keras.Input((4,))
        transfer_weights(
            keras.Model(frame, layers.Dense(3, name="x")(frame), name="other"), image_model()
        )
    with pytest.raises(ValueError, match="center.*mean.*'max'"):
        transfer_weights(image_model(), image_model(), inflation="max")


# --- weights of keras.applications, of files saved here in their layout ---------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., pathlib.Path]:
    """Writes random weights of a network of `keras.applications`, and makes it anew from them."""
    folder = tmp_path_factory.mktemp("weights")

    def save(name: str, include_top: bool = False) -> pathlib.Path:
        path = folder / f"{name}{'' if include_top else '_notop'}.weights.h5"
        if not path.exists():
            model = getattr(keras.applications, name)(weights=None, include_top=include_top)
            randomize(model, np.random.default_rng(3))
            model.save_weights(path)
        return path

    return save


def features(model: keras.Model, layer: str) -> keras.Model:
    return keras.Model(model.input, model.get_layer(layer).output)


@pytest.mark.parametrize("variant", ["3x3x3", "3x1x1", "replace"])
def test_image_weights_make_i3d_resnet50_the_image_network_on_each_frame(
    variant: str, saved: Callable[..., pathlib.Path], rng: np.random.Generator
) -> None:
    path = saved("ResNet50", include_top=True)
    source = keras.applications.ResNet50(weights=path, classifier_activation=None)
    model = i3d_resnet50((64, 64, 3), variant=variant, classes=1000, weights=path)
    image = keras.applications.ResNet50(
        weights=None, input_shape=(64, 64, 3), classifier_activation=None
    )
    image.set_weights(source.get_weights())
    clip = moving(rng, 64, 3)
    found = np.asarray(mpvn.VideoNetwork(model)(clip))
    expected = np.stack([image(clip[:, time]) for time in range(3)], axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.std(expected))


def test_image_weights_make_vgg16_the_image_network(
    saved: Callable[..., pathlib.Path], rng: np.random.Generator
) -> None:
    """By name, with the pixels that the weights were made for."""
    path = saved("VGG16")
    options = {"classes": 7, "batch_norm": False}
    frame_model = load_frame_model("causal_vgg_3d", 64, weights=str(path), options=options)
    frames = rng.integers(0, 256, size=(1, 64, 64, 3)).astype("uint8")
    source = keras.applications.VGG16(weights=path, include_top=False, input_shape=(64, 64, 3))
    expected = source(keras.applications.vgg16.preprocess_input(frames.astype("float32")))
    network = mpvn.VideoNetwork(features(frame_model.model, "unit7.block5_pool"))
    found, _ = network.step(frame_model.prepare(frames), network.initial_state(1))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.std(expected))


def test_another_classifier_keeps_its_own_weights(saved: Callable[..., pathlib.Path]) -> None:
    path = saved("ResNet50")
    model = i3d_resnet50((64, 64, 3), classes=7, weights=path)
    source = keras.applications.ResNet50(weights=path, include_top=False)
    kernel = source.get_layer("conv5_block3_2_conv").kernel
    np.testing.assert_array_equal(model.get_layer("conv5_block3.2_conv").kernel[1], kernel)
    assert model.output_shape == (None, 7)


def test_weights_of_the_wrong_network_are_refused(saved: Callable[..., pathlib.Path]) -> None:
    path = saved("VGG16")
    with pytest.raises(ValueError, match="does not hold .*ResNet50 without its classifier"):
        i3d_resnet50((64, 64, 3), weights=path)
    with pytest.raises(ValueError, match="nowhere.weights.h5 does not hold"):
        i3d_resnet50((64, 64, 3), weights="nowhere.weights.h5")
    with pytest.raises(ValueError, match="batch_norm=False"):
        vgg16(weights=path)
