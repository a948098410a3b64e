"""A functional model built again from its own layers, with something put between or before them, or
over frames of another size."""

from collections.abc import Callable

import keras

from mpvn.plan.graph import Graph, Node, read_graph

Read = Callable[[dict[int, keras.KerasTensor], int, Node], keras.KerasTensor]
"""From all that has been made, by index, a tensor and who reads it: what is read in its place."""


def rebuilt(
    graph: Graph, read: Read, name: str, size: tuple[int, int] | None = None
) -> keras.Model:
    """The model of `graph`, of the same layers and weights, whose nodes read by `read`.

    Args:
        graph: of a model over one frame.
        read: what each node reads.
        name: of the new model.
        size: height and width of its frames; default: those of the model.
    """
    values: dict[int, keras.KerasTensor] = {}
    for tensor, source in zip(graph.inputs, graph.model.inputs, strict=True):
        shape = (source.shape[0], *(size or source.shape[1:3]), *source.shape[3:])
        values[tensor] = keras.Input(batch_shape=shape, dtype=source.dtype, name=source.name)
    for node in graph.nodes:
        outputs = node.call([read(values, tensor, node) for tensor in node.inputs])
        values.update(zip(node.outputs, outputs, strict=True))
    inputs = keras.tree.pack_sequence_as(
        graph.model.input, [values[tensor] for tensor in graph.inputs]
    )
    outputs = graph.pack_outputs([values[tensor] for tensor in graph.outputs])
    return keras.Model(inputs, outputs, name=name)


def resized(model: keras.Model, size: tuple[int, int]) -> keras.Model:
    """A model over frames of another size that shares the layers and weights of `model`.

    Args:
        model: a functional model over one frame `[B, H, W, C]`; it stays as it is.
        size: height and width of the frames.

    Raises:
        ValueError: a layer of `model` takes maps of one size only.
    """
    try:
        return rebuilt(
            read_graph(model), lambda values, tensor, _: values[tensor], model.name, size
        )
    except ValueError as refused:
        own = model.inputs[0].shape[1:3]
        raise ValueError(
            f"{model.name!r} was made for frames of {own[0]}x{own[1]}, and its layers do not take "
            f"{size[0]}x{size[1]}: {refused}"
        ) from refused


def preceded(
    model: keras.Model, before: Callable[[keras.KerasTensor], keras.KerasTensor]
) -> keras.Model:
    """A model with the layers and weights of `model` that reads what `before` makes of its frame.

    Args:
        model: a functional model over one frame `[B, H, W, C]`; it stays as it is.
        before: from the frame to one of the same shape.
    """
    graph = read_graph(model)
    (frame,) = graph.inputs
    made: dict[int, keras.KerasTensor] = {}

    def read(values: dict[int, keras.KerasTensor], tensor: int, _: Node) -> keras.KerasTensor:
        if tensor != frame:
            return values[tensor]
        if frame not in made:
            made[frame] = before(values[frame])
        return made[frame]

    return rebuilt(graph, read, model.name)
