"""Networks that begin with weights of PyTorch: of ImageNet, or of another video network."""

import logging
import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import torch_files
from torch_files import (
    State,
    calm,
    mobilenet_state,
    resnet_state,
    torchvision_mobilenet_state,
    torchvision_resnet_state,
)

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
from mpvn.training.build import build_network

SIZE = (32, 32, 3)
WIDTH = 0.05  # that of the files

RESNET = (tsm_resnet, torchvision_resnet_state, resnet_state)
MOBILENET = (tsm_mobilenet_v2, torchvision_mobilenet_state, mobilenet_state)


@pytest.fixture
def save(tmp_path: pathlib.Path) -> Callable[..., pathlib.Path]:
    def save(saved: Any, name: str = "images.pth", legacy: bool = False) -> pathlib.Path:
        return torch_files.write(saved, tmp_path / name, legacy)

    return save


def small(build: Callable[..., keras.Model], shape: tuple = SIZE, **options: Any) -> keras.Model:
    return build(shape, width=WIDTH, name="ours", **options)


def said(model: keras.Model, clip: np.ndarray) -> np.ndarray:
    return np.asarray(mpvn.VideoNetwork(model)(clip.astype("float32")))


@pytest.mark.parametrize(("build", "images", "official"), [RESNET, MOBILENET])
def test_images_weights_see_the_pixels_that_they_know(
    build: Callable,
    images: Callable,
    official: Callable,
    save: Callable,
    tmp_path: pathlib.Path,
    rng: np.random.Generator,
) -> None:
    """Frames between -1 and 1 give what the authors' network gives of normalized ones; exactly at
    the border too, where zeros are padded to the normalized frame. And once more from a file."""
    begun = small(build, weights=save(calm(images())))
    plain = small(build, classes=5)
    import_torch(plain, save(calm(official()), "official.pth"))
    pixels = rng.integers(0, 256, (1, 4, *SIZE))
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = said(plain, (pixels / 255 - mean) / deviation)
    assert np.isfinite(expected).all()
    assert np.std(expected) > 0.01
    found = said(begun, pixels / 127.5 - 1)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    begun.save(tmp_path / "begun.keras")
    again = keras.saving.load_model(tmp_path / "begun.keras")
    np.testing.assert_array_equal(said(again, pixels / 127.5 - 1), found)


@pytest.mark.parametrize(("build", "images", "official"), [RESNET, MOBILENET])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_every_tensor_of_images_weights_has_its_place(
    build: Callable,
    images: Callable,
    official: Callable,
    prefix: str,
    save: Callable,
    rng: np.random.Generator,
) -> None:
    """The tensors are made in the same order with the same seed, and shuffled."""
    model, expected = small(build, classes=5), small(build, classes=5)
    import_torch(expected, save(official()))
    state = images()
    shuffled = {f"{prefix}{key}": state[key] for key in rng.permutation(list(state))}
    done = import_torch(model, save({"state_dict": shuffled}, legacy=bool(prefix)))
    assert done.layout == "torchvision"
    assert set(done.loaded) | set(done.ignored) == set(shuffled)
    assert not done.left
    for our, their in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(our, their)


def test_grouped_convolutions_take_their_weights(save: Callable) -> None:
    """ResNeXt-101 at this width: two groups of 8 channels in conv2, of 64 in conv5."""
    state = torchvision_resnet_state(inner=(16, 32, 64, 128), groups=2, blocks=(3, 4, 23, 3))
    model = small(tsm_resnext101, weights=save(state))
    kernel = state["layer3.22.conv2.weight"].transpose(2, 3, 1, 0)
    assert kernel.shape == (3, 3, 32, 64)
    np.testing.assert_array_equal(model.get_layer("conv4_block23.2_conv").kernel, kernel)


