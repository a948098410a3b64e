"""Checks the frames of a stream, so that a wrong one changes no state."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpvn.graph.data import Graph
from mpvn.serving.errors import InvalidRequest

_MOST_ID = 2**63 - 1  # int64


class Frames:
    """What a network takes and gives, one frame of one stream at a time.

    Args:
        graph: the frame model of the network.

    Attributes:
        specs: the spec `[...]` of each input, without a batch axis.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        tensors = [graph.tensors[index] for index in graph.inputs]
        self.specs = [tf.TensorSpec(each.shape, each.dtype, each.name) for each in tensors]

    def check(self, stream: str, frames: Any) -> list[np.ndarray]:
        """Return copies `[...]` of the frame of each input.

        Args:
            stream: names the stream, for messages.
            frames: arrays, in the structure of the frame model's inputs.

        Raises:
            InvalidRequest: the structure, a shape or a dtype is another one, or a value is not
                finite.
        """
        try:
            values = [np.asarray(value) for value in self._graph.pack_inputs(frames)]
        except (ValueError, TypeError) as error:
            raise InvalidRequest(f"{stream}: {error}") from error
        checks = zip(values, self.specs, strict=True)
        return [self._check(stream, value, spec) for value, spec in checks]

    def batch(self, frames: list[list[np.ndarray]]) -> Any:
        """Return the frames of several streams, `[B, ...]`, in the structure of the inputs."""
        # [B][inputs] arrays [...] -> [inputs] arrays [B, ...]
        flat = [np.stack(each) for each in zip(*frames, strict=True)]
        return keras.tree.pack_sequence_as(self._graph.input_structure, flat)

    def _check(self, stream: str, value: np.ndarray, spec: tf.TensorSpec) -> np.ndarray:
        name, dtype = f"{stream}, input {spec.name!r}", spec.dtype
        if not spec.shape.is_compatible_with(value.shape):
            raise InvalidRequest(
                f"{name}: expected a frame of shape {tuple(spec.shape)}, without a batch axis. "
                f"Received: {value.shape}."
            )
        if not _same_kind(value.dtype, dtype):
            raise InvalidRequest(
                f"{name}: expected {dtype.name}. Received: {value.dtype}, which would mean other "
                "numbers. Convert the frames as the network was trained on them."
            )
        with np.errstate(over="ignore"):  # what is too large is not finite, and refused
            copy = np.array(value, dtype.as_numpy_dtype)
        if dtype.is_floating and not np.isfinite(copy).all():
            raise InvalidRequest(
                f"{name}: expected finite values of {dtype.name}. Received: a frame with NaN or "
                "infinity. Its stream goes on with the next frame."
            )
        return copy


def check_stream_id(stream_id: Any) -> int:
    """Return the id of a stream.

    Raises:
        InvalidRequest: it is not an integer of 64 bits.
    """
    is_integer = isinstance(stream_id, (int, np.integer)) and not isinstance(stream_id, bool)
    if not is_integer or not -_MOST_ID <= int(stream_id) + 1 <= _MOST_ID + 1:
        raise InvalidRequest(
            f"Invalid stream_id. Expected an integer of 64 bits. Received: {stream_id!r}."
        )
    return int(stream_id)


def _same_kind(received: np.dtype, wanted: tf.DType) -> bool:
    try:
        given = tf.as_dtype(received)
    except TypeError:
        return False
    if wanted.is_floating:
        return given.is_floating
    return given.is_integer and wanted.is_integer and np.can_cast(received, wanted.as_numpy_dtype)
