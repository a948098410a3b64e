"""Imports of checkpoints: the layouts of the official code and of mmaction2."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import torch_files
from torch_states import (
    CLASSES,
    WIDTH,
    mobilenet_state,
    resnet_state,
    torchvision_mobilenet_state,
    torchvision_resnet_state,
)

from mpvn.models import insert_temporal_shift, tsm_mobilenet_v2, tsm_resnet
from mpvn.models.torch.load import import_torch
from mpvn.models.torch.reader import CheckpointError


@pytest.fixture
def save(tmp_path: pathlib.Path) -> Callable[[Any], pathlib.Path]:
    return lambda saved: torch_files.write(saved, tmp_path / "net.pth.tar")


def build(builder: Callable[..., keras.Model], **options: Any) -> keras.Model:
    return builder((32, 32, 3), width=WIDTH, classes=CLASSES, name="ours", **options)


@pytest.fixture(scope="module")
def resnet() -> keras.Model:
    return build(tsm_resnet)


@pytest.fixture(scope="module")
def mobilenet() -> keras.Model:
    return build(tsm_mobilenet_v2)


@pytest.fixture(scope="module")
def plain_resnet() -> keras.Model:
    """ResNet-50 without shifts."""
    return build(tsm_resnet, shift=False)


def weights_after_import(model: keras.Model, path: pathlib.Path) -> list[np.ndarray]:
    """The weights of `model` after an import that replaced all of them."""
    for variable in model.weights:
        variable.assign(np.full(variable.shape, np.nan))
    import_torch(model, path)
    weights = model.get_weights()
    assert not any(np.isnan(values).any() for values in weights)
    return weights


def assert_equal_weights(actual: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


# --- imports --------------------------------------------------------------------------------------


def test_a_resnet_loads_its_weights_in_any_order(
    save: Callable, resnet: keras.Model, rng: np.random.Generator
) -> None:
    state = resnet_state()
    report = import_torch(resnet, save({"state_dict": state}))
    assert len(report.loaded) == len(resnet.weights)
    assert set(report.loaded) | set(report.ignored) == set(state)
    assert report.zeroed == ()
    assert "267 tensors loaded, 53 ignored" in str(report)
    kernel = state["module.base_model.layer2.0.conv2.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(resnet.get_layer("conv3_block1.2_conv").kernel, kernel)
    bias = state["module.base_model.layer2.0.downsample.1.bias"]
    np.testing.assert_array_equal(resnet.get_layer("conv3_block1.0_bn").beta, bias)
    weight = state["module.new_fc.weight"].T
    np.testing.assert_array_equal(resnet.get_layer("head.logits").kernel, weight)
    in_order = resnet.get_weights()
    keys = list(rng.permutation(list(state)))
    shuffled = {key.removeprefix("module."): state[key] for key in keys}
    assert_equal_weights(weights_after_import(resnet, save(shuffled)), in_order)


@pytest.mark.parametrize(
    ("network", "state"), [("resnet", resnet_state), ("mobilenet", mobilenet_state)]
)
def test_both_code_bases_give_the_same_network(
    network: str, state: Callable, save: Callable, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(network)
    official = weights_after_import(model, save(state()))
    assert import_torch(model, save(state())).layout == "official"
    assert_equal_weights(weights_after_import(model, save(state(mmaction=True))), official)
    assert import_torch(model, save(state(mmaction=True))).layout == "mmaction2"


@pytest.mark.parametrize(
    ("network", "torchvision", "official"),
    [
        ("resnet", torchvision_resnet_state, resnet_state),
        ("mobilenet", torchvision_mobilenet_state, mobilenet_state),
    ],
)
def test_every_tensor_of_image_weights_is_loaded(
    network: str,
    torchvision: Callable,
    official: Callable,
    tmp_path: pathlib.Path,
    request: pytest.FixtureRequest,
    rng: np.random.Generator,
) -> None:
    """Both states have the same values. The file's tensors are shuffled, with and without the
    prefixes of models that were trained on several devices, compiled, or by Lightning."""
    model = request.getfixturevalue(network)
    import_torch(model, torch_files.write(official(), tmp_path / "official.pth"))
    expected = model.get_weights()
    state = torchvision()
    for prefix in ("", "module.", "model._orig_mod."):
        for variable in model.weights:
            variable.assign(np.full(variable.shape, np.nan))
        shuffled = {f"{prefix}{key}": state[key] for key in rng.permutation(list(state))}
        path = tmp_path / "images.pth"
        torch_files.write({"state_dict": shuffled}, path, legacy=bool(prefix))
        report = import_torch(model, path)
        assert report.layout == "torchvision"
        assert set(report.loaded) | set(report.ignored) == set(shuffled)
        assert not report.unchanged
        assert_equal_weights(model.get_weights(), expected)


def test_a_mobilenet_loads_online_and_offline_weights(
    save: Callable, mobilenet: keras.Model
) -> None:
    online = build(tsm_mobilenet_v2, temporal_padding="causal")
    state = mobilenet_state()
    assert_equal_weights(
        weights_after_import(online, save(mobilenet_state(online=True))),
        weights_after_import(mobilenet, save(state)),
    )
    depthwise = state["module.base_model.features.2.conv.3.weight"].transpose(2, 3, 0, 1)
    np.testing.assert_array_equal(online.get_layer("block2.depthwise_conv").kernel, depthwise)


def test_a_non_local_network_loads_its_weights(save: Callable) -> None:
    state = resnet_state(non_local=True)
    model = build(tsm_resnet, non_local=True)
    with pytest.raises(CheckpointError, match="layer2.0.nl.theta.weight: missing"):
        import_torch(model, save(resnet_state()))
    import_torch(model, save(state))
    theta = state["module.base_model.layer3.2.nl.theta.weight"][:, :, 0, 0, 0].T
    np.testing.assert_array_equal(model.get_layer("conv4_block3.nl").theta.kernel, theta)
    last = state["module.base_model.layer3.2.nl.W.0.weight"][None, None, :, :, 0, 0, 0]
    layer = model.get_layer("conv4_block3.nl_conv")
    np.testing.assert_array_equal(layer.kernel, last.swapaxes(-1, -2))
    assert np.any(layer.bias)
    report = import_torch(model, save(resnet_state(mmaction=True, non_local=True)))
    assert len(report.zeroed) == 5
    assert not np.any(layer.bias)


def test_a_file_without_shifts_fits_with_and_without(
    save: Callable, resnet: keras.Model, plain_resnet: keras.Model
) -> None:
    """A file without `.net` does not say whether its network shifts."""
    path = save(resnet_state(shift=False))
    assert_equal_weights(
        weights_after_import(plain_resnet, path), weights_after_import(resnet, path)
    )


def test_shifts_are_checked_wherever_they_come_from(
    save: Callable, resnet: keras.Model, plain_resnet: keras.Model
) -> None:
    """Inserted shifts fit like built-in ones; in-place shifts fit an in-place network only."""
    import_torch(insert_temporal_shift(plain_resnet), save(resnet_state()))
    state = {}
    for key, value in resnet_state(shift=False).items():
        stage, *rest = key.partition("layer")[2].split(".", 2)
        moved = f"module.base_model.layer{stage}.{rest[0]}.net.{rest[1]}" if rest else key
        state[moved if "layer" in key else key] = value
    path = save(state)
    import_torch(insert_temporal_shift(plain_resnet, placement="in_place"), path)
    with pytest.raises(CheckpointError, match="checkpoint: layer1.0 in_place.*\n.*layer1.0 res"):
        import_torch(resnet, path)


# --- errors ---------------------------------------------------------------------------------------


def test_all_faults_are_listed_and_nothing_changes(save: Callable, resnet: keras.Model) -> None:
    state = resnet_state()
    prefix = "module.base_model."
    del state[f"{prefix}layer1.1.bn2.weight"], state[f"{prefix}conv1.weight"]
    state[f"{prefix}layer9.0.conv1.weight"] = np.ones((1, 1, 1, 1), "float32")
    state[f"{prefix}layer1.0.conv2.weight"] = np.ones((8, 8, 1, 1), "float32")
    state["module.new_fc.weight"] = np.ones((174, 104), "float32")
    state["new_fc.bias"] = state["module.new_fc.bias"]
    state[f"{prefix}layer1.0.conv1.weight"] = state.pop(f"{prefix}layer1.0.conv1.net.weight")
    before = resnet.get_weights()
    with pytest.raises(CheckpointError) as error:
        import_torch(resnet, save(state))
    message = str(error.value)
    for fault in (
        "layer1.1.bn2.weight: missing",
        "conv1.weight: missing",
        "layer9.0.conv1.weight: 'ours' has no such weight",
        "layer1.0.conv2.weight: expected shape (8, 8, 3, 3). Received: (8, 8, 1, 1)",
        "module.new_fc.weight: expected shape (5, 104). Received: (174, 104)",
        "new_fc.bias: the same weight as module.new_fc.bias",
        "blocks shifted only in 'ours': layer1.0 residual",
    ):
        assert fault in message
    assert message.count("\n  - ") == 8
    assert_equal_weights(resnet.get_weights(), before)


@pytest.mark.parametrize(
    ("network", "state", "message"),
    [
        ("mobilenet", resnet_state, "layer1.0.conv1.net.weight: 'ours' has no such weight"),
        ("resnet", mobilenet_state, "features.18.1.bias: 'ours' has no such weight"),
        ("plain_resnet", resnet_state, "only in the checkpoint: layer1.0 residual, lay"),
    ],
)
def test_rejects_the_file_of_another_network(
    network: str, state: Callable, message: str, save: Callable, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(CheckpointError, match=message):
        import_torch(request.getfixturevalue(network), save(state()))


@pytest.mark.parametrize("name", ["other.norm", "block1_norm"])
def test_rejects_a_network_with_other_layers(name: str, save: Callable) -> None:
    frame = keras.Input((8, 8, 3))
    model = keras.Model(frame, keras.layers.LayerNormalization(name=name)(frame), name="named")
    with pytest.raises(CheckpointError, match=f"Received: 'named', .*'{name}'"):
        import_torch(model, save(resnet_state()))


def test_rejects_a_network_with_group_norm(save: Callable) -> None:
    with pytest.raises(CheckpointError, match="norm='batch'. Received: 'ours', .*'stem.gn'"):
        import_torch(build(tsm_mobilenet_v2, norm="group"), save(mobilenet_state()))


def test_the_states_have_the_official_names(shared: pathlib.Path) -> None:
    """Apart from the prefix of models trained on several devices, and the batch counters."""
    for name, state in (
        ("tsm_resnet50", resnet_state()),
        ("tsm_mobilenetv2", mobilenet_state()),
        ("tsm_mobilenetv2_online", mobilenet_state(online=True)),
    ):
        tensors = json.loads((shared / "golden" / f"{name}.json").read_text())["tensors"]
        official = {key for key, *_ in tensors}
        ours = {key.removeprefix("module.") for key in state if "num_batches" not in key}
        without_net = [{key.replace(".net", "") for key in keys} for keys in (ours, official)]
        assert without_net[0] == without_net[1]
        # At width 0.05 one more MobileNetV2 block keeps its number of channels, so it is shifted.
        assert ours >= official or "mobilenet" in name
