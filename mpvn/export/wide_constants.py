"""Keeps LiteRT's converter from a mistake in sums and quotients.

The converter of TensorFlow 2.21 moves an operation with a single number in front of a transposition
that moves no data, and swaps the two sides of the operation on the way. So `1 - transpose(x)`
becomes `transpose(x - 1)`, and `1 / transpose(x)` becomes `transpose(x / 1)`. It leaves a constant
of shape `[1]` alone.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

_ORDERED = ("Sub", "RealDiv", "Div")
_SUMS = ("Add", "AddV2")
"""With the negative of a value, they become differences."""


def widen_constants(definition: Any, graph: tf.Graph) -> None:
    """Let a single number from which something is subtracted, or which is divided, have an axis.

    Args:
        definition: the `GraphDef` of `graph`, which is changed.
        graph: the graph.
    """
    nodes = {node.name: node for node in definition.node}
    for operation in graph.get_operations():
        for index in _left_sides(operation):
            value = tf.get_static_value(operation.inputs[index])
            rank = operation.inputs[1 - index].shape.rank
            if value is None or np.size(value) != 1 or not rank or rank < np.ndim(value):
                continue
            constant = definition.node.add(op="Const", name=f"{operation.name}/wide{index}")
            constant.attr["dtype"].type = operation.inputs[index].dtype.as_datatype_enum
            constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.reshape(value, [1])))
            nodes[operation.name].input[index] = constant.name


def _left_sides(operation: tf.Operation) -> Iterator[int]:
    """Yield the inputs of an operation that are left of a difference or a quotient."""
    if operation.type in _ORDERED:
        yield 0
    elif operation.type in _SUMS:
        yield from (i for i in (0, 1) if operation.inputs[1 - i].op.type == "Neg")
