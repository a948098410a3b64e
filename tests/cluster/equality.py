"""What a cluster computes beside one process, for `test_equality.py`: run by a chief."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import clocked_networks
import keras
import numpy as np
import tensorflow as tf
from keras import layers
from random_weights import randomize

from mpvn import Plan, VideoNetwork
from mpvn.sideways.back_propagation import BackPropagationTrainer, GPipeTrainer
from mpvn.sideways.sideways_trainer import SidewaysTrainer

Devices = Sequence[str] | None

SIZE = (2, 6, 4, 4, 2)  # clips [B, T, H, W, C]


def largest_difference(ours: Any, theirs: Any) -> float:
    """Return the largest difference of arrays, relative to the largest of their values."""
    pairs = zip(tf.nest.flatten(ours), tf.nest.flatten(theirs), strict=True)
    return max(float(np.abs(np.subtract(a, b)).max() / (np.abs(b).max() + 1e-9)) for a, b in pairs)


def take_turns(devices: Sequence[str], count: int) -> list[str]:
    """Return a device for each of `count` subnetworks, in turn."""
    return [devices[number % len(devices)] for number in range(count)]


# --- streams and clips ----------------------------------------------------------------------------


def streams(devices: Sequence[str], start: str) -> dict[str, float]:
    """Return by how much streams, and clips, of three clocked subnetworks differ."""
    plain = clocked_networks.everything(start)
    plan = Plan(plain.frame_model, **_plan(take_turns(devices, 3)))
    placed = VideoNetwork(plain.frame_model, plan, start=start)
    frames = clocked_networks.frames(streams=2, steps=9)
    clip = {name: np.stack([each[name] for each in frames], axis=1) for name in frames[0]}
    expected = _stream(plain, frames)
    return {
        "stream": largest_difference(_stream(placed, frames), expected),
        "reset": largest_difference(_stream(placed, frames, 4), _stream(plain, frames, 4)),
        "clip": largest_difference(placed(clip), expected),
        "the order of frames": largest_difference(_stream(plain, frames[::-1]), expected),
    }


def _plan(devices: Sequence[str]) -> dict[str, Any]:
    """Return the arguments of the plan of `clocked_networks.everything`, on devices."""
    return {
        "boundaries": ["second", "third"],
        "clocks": [1, 2, 4],
        "phases": "aligned",
        "devices": devices,
    }


def _stream(network: VideoNetwork, frames: list, reset: int | None = None) -> Any:
    """Return the outputs `[B, T, ...]` of all steps; one of the streams may begin anew."""
    state, outputs = network.initial_state(2), []
    for step, frame in enumerate(frames):
        if step == reset:
            state = network.reset(state, np.array([True, False]))
        output, state = network.step(frame, state)
        outputs.append(output)
    return tf.nest.map_structure(lambda *x: np.stack(x, axis=1), *outputs)


# --- training -------------------------------------------------------------------------------------


def chain(devices: Devices, depth: int, batch_norm: bool = True, **options: Any) -> VideoNetwork:
    """Return a chain of `depth` subnetworks, always with the same weights."""
    frame = keras.Input(SIZE[2:])
    x = frame
    for number in range(depth):
        x = layers.Conv2D(3, 3, padding="same", use_bias=not batch_norm, name=f"module{number}")(x)
        if batch_norm:
            x = layers.BatchNormalization(name=f"norm{number}")(x)
        x = layers.Activation("tanh", name=f"tanh{number}")(x)
    model = keras.Model(frame, layers.Dense(2, name="last")(layers.GlobalAveragePooling2D()(x)))
    randomize(model, np.random.default_rng(7))
    boundaries = [f"module{number}" for number in range(1, depth)]
    return VideoNetwork(model, Plan(model, boundaries=boundaries, devices=devices), **options)


def whole_network(devices: Devices, depth: int) -> VideoNetwork:
    """Return the network itself: Keras trains it by exact gradients through time."""
    return chain(devices, depth)


def whole_sideways(devices: Devices, depth: int) -> VideoNetwork:
    """Return the network itself, trained by Sideways as a gradient of clips."""
    return chain(devices, depth, gradient="sideways")


def trainer_of(
    trainer: Callable[..., keras.Model], batch_norm: bool = True, **options: Any
) -> Callable[[Devices, int], keras.Model]:
    """Return a function that builds a trainer of a chain."""
    return lambda devices, depth: trainer(chain(devices, depth, batch_norm), **options)


TRAINED: dict[str, Callable[[Devices, int], keras.Model]] = {
    "network": whole_network,
    "sideways gradient": whole_sideways,
    "sideways": trainer_of(SidewaysTrainer),
    "sideways, an update at every frame": trainer_of(SidewaysTrainer, update_every=1),
    "back-propagation, updates within clips": trainer_of(BackPropagationTrainer, update_every=4),
    "gpipe": trainer_of(GPipeTrainer, batch_norm=False),
}


def data() -> tf.data.Dataset:
    """Return two batches of clips `SIZE`, and of targets that depend on the order of frames."""
    rng = np.random.default_rng(11)
    clips = rng.normal(size=(2, *SIZE)).astype("float32")
    return tf.data.Dataset.from_tensor_slices((clips, clips.mean(axis=(3, 4)).cumsum(axis=2)))


def fitted(name: str, devices: Devices, depth: int) -> tuple[list[float], list[np.ndarray], int]:
    """Return the losses, the weights after them, and the optimizer's count."""
    keras.utils.set_random_seed(3)
    model = TRAINED[name](devices, depth)
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    history = model.fit(data(), verbose=0, shuffle=False).history
    losses = [*history["loss"], *history["mae"], *model.evaluate(data(), verbose=0)]
    return losses, model.get_weights(), int(model.optimizer.iterations)


