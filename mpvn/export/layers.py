"""Finds the layers whose operations a converter does not have, or that cannot be quantized."""

import re
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpvn.export.static import StaticGraph, inline

Values = Sequence[np.ndarray]

_NAMED = (r"'tf\.(\w+)' op", r"\bop '?(\w+)", r"for operations: (\w+(?:, \w+)*)")
"""How LiteRT, our check of ONNX, and OpenVINO name operations that they do not have."""


def where(network: keras.Model, function: Any, message: str) -> str:
    """Return a converter's message in short, with the layers that it is about.

    Args:
        network: the network.
        function: the function that was converted.
        message: the message of the error.
    """
    found = ", ".join(match for pattern in _NAMED for match in re.findall(pattern, message))
    operations = [x for x in function.graph.get_operations() if x.type in found.split(", ")]
    if operations:
        kinds = ", ".join(sorted({operation.type for operation in operations}))
        layers = dict.fromkeys(_layer(network, operation.name) for operation in operations)
        return f"{kinds}, of {', '.join(map(repr, layers))}"
    return " ".join(message.split())[:300]


def refuse_infinite(network: keras.Model, graph: StaticGraph, samples: Sequence[Values]) -> None:
    """Raise ValueError if an operation of a graph makes infinities or NaN, which have no range.

    Args:
        network: the network.
        graph: the graph.
        samples: what it reads in some steps.
    """
    function = graph.function
    operations = [x for x in function.graph.get_operations() if x.type != "Placeholder"]
    made = [x for each in operations for x in each.outputs if x.dtype.is_floating]

    @tf.function(autograph=False)
    def are_finite(*values: tf.Tensor) -> list[tf.Tensor]:
        found = inline(function, values, results=made)
        return [tf.reduce_all(tf.math.is_finite(value)) for value in found]

    for sample in samples:
        for tensor, is_finite in zip(made, are_finite(*map(tf.constant, sample)), strict=True):
            if not is_finite:
                raise ValueError(
                    f"quantization='int8' measures ranges of values. Expected finite values. "
                    f"Received: infinities or NaN from {tensor.op.type}, of "
                    f"{_layer(network, tensor.op.name)!r}. Use quantization='dynamic'."
                )


def _layer(network: keras.Model, operation: str) -> str:
    """Return the name of the node of the frame model that has an operation; else its own name."""
    parts = operation.split("/")
    parts += [re.sub(r"_\d+$", "", part) for part in parts]
    names = [node.name for node in network.graph.nodes if node.name.split("/")[-1] in parts]
    return names[-1] if names else operation