@pytest.mark.parametrize(
    ("build", "state"),
    [
        (tsm_resnet, torchvision_resnet_state()),
        (tsm_mobilenet_v2, torchvision_mobilenet_state()),
        (tsm_resnet, resnet_state()),
        (tsm_mobilenet_v2, mobilenet_state(mmaction=True)),
    ],
    ids=["images resnet", "images mobilenet", "official resnet", "mmaction2 mobilenet"],
)
def test_a_classifier_is_taken_over_by_as_many_classes(
    build: Callable, state: State, save: Callable, caplog: pytest.LogCaptureFixture
) -> None:
    """Not told otherwise, a network has the file's classes. Those of another set keep weights of
    their own, and the log says so; to import without training, that is a fault."""
    path = save(state)
    whole = small(build, weights=path)
    bias = next(value for key, value in state.items() if value.shape == (5,))
    np.testing.assert_array_equal(whole.get_layer("head.logits").bias, bias)
    assert "but for" not in caplog.text
    with caplog.at_level(logging.WARNING, "absl"):
        other = small(build, weights=path, classes=7)
    assert f"ours begins with {path} but for head.logits/kernel, head.logits/bias" in caplog.text
    assert not np.any(other.get_layer("head.logits").bias)
    for ours, theirs in zip(other.weights[:-2], whole.weights[:-2], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(CheckpointError, match=r"expected \(7,\), got \(5,\)"):
        import_torch(small(build, classes=7), path)


def test_non_local_blocks_begin_as_nothing(save: Callable, rng: np.random.Generator) -> None:
    path = save(calm(torchvision_resnet_state()))
    plain, model = small(tsm_resnet, weights=path), small(tsm_resnet, weights=path, non_local=True)
    clip = rng.uniform(-1, 1, (1, 3, *SIZE))
    np.testing.assert_allclose(said(model, clip), said(plain, clip), rtol=1e-3, atol=1e-4)
    with pytest.raises(CheckpointError, match="layer2.0.nl.theta.weight: missing"):
        import_torch(small(tsm_resnet, non_local=True, classes=5), path)
    half = resnet_state(non_local=True)
    del half["module.base_model.layer2.0.nl.theta.weight"]
    with pytest.raises(CheckpointError, match=r"layer2.0.nl.theta.weight: missing\Z"):
        small(tsm_resnet, non_local=True, weights=save(half))


@pytest.mark.parametrize(
    ("build", "images", "name"),
    [
        (tsm_resnet, torchvision_resnet_state, "conv1.weight"),
        (tsm_mobilenet_v2, torchvision_mobilenet_state, "features.0.0.weight"),
    ],
)
def test_flow_begins_with_the_mean_of_the_colors(
    build: Callable, images: Callable, name: str, save: Callable
) -> None:
    """*Temporal Segment Networks*, section 3.2; and what does not move is 0, as in its code."""
    state = images()
    model = small(build, (32, 32, 10), weights=save(state))
    mean = state[name].mean(axis=1).transpose(1, 2, 0)  # [out, in, h, w] -> [h, w, out]
    kernel = np.asarray(model.get_layer("stem.conv").kernel)
    np.testing.assert_allclose(kernel, np.repeat(mean[:, :, None], 10, axis=2), rtol=1e-6)
    normalized = model.get_layer("stem.normalized")
    flow = np.array([[[[-1.0, 0.0, 1.0] + 7 * [0.0]]]])
    ends = 0.5 / np.mean([0.229, 0.224, 0.225])
    np.testing.assert_allclose(normalized(flow)[0, 0, 0, :3], [-ends, 0, ends], rtol=1e-6)
    with pytest.raises(CheckpointError, match=f"{name}: expected .*, 10, .*, got .*, 3, "):
        import_torch(small(build, (32, 32, 10), classes=5), save(state))
    state[name] = np.ascontiguousarray(np.repeat(state[name], 4, axis=1)[:, :10])
    of_flow = small(build, (32, 32, 10), weights=save(state))
    kernel = state[name].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(of_flow.get_layer("stem.conv").kernel, kernel)


def test_a_network_by_name_and_a_config_take_weights(
    save: Callable, rng: np.random.Generator
) -> None:
    """A stream brings pixels to -1..1, as training's pipeline does: the network to the rest."""
    path = save(calm(torchvision_mobilenet_state()))
    loaded = load_frame_model(
        "tsm_mobilenet_v2", size=32, weights=str(path), options={"width": WIDTH}
    )
    pixels = rng.integers(0, 256, (2, *SIZE), dtype=np.uint8)
    np.testing.assert_allclose(loaded.prepare(pixels), pixels / 127.5 - 1, atol=1e-6)
    config = base_config()
    config.model.name, config.model.size, config.model.weights = "tsm_mobilenet_v2", 32, str(path)
    config.model.options = {"width": WIDTH}
    network = build_network(config, {"classes": 5})
    expected = loaded.model(loaded.prepare(pixels))
    np.testing.assert_array_equal(network.frame_model(loaded.prepare(pixels)), expected)


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "images", "conv", "norm"),
    [
        (tsm_resnet, torchvision_resnet_state, "layer1.0.conv2", "layer4.2.bn3"),
        (
            tsm_mobilenet_v2,
            torchvision_mobilenet_state,
            "features.2.conv.1.0",
            "features.17.conv.3",
        ),
    ],
)
def test_all_faults_of_images_weights_are_listed(
    build: Callable, images: Callable, conv: str, norm: str, save: Callable
) -> None:
    state = images()
    state["extra.weight"] = np.ones(3, "float32")
    state[f"{conv}.weight"] = np.ones((8, 8), "float32")
    del state[f"{norm}.running_var"]
    with pytest.raises(CheckpointError) as refused:
        small(build, weights=save(state), classes=7)
    message = str(refused.value)
    assert "extra.weight: 'ours' has no such weight" in message
    assert f"{conv}.weight: expected" in message
    assert "running_var: missing" in message
    assert message.count("\n  - ") == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"fc.weight": np.ones((5, 8), "float32")},
        {"fc.bias": np.ones(4, "float32")},
        {"fc.bias": np.ones((), "float32")},
        {"fc.weight": np.ones((), "float32")},
        {"conv1.weight": np.ones(3, "float32")},
        {"conv1.weight": np.ones((8, 4, 7, 7), "float32")},
        {"fc.bias": None},
    ],
    ids=lambda changes: " ".join(f"{k} {getattr(v, 'shape', '')}" for k, v in changes.items()),
)
def test_a_misshapen_end_is_no_other_task(changes: dict, save: Callable) -> None:
    state = {**torchvision_resnet_state(), **changes}
    path = save({key: value for key, value in state.items() if value is not None})
    with pytest.raises(CheckpointError, match="missing|expected"):
        small(tsm_resnet, weights=path, classes=7)


