"""Networks with weights of `keras.applications` give the outputs of those networks.

The weights are random, in files with the layout of Keras's own weights files.
"""

import functools
import pathlib

import keras
import numpy as np
import pytest
from random_weights import randomize

import mpvn
from mpvn.models import i3d_resnet, i3d_resnet50, load_frame_model, vgg16
from mpvn.models.applications import load_application


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> tuple[keras.Model, pathlib.Path]:
    """ResNet50 with logits, over frames of 64x64, and the file of its weights."""
    model = keras.applications.ResNet50(
        weights=None, input_shape=(64, 64, 3), classifier_activation=None
    )
    randomize(model, np.random.default_rng(3))
    path = tmp_path_factory.mktemp("resnet") / "resnet.weights.h5"
    model.save_weights(path)
    return model, path


@pytest.fixture(scope="module")
def vgg(tmp_path_factory: pytest.TempPathFactory) -> tuple[keras.Model, pathlib.Path]:
    """VGG16 without its classifier, over frames of 32x32, and the file of its weights."""
    model = keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3))
    randomize(model, np.random.default_rng(3))
    path = tmp_path_factory.mktemp("vgg") / "vgg.weights.h5"
    model.save_weights(path)
    return model, path


@pytest.fixture(scope="module", autouse=True)
def load_each_file_once() -> None:
    """Keep the source networks: building a ResNet-50 takes longer than most tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(i3d_resnet, "load_application", functools.cache(load_application))
        yield


@pytest.mark.parametrize(
    ("variant", "strides"), [("3x3x3", None), ("3x1x1", (1, 1, 1)), ("replace", None)]
)
def test_i3d_resnet50_with_image_weights_is_resnet50_on_each_frame(
    variant: str,
    strides: tuple[int, int, int] | None,
    resnet: tuple[keras.Model, pathlib.Path],
    rng: np.random.Generator,
) -> None:
    """With temporal strides, whose pools mix frames, on a video of one repeated image."""
    image, path = resnet
    options = {"variant": variant, "temporal_strides": strides}
    model = i3d_resnet50((64, 64, 3), classes=1000, weights=path, **options)
    clip = rng.normal(size=(1, 2, 64, 64, 3)).astype("float32")
    if mpvn.Plan(model).period > 1:
        clip = np.repeat(clip[:, :1], 2, axis=1)
    outputs = np.asarray(mpvn.VideoNetwork(model)(clip))
    expected = np.stack([image(clip[:, time]) for time in range(2)], axis=1)
    np.testing.assert_allclose(outputs, expected, rtol=1e-3, atol=1e-3 * np.std(expected))


def test_a_classifier_of_other_classes_keeps_its_weights(
    resnet: tuple[keras.Model, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    image, _ = resnet
    without_top = keras.applications.ResNet50(weights=None, include_top=False)
    without_top.set_weights(image.get_weights()[:-2])
    path = tmp_path / "without_top.weights.h5"
    without_top.save_weights(path)
    model = i3d_resnet50((64, 64, 3), classes=7, weights=path)
    kernel = image.get_layer("conv5_block3_2_conv").kernel
    np.testing.assert_array_equal(model.get_layer("conv5_block3.2_conv").kernel[1], kernel)
    assert model.output_shape == (None, 7)


def with_larger_pools(layer: keras.layers.Layer) -> keras.layers.Layer:
    if isinstance(layer, keras.layers.MaxPooling2D):
        return keras.layers.MaxPooling2D(3, 2, padding="same", name=layer.name)
    return layer.__class__.from_config(layer.get_config())


@pytest.mark.parametrize("name", ["vgg16", "causal_vgg_3d"])
def test_vgg16_with_image_weights_takes_the_pixels_of_keras_applications(
    name: str, vgg: tuple[keras.Model, pathlib.Path], rng: np.random.Generator
) -> None:
    """For one frame, 3D VGG is VGG16 with pools of 3x3."""
    image, path = vgg
    options = {"classes": 7, "norm": None}
    loaded = load_frame_model(name, 32, weights=str(path), options=options)
    features = loaded.model.get_layer("unit7.block5_pool").output
    network = mpvn.VideoNetwork(keras.Model(loaded.model.input, features))
    frames = rng.integers(0, 256, size=(1, 32, 32, 3)).astype("uint8")
    if name == "causal_vgg_3d":
        larger = keras.models.clone_model(image, clone_function=with_larger_pools)
        larger.set_weights(image.get_weights())
        image = larger
    expected = image(keras.applications.vgg16.preprocess_input(frames.astype("float32")))
    outputs, _ = network.step(loaded.prepare(frames), network.initial_state(1))
    np.testing.assert_allclose(outputs, expected, rtol=1e-3, atol=1e-3 * np.std(expected))


def test_weights_of_another_network_are_refused(vgg: tuple[keras.Model, pathlib.Path]) -> None:
    _, path = vgg
    with pytest.raises(ValueError, match="does not hold .*ResNet50 without its classifier"):
        load_application("ResNet50", path, include_top=False)
    with pytest.raises(ValueError, match="nowhere.weights.h5 does not hold"):
        load_application("ResNet50", "nowhere.weights.h5", include_top=True)
    with pytest.raises(ValueError, match="norm=None"):
        vgg16(weights=path)
