"""Graphs in half precision, computed in float32.

Networks with a mixed policy have weights in float32 and compute in half precision, because that is
faster where they were trained. Few devices have the same operations, and NumPy and C have no
bfloat16. So exports for devices compute them in float32, which is more exact.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

_HALF = (tf.float16, tf.bfloat16)
_ENUMS = tuple(dtype.as_datatype_enum for dtype in _HALF)


def full_precision(dtype: tf.DType | str) -> tf.DType:
    """Return float32 for dtypes of half precision, and others as they are."""
    dtype = tf.as_dtype(dtype)
    return tf.float32 if dtype in _HALF else dtype


def use_full_precision(definition: Any, _: tf.Graph) -> None:
    """Let all operations and constants of half precision be of float32.

    Args:
        definition: a `GraphDef`, which is changed.
    """
    for function in definition.library.function:
        for argument in (*function.signature.input_arg, *function.signature.output_arg):
            if argument.type in _ENUMS:
                argument.type = tf.float32.as_datatype_enum
    for attribute in _attributes(definition):
        if attribute.type in _ENUMS:
            attribute.type = tf.float32.as_datatype_enum
        for index, kind in enumerate(attribute.list.type):
            if kind in _ENUMS:
                attribute.list.type[index] = tf.float32.as_datatype_enum
        if attribute.tensor.dtype in _ENUMS:
            value = tf.make_ndarray(attribute.tensor).astype(np.float32)
            attribute.tensor.CopyFrom(tf.make_tensor_proto(value))


def _attributes(definition: Any) -> Iterator[Any]:
    functions = definition.library.function
    for node in (*definition.node, *(node for f in functions for node in f.node_def)):
        yield from node.attr.values()
