"""Models on a stand-in of TensorFlow Serving."""

import pathlib
from collections.abc import Iterator

import keras
import numpy as np
import pytest
from random_weights import randomize
from served_kinds import Kinds
from served_slots import Slots
from tf_serving_stand_in import StandIn

import keras_layers
import mpvn

FRAMES = 8


@pytest.fixture(scope="package")
def network() -> mpvn.VideoNetwork:
    """A network with windows, a slow clock, a skip, and two outputs: its period is 2."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((4, 4, 3), name="video")
    x = keras_layers.TemporalConv3D(6, (2, 3, 3), activation="relu", name="first")(inputs)
    y = keras_layers.TemporalMaxPooling3D((2, 2, 2), (2, 2, 2), name="pool")(x)
    y = keras.layers.UpSampling2D(2, name="up")(keras.layers.Conv2D(6, 1, name="second")(y))
    merged = keras.layers.Add(name="merge")([x, y])
    scores = keras.layers.Dense(5, name="scores")(keras.layers.GlobalAveragePooling2D()(merged))
    model = keras.Model(inputs, {"scores": scores, "map": merged})
    randomize(model, np.random.default_rng(5))
    return mpvn.VideoNetwork(model, mpvn.Plan(model, boundaries=["pool", "up"], clocks="auto"))


@pytest.fixture(scope="package")
def clip() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(FRAMES, 4, 4, 3)).astype("float32")


@pytest.fixture(scope="package")
def expected(network: mpvn.VideoNetwork, clip: np.ndarray) -> dict[str, np.ndarray]:
    """The outputs `[T, ...]` of the network alone."""
    return {name: np.asarray(x)[0] for name, x in network(clip[np.newaxis]).items()}


@pytest.fixture(scope="package")
def root(network: mpvn.VideoNetwork, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder for servers.

    `carried` is the network with its state in and out, `served` with the state on the server.
    `slots` and `kinds` are written by hand.
    """
    root = tmp_path_factory.mktemp("served")
    network.export(root / "carried" / "1", verbose=False)
    network.export(root / "served" / "1", verbose=False, streams=3)
    Slots().export(root / "slots" / "1")
    Kinds().export(root / "kinds" / "1")
    return root


@pytest.fixture(scope="package")
def _server(root: pathlib.Path) -> Iterator[StandIn]:
    server = StandIn(root)
    yield server
    server.kill()


@pytest.fixture
def server(_server: StandIn) -> StandIn:
    """A server that a test may disturb and kill."""
    _server.heal()
    if not _server.is_running:
        _server.start()
    return _server