def training(name: str, devices: Sequence[str]) -> dict[str, Any]:
    """Return what training on a cluster, and beside it, ends with."""
    depth = len(devices)
    (losses, weights, updates), (expected, plain, counted) = (
        fitted(name, each, depth) for each in (devices, None)
    )
    before = TRAINED[name](None, depth).get_weights()
    return {
        "losses": losses,
        "expected": expected,
        "weights": largest_difference(weights, plain),
        "learned": largest_difference(before, plain),
        "updates": [updates, counted],
    }


def learning(devices: Sequence[str]) -> dict[str, Any]:
    """Return what pieces of streams that are learned one after the other end with."""
    (losses, weights), (expected, plain) = (
        _learned(each, len(devices)) for each in (devices, None)
    )
    return {
        "losses": losses,
        "expected": expected,
        "weights": largest_difference(weights, plain),
        "learned": 1.0,
        "updates": [0, 0],
    }


def _learned(devices: Devices, depth: int) -> tuple[list[float], list[np.ndarray]]:
    trainer = SidewaysTrainer(chain(devices, depth), update_every=1)
    trainer.compile(keras.optimizers.Adam(0.01), "mse")
    state, losses = trainer.initial_state(SIZE[0]), []
    for clip, targets in data():
        for first in range(0, SIZE[1], 3):
            piece = (x[:, first : first + 3] for x in (clip, targets))
            loss, _, state = trainer.learn(*piece, state)
            losses.append(float(loss))
        state = trainer.reset(state, np.array([True, False]))
    return losses, trainer.network.get_weights()


CASES: dict[str, tuple[int, Callable[[Sequence[str]], Any]]] = {
    "streams": (3, functools.partial(streams, start="zeros")),
    "primed streams": (2, functools.partial(streams, start="primed")),
    "sideways, learn": (2, learning),
    **{
        name: (3 if name in ("sideways", "network") else 2, functools.partial(training, name))
        for name in TRAINED
    },
}
"""What is compared: on how many workers, and how."""
