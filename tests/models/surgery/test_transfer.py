"""Which layers receive weights from another model, and which weights they receive."""

import keras
import numpy as np
import pytest
from image_model import image_model
from keras import layers

import keras_layers
from mpvn.models import Transfer, transfer_weights


def test_a_transfer_reports_every_layer() -> None:
    model = image_model()
    frame = keras.Input((16, 16, 3))
    x = keras_layers.TemporalConv3D(4, (2, 3, 3), (1, 2, 2), name="first")(frame)
    x = layers.Conv2D(4, (3, 2), padding="same", name="wide")(x)
    x = layers.Conv2D(6, 1, name="pointwise")(x)
    x = layers.Flatten()(layers.DepthwiseConv2D(3, padding="same", name="new")(x))
    target = keras.Model(frame, layers.Dense(3, name="score")(x), name="target")
    before = {layer.name: layer.get_weights() for layer in target.layers}
    transfer = transfer_weights(model, target, names=lambda name: name.replace("new", "depthwise"))
    assert transfer.inflated == ("first",)
    assert transfer.copied == ()
    assert set(transfer.skipped) == {"wide", "pointwise", "new", "score"}
    assert transfer.skipped["wide"] == "has the weights bias, kernel, the source layer has kernel"
    assert transfer.skipped["pointwise"] == (
        "kernel has shape (1, 1, 4, 6), in the source layer (1, 1, 4, 5)"
    )
    assert "no layer 'score'" in transfer.skipped["score"]
    assert "pointwise" in transfer.unused
    assert "inflated 1, averaged 0, skipped 4" in str(transfer)
    kernel = np.asarray(target.get_layer("first").kernel)
    np.testing.assert_array_equal(kernel[1], model.get_layer("first").kernel)
    assert not kernel[0].any()
    for name in transfer.skipped:
        for old, new in zip(before[name], target.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)


def flow_model(temporal: bool) -> tuple[keras.Model, Transfer]:
    """Build a model over ten channels, and transfer the weights of `image_model` to it."""
    frame = keras.Input((16, 16, 10))
    x = layers.ZeroPadding2D(1, name="room")(frame)  # has no weights, so it passes on the frame
    if temporal:
        options: dict = {"inflation": "mean"}
        x = keras_layers.TemporalConv3D(4, (2, 3, 3), (1, 2, 2), name="first")(x)
    else:
        options = {}
        x = layers.Conv2D(4, 3, 2, name="first")(x)
    x = layers.Concatenate(name="wider")([x, x])
    x = layers.Conv2D(4, (3, 2), dilation_rate=2, padding="same", use_bias=False, name="wide")(x)
    model = keras.Model(frame, layers.Conv2D(6, 1, name="last")(x), name="flow")
    return model, transfer_weights(image_model(), model, **options)


@pytest.mark.parametrize("temporal", [False, True])
def test_a_flow_network_starts_with_the_mean_over_the_color_channels(
    temporal: bool, rng: np.random.Generator
) -> None:
    """All ten channels have the same filters, so ten equal channels give 10/3 of what gray frames
    give. Only layers that read frames may have other channels, not the layers after them."""
    model, transfer = flow_model(temporal)
    assert (transfer.copied, transfer.averaged) == ((), ("first",))
    assert transfer.inflated == (("first",) if temporal else ())
    assert transfer.skipped["wide"] == (
        "kernel has shape (3, 2, 8, 4), in the source layer (3, 2, 4, 4)"
    )
    assert "averaged 1, skipped 2" in str(transfer)
    source = image_model().get_layer("first")
    expected = np.asarray(source.kernel).mean(axis=2, keepdims=True).repeat(10, axis=2)
    kernel = np.asarray(model.get_layer("first").kernel)
    if temporal:
        np.testing.assert_allclose(kernel, np.stack([expected, expected]) / 2, rtol=1e-6)
        return
    np.testing.assert_allclose(kernel, expected, rtol=1e-6)
    gray = rng.normal(size=(1, 18, 18, 1)).astype("float32")
    outputs = model.get_layer("first")(gray.repeat(10, axis=-1)) - source.bias
    on_gray = keras.ops.conv(gray.repeat(3, axis=-1), source.kernel, 2, "valid")
    np.testing.assert_allclose(keras.ops.relu(on_gray) * 10 / 3, keras.ops.relu(outputs), atol=1e-3)


def test_a_transfer_without_any_layer_is_refused() -> None:
    frame = keras.Input((4,))
    other = keras.Model(frame, layers.Dense(3, name="x")(frame), name="other")
    with pytest.raises(ValueError, match="No layer of 'images' fits a layer of 'other'"):
        transfer_weights(other, image_model())
    with pytest.raises(ValueError, match="center.*mean.*'max'"):
        transfer_weights(image_model(), image_model(), inflation="max")
