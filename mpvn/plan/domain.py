"""The domain of a layer: is it defined, with a gradient, at values that come from no frame?

Before a frame has reached a node, it is called on zeros, or on what earlier layers make of zeros.
There x / norm(x), log(x) and sqrt(x) have no value or no gradient, and one NaN would spoil all
weights. Such calls are cut (`mpvn.executors.uninformed`).

A layer is known to be *total* if its value and its gradient are finite for all finite inputs. Calls
of total layers need no cut. Layers that are not known here may not be total.
"""

import keras


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
