"""A functional model built again from its own layers, with something put between them."""

from collections.abc import Callable

import keras

from mpvn.graph import Graph, Node

Read = Callable[[dict[int, keras.KerasTensor], int, Node], keras.KerasTensor]
"""From all that has been made, by index, a tensor and who reads it: what is read in its place."""


def rebuilt(graph: Graph, read: Read, name: str) -> keras.Model:
    """The model of `graph`, of the same layers and weights, whose nodes read by `read`."""
    values: dict[int, keras.KerasTensor] = {}
    for tensor, source in zip(graph.inputs, graph.model.inputs, strict=True):
        values[tensor] = keras.Input(batch_shape=source.shape, dtype=source.dtype, name=source.name)
    for node in graph.nodes:
        outputs = node.call([read(values, tensor, node) for tensor in node.inputs])
        values.update(zip(node.outputs, outputs, strict=True))
    inputs = keras.tree.pack_sequence_as(
        graph.model.input, [values[tensor] for tensor in graph.inputs]
    )
    outputs = graph.pack_outputs([values[tensor] for tensor in graph.outputs])
    return keras.Model(inputs, outputs, name=name)