def test_a_file_that_cannot_be_read_is_refused(save: Callable, tmp_path: pathlib.Path) -> None:
    path = save(torchvision_mobilenet_state())
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    for classes in (None, 5):
        with pytest.raises(CheckpointError, match="no checkpoint that can be read"):
            small(tsm_mobilenet_v2, weights=path, classes=classes)
    with pytest.raises(ModelError, match="there is no file imagenet.*torchvision's mobilenet_v2"):
        load_frame_model("tsm_mobilenet_v2", weights="imagenet")
    with pytest.raises(ModelError, match="'ours' has no such weight|does not fit"):
        path = save(torchvision_resnet_state())
        load_frame_model("tsm_mobilenet_v2", size=32, weights=str(path))
    headless = {k: v for k, v in torchvision_resnet_state().items() if not k.startswith("fc.")}
    with pytest.raises(CheckpointError, match="has no classifier: say how many classes"):
        small(tsm_resnet, weights=save(headless))


def test_a_tar_file_of_the_first_pytorch_is_named(tmp_path: pathlib.Path) -> None:
    """Torchvision's oldest files are such: resnet50-19c8e357.pth."""
    import tarfile

    path = tmp_path / "old.pth"
    (tmp_path / "pickle").write_bytes(b"")
    with tarfile.open(path, "w") as archive:
        archive.add(tmp_path / "pickle", "pickle")
    with pytest.raises(CheckpointError, match=r"it is a tar file.*torch.save\(torch.load"):
        import_torch(small(tsm_resnet), path)
