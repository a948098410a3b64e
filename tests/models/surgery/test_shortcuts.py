"""Shortcuts inserted into chains of units: what each unit reads, and which weights it has."""

import pathlib

import keras
import numpy as np
import pytest
from keras import layers
from random_weights import randomize

from mpvn import Plan, VideoNetwork
from mpvn.models import full_res, insert_shortcuts, simple_cnn, vgg8
from mpvn.training import SidewaysTrainer


def chain(widths: tuple[int, ...] = (4, 4, 4, 4, 4)) -> keras.Model:
    x = frame = keras.Input((3,))
    for index, width in enumerate(widths):
        x = layers.Dense(width, "tanh", name=f"unit{index}.dense")(x)
    model = keras.Model(frame, x, name="chain")
    randomize(model, np.random.default_rng(0))
    return model


@pytest.mark.parametrize("shortcuts", [(2,), (3,), (3, 2)])
def test_units_read_earlier_units(shortcuts: tuple, rng: np.random.Generator) -> None:
    model = chain()
    with_shortcuts = insert_shortcuts(model, shortcuts, "add")
    frame = rng.normal(size=(2, 3)).astype("float32")
    outputs: list = []
    for index in range(5):
        inputs = sum(outputs[index - k] for k in (1, *shortcuts) if k <= index) if index else frame
        kernel, bias = model.get_layer(f"unit{index}.dense").get_weights()
        outputs.append(np.tanh(inputs @ kernel + bias))
    np.testing.assert_allclose(with_shortcuts(frame), outputs[-1], rtol=1e-5)
    assert np.abs(np.asarray(model(frame)) - outputs[-1]).max() > 1e-2, "model does not change"
    for index in range(5):
        name = f"unit{index}.dense"
        assert with_shortcuts.get_layer(name) is model.get_layer(name)


def test_subnetworks_start_with_their_merges() -> None:
    model = insert_shortcuts(chain())
    plan = Plan(model, 5, partition="units")
    assert plan.boundaries == ("unit1.dense", "unit2.dense", "unit3.merge", "unit4.merge")
    assert plan.information_latency == (2, 4)  # 0 -> 3 -> 4, and 0 -> 1 -> 2 -> 3 -> 4


def test_a_shortcut_delivers_a_newer_frame(rng: np.random.Generator) -> None:
    """A change of the frames reaches the output two steps later, through the shortcut."""
    model = insert_shortcuts(chain())
    network = VideoNetwork(model, Plan(model, 5, partition="units"))
    clip = np.repeat(rng.normal(size=(1, 1, 3)), 9, axis=1).astype("float32")
    changed = clip.copy()
    changed[:, 3:] += 1
    difference = np.abs(np.asarray(network(clip)) - np.asarray(network(changed))).max(axis=(0, 2))
    np.testing.assert_array_equal(difference > 1e-6, np.arange(9) >= 5)


def test_all_layers_of_a_unit_read_the_merged_input(rng: np.random.Generator) -> None:
    """In a residual unit, the identity reads the merged input like the branch."""
    frame = keras.Input((3,))
    a = layers.Dense(3, name="a")(frame)
    b = layers.Dense(3, name="b")(a)
    c = layers.Dense(3, name="c")(b)
    model = keras.Model(frame, layers.Add(name="sum")([c, b]))
    with_shortcuts = insert_shortcuts(model, (2,), "add", starts=["b", "c"])
    x = rng.normal(size=(2, 3)).astype("float32")
    first = model.get_layer("a")(x)
    second = model.get_layer("b")(first)
    merged = first + second
    np.testing.assert_allclose(with_shortcuts(x), model.get_layer("c")(merged) + merged, rtol=1e-5)


@pytest.mark.parametrize("build", [simple_cnn, vgg8, full_res])
def test_published_chains_take_shortcuts(build, tmp_path: pathlib.Path) -> None:
    """They run on clips and survive saving."""
    model = insert_shortcuts(build((32, 32, 3), width=0.05))
    units = {name.partition(".")[0] for name in Plan(model).nodes}
    assert len(merge_weights(model)) == len(units) - 3
    network = VideoNetwork(model, Plan(model, len(units), partition="units"))
    clip = np.random.default_rng(0).normal(size=(1, 9, 32, 32, 3)).astype("float32")
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    np.testing.assert_allclose(loaded(clip), network(clip), rtol=1e-5, atol=1e-6)


def test_merges_train_by_sideways(rng: np.random.Generator) -> None:
    model = insert_shortcuts(simple_cnn((32, 32, 3), width=0.05))
    network = VideoNetwork(model, Plan(model, 6, partition="units"))
    clip = rng.normal(size=(1, 17, 32, 32, 3)).astype("float32")
    trainer = SidewaysTrainer(network)
    trainer.compile("sgd", "mse")
    before = merge_weights(model)
    targets = np.zeros(network.compute_output_shape(clip.shape), "float32")
    trainer.fit(clip, targets, verbose=0)
    for old, new in zip(before, merge_weights(model), strict=True):
        assert np.abs(old[0] - new[0]).max() > 0


def merge_weights(model: keras.Model) -> list[list[np.ndarray]]:
    return [layer.get_weights() for layer in model.layers if layer.name.endswith(".merge")]


def test_invalid_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 2, because.*Received: \(1,\)"):
        insert_shortcuts(chain(), (1,))
    with pytest.raises(ValueError, match="number of channels.*Received: 'concatenate'"):
        insert_shortcuts(chain(), merge="concatenate")
    with pytest.raises(ValueError, match="more than 5 units.*Received: 5 units"):
        insert_shortcuts(chain(), (5,))
    with pytest.raises(ValueError, match="has no units.*starts="):
        insert_shortcuts(keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3)))
    with pytest.raises(ValueError, match="Expected names of nodes.*Received: nowhere"):
        insert_shortcuts(chain(), starts=["nowhere"])
    with pytest.raises(
        ValueError, match="Cannot add a shortcut with 4 channels to a main input with 5"
    ):
        insert_shortcuts(chain((4, 4, 5, 5)), (2,), "add")
