"""TSM and TSN: the official networks, in numbers and outputs, offline and frame by frame."""

import pathlib
from collections.abc import Callable
from typing import Any

import golden
import keras
import numpy as np
import pytest
from random_weights import randomize

import mpvn
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

NAMES = [name for name in PUBLISHED if name.startswith(("tsm_", "non_local_"))]


def small(name: str, width: float = 0.05, **options: Any) -> keras.Model:
    model = PUBLISHED[name].build((32, 32, 3), width=width, classes=6, **options)
    randomize(model, np.random.default_rng(4))
    return model


def streamed(network: mpvn.VideoNetwork, clip: np.ndarray) -> np.ndarray:
    state, steps = network.initial_state(len(clip)), []
    for time in range(clip.shape[1]):
        outputs, state = network.step(clip[:, time], state)
        steps.append(outputs)
    return np.stack(steps, axis=1)


# --- the official networks ----------------------------------------------------------------------


def official(
    shared: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    build: Callable[..., keras.Model],
    **options: Any,
) -> tuple[mpvn.VideoNetwork, dict[str, np.ndarray], np.ndarray]:
    """Our network with the official weights, the stored outputs, and the clip."""
    stored = golden.arrays(shared, name)
    clip = stored["frames"].transpose(0, 2, 3, 1)[None]
    model = build(clip.shape[2:], classes=stored["logits"].shape[-1], **options)
    weights = golden.weights(shared, name)
    monkeypatch.setattr(load, "read_checkpoint", lambda path: weights)
    assert len(load.import_torch(model, "made by rule").loaded) == len(weights)
    return mpvn.VideoNetwork(model), stored, clip


@pytest.mark.parametrize(
    ("name", "build"), [("tsm_resnet50", tsm_resnet50), ("tsm_mobilenetv2", tsm_mobilenet_v2)]
)
def test_offline_networks_are_the_official_ones(
    name: str, build: Callable, shared: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, stored, clip = official(shared, monkeypatch, name, build)
    found = np.asarray(network(clip))[0]
    np.testing.assert_allclose(found, stored["per_frame_logits"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.mean(0), stored["logits"][0], rtol=1e-4, atol=1e-4)


def test_the_online_network_is_the_official_one_frame_by_frame(
    shared: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its outputs, and all that it keeps after the first and the last frame."""
    network, stored, clip = official(
        shared,
        monkeypatch,
        "tsm_mobilenetv2_online",
        tsm_mobilenet_v2,
        temporal_padding="causal",
    )
    state = network.initial_state(1)
    for time in range(6):
        logits, state = network.step(clip[:, time], state)
        np.testing.assert_allclose(logits[0], stored["logits"][time], rtol=1e-4, atol=1e-4)
        if f"buffers_after_{time + 1}" in stored:
            kept = [np.moveaxis(v, -1, 1).ravel() for name, v in state.items() if name != "step"]
            expected = stored[f"buffers_after_{time + 1}"]
            np.testing.assert_allclose(np.concatenate(kept), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(network(clip)[0], stored["logits"], rtol=1e-4, atol=1e-4)


def test_what_a_stream_of_resnet50_keeps() -> None:
    """An eighth of the channels of 16 blocks' inputs, by our count; the paper prints 0.9 MB."""
    plan = mpvn.Plan(tsm_resnet50(temporal_padding="causal"))
    assert plan.cached_bytes == 4 * 702_464
    assert sum(plan.node_costs) == sum(mpvn.Plan(tsm_resnet50(shift=False)).node_costs)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("tsm_resnet50", 25_557_032),
        ("tsm_resnet101", 44_549_160),
        ("tsm_resnext101", 88_791_336),
        ("tsm_mobilenet_v2", 3_504_872),
    ],
)
def test_networks_have_the_parameters_of_torchvision(name: str, parameters: int) -> None:
    model = PUBLISHED[name].build((32, 32, 3), classes=1000)
    assert sum(np.prod(weight.shape) for weight in model.trainable_weights) == parameters


# --- one meaning --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_streaming_and_sweeping_agree(name: str, rng: np.random.Generator) -> None:
    model = small(name, temporal_padding="causal")
    network = mpvn.VideoNetwork(model, PUBLISHED[name].plan(model, 3), executor="layerwise")
    clip = rng.normal(size=(2, 5, 32, 32, 3)).astype("float32")
    steps = streamed(network, clip)
    scale = float(np.std(steps))
    assert len({step.tobytes() for step in steps[0]}) == 5, "all steps look alike"
    np.testing.assert_allclose(network(clip), steps, rtol=1e-3, atol=1e-3 * scale)


@pytest.mark.parametrize("placement", ["residual", "in_place"])
@pytest.mark.parametrize("name", ["tsm_resnet50", "tsm_mobilenet_v2"])
def test_the_baseline_with_shifts_inserted_is_the_network(
    name: str, placement: str, rng: np.random.Generator
) -> None:
    model = small(name, width=0.3, placement=placement)
    baseline = small(name, width=0.3, shift=False)
    assert baseline.name == name.replace("tsm", "tsn")
    assert not shifted_layers(baseline)
    inserted = insert_temporal_shift(baseline, placement=placement)
    clip = rng.normal(size=(1, 4, 32, 32, 3)).astype("float32")
    found, expected = (np.asarray(mpvn.VideoNetwork(m)(clip)) for m in (inserted, model))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.std(expected))
    alone = np.asarray(mpvn.VideoNetwork(baseline)(clip))
    assert np.abs(alone - expected).max() > 0.01 * np.std(expected)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("tsm_")])
