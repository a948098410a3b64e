"""Reads the argument `input_signature` of `export`: the shapes and dtypes of a network's clips."""

from typing import Any

import keras
import tensorflow as tf

from mpvn.graph.data import Graph, Tensor


def clip_specs(graph: Graph, input_signature: Any = None) -> list[tf.TensorSpec]:
    """Return the spec of a clip `[B, T, ...]` for each input of the frame model.

    Args:
        graph: The frame model.
        input_signature: One spec per input, in the structure of the frame model's inputs, alone or
            in a list, as Keras takes it: a `tf.TensorSpec`, a `keras.InputSpec`, a
            `keras.KerasTensor`, or a tensor; the batch size of the last two is open. It describes a
            clip `[B, T, ...]` or a frame `[B, ...]`. Sizes that are numbers are fixed in the file.
            Inputs of another dtype than the frame model's are cast. None leaves B and T open.

    Raises:
        TypeError: If a spec is of another type.
        ValueError: If the specs do not fit the frame model, or each other.
    """
    tensors = [graph.tensors[index] for index in graph.inputs]
    if input_signature is None:
        return [tf.TensorSpec((None, None, *x.shape), x.dtype) for x in tensors]
    if isinstance(input_signature, (list, tuple)) and len(input_signature) == 1:
        (input_signature,) = input_signature
    specs = graph.pack_inputs(input_signature)
    given = [_read(spec, tensor) for spec, tensor in zip(specs, tensors, strict=True)]
    leading = [_common([sizes[axis] for sizes, _ in given], axis) for axis in (0, 1)]
    return [
        tf.TensorSpec((*leading, *tensor.shape), dtype)
        for tensor, (_, dtype) in zip(tensors, given, strict=True)
    ]


def _read(spec: Any, tensor: Tensor) -> tuple[tuple[int | None, ...], tf.DType]:
    """Return the sizes (B, T) and the dtype of one spec."""
    if not all(hasattr(spec, attribute) for attribute in ("shape", "dtype")):
        raise TypeError(
            "Invalid input_signature. Expected a tf.TensorSpec, a keras.InputSpec, or a tensor per "
            f"input. Received: {spec!r}."
        )
    shape = tf.TensorShape(spec.shape)
    if not _fits(shape, tensor):
        sizes = ", ".join(map(str, tensor.shape))
        received = "an unknown shape" if shape.rank is None else tuple(shape)
        raise ValueError(
            f"Invalid input_signature. Expected the shape of a clip (B, T, {sizes}) for the input "
            f"{tensor.name!r}, where B and T are numbers or None. Received: {received}."
        )
    batch, *steps = shape[: shape.rank - len(tensor.shape)]
    if not isinstance(spec, (tf.TensorSpec, keras.InputSpec)):
        batch = None  # that of an example, as in Keras
    return (batch, steps[0] if steps else None), tf.as_dtype(spec.dtype or tensor.dtype)


def _fits(shape: tf.TensorShape, tensor: Tensor) -> bool:
    """Return whether `shape` is that of a frame or a clip."""
    if shape.rank is None:
        return False
    leading = shape.rank - len(tensor.shape)
    return leading in (1, 2) and shape[leading:].is_compatible_with(tensor.shape)


def _common(sizes: list[int | None], axis: int) -> int | None:
    """Return the one number in `sizes`; None if there is none."""
    fixed = {size for size in sizes if size is not None}
    if len(fixed) > 1:
        raise ValueError(
            f"Invalid input_signature. Expected one {('batch size', 'number of frames')[axis]} for "
            f"all inputs. Received: {sorted(fixed)}."
        )
    return fixed.pop() if fixed else None


def known_pixels(network: keras.Model) -> str | None:
    """Return the range of the pixels that a network takes as floats; None if that is not known."""
    tensors = [network.graph.tensors[index] for index in network.graph.inputs]
    is_picture = len(tensors) == 1 and tf.as_dtype(tensors[0].dtype).is_floating
    return network.metadata.pixels if network.metadata and is_picture else None
