"""Rebuilds a functional model from its own layers, with operations inserted before them.

The new model shares the layers and weights of the old one. It may also take frames of another size.
"""

from collections.abc import Callable

import keras

from mpvn.graph.data import Graph, Node
from mpvn.graph.reading import read_graph

Read = Callable[[dict[int, keras.KerasTensor], int, Node], keras.KerasTensor]
"""Returns what a node of the new model reads, from the tensors computed so far (by index), the
index of the tensor that the node reads in the old model, and the node."""


Call = Callable[[Node, list[keras.KerasTensor]], list[keras.KerasTensor]]
"""Calls a node of the new model on what it reads, and returns its outputs."""


def rebuild(
    graph: Graph,
    read: Read,
    name: str,
    size: tuple[int, int] | None = None,
    call: Call = Node.call,
) -> keras.Model:
    """Build a model with the layers and weights of a graph, whose nodes read what `read` returns.

    Args:
        graph: Graph of a model over one frame.
        read: Returns what a node reads in place of a tensor.
        name: Name of the new model.
        size: Height and width of its frames. Defaults to those of the old model.
        call: Calls a node. Defaults to calling its operation.
    """
    values: dict[int, keras.KerasTensor] = {}
    for tensor, source in zip(graph.inputs, keras.tree.flatten(graph.input_structure), strict=True):
        shape = (source.shape[0], *(size or source.shape[1:3]), *source.shape[3:])
        values[tensor] = keras.Input(batch_shape=shape, dtype=source.dtype, name=source.name)
    for node in graph.nodes:
        outputs = call(node, [read(values, tensor, node) for tensor in node.inputs])
        # A functional model knows the output of a recurrent layer, not the rest of its memory.
        values.update(zip(node.outputs, outputs, strict=not node.memory))
    inputs = keras.tree.pack_sequence_as(
        graph.input_structure, [values[tensor] for tensor in graph.inputs]
    )
    outputs = graph.pack_outputs([values[tensor] for tensor in graph.outputs])
    return keras.Model(inputs, outputs, name=name)


def with_frame_size(model: keras.Model, size: tuple[int, int]) -> keras.Model:
    """Build a model over frames of another size that shares the layers and weights of `model`.

    Args:
        model: A functional model over one frame `[B, H, W, C]`. It is not changed.
        size: Height and width of the new frames.

    Raises:
        ValueError: If a layer of `model` takes maps of one size only.
    """
    try:
        return rebuild(
            read_graph(model), lambda values, tensor, _: values[tensor], model.name, size
        )
    except ValueError as error:
        height, width = model.inputs[0].shape[1:3]
        raise ValueError(
            f"{model.name!r} was built for frames of {height}x{width}, and its layers do not "
            f"accept frames of {size[0]}x{size[1]}. Give it frames of its own size: {error}"
        ) from error


def with_preprocessing(
    model: keras.Model, preprocess: Callable[[keras.KerasTensor], keras.KerasTensor]
) -> keras.Model:
    """Build a model that applies `preprocess` to its frame, then the layers of `model`.

    Args:
        model: A functional model over one frame `[B, H, W, C]`. It is not changed; the new model
            shares its layers and weights.
        preprocess: Function from a frame to a frame of the same shape.
    """
    graph = read_graph(model)
    (frame,) = graph.inputs
    preprocessed: list[keras.KerasTensor] = []

    def read(values: dict[int, keras.KerasTensor], tensor: int, _: Node) -> keras.KerasTensor:
        if tensor != frame:
            return values[tensor]
        if not preprocessed:
            preprocessed.append(preprocess(values[frame]))
        return preprocessed[0]

    return rebuild(graph, read, model.name)
