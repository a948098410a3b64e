"""Convolution over space and time: a causal `Conv3D` that can stream."""

import keras
from keras import ops

from keras_layers.arguments import check_padding, output_size, standardize_pair, standardize_triple
from keras_layers.temporal import TemporalLayer


@keras.saving.register_keras_serializable(package="keras_layers")
class TemporalConv3D(TemporalLayer):
    """3D convolution layer that is causal in time and can run frame by frame.

    This is a temporal filter of *Massively Parallel Video Networks*, section 3.2. The kernel has
    the layout of `keras.layers.Conv3D`, `[k, h, w, in, out]`, so weights can be copied unchanged.

    Args:
        filters: Number of output channels.
        kernel_size: Int, or `(time, height, width)`.
        strides: Int, or `(time, height, width)`. With a temporal stride above 1, the layer and all
            layers that read only this layer run at a lower rate.
        padding: Spatial padding, `"same"` or `"valid"`.
        temporal_padding: `"causal"` (can stream) or `"symmetric"` (for whole clips only).
        dilation_rate: Spatial dilation, int or `(height, width)`.
        activation: Activation function. Defaults to none.
        use_bias: Whether to add a bias.
        kernel_initializer: Initializer of the kernel.
        bias_initializer: Initializer of the bias.
        kernel_regularizer: Regularizer of the kernel.
        bias_regularizer: Regularizer of the bias.
        activity_regularizer: Regularizer of the output.
        kernel_constraint: Constraint of the kernel.
        bias_constraint: Constraint of the bias.

    Call arguments:
        inputs: Frames `[B, H, W, C]` or clips `[B, T, H, W, C]`, floating point.

    Output shape:
        `[B, H', W', filters]` or `[B, ceil(T / stride), H', W', filters]`.

    Raises:
        ValueError: If an argument is out of range, the number of input channels is unknown, or the
            kernel is larger than the frame.

    Example:
        >>> layer = TemporalConv3D(8, kernel_size=(2, 3, 3))
        >>> tuple(layer(keras.ops.ones((1, 5, 16, 16, 3))).shape)
        (1, 5, 16, 16, 8)
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int, int],
        strides: int | tuple[int, int, int] = 1,
        padding: str = "same",
        temporal_padding: str = "causal",
        dilation_rate: int | tuple[int, int] = 1,
        activation: object = None,
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        bias_initializer: object = "zeros",
        kernel_regularizer: object = None,
        bias_regularizer: object = None,
        activity_regularizer: object = None,
        kernel_constraint: object = None,
        bias_constraint: object = None,
        **kwargs: object,
    ) -> None:
        kernel_size = standardize_triple(kernel_size, "kernel_size")
        strides = standardize_triple(strides, "strides")
        super().__init__(
            window=kernel_size[0],
            temporal_stride=strides[0],
            temporal_padding=temporal_padding,
            activity_regularizer=keras.regularizers.get(activity_regularizer),
            **kwargs,
        )
        check_padding(padding)
        if filters < 1:
            raise ValueError(f"Invalid filters. Expected at least 1. Received: {filters}")
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.padding = padding
        self.dilation_rate = _standardize_dilation(dilation_rate, strides)
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)

    def build(self, input_shape: tuple) -> None:
        channels = input_shape[-1]
        if channels is None:
            raise ValueError(
                f"The number of channels that layer {self.name!r} reads must be known. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, channels, self.filters),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.filters,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def compute(self, window):
        # One 2D convolution over the channels of all frames is faster than a sum of k convolutions.
        # [k, h, w, in, out] -> [h, w, k, in, out] -> [h, w, k*in, out]
        kernel = ops.transpose(ops.convert_to_tensor(self.kernel), (1, 2, 0, 3, 4))
        kernel = ops.reshape(kernel, (*self.kernel_size[1:], -1, self.filters))
        outputs = ops.conv(
            ops.concatenate(window, axis=-1),
            kernel,
            strides=self.strides[1:],
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            data_format="channels_last",
        )
        if self.bias is not None:
            outputs = ops.add(outputs, self.bias)
        return self.activation(outputs)

    def compute_frame_output_shape(self, frame_shape: tuple) -> tuple:
        spatial = (
            output_size(size, kernel, stride, self.padding, dilation)
            for size, kernel, stride, dilation in zip(
                frame_shape[1:3],
                self.kernel_size[1:],
                self.strides[1:],
                self.dilation_rate,
                strict=True,
            )
        )
        return (frame_shape[0], *spatial, self.filters)

    def get_config(self) -> dict:
        config = super().get_config()
        del config["window"], config["temporal_stride"]
        return {
            **config,
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "dilation_rate": self.dilation_rate,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": keras.regularizers.serialize(self.activity_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
        }


def _standardize_dilation(
    dilation_rate: int | tuple[int, int], strides: tuple[int, int, int]
) -> tuple[int, int]:
    """Return the dilation as (height, width); raise for combinations that TensorFlow lacks."""
    dilations = standardize_pair(dilation_rate, "dilation_rate")
    if max(dilations) > 1 and max(strides[1:]) > 1:
        raise ValueError(
            "Spatial strides and dilation_rate cannot both be larger than 1. "
            f"Received: strides={strides}, dilation_rate={dilation_rate}"
        )
    return dilations
