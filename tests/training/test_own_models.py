"""Image models of one's own in a config: a `.keras` file, or a network of `keras.applications`."""

import pathlib
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from own_models import LOGITS, PROBABILITIES, own_model
from small_runs import small_config

import mpvn
from mpvn.models import LoadedModel
from mpvn.training import build
from mpvn.training.build.frame_model import build_frame_model

PIXELS = np.random.default_rng(1).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)


def fitted(model: keras.Model | str, folder: pathlib.Path, **changes: Any) -> LoadedModel:
    """Return the frame model of a config for four classes of frames of 8x8."""
    if isinstance(model, keras.Model):
        model.save(folder / "own.keras")
        model = str(folder / "own.keras")
    config = small_config(model__name=model, model__size=8)
    config.model.options = {}
    config.update_from_flattened_dict({k.replace("__", "."): v for k, v in changes.items()})
    return build_frame_model(config, {"classes": 4})


def test_a_file_keeps_its_weights_and_takes_the_pixels_of_clips(tmp_path: pathlib.Path) -> None:
    """What one line says: the pixels, the softmax, the classifier."""
    model = own_model(PROBABILITIES["dense"])
    loaded = fitted(model, tmp_path)
    shares = keras.ops.softmax(loaded.model(PIXELS / 127.5 - 1))
    np.testing.assert_allclose(shares, model(PIXELS.astype("float32")), rtol=1e-4)
    (line,) = loaded.remarks
    assert line == (
        f"{tmp_path / 'own.keras'}: takes pixels of 0..255 (config.model.pixels); softmax of "
        "'scores' removed, because losses take logits; classifier 'scores' kept"
    )


@pytest.mark.parametrize(
    ("scaling", "pixels", "scaled"),
    [
        ({"scale": 1 / 255}, None, PIXELS),
        ({"scale": 2, "offset": -1}, "0..1", PIXELS / 255),
        ({"scale": 1}, "torch", (PIXELS / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]),
        ({"scale": 1}, "caffe", PIXELS[..., ::-1] - [103.939, 116.779, 123.68]),
    ],
)
def test_the_range_of_pixels_is_known_or_asked_for(
    scaling: dict[str, float], pixels: str | None, scaled: Any, tmp_path: pathlib.Path
) -> None:
    model = own_model(LOGITS["dense"], **scaling)
    if pixels is not None:
        with pytest.raises(ValueError, match="config.model.pixels: no layer of .* Received: None"):
            fitted(model, tmp_path)
    loaded = fitted(model, tmp_path, model__pixels=pixels)
    expected = model(np.asarray(scaled, "float32"))
    np.testing.assert_allclose(loaded.model(PIXELS / 127.5 - 1), expected, rtol=1e-3, atol=1e-4)


def test_models_of_integers_any_size_and_another_size(tmp_path: pathlib.Path) -> None:
    image = keras.Input((8, 8, 3), dtype="uint8")
    x = layers.Conv2D(4, 3)(keras.ops.cast(image, "float32") / 255)
    integers = keras.Model(image, layers.Dense(4)(layers.GlobalMaxPooling2D()(x)))
    for model, shown in (
        (integers, PIXELS),
        (own_model(LOGITS["dense"], size=None), PIXELS.astype("float32")),
        (own_model(LOGITS["dense"], size=12), None),
    ):
        loaded = fitted(model, tmp_path)
        outputs = loaded.model(PIXELS / 127.5 - 1)
        if shown is None:
            assert "built for frames of 12x12, reads 8x8" in loaded.remarks[0]
        else:
            np.testing.assert_allclose(outputs, model(shown), rtol=1e-3, atol=1e-4)


def test_what_cannot_read_the_frames_is_refused(tmp_path: pathlib.Path) -> None:
    gray = keras.Input((8, 8, 1))
    with pytest.raises(ValueError, match=r"Expected one input .*width, 3\]. Received: \[8, 8, 1\]"):
        fitted(keras.Model(gray, layers.Flatten()(gray)), tmp_path)
    rigid = own_model(lambda x, n: layers.Dense(n)(layers.Flatten()(x)), size=12, pooled=False)
    with pytest.raises(ValueError, match="built for frames of 12x12, .* its own size"):
        fitted(rigid, tmp_path)
    with pytest.raises(ValueError, match="config.model.options: .* is a saved model"):
        fitted(rigid, tmp_path, model__options={"width": 0.5})
    with pytest.raises(ValueError, match="config.model.head: 'own' has several outputs"):
        fitted(own_model(lambda x, n: [x, layers.Dense(n)(x)]), tmp_path)


