"""Multiply-adds of a node for one frame, counted from its weights and shapes."""

import math

import keras

from keras_layers.temporal_conv import TemporalConv3D
from mpvn.plan.graph import Graph, Node

_CONVOLUTIONS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.DepthwiseConv2D,
    TemporalConv3D,
)


def multiply_adds(graph: Graph, node: Node) -> int:
    """Multiply-adds of one tick of `node` on one frame.

    Convolutions (grouped, depthwise, separable, transposed and temporal ones too) and dense layers
    are counted; everything else is taken as free, as usual. A layer of another kind is counted by
    its own method `multiply_adds(input_shape, output_shape)`, shapes without batch axis, if it has
    one.
    """
    layer = node.operation
    output = graph.tensors[node.outputs[0]].shape
    source = graph.tensors[node.inputs[0]].shape if node.inputs else ()
    if hasattr(layer, "multiply_adds"):
        return int(layer.multiply_adds(source, output))
    if isinstance(layer, (keras.layers.Conv2DTranspose, keras.layers.Conv1DTranspose)):
        return math.prod(source[:-1]) * math.prod(layer.kernel.shape)
    if isinstance(layer, (keras.layers.SeparableConv2D, keras.layers.SeparableConv1D)):
        weights = math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape)
        return math.prod(output[:-1]) * weights
    if isinstance(layer, _CONVOLUTIONS):
        return math.prod(_positions(layer, output)) * math.prod(layer.kernel.shape)
    if isinstance(layer, keras.layers.Dense):
        return math.prod(output[:-1]) * math.prod(layer.kernel.shape)
    return 0


def _positions(layer, output: tuple[int, ...]) -> tuple[int, ...]:
    """Spatial positions of the output at which the kernel is applied."""
    channels_first = getattr(layer, "data_format", "channels_last") == "channels_first"
    return output[1:] if channels_first else output[:-1]
