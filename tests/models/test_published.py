"""The published networks as Keras models: names, options, dtypes, files, and errors."""

import inspect
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from published_networks import small_model, small_network, stream

import mpvn
from keras_layers.pure_call import without_values
from mpvn.graph.reading import read_graph
from mpvn.models import PUBLISHED, load_frame_model, par_densenet
from mpvn.models.surgery.classifier import with_classifier


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.usefixtures("restore_dtype_policy")
def test_every_network_builds_by_name_with_its_plans(name: str) -> None:
    """In mixed precision, in which outputs must be float32 still."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    with without_values():
        loaded = load_frame_model(name, size=64, options={"width": 0.05})
    assert loaded.plan_defaults["partition"] == "units"
    assert loaded.model.name == name
    assert loaded.model.output.dtype == "float32"
    assert any(layer.compute_dtype == "bfloat16" for layer in loaded.model.layers)
    for subnetworks in PUBLISHED[name].subnetworks:
        plan = PUBLISHED[name].plan(loaded.model, subnetworks)
        assert plan.subnetworks == subnetworks
    frames = np.array([[[[0, 127.5, 255]]]])
    np.testing.assert_allclose(loaded.prepare(frames), [[[[-1, 0, 1]]]], atol=2e-7)
    if len(loaded.model.output.shape) == 2:  # logits, which can give a perfect answer
        classes = loaded.model.output.shape[1]
        assert with_classifier(loaded.model, classes).model is loaded.model


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_option_has_a_name_an_annotation_and_a_default(name: str) -> None:
    """So that options in configs can be checked against the signature."""
    shape, *options = inspect.signature(PUBLISHED[name].build).parameters.values()
    assert shape.name == "input_shape"
    assert {"width", "name"} <= {option.name for option in options}
    for option in options:
        assert option.kind is option.KEYWORD_ONLY
        assert option.annotation is not option.empty
        assert option.default is not option.empty


@pytest.mark.usefixtures("few_blocks")
def test_the_same_arguments_give_the_same_layer_names() -> None:
    """So that a plan that was written to a file fits the network of another process."""
    first, second = (read_graph(par_densenet((32, 32, 3), width=0.1)).names for _ in range(2))
    assert first == second
    assert all("." in name for name in first)


@pytest.mark.parametrize("configuration", ["inception, feedback", "vgg8"])
@pytest.mark.usefixtures("restore_dtype_policy")
def test_streams_in_mixed_precision(configuration: str, rng: np.random.Generator) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    network = small_network(configuration)
    outputs, _ = network.step(rng.normal(size=(1, 32, 32, 3)), network.initial_state(1))
    assert outputs.dtype == tf.float32
    assert np.isfinite(outputs).all()


@pytest.mark.parametrize(
    "configuration",
    ["densenet, temporal, feedback", "simple_cnn, frames in pairs", "full_res"],
)
@pytest.mark.usefixtures("few_blocks")
def test_a_network_streams_the_same_after_loading(
    configuration: str, tmp_path: pathlib.Path, rng: np.random.Generator
) -> None:
    network = small_network(configuration)
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    assert loaded.plan == network.plan
    clip = rng.normal(size=(1, 2, 32, 32, 3)).astype("float32")
    np.testing.assert_array_equal(stream(loaded, clip), stream(network, clip))


# --- errors ---------------------------------------------------------------------------------------

INVALID: dict[str, tuple[str, dict[str, Any], str]] = {
    "two tasks": ("par_densenet", {"joints": 3, "classes": 3}, "joints=3, classes=3"),
    "feedback of classes": (
        "par_inception",
        {"classes": 3, "feedback": "heatmaps"},
        "feedback only with heatmaps.*classes=3",
    ),
    "feedback in whole clips": (
        "par_densenet",
        {"feedback": "head_input", "temporal_padding": "symmetric"},
        "temporal_padding='causal'.*'symmetric'",
    ),
    "feedback": ("par_densenet", {"feedback": True}, "'heatmaps', 'head_input'.*Received: True"),
    "padding": ("par_inception", {"temporal_padding": "same"}, "'causal', 'symmetric'"),
    "filters": ("par_densenet", {"temporal_filters": "1x1"}, '"3x3" or "all". Received: .1x1'),
    "heatmap size": (
        "par_densenet",
        {"heatmap_size": (12, 12)},
        "16x16 or 32x32. Received: 12x12",
    ),
    "heatmap size fed back": (
        "par_densenet",
        {"heatmap_size": (12, 12), "feedback": "heatmaps"},
        "Expected heatmaps of 16x16, 32x32, and so on",
    ),
    "temporal strides": (
        "i3d_resnet50_3x1x1",
        {"temporal_strides": (2, 2)},
        r"three ints as temporal_strides.*Received: \(2, 2\)",
    ),
    "one temporal stride": ("i3d_resnet50_3x1x1", {"temporal_strides": 2}, "three.*Received: 2"),
    "no joints": ("par_densenet", {"joints": 0}, "joints of 'par_densenet'.*1.*Received: 0"),
    "no heatmap size": ("par_inception", {"heatmap_size": (0, 0)}, r"heatmap_size.*\(0, 0\)"),
    "long heatmap size": (
        "par_densenet",
        {"heatmap_size": (16, 16, 3), "feedback": "heatmaps"},
        "heatmap_size.*16, 3",
    ),
    "fractional heatmap size": (
        "par_inception",
        {"heatmap_size": 16.0, "feedback": "heatmaps"},
        "heatmap_size.*16.0",
    ),
    "block of two": ("vgg8", {"block": (2, 2)}, r"Invalid block.*time, height.*\(2, 2\)"),
    "no block": ("full_res", {"block": 0}, "Invalid block of 'full_res'.*Received: 0"),
    "padding without filters": ("vgg16", {"temporal_padding": "same"}, "'causal', 'symmetric'"),
    "width": ("par_densenet", {"width": 0}, "Invalid width. Expected a factor above 0"),
    "negative width": ("vgg8", {"width": -1.0}, "Invalid width.*Received: -1.0"),
    "no stride": ("i3d_resnet50_3x1x1", {"conv5_strides": 0}, "at least 1.*conv5_strides=0"),
    "variant": ("i3d_resnet50_3x3x3", {"variant": "2x2x2"}, "3x3x3, 3x1x1, replace"),
    "weights of another layout": (
        "i3d_resnet50_3x3x3",
        {"weights": "imagenet", "layout": "torch"},
        "layout='keras'",
    ),
    "weights with batch norm": ("vgg16", {"weights": "imagenet"}, "norm=None"),
}


@pytest.mark.parametrize("case", INVALID)
def test_rejects_options(case: str) -> None:
    name, options, message = INVALID[case]
    with pytest.raises(ValueError, match=message):
        PUBLISHED[name].build((64, 64, 3), **{"width": 0.05, **options})


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("par_densenet", (200, 224, 3), "multiples of 32, such as 192x224. Received: 200x224"),
        ("autoencoder", (100, 64, 3), "multiples of 8, such as 96x64"),
        ("full_res", (33, 64, 3), "multiples of 2"),
        ("simple_cnn", (None, 64, 3), r"Received: \(None, 64, 3\)"),
    ],
)
def test_rejects_a_frame_size(name: str, shape: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PUBLISHED[name].build(shape)


def test_a_symmetric_network_does_not_stream() -> None:
    model = small_model("vgg_3d")
    network = mpvn.VideoNetwork(model, PUBLISHED["vgg_3d"].plan(model))
    with pytest.raises(ValueError, match='temporal_padding="causal"'):
        network.initial_state(1)
