"""Finds the layers whose operations a converter does not have."""

import re
from typing import Any

import keras

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


def _layer(network: keras.Model, operation: str) -> str:
    """Return the name of the node of the frame model that has an operation; else its own name."""
    parts = operation.split("/")
    parts += [re.sub(r"_\d+$", "", part) for part in parts]
    names = [node.name for node in network.graph.nodes if node.name.split("/")[-1] in parts]
    return names[-1] if names else operation
