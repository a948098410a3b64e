"""The option `norm` of the published networks: group norm in place of batch norm."""

import inspect

import keras
import numpy as np
import pytest
from published_networks import assert_close, small_model, stream

import mpvn
from keras_layers.pure_call import without_values
from mpvn.models import PUBLISHED
from mpvn.models.norms import group_count, normalize, norms_of


@pytest.mark.parametrize(
    ("channels", "groups"),
    [(1, 1), (8, 1), (31, 1), (32, 2), (37, 1), (213, 3), (340, 20), (512, 32), (2048, 32)],
)
def test_groups_divide_any_number_of_channels(channels: int, groups: int) -> None:
    assert group_count(channels) == groups


def test_group_norm_is_the_formula(rng: np.random.Generator) -> None:
    frame = keras.Input((3, 4, 32))
    model = keras.Model(frame, normalize(frame, "norm", "group", epsilon=1e-3))
    gamma, beta = rng.normal(size=(2, 32))
    model.set_weights([gamma, beta])
    x = rng.normal(size=(2, 3, 4, 32)).astype("float32") * np.arange(1, 33) + 5
    groups = x.reshape(2, 12, 2, 16)
    mean, variance = groups.mean(axis=(1, 3)), groups.var(axis=(1, 3))
    y = (groups - mean[:, None, :, None]) / np.sqrt(variance + 1e-3)[:, None, :, None]
    np.testing.assert_allclose(model(x), y.reshape(x.shape) * gamma + beta, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_network_takes_group_norm(name: str) -> None:
    with without_values():
        model = PUBLISHED[name].build((32, 32, 3), width=0.02, norm="group")
    assert norms_of(model) == {"group"}


def test_training_computes_what_streaming_does(rng: np.random.Generator) -> None:
    """With group norm; batch norm in training uses statistics that a stream does not have."""
    model = small_model("simple_cnn", norm="group")
    network = mpvn.VideoNetwork(model, PUBLISHED["simple_cnn"].plan(model, 3))
    clip = rng.normal(size=(2, 5, 32, 32, 3)).astype("float32")
    for executor in ("unroll", "layerwise"):
        network.executor = executor
        assert_close(np.asarray(network(clip, training=True)), stream(network, clip))


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, each in PUBLISHED.items()
        if "weights" in inspect.signature(each.build).parameters
    ],
)
def test_pretrained_weights_are_refused_with_group_norm(name: str) -> None:
    with pytest.raises(ValueError, match="pretrained weights .*Received: norm='group'"):
        PUBLISHED[name].build((32, 32, 3), norm="group", weights="weights.h5")


@pytest.mark.parametrize("name", PUBLISHED)
def test_no_norm_means_biases_or_is_refused(name: str) -> None:
    """Without both, some networks once had neither norms nor biases."""
    build = PUBLISHED[name].build
    with without_values():
        if inspect.signature(build).parameters["norm"].annotation is str:
            with pytest.raises(ValueError, match="Invalid norm of .*Received: None"):
                build((32, 32, 3), width=0.02, norm=None)
        else:
            model = build((32, 32, 3), width=0.02, norm=None)
            assert not norms_of(model)
            assert all(getattr(layer, "use_bias", True) for layer in model.layers)


def test_an_unknown_norm_is_refused() -> None:
    with pytest.raises(ValueError, match="Expected one of .'batch', 'group'.*Received: 'layer'"):
        small_model("simple_cnn", norm="layer")
