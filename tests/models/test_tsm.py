"""TSM and TSN: equal to the official networks, offline and frame by frame."""

import pathlib
from collections.abc import Callable
from typing import Any

import golden
import keras
import numpy as np
import pytest
from published_networks import assert_close, small_model, stream

import mpvn
from keras_layers.pure_call import without_values
from mpvn.models import (
    PUBLISHED,
    insert_temporal_shift,
    shifted_layers,
    tsm_mobilenet_v2,
    tsm_resnet,
    tsm_resnet50,
    tsm_resnet101,
)
from mpvn.models.torch import load

NAMES = ["tsm_resnet50", "tsm_resnext101", "tsm_mobilenet_v2", "non_local_resnet50"]


def small(name: str, **options: Any) -> keras.Model:
    return small_model(name, **{"width": 0.05, "classes": 6, **options})


# --- the official networks ------------------------------------------------------------------------


def official(
    shared: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    build: Callable[..., keras.Model],
    **options: Any,
) -> tuple[mpvn.VideoNetwork, dict[str, np.ndarray], np.ndarray]:
    """Our network with the official weights, the official outputs, and their clip."""
    outputs = golden.arrays(shared, name)
    clip = outputs["frames"].transpose(0, 2, 3, 1)[None]  # [T, C, H, W] -> [1, T, H, W, C]
    model = build(clip.shape[2:], classes=outputs["logits"].shape[-1], **options)
    weights = golden.weights(shared, name)
    monkeypatch.setattr(load, "read_checkpoint", lambda path: weights)
    assert len(load.import_torch(model, "weights by rule").loaded) == len(weights)
    return mpvn.VideoNetwork(model), outputs, clip


