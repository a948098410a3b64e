"""Makes an image model read the frames of a data set: their size, their type, their pixels."""

from typing import NamedTuple

import keras
import numpy as np
from keras import layers, ops

from mpvn.graph.data import Node
from mpvn.graph.nesting import functional_graph, reads_through
from mpvn.graph.reading import read_graph
from mpvn.models.surgery.rebuild import with_frame_size

_LARGE = 64
"""Pixels that are divided by more than this are between 0 and 255."""


class Reading(NamedTuple):
    """A model that reads frames.

    Attributes:
        model: The model, over one frame `[B, H, W, C]` of floats.
        remarks: What was changed.
    """

    model: keras.Model
    remarks: tuple[str, ...] = ()


def with_frames(model: keras.Model, size: tuple[int, int], channels: int) -> Reading:
    """Build a model over frames of a size, which shares the layers and weights of `model`.

    Args:
        model: A model over images of this size, of another one, or of any. It is not changed.
        size: Height and width of the frames.
        channels: Number of their channels.

    Raises:
        ValueError: If `model` has several inputs, reads no images or other channels, or has layers
            that take images of its own size only.
    """
    if functional_graph(model) is None:  # subclassed: nothing tells what it reads
        frame = keras.Input((*size, channels), name="frame")
        return Reading(keras.Model(frame, model(frame), name=model.name))
    image = _image(model, channels)
    own, remarks = tuple(image.shape[1:3]), []
    if own != size and None not in own:
        remarks.append(f"built for frames of {own[0]}x{own[1]}, reads {size[0]}x{size[1]}")
        model = with_frame_size(model, size)
    is_float = keras.backend.is_float_dtype(image.dtype)
    if None in own or not is_float:
        frame = keras.Input((*size, channels), name=f"{image.name}_frame")
        model = keras.Model(frame, model(frame if is_float else ops.round(frame)), name=model.name)
    return Reading(model, tuple(remarks))


def name_apart(model: keras.Model) -> None:
    """Rename layers of models nested in `model`, in place, so that each has a name of its own.

    Surgery builds one model of the layers of all, in which names must differ.
    """
    seen: dict[str, keras.Operation] = {}

    def visit(nested: keras.Model) -> None:
        for operation in functional_graph(nested).operations:
            if isinstance(operation, keras.Model) and reads_through(operation):
                visit(operation)
                continue
            name, number = operation.name, 1
            while seen.setdefault(operation.name, operation) is not operation:
                operation.name, number = f"{name}_{number}", number + 1

    if reads_through(model):
        visit(model)


def scales_pixels(model: keras.Model) -> bool:
    """Return whether the first layers of `model` show that it takes pixels of 0..255.

    They divide by about 255, or subtract means of such a size. The layers of other models do not
    tell what they take.
    """
    graph = read_graph(model)
    readers = [node for node in graph.nodes if set(node.inputs) & set(graph.inputs)]
    return bool(readers) and all(map(_scales_down, readers))


def _scales_down(node: Node) -> bool:
    """Return whether a node scales pixels of 0..255 to small values."""
    operation, constants = node.operation, [c for c in node.constants if isinstance(c, int | float)]
    if isinstance(operation, layers.Rescaling):
        return float(np.max(np.abs(operation.scale))) < 1 / _LARGE
    if isinstance(operation, layers.Normalization):
        mean = operation.input_mean if operation.input_mean is not None else operation.mean
        return float(np.max(np.abs(keras.ops.convert_to_numpy(mean)))) > 2
    if type(operation).__name__ in ("TrueDivide", "Divide"):
        return bool(constants) and constants[0] > _LARGE
    return type(operation).__name__ == "Multiply" and bool(constants) and constants[0] < 1 / _LARGE


def _image(model: keras.Model, channels: int) -> keras.KerasTensor:
    """Return the input of a model that reads one image with these channels."""
    shapes = [list(tensor.shape[1:]) for tensor in model.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 3 or shapes[0][2] != channels:
        raise ValueError(
            f"{model.name!r} does not read the frames of the data. Expected one input [height, "
            f"width, {channels}]. Received: {', '.join(map(str, shapes))}"
        )
    return model.inputs[0]
