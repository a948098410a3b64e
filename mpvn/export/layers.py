"""Finds the layers whose operations a converter does not have."""

import re
from typing import Any

import keras

_OPERATION = re.compile(r"(?:'tf\.(\w+)' op|[Oo]p (?:type )?\[?'?(\w+)|tf\.(\w+)\()")


def where(network: keras.Model, function: Any, message: str) -> str:
    """Return a converter's message in short, with the layers that it is about.

    Args:
        network: the network.
        function: the function that was converted.
        message: the message of the error.
    """
    operations = function.graph.get_operations()
    types = {operation.type for operation in operations}
    named = {word for match in _OPERATION.findall(message) for word in match} & types
    found = dict.fromkeys(_layer(network, x.name) for x in operations if x.type in named)
    layers = ", ".join(repr(layer) for layer in found if layer)
    if named and layers:
        return f"{', '.join(sorted(named))}, which {layers} computes"
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return " ".join(lines)[:300]


def _layer(network: keras.Model, operation: str) -> str:
    """Return the name of the node of the frame model that has an operation; empty if none has."""
    parts = operation.split("/")
    names = [node.name for node in network.graph.nodes if node.name in parts]
    return names[0] if names else ""