@pytest.mark.parametrize(
    ("name", "build"), [("tsm_resnet50", tsm_resnet50), ("tsm_mobilenetv2", tsm_mobilenet_v2)]
)
def test_offline_networks_equal_the_official_ones(
    name: str, build: Callable, shared: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, expected, clip = official(shared, monkeypatch, name, build)
    logits = np.asarray(network(clip))[0]
    np.testing.assert_allclose(logits, expected["per_frame_logits"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(logits.mean(0), expected["logits"][0], rtol=1e-4, atol=1e-4)


def test_the_online_network_equals_the_official_one_frame_by_frame(
    shared: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its outputs, and its whole state after the first and the last frame."""
    network, expected, clip = official(
        shared,
        monkeypatch,
        "tsm_mobilenetv2_online",
        tsm_mobilenet_v2,
        temporal_padding="causal",
    )
    state = network.initial_state(1)
    for time in range(6):
        logits, state = network.step(clip[:, time], state)
        np.testing.assert_allclose(logits[0], expected["logits"][time], rtol=1e-4, atol=1e-4)
        if f"buffers_after_{time + 1}" in expected:
            cached = [np.moveaxis(v, -1, 1).ravel() for name, v in state.items() if name != "step"]
            buffers = expected[f"buffers_after_{time + 1}"]
            np.testing.assert_allclose(np.concatenate(cached), buffers, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(network(clip)[0], expected["logits"], rtol=1e-4, atol=1e-4)


# --- properties of each network -------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("few_blocks")
def test_streaming_equals_the_clip(name: str, rng: np.random.Generator) -> None:
    model = small(name, temporal_padding="causal")
    network = mpvn.VideoNetwork(model, PUBLISHED[name].plan(model, 3), executor="layerwise")
    clip = rng.normal(size=(2, 5, 32, 32, 3)).astype("float32")
    steps = stream(network, clip)
    assert len({step.tobytes() for step in steps[0]}) == 5, "steps look alike"
    assert_close(np.asarray(network(clip)), steps)


@pytest.mark.parametrize("name", ["tsm_resnet50", "tsm_mobilenet_v2"])
@pytest.mark.usefixtures("few_blocks")
def test_the_baseline_with_inserted_shifts_equals_the_network(
    name: str, rng: np.random.Generator
) -> None:
    baseline = small(name, width=0.3, shift=False)
    clip = rng.normal(size=(1, 4, 32, 32, 3)).astype("float32")
    without_shifts = np.asarray(mpvn.VideoNetwork(baseline)(clip))
    for placement in ("residual", "in_place"):
        model = small(name, width=0.3, placement=placement)
        inserted = insert_temporal_shift(baseline, placement=placement)
        actual, expected = (np.asarray(mpvn.VideoNetwork(m)(clip)) for m in (inserted, model))
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4 * np.std(expected))
        assert np.abs(without_shifts - expected).max() > 0.01 * np.std(expected)


@pytest.mark.parametrize("name", ["tsm_resnet50", "tsm_mobilenet_v2"])
@pytest.mark.usefixtures("few_blocks")
def test_a_baseline_reads_one_frame_at_a_time(name: str) -> None:
    """TSN: no shifts, nothing cached, the same weights."""
    baseline = small(name, shift=False)
    assert baseline.name == name.replace("tsm", "tsn")
    assert not shifted_layers(baseline)
    assert mpvn.Plan(baseline).cached_bytes == 0
    shapes = [[weight.shape for weight in model.weights] for model in (baseline, small(name))]
    assert shapes[0] == shapes[1]


@pytest.mark.usefixtures("few_blocks")
def test_trn_relates_the_features_of_tsn(rng: np.random.Generator) -> None:
    """The mean over the last map, a dense layer of 256 channels, and the relation of 3 frames."""
    model = small("trn_resnet50", frames=3)
    assert model.name == "trn_resnet50"
    assert mpvn.Plan(model).receptive_field == 3
    assert small("tsm_mobilenet_v2", relation=True).name == "tsm_mobilenet_v2"
    clip = rng.normal(size=(1, 4, 32, 32, 3)).astype("float32")
    means = keras.Model(model.input, model.get_layer("head.mean").output)(clip[0])
    kernel, bias = model.get_layer("head.features").get_weights()
    assert kernel.shape[1] == 256
    expected = model.get_layer("head.logits")((means @ kernel + bias)[None])
    assert_close(np.asarray(mpvn.VideoNetwork(model)(clip)), expected.numpy())


def test_resnet101_shifts_every_second_block() -> None:
    expected = {f"conv{s}_block{b}.1_conv" for s, n in ((2, 3), (3, 4), (4, 23), (5, 3))
                for b in range(1, n + 1, 2)}  # fmt: skip
    with without_values():
        residual, in_place = (
            tsm_resnet101((32, 32, 3), width=0.05, placement=placement)
            for placement in ("residual", "in_place")
        )
    assert set(shifted_layers(residual)) == expected
    assert len(shifted_layers(in_place)) == 33


def test_every_second_block_of_two_stages_is_followed_by_a_non_local_one() -> None:
    with without_values():
        model = PUBLISHED["non_local_resnet50"].build((32, 32, 3), width=0.05)
    units = {layer.name.split(".")[0] for layer in model.layers if layer.name.endswith("nl")}
    assert units == {f"conv{s}_block{b}" for s, b in ((3, 1), (3, 3), (4, 1), (4, 3), (4, 5))}


@pytest.mark.usefixtures("few_blocks")
def test_a_non_local_block_starts_as_the_identity(rng: np.random.Generator) -> None:
    """The gamma of its batch norm is zero, so a trained network without it keeps its outputs."""
    model = PUBLISHED["non_local_resnet50"].build((32, 32, 3), width=0.05)
    plain = tsm_resnet50((32, 32, 3), width=0.05)
    for layer in plain.layers:
        layer.set_weights(model.get_layer(layer.name).get_weights())
    clip = rng.normal(size=(1, 3, 32, 32, 3)).astype("float32")
    actual, expected = (np.asarray(mpvn.VideoNetwork(m)(clip)) for m in (model, plain))
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("few_blocks")
def test_an_online_network_trains_and_streams_the_same_after_loading(
    tmp_path: pathlib.Path, rng: np.random.Generator
) -> None:
    network = mpvn.VideoNetwork(small("non_local_resnet50", temporal_padding="causal"))
    clip = rng.normal(size=(2, 3, 32, 32, 3)).astype("float32")
    network.compile(keras.optimizers.SGD(1e-3), "mse", run_eagerly=True)
    network.fit(clip, np.zeros((2, 3, 6)), batch_size=2, verbose=0)
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(stream(loaded, clip), stream(network, clip))


@pytest.mark.parametrize(
    ("build", "options", "message"),
    [
        (tsm_resnet, {"depth": 152}, "one of 50, 101.*Received: depth=152"),
        (tsm_resnet101, {"non_local": True}, "50 with non-local blocks. Received: depth=101"),
        (tsm_resnet50, {"temporal_padding": "same"}, "causal.*temporal_padding='same'"),
        (tsm_mobilenet_v2, {"placement": "block"}, "residual, in_place.*placement='block'"),
        (tsm_mobilenet_v2, {"input_shape": (None, 32, 3)}, r"Received: \(None, 32, 3\)"),
        (tsm_mobilenet_v2, {"width": 0.05, "divisor": 16}, "16 channels. Received: 8"),
    ],
)
def test_rejects_options(build: Callable, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**{"input_shape": (32, 32, 3), **options})