def test_frozen_layers_and_dtypes_of_a_file_are_told(tmp_path: pathlib.Path) -> None:
    model = own_model()
    model.get_layer("first").trainable = False
    loaded = fitted(model, tmp_path)
    assert "1 of 2 layers with weights are frozen, as saved" in loaded.remarks[0]
    loaded = fitted(model, tmp_path, training__dtype_policy="mixed_bfloat16")
    assert "computes in float32, as saved, not in mixed_bfloat16" in loaded.remarks[0]


@pytest.mark.parametrize(
    ("options", "classifier"),
    [
        ({}, "head.logits"),
        ({"include_top": True}, "predictions"),
        ({"classes": 9}, "head.logits"),
    ],
)
def test_applications_get_a_classifier_of_the_classes(
    options: dict[str, Any], classifier: str, tmp_path: pathlib.Path
) -> None:
    """Their softmax was taken for logits."""
    options |= {"alpha": 0.35}
    loaded = fitted("MobileNetV2", tmp_path, model__size=32, model__options=options)
    assert loaded.model.layers[-1].name == classifier
    assert loaded.model.layers[-1].activation is keras.activations.linear
    assert loaded.model.output_shape == (None, 4)


def test_surgery_of_a_file_keeps_its_answers_to_still_videos(tmp_path: pathlib.Path) -> None:
    """Inflated kernels are centered, and memories start as zeros: still images are as before."""
    model = own_model(LOGITS["dense"])
    surgery = {"inflate": {"temporal_kernel": 3}, "recurrent": {"after": ("joined",)}}
    loaded = fitted(model, tmp_path, model__surgery=surgery)
    network = loaded.network(mpvn.Plan(loaded.model))
    clip = np.repeat(PIXELS[:, None] / 127.5 - 1, 3, axis=1).astype("float32")
    expected = model(PIXELS.astype("float32"))
    np.testing.assert_allclose(network(clip)[:, 2], expected, rtol=1e-3, atol=1e-4)
    shifted = fitted(model, tmp_path, model__surgery={"shift": {"divisor": 4}}).model
    assert list(mpvn.models.shifted_layers(shifted)) == ["second"]


def test_layers_of_nested_models_may_have_equal_names(tmp_path: pathlib.Path) -> None:
    """Keras accepts them; surgery puts all layers into one model."""
    image, maps = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    inner = keras.Model(maps, layers.Conv2D(3, 3, padding="same", name="conv")(maps))
    x = layers.Conv2D(3, 3, padding="same", name="conv")(layers.Rescaling(1 / 255)(image))
    model = keras.Model(image, layers.Dense(4)(layers.Flatten()(inner(x))))
    expected = model(PIXELS.astype("float32"))
    loaded = fitted(model, tmp_path)
    np.testing.assert_allclose(loaded.model(PIXELS / 127.5 - 1), expected, rtol=1e-3, atol=1e-4)


def test_outputs_of_another_task_are_refused_before_training(tmp_path: pathlib.Path) -> None:
    """Heatmaps keep their size; a sigmoid after them is removed."""
    config = small_config(task__name="keypoints", model__size=8, model__options={})
    config.model.name = str(tmp_path / "own.keras")
    own_model(pooled=False).save(config.model.name)
    with pytest.raises(ValueError, match=r"any, any, 17\]. Received: \[6, 6, 8\]. Choose a netw"):
        build(config)
    heatmaps = own_model(lambda x, n: layers.Conv2D(17, 1, activation="sigmoid")(x), pooled=False)
    heatmaps.save(config.model.name)
    experiment = build(config)
    assert "sigmoid of 'conv2d" in experiment.remarks[0]
    config.task.name = "autoencoding"
    with pytest.raises(ValueError, match=r"\[8, 8, 3\]. Received: \[6, 6, 17\]"):
        build(config)


@keras.saving.register_keras_serializable(package="test_own_models")
class Subclassed(keras.Model):
    def build(self, shape: Any) -> None:
        self.dense = layers.Dense(7)
        self.dense.build((None, 3))

    def call(self, inputs: Any) -> Any:
        return self.dense(keras.ops.mean(inputs, axis=(1, 2)))


def test_subclassed_models_and_outputs_in_a_dict(tmp_path: pathlib.Path) -> None:
    subclassed = Subclassed()
    subclassed.build((None, 8, 8, 3))
    loaded = fitted(subclassed, tmp_path, model__pixels="0..255")
    assert loaded.remarks[0].endswith("classifier of 4 classes added after 'subclassed' [7]")
    named = own_model(lambda x, n: {"scores": layers.Dense(n, name="scores")(x)})
    loaded = fitted(named, tmp_path)
    assert loaded.model.output_shape == (None, 4)
    expected = named(PIXELS.astype("float32"))["scores"]
    np.testing.assert_allclose(loaded.model(PIXELS / 127.5 - 1), expected, rtol=1e-3, atol=1e-4)
