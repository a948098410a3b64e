"""Memories inserted into networks: what is read, what is shared, and what training begins with."""

import keras
import numpy as np
import pytest
from keras import layers
from random_weights import randomize

from mpvn import Plan, VideoNetwork
from mpvn.models import insert_recurrent
from mpvn.models.surgery.rebuild import with_frame_size
from mpvn.training import base_config
from mpvn.training.build.frame_model import build_frame_model
from mpvn.training.build.network import build_network

CLIP = np.random.default_rng(2).normal(size=(2, 5, 4, 4, 3)).astype("float32")


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """Return two units, of which the first ends with a sum that three nodes read."""
    frame = keras.Input((4, 4, 3))
    x = layers.Conv2D(2, 3, padding="same", name="first.conv")(frame)
    x = layers.Add(name="first.sum")([x, layers.ReLU(name="first.relu")(x)])
    y = layers.Add(name="second.sum")([x, layers.Conv2D(2, 1, name="second.conv")(x)])
    model = keras.Model(frame, layers.Add(name="second.output")([x, y]), name="two_units")
    randomize(model, np.random.default_rng(3))
    return model


def test_an_untrained_memory_changes_nothing(model: keras.Model) -> None:
    for cell in ("gru", "lstm"):
        remembering = insert_recurrent(model, ["first.conv", "second.conv"], cell)
        plan = {"subnetworks": 2, "partition": "units", "clocks": [1, 2]}
        networks = [VideoNetwork(m, Plan(m, **plan)) for m in (model, remembering)]
        np.testing.assert_array_equal(networks[1](CLIP), networks[0](CLIP))
        kernel = remembering.get_layer("first.conv_memory").kernel
        assert not np.any(kernel)
        assert remembering.get_layer("first.conv") is model.get_layer("first.conv")


def test_one_place_may_be_a_name_alone(model: keras.Model) -> None:
    assert insert_recurrent(model, "first").get_layer("first.sum_memory")


def test_all_readers_of_a_unit_read_its_memory(model: keras.Model) -> None:
    remembering = insert_recurrent(model, ["first"], kernel_size=(1, 2))
    memory = remembering.get_layer("first.sum_memory")
    randomize(memory, np.random.default_rng(4))
    x = model.get_layer("first.conv")(CLIP.reshape(-1, 4, 4, 3))
    x = np.asarray(x + np.maximum(x, 0)).reshape(2, 5, 4, 4, 2)
    x = x + np.asarray(memory(x))
    expected = 2 * x + np.asarray(model.get_layer("second.conv")(x.reshape(-1, 4, 4, 2))).reshape(
        x.shape
    )
    network = VideoNetwork(remembering)
    np.testing.assert_allclose(network(CLIP), expected, rtol=1e-5, atol=1e-5)
    assert Plan(remembering, 2, partition="units").boundaries == ("second.conv",)


def test_a_model_with_memories_takes_another_frame_size(model: keras.Model) -> None:
    remembering = insert_recurrent(model, ["first"], "lstm")
    randomize(remembering.get_layer("first.sum_memory"), np.random.default_rng(4))
    larger = with_frame_size(remembering, (6, 5))
    assert larger.get_layer("first.sum_memory") is remembering.get_layer("first.sum_memory")
    networks = VideoNetwork(remembering), VideoNetwork(larger)
    padded = np.pad(CLIP, [[0, 0], [0, 0], [0, 2], [0, 1], [0, 0]])
    difference = networks[0](CLIP) - networks[1](padded)[:, :, :4, :4]
    assert not np.any(difference[:, 0, :2, :2])  # the border is out of sight
    assert np.any(difference[:, 4, :2, :2])  # of one frame, not of the memory


def test_a_config_inserts_memories() -> None:
    config = base_config()
    config.model.update(name="simple_cnn", size=16, options={"width": 0.1})
    config.model.surgery = {"recurrent": {"after": "conv1", "cell": "lstm"}}
    network = build_network(config, build_frame_model(config, {"classes": 2}))
    (memory,) = (node for node in network.plan.nodes if node.endswith("_memory"))
    assert memory.startswith("conv1.")
    assert network.plan.receptive_field is None


@pytest.mark.parametrize(
    ("after", "cell", "message"),
    [
        (["nowhere"], "gru", "such as .*first.*Received: nowhere"),
        ([], "gru", "Received: none"),
        (["second"], "gru", "other nodes read.*Received: second"),
        (["first"], "rnn", "Invalid cell.*gru.*lstm.*Received: 'rnn'"),
    ],
)
def test_a_mistake_is_named(model: keras.Model, after: list, cell: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        insert_recurrent(model, after, cell)
