"""The domain of a layer: is it defined, with a gradient, at values that come from no frame?

Before a frame has reached a node, it is called on zeros, or on what earlier layers make of zeros.
There x / norm(x), log(x) and sqrt(x) have no value or no gradient, and one NaN would spoil all
weights. Such calls are cut (`mpvn.executors.uninformed`).

A layer is known to be *total* if its value and its gradient are finite for all finite inputs. Calls
of total layers need no cut. Layers that are not known here are tried out on zeros: if their values
and gradients are finite there, nothing is cut, so that gradients are exact.

What this does not do well: it tries zeros, not all values that layers make of zeros, with the
weights that a layer has when its network is built.
"""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_layers.pure_call import restored_context
from mpvn.graph.data import Graph, Node


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LAYERS = _names(
    """
    Activation Add AlphaDropout Average AveragePooling1D AveragePooling2D AveragePooling3D
    BatchNormalization CenterCrop Concatenate Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D
    Conv3DTranspose Cropping1D Cropping2D Cropping3D Dense DepthwiseConv1D DepthwiseConv2D Dropout
    ELU EinsumDense Embedding Flatten GaussianDropout GaussianNoise GlobalAveragePooling1D
    GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D
    GlobalMaxPooling3D GroupNormalization GroupQueryAttention Identity LayerNormalization LeakyReLU
    MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum MultiHeadAttention Multiply PReLU Permute
    RMSNormalization ReLU RepeatVector Rescaling Reshape Resizing SeparableConv1D SeparableConv2D
    Softmax SpatialDropout1D SpatialDropout2D SpatialDropout3D Subtract UpSampling1D UpSampling2D
    UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
    """
)
_OPERATIONS = _names(
    """
    Abs Absolute Add Amax Amin Average AveragePool BroadcastTo Cast Celu Clip Concatenate Conv
    ConvTranspose Copy Cos Cumsum DepthToSpace DepthwiseConv Diff Einsum Elu ExpandDims Flip Fliplr
    Flipud Gelu GetItem Glu HardShrink HardSigmoid HardSilu HardTanh Hstack LeakyRelu
    LogSigmoid LogSoftmax Logsumexp Matmul Max MaxPool Maximum Mean Min Minimum Moveaxis Multiply
    Negative OnesLike Pad Ravel Relu Relu6 Repeat Reshape Resize Roll Rot90 Selu SeparableConv
    Sigmoid Silu Sin Slice SoftShrink Softmax Softplus Softsign SpaceToDepth Split Square Squeeze
    Stack StopGradient Subtract Sum Swapaxes Take TakeAlongAxis Tanh TanhShrink Tensordot Tile
    Transpose Tril Triu Unstack Var Vstack Where ZerosLike
    """
)
_OWN_LAYERS = _names(
    """
    Boundary DepthToSpace Door Feedback NonLocal ShortcutMerge SpaceTimeToDepth SpaceToDepth
    TemporalAveragePooling3D TemporalConv3D TemporalMaxPooling3D TemporalShift
    """
)
_ACTIVATIONS = _names(
    """
    celu elu gelu glu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu linear log_sigmoid
    log_softmax relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign tanh tanh_shrink
    """
)


def is_defined_at_zeros(graph: Graph, node: Node) -> bool:
    """Return whether `node` has finite values and gradients where inputs are zero.

    Each of the inputs may be zero while others are not. A node that cannot be tried out counts as
    defined: its gradients are then exact, and NaN would show. So does a recurrent layer, which has
    to be defined at zeros, because its memory starts there.
    """
    if node.memory or all(is_total(call.operation) for call in node.calls):
        return True
    tensors = [graph.tensors[index] for index in node.inputs]
    random = np.random.default_rng(0)
    some = [random.uniform(0.1, 1, (1, *tensor.shape)) for tensor in tensors]
    zeros = [[np.zeros_like(value) for value in some]]
    if len(some) > 1:
        zeros += [[*some[:i], np.zeros_like(some[i]), *some[i + 1 :]] for i in range(len(some))]
    try:
        with tf.init_scope(), restored_context({}):  # eager, as if outside of any layer
            return all(_is_finite(node, values, [t.dtype for t in tensors]) for values in zeros)
    except Exception:  # any error of a user's layer
        return True


def _is_finite(node: Node, values: list[np.ndarray], dtypes: list[str]) -> bool:
    """Return whether the outputs of `node` and the gradients of their sum are finite."""
    with keras.StatelessScope(), tf.GradientTape() as tape:  # no variable and no seed changes
        inputs = [
            tf.constant(value.astype(tf.as_dtype(t).as_numpy_dtype))
            for value, t in zip(values, dtypes, strict=True)
        ]
        tape.watch(floating := [value for value in inputs if value.dtype.is_floating])
        outputs = [value for value in node.call(inputs, training=False) if value.dtype.is_floating]
        total = [tf.reduce_sum(value) for value in outputs]
    gradients = tape.gradient(total, [floating, tape.watched_variables()])
    tensors = [*outputs, *filter(tf.is_tensor, tf.nest.flatten(gradients))]
    return all(bool(tf.reduce_all(tf.math.is_finite(value))) for value in tensors)


def is_total(operation: keras.Operation) -> bool:
    """Return whether `operation` is known to be finite, with a finite gradient, everywhere."""
    kind = type(operation)
    package = kind.__module__.partition(".")[0]
    if package in ("keras_layers", "mpvn"):
        known = kind.__name__ in _OWN_LAYERS
    elif package == "keras":
        names = _LAYERS if isinstance(operation, keras.layers.Layer) else _OPERATIONS
        known = kind.__name__ in names
    else:
        known = False
    epsilon = getattr(operation, "epsilon", None)
    return known and epsilon != 0 and _is_total_activation(getattr(operation, "activation", None))


def _is_total_activation(activation: object) -> bool:
    if activation is None:
        return True
    if isinstance(activation, keras.Operation):
        return is_total(activation)
    package = getattr(activation, "__module__", "").partition(".")[0]
    return package == "keras" and getattr(activation, "__name__", "") in _ACTIVATIONS


def cut_steps(graph: Graph, first_steps: Sequence[int]) -> tuple[int, ...]:
    """Return the step before which calls of each node are cut; 0 if none is.

    Args:
        graph: the nodes.
        first_steps: the first step at which each node is called on values of frames.
    """
    return tuple(
        step if step and not is_defined_at_zeros(graph, node) else 0
        for node, step in zip(graph.nodes, first_steps, strict=True)
    )
