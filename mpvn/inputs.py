"""Checks and converts what users pass to a network: frames, or clips."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from mpvn.graph.data import Graph, Tensor


def convert_inputs(
    graph: Graph,
    structure: Any,
    kind: str,
    name: str,
    convert: Callable[[Any, str], Any] | None = None,
) -> list:
    """Return one tensor or array per input of the frame model, of the input's dtype.

    Args:
        graph: the frame model.
        structure: a tensor or array, or a structure of them like the frame model's inputs.
        kind: `"frame"` for `[B, ...]`, `"clip"` for `[B, T, ...]`.
        name: name of the network, for messages.
        convert: makes a tensor or an array of a value, given the dtype of the input; None makes
            tensors.

    Raises:
        ValueError: the structure or a shape does not fit the frame model.
    """
    leading = 1 if kind == "frame" else 2
    tensors = [graph.tensors[index] for index in graph.inputs]
    values = graph.pack_inputs(structure)
    converted = []
    for value, tensor in zip(values, tensors, strict=True):
        if not isinstance(value, keras.KerasTensor):
            _refuse_other_values(value, tensor, kind)
            value = (convert or _to_tensor)(value, tensor.dtype)
        shape = tuple(value.shape)
        if not _fits(shape, tensor, leading):
            raise ValueError(
                f"Expected a {kind} of shape {_shapes(tensors, leading)} for {name!r}. "
                f"Received: {shape}."
                + (" A clip has a time axis after the batch axis." if leading == 2 else "")
            )
        if graph.batch_size and shape[0] not in (None, graph.batch_size):
            raise ValueError(
                f"Expected a batch of {graph.batch_size} for {name!r}, the only size that its "
                f"frame model takes. Received: a {kind} of shape {shape}."
            )
        if leading == 2 and shape[1] == 0:
            raise ValueError(f"Expected a clip with at least one frame. Received: shape {shape}.")
        converted.append(value)
    _refuse_other_lengths(converted, leading, kind, name)
    return converted


def _to_tensor(value: Any, dtype: str) -> tf.Tensor:
    value = tf.convert_to_tensor(value)
    return value if value.dtype == dtype else tf.cast(value, dtype)


def _refuse_other_values(value: Any, tensor: Tensor, kind: str) -> None:
    """Raise ValueError unless `value` is an array of one shape."""
    if value is None:
        raise ValueError(
            f"Expected a {kind} for the input {tensor.name!r}. Received: None. A network needs all "
            "inputs, optional ones too."
        )
    if isinstance(value, tf.RaggedTensor):
        raise ValueError(
            f"Expected a {kind} of one shape. Received: a ragged tensor of shape "
            f"{tuple(value.shape)}. Pad clips to one length with .to_tensor() and give the padding "
            "a sample weight of 0, or batch clips of equal length."
        )


def _refuse_other_lengths(values: list, leading: int, kind: str, name: str) -> None:
    """Raise ValueError if inputs differ in their numbers of streams, or of frames."""
    for axis in range(leading):
        sizes = {value.shape[axis] for value in values} - {None}
        if len(sizes) > 1:
            raise ValueError(
                f"The inputs of {name!r} belong to the same streams and frames. Expected one size "
                f"of axis {axis} of each {kind}. Received: {sorted(sizes)}."
            )


def _fits(shape: tuple[int | None, ...], tensor: Tensor, leading: int) -> bool:
    """Return whether `shape` is that of `tensor` after `leading` axes of any size."""
    return len(shape) == leading + len(tensor.shape) and all(
        size in (None, expected)
        for size, expected in zip(shape[leading:], tensor.shape, strict=True)
    )


def _shapes(tensors: list[Tensor], leading: int) -> str:
    """Return the shapes of `tensors` as text, with the batch axis and, if `leading` is 2, time."""
    axes = ["B", "T"][:leading]
    return ", ".join(f"[{', '.join(map(str, [*axes, *t.shape]))}]" for t in tensors)