def test_every_baseline_sees_a_frame_at_a_time(name: str) -> None:
    """TSN of each network: no shift, nothing kept, the same weights."""
    baseline = small(name, shift=False)
    assert baseline.name == name.replace("tsm", "tsn")
    assert not shifted_layers(baseline)
    assert mpvn.Plan(baseline).cached_bytes == 0
    shapes = [[weight.shape for weight in model.weights] for model in (baseline, small(name))]
    assert shapes[0] == shapes[1]


def test_deep_stages_shift_every_second_block() -> None:
    model = small("tsm_resnet101")
    expected = {f"conv{s}_block{b}.1_conv" for s, n in ((2, 3), (3, 4), (4, 23), (5, 3))
                for b in range(1, n + 1, 2)}  # fmt: skip
    assert set(shifted_layers(model)) == expected
    assert len(shifted_layers(small("tsm_resnet101", placement="in_place"))) == 33


def test_a_non_local_block_begins_as_nothing(rng: np.random.Generator) -> None:
    """Its batch norm's gamma is zero, so a network that is trained already stays what it is."""
    model = PUBLISHED["non_local_resnet50"].build((32, 32, 3), width=0.05)
    plain = tsm_resnet50((32, 32, 3), width=0.05)
    units = {layer.name.split(".")[0] for layer in model.layers if layer.name.endswith("nl")}
    assert units == {f"conv{s}_block{b}" for s, b in ((3, 1), (3, 3), (4, 1), (4, 3), (4, 5))}
    for layer in plain.layers:
        layer.set_weights(model.get_layer(layer.name).get_weights())
    clip = rng.normal(size=(1, 3, 32, 32, 3)).astype("float32")
    found, expected = (np.asarray(mpvn.VideoNetwork(m)(clip)) for m in (model, plain))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_an_online_network_trains_and_survives_being_saved(
    tmp_path: pathlib.Path, rng: np.random.Generator
) -> None:
    network = mpvn.VideoNetwork(small("non_local_resnet50", temporal_padding="causal"))
    clip = rng.normal(size=(2, 3, 32, 32, 3)).astype("float32")
    network.compile(keras.optimizers.SGD(1e-3), "mse", jit_compile=False)
    network.fit(clip, np.zeros((2, 3, 6)), batch_size=2, verbose=0)
    network.save(tmp_path / "network.keras")
    again = keras.saving.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(streamed(again, clip), streamed(network, clip))


@pytest.mark.parametrize(
    ("build", "options", "message"),
    [
        (tsm_resnet, {"depth": 152}, "one of 50, 101.*Received: depth=152"),
        (tsm_resnet101, {"non_local": True}, "50 with non-local blocks. Received: depth=101"),
        (tsm_resnet50, {"temporal_padding": "same"}, "symmetric, causal.*temporal_padding='same'"),
        (tsm_mobilenet_v2, {"placement": "block"}, "residual, in_place.*placement='block'"),
        (tsm_mobilenet_v2, {"input_shape": (None, 32, 3)}, "all known"),
        (tsm_mobilenet_v2, {"width": 0.05, "divisor": 16}, "at least 16. Received: 8"),
    ],
)
def test_a_network_refuses(build: Callable, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**{"input_shape": (32, 32, 3), **options})
