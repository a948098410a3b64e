"""Networks that start from PyTorch's weights: of ImageNet, or of another video network."""

import functools
import logging
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import torch_files
import torch_states
from torch_states import CLASSES, WIDTH, State, with_small_kernels

import mpvn
from mpvn.models import (
    CheckpointError,
    ModelError,
    import_torch,
    load_frame_model,
    tsm_mobilenet_v2,
    tsm_resnet,
    tsm_resnext101,
)
from mpvn.training import base_config
from mpvn.training.build.frame_model import build_frame_model
from mpvn.training.build.network import build_network

SIZE = (32, 32, 3)

pytestmark = pytest.mark.usefixtures("few_blocks")  # all blocks: test_load.py
few_blocks, few_stages = torch_states.FEW_RESNET_BLOCKS, torch_states.FEW_MOBILENET_STAGES
resnet_state = functools.partial(torch_states.resnet_state, blocks=few_blocks)
mobilenet_state = functools.partial(torch_states.mobilenet_state, stages=few_stages)
torchvision_resnet_state = functools.partial(
    torch_states.torchvision_resnet_state, blocks=few_blocks
)
torchvision_mobilenet_state = functools.partial(
    torch_states.torchvision_mobilenet_state, stages=few_stages
)


@pytest.fixture
def save(tmp_path: pathlib.Path) -> Callable[..., pathlib.Path]:
    def save(saved: Any, name: str = "images.pth", legacy: bool = False) -> pathlib.Path:
        return torch_files.write(saved, tmp_path / name, legacy)

    return save


def build(builder: Callable[..., keras.Model], shape: tuple = SIZE, **options: Any) -> keras.Model:
    return builder(shape, width=WIDTH, name="ours", **options)


def outputs(model: keras.Model, clip: np.ndarray) -> np.ndarray:
    return np.asarray(mpvn.VideoNetwork(model)(clip.astype("float32")))


@pytest.mark.parametrize(
    ("builder", "torchvision", "official"),
    [
        (tsm_resnet, torchvision_resnet_state, resnet_state),
        (tsm_mobilenet_v2, torchvision_mobilenet_state, mobilenet_state),
    ],
    ids=["resnet", "mobilenet"],
)
def test_image_weights_read_normalized_pixels(
    builder: Callable,
    torchvision: Callable,
    official: Callable,
    save: Callable,
    tmp_path: pathlib.Path,
    rng: np.random.Generator,
) -> None:
    """Frames in -1..1 give what the official network gives for normalized frames, also at the
    border, where zeros are padded to the normalized frame. The same after saving and loading.

    With dropout, as in every recipe of the papers, weights were refused: its seed is a variable.
    """
    model = build(builder, weights=save(with_small_kernels(torchvision())), dropout=0.5)
    reference = build(builder, classes=CLASSES)
    import_torch(reference, save(with_small_kernels(official()), "official.pth"))
    pixels = rng.integers(0, 256, (1, 3, *SIZE))
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = outputs(reference, (pixels / 255 - mean) / deviation)
    assert np.isfinite(expected).all()
    assert np.std(expected) > 0.01
    actual = outputs(model, pixels / 127.5 - 1)
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(outputs(loaded, pixels / 127.5 - 1), actual)


def test_grouped_convolutions_load_their_weights(save: Callable) -> None:
    """ResNeXt-101 at this width has two groups: of 8 channels in conv2, of 64 in conv5."""
    state = torchvision_resnet_state(inner=(16, 32, 64, 128), groups=2, blocks=(1, 1, 3, 1))
    model = build(tsm_resnext101, weights=save(state))
    kernel = state["layer3.2.conv2.weight"].transpose(2, 3, 1, 0)
    assert kernel.shape == (3, 3, 32, 64)
    np.testing.assert_array_equal(model.get_layer("conv4_block3.2_conv").kernel, kernel)


