"""Buffers are used again if nobody holds them, and never before."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from clocked_networks import INPUTS, everything, frames

import keras_layers
import mpvn
from mpvn.runtime import CompiledNetwork
from mpvn.runtime.buffers import Buffer, Pool

HOLDERS: dict[str, Callable[[Buffer], Any]] = {
    "itself": lambda buffer: buffer,
    "a user's view": lambda buffer: buffer.view,
    "a slice": lambda buffer: buffer.view[0, 1:],
    "a slice of a slice": lambda buffer: buffer.view[0][2:].T,
    "a list of rows": lambda buffer: [*buffer.view],
    "a buffer of bytes": lambda buffer: memoryview(buffer.view),
    "TensorFlow": lambda buffer: tf.convert_to_tensor(buffer.view),
}


def pool(limit: int = 3) -> Pool:
    return Pool((2, 4), np.dtype("float32"), memoryview, {}, limit)


def address(buffer: Buffer) -> int:
    return buffer.array.ctypes.data


@pytest.mark.parametrize("holder", HOLDERS)
def test_what_is_held_stays(holder: str) -> None:
    buffers = pool()
    buffer = buffers.take()
    buffer.array[...] = 1.0
    held, first = HOLDERS[holder](buffer), address(buffer)
    del buffer
    for _ in range(5):
        taken = buffers.take()
        assert address(taken) != first or holder == "TensorFlow"  # which may have copied it
        taken.array[...] = 2.0
    values = held.array if isinstance(held, Buffer) else held
    assert (np.asarray(values) == 1.0).all()
    del held, values, taken
    assert address(buffers.take()) == first


def test_pools_stay_small() -> None:
    """A user may keep more arrays than a pool; they live on without it."""
    buffers = pool(limit=2)
    kept = []
    for number in range(10):
        buffer = buffers.take()
        buffer.array[...] = number
        kept.append(buffer.view)
        del buffer
    assert [float(view[1, 3]) for view in kept] == [*range(10)]
    assert len(buffers._buffers) == len(buffers._owned) == 2
    assert address(buffers.take()) % 64 == 0


@pytest.fixture(scope="module")
def compiled() -> CompiledNetwork:
    return everything().compile_inference(runtime="openvino", clip=4)


def test_a_long_stream_takes_no_more_memory(compiled: CompiledNetwork) -> None:
    state, counts = compiled.initial_state(1), []
    for frame in frames(1, 60):
        _, state = compiled.step(frame, state)
        counts.append(len(compiled._runtime._owned))
    assert counts[-1] == counts[20]


def test_many_clips_take_no_more_memory(compiled: CompiledNetwork) -> None:
    state, counts = compiled.initial_state(1), []
    for _ in range(12):
        clip = {name: np.zeros((1, 8, *shape), np.float32) for name, shape in INPUTS.items()}
        _, state = compiled.run(clip, state)
        counts.append(len(compiled._runtime._owned))
    assert counts[-1] == counts[4]


def test_values_of_a_clip_are_kept_until_they_are_read(
    compiled: CompiledNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a long clip, units keep as many values as of a short one, but for outputs."""
    monkeypatch.setattr(compiled, "_workers", None)
    monkeypatch.setattr(compiled._runtime, "_limit", 100)
    counts = []
    for steps in (24, 40):
        monkeypatch.setattr(compiled, "_clip", steps)
        clip = {name: np.zeros((3, steps, *shape), np.float32) for name, shape in INPUTS.items()}
        compiled.run(clip, compiled.initial_state(3))
        runs = [each.run for each in compiled._compiled.values() if each.run]
        counts.append([[len(pool._buffers) for pool in run._pools[3]] for run in runs[:-1]])
    assert counts[0] == counts[1]


@pytest.mark.parametrize("clip", [None, 4])
def test_a_camera_may_write_each_frame_to_the_same_array(
    clip: int | None, rng: np.random.Generator
) -> None:
    """Frames are read in place; memories and outputs of frames are copies."""
    frame = keras.Input((4, 4, 3))
    x = keras_layers.TemporalConv3D(2, (3, 1, 1), name="window")(frame)
    late = keras.layers.Subtract(name="late")([keras.layers.Conv2D(3, 1)(x), frame])
    model = keras.Model(frame, [late, keras.layers.Identity()(frame)])
    network = mpvn.VideoNetwork(model, mpvn.Plan(model, boundaries=["late"], clocks=[1, 2]))
    compiled = network.compile_inference("openvino", clip=clip)
    camera, seen = np.empty((2, 4, 4, 3), np.float32), []
    state, expected_state = compiled.initial_state(2), network.initial_state(2)
    for number in range(9):
        camera[...] = fresh = rng.normal(size=camera.shape)
        outputs, state = compiled.step(camera, state)
        expected, expected_state = network.step(fresh.astype("float32"), expected_state)
        seen.append((outputs, expected))
        camera[...] = number
    for outputs, expected in seen:
        tf.nest.map_structure(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), outputs, expected
        )


@pytest.mark.parametrize("layout", ["another order", "read-only", "not aligned"])
def test_frames_may_lie_in_memory_in_any_way(compiled: CompiledNetwork, layout: str) -> None:
    def laid_out(array: np.ndarray) -> np.ndarray:
        if layout == "another order":
            return np.asfortranarray(array)
        if layout == "read-only":
            array.flags.writeable = False
            return array
        moved = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
        moved[...] = array
        return moved

    state = compiled.initial_state(2)
    for frame in frames(2, 5):
        given = {name: laid_out(array.copy()) for name, array in frame.items()}
        expected, _ = compiled.step(frame, state)
        outputs, state = compiled.step(given, state)
        tf.nest.map_structure(np.testing.assert_array_equal, outputs, expected)
