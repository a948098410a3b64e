"""Buffers are used again if nobody holds them, and never before."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from clocked_networks import everything, frames

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


def test_a_long_stream_takes_no_more_memory() -> None:
    compiled = everything().compile_inference(runtime="openvino")
    state, counts = compiled.initial_state(1), []
    for frame in frames(1, 60):
        _, state = compiled.step(frame, state)
        counts.append(len(compiled._runtime._owned))
    assert counts[-1] == counts[20]