@pytest.mark.parametrize(
    ("builder", "make_state"),
    [
        (tsm_resnet, torchvision_resnet_state),
        (tsm_mobilenet_v2, lambda: mobilenet_state(mmaction=True)),
    ],
    ids=["torchvision resnet", "mmaction2 mobilenet"],
)
def test_a_classifier_is_loaded_for_the_same_number_of_classes(
    builder: Callable,
    make_state: Callable[[], State],
    save: Callable,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """By default a network has the file's classes. A classifier of other classes keeps its initial
    weights, with a warning; for an exact import this is an error."""
    state = make_state()
    path = save(state)
    same = build(builder, weights=path)
    bias = next(value for value in state.values() if value.shape == (CLASSES,))
    np.testing.assert_array_equal(same.get_layer("head.logits").bias, bias)
    assert "not loaded" not in caplog.text
    with caplog.at_level(logging.WARNING, "absl"):
        other = build(builder, weights=path, classes=7)
    message = f"ours: these weights are not loaded from {path}: head.logits/kernel, head.logits/b"
    assert message in caplog.text
    assert not np.any(other.get_layer("head.logits").bias)
    for ours, theirs in zip(other.weights[:-2], same.weights[:-2], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(CheckpointError, match=r"expected shape \(7,\). Received: \(5,\)"):
        import_torch(other, path)


def test_trn_takes_all_weights_but_the_classifier(save: Callable) -> None:
    path = save(torchvision_mobilenet_state())
    plain = build(tsm_mobilenet_v2, weights=path)
    model = build(tsm_mobilenet_v2, weights=path, shift=False, relation=True, frames=3)
    assert model.output_shape == (None, CLASSES)
    body = plain.get_weights()[:-2]
    for ours, theirs in zip(model.get_weights()[: len(body)], body, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_non_local_blocks_start_as_the_identity(save: Callable, rng: np.random.Generator) -> None:
    state = with_small_kernels(torchvision_resnet_state())
    plain = build(tsm_resnet, weights=save(state))
    model = build(tsm_resnet, weights=save(state), non_local=True)
    clip = rng.uniform(-1, 1, (1, 3, *SIZE))
    np.testing.assert_allclose(outputs(model, clip), outputs(plain, clip), rtol=1e-3, atol=1e-4)
    incomplete = resnet_state(non_local=True)
    del incomplete["module.base_model.layer2.0.nl.theta.weight"]
    with pytest.raises(CheckpointError, match=r"layer2.0.nl.theta.weight: missing\Z"):
        import_torch(model, save(incomplete), exact=False)


@pytest.mark.parametrize(
    ("builder", "torchvision", "name"),
    [
        (tsm_resnet, torchvision_resnet_state, "conv1.weight"),
        (tsm_mobilenet_v2, torchvision_mobilenet_state, "features.0.0.weight"),
    ],
)
def test_optical_flow_starts_from_the_mean_over_colors(
    builder: Callable, torchvision: Callable, name: str, save: Callable
) -> None:
    """*Temporal Segment Networks*, section 3.2. No motion is 0, as in its code."""
    state = torchvision()
    model = build(builder, (32, 32, 10), weights=save(state))
    mean = state[name].mean(axis=1).transpose(1, 2, 0)  # [out, in, h, w] -> [h, w, out]
    kernel = model.get_layer("stem.conv").kernel
    np.testing.assert_allclose(kernel, np.repeat(mean[:, :, None], 10, axis=2), rtol=1e-6)
    flow = np.array([[[[-1.0, 0.0, 1.0] + 7 * [0.0]]]])
    limit = 0.5 / np.mean([0.229, 0.224, 0.225])
    normalized = model.get_layer("stem.normalized")(flow)
    np.testing.assert_allclose(normalized[0, 0, 0, :3], [-limit, 0, limit], rtol=1e-6)
    with pytest.raises(CheckpointError, match=f"{name}: expected .*, 10, .* Received: .*, 3, "):
        import_torch(model, save(state))
    state[name] = np.ascontiguousarray(np.repeat(state[name], 4, axis=1)[:, :10])
    import_torch(model, save(state), exact=False)
    np.testing.assert_array_equal(kernel, state[name].transpose(2, 3, 1, 0))


def test_names_and_configs_accept_weights(save: Callable, rng: np.random.Generator) -> None:
    """Streams and the training pipeline both scale pixels to -1..1; the network does the rest."""
    path = save(with_small_kernels(torchvision_mobilenet_state()))
    loaded = load_frame_model(
        "tsm_mobilenet_v2", size=32, weights=str(path), options={"width": WIDTH}
    )
    pixels = rng.integers(0, 256, (2, *SIZE), dtype=np.uint8)
    np.testing.assert_allclose(loaded.prepare(pixels), pixels / 127.5 - 1, atol=1e-6)
    config = base_config()
    config.model.name, config.model.size, config.model.weights = "tsm_mobilenet_v2", 32, str(path)
    config.model.options = {"width": WIDTH}
    network = build_network(config, build_frame_model(config, {"classes": CLASSES}))
    expected = loaded.model(loaded.prepare(pixels))
    np.testing.assert_array_equal(network.frame_model(loaded.prepare(pixels)), expected)


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("builder", "torchvision", "conv", "norm"),
    [
        (tsm_resnet, torchvision_resnet_state, "layer1.0.conv2", "layer4.0.bn3"),
        (
            tsm_mobilenet_v2,
            torchvision_mobilenet_state,
            "features.2.conv.1.0",
            "features.7.conv.3",
        ),
    ],
)
def test_all_faults_of_image_weights_are_listed(
    builder: Callable, torchvision: Callable, conv: str, norm: str, save: Callable
) -> None:
    state = torchvision()
    state["extra.weight"] = np.ones(3, "float32")
    state[f"{conv}.weight"] = np.ones((8, 8), "float32")
    del state[f"{norm}.running_var"]
    with pytest.raises(CheckpointError) as error:
        build(builder, weights=save(state), classes=7)
    message = str(error.value)
    assert "extra.weight: 'ours' has no such weight" in message
    assert f"{conv}.weight: expected" in message
    assert "running_var: missing" in message
    assert message.count("\n  - ") == 3


def test_a_wrong_shape_is_not_another_number_of_classes(save: Callable) -> None:
    """Only a classifier of other classes may differ: not its features, nor the first kernel."""
    model = build(tsm_resnet, classes=7)
    for changes in (
        {"fc.weight": np.ones((5, 8), "float32")},
        {"fc.bias": np.ones(4, "float32")},
        {"fc.bias": np.ones((), "float32")},
        {"fc.weight": np.ones((), "float32")},
        {"conv1.weight": np.ones(3, "float32")},
        {"conv1.weight": np.ones((8, 4, 7, 7), "float32")},
        {"fc.bias": None},
    ):
        state = {**torchvision_resnet_state(), **changes}
        path = save({key: value for key, value in state.items() if value is not None})
        with pytest.raises(CheckpointError, match="missing|expected shape"):
            import_torch(model, path, exact=False)


def test_errors_name_the_file(save: Callable) -> None:
    path = save(torchvision_mobilenet_state())
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    for classes in (None, CLASSES):
        with pytest.raises(CheckpointError, match=f"Cannot read the checkpoint {path}"):
            build(tsm_mobilenet_v2, weights=path, classes=classes)
    with pytest.raises(ModelError, match="no weights 'none.pth'.*of torchvision .mobilenet_v2"):
        load_frame_model("tsm_mobilenet_v2", weights="none.pth")
    with pytest.raises(ModelError, match="'tsm_mobilenet_v2' has no such weight"):
        path = save(torchvision_resnet_state())
        load_frame_model("tsm_mobilenet_v2", size=32, weights=str(path))
    headless = {k: v for k, v in torchvision_resnet_state().items() if not k.startswith("fc.")}
    with pytest.raises(CheckpointError, match="has no classifier. Set the number of classes"):
        build(tsm_resnet, weights=save(headless))
