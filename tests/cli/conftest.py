"""A small saved model and a short video for the tests of the command line."""

import pathlib

import keras
import pytest
from rendered_video import write_rendered_video


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A small frame model, saved."""
    inputs = keras.Input((32, 48, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    for index in range(3):
        x = keras.layers.Conv2D(8, 3, strides=2, padding="same", name=f"conv{index}")(x)
        x = keras.layers.ReLU(name=f"relu{index}")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    network = keras.Model(inputs, keras.layers.Dense(4, name="scores")(x), name="small")
    path = tmp_path_factory.mktemp("model") / "small.keras"
    network.save(path)
    return path


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A video of 12 frames."""
    path = tmp_path_factory.mktemp("video") / "short.mp4"
    write_rendered_video(path, frames=12, size=(64, 96))
    return path
