"""Knows layers that compute each sample of a batch by itself at inference.

A shortcut for most networks: all other nodes are tried out on values (`mpvn.graph.batch_axis`),
which takes longer. What a layer does in training, such as batch norm, is no matter here.
"""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import layers

from mpvn.graph.data import Graph, Node

_LAYERS = frozenset(
    {
        *(layers.Activation, layers.ActivityRegularization, layers.ReLU, layers.LeakyReLU),
        *(layers.PReLU, layers.ELU, layers.Softmax, layers.Identity, layers.Masking),
        *(layers.Conv1D, layers.Conv2D, layers.Conv3D),
        *(layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose),
        *(layers.DepthwiseConv1D, layers.DepthwiseConv2D),
        *(layers.SeparableConv1D, layers.SeparableConv2D),
        *(layers.Dense, layers.Embedding),
        *(layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D),
        *(layers.AveragePooling1D, layers.AveragePooling2D, layers.AveragePooling3D),
        *(layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D, layers.GlobalMaxPooling3D),
        *(layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D),
        layers.GlobalAveragePooling3D,
        *(layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D),
        *(layers.Cropping1D, layers.Cropping2D, layers.Cropping3D),
        *(layers.UpSampling1D, layers.UpSampling2D, layers.UpSampling3D),
        *(layers.Dropout, layers.SpatialDropout1D, layers.SpatialDropout2D),
        *(layers.SpatialDropout3D, layers.AlphaDropout),
        *(layers.GaussianDropout, layers.GaussianNoise),
        *(layers.Flatten, layers.Reshape, layers.Permute, layers.RepeatVector),
        *(layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum),
        *(layers.Minimum, layers.Concatenate, layers.Dot),
        *(layers.BatchNormalization, layers.LayerNormalization, layers.GroupNormalization),
        *(layers.UnitNormalization, layers.Normalization, layers.Rescaling),
        *(layers.Attention, layers.AdditiveAttention),
        *(layers.SimpleRNN, layers.GRU, layers.LSTM),
    }
)
"""Layers whose samples stay apart, unless an argument says otherwise.."""


def by_sample(graph: Graph, node: Node) -> bool:
    """Return whether `node` is known to compute each sample by itself at inference."""
    layer = node.operation
    if type(layer).__module__.partition(".")[0] == "keras_layers":
        return True
    if type(layer) not in _LAYERS or getattr(layer, "stateful", False):
        return False
    if any(hasattr(value, "shape") for value in node.constants):  # may have a batch axis
        return False
    ranks = {1 + len(graph.tensors[tensor].shape) for tensor in node.inputs}
    return (
        min(ranks) > 1
        and _is_of_keras(getattr(layer, "activation", None))
        and np.ndim(getattr(layer, "scale", 1)) + np.ndim(getattr(layer, "offset", 0)) == 0
        and not any(axis % rank == 0 for axis in _axes(layer) for rank in ranks)
    )


def _is_of_keras(activation: Any) -> bool:
    """Return whether an activation is one of Keras's functions, which never look at axis 0."""
    module = getattr(activation, "__module__", "")
    return activation is None or (
        not isinstance(activation, keras.Operation) and module.partition(".")[0] == "keras"
    )


def _axes(layer: Any) -> Iterator[int]:
    """Return the axes that the arguments of a layer name."""
    for name in ("axis", "axes"):
        value = getattr(layer, name, None)
        if isinstance(value, int):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from value
