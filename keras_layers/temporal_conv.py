"""Convolution over space and the recent past: a causal `Conv3D` that can stream."""

import keras
from keras import ops

from keras_layers.temporal import TemporalLayer


@keras.saving.register_keras_serializable(package="keras_layers")
class TemporalConv3D(TemporalLayer):
    """3D convolution of a clip, causal in time, that also runs frame by frame.

    Arguments are those of `keras.layers.Conv3D`, and so is the kernel's layout
    `[k, h, w, in, out]`: weights move over unchanged. (*Massively Parallel Video Networks*,
    section 3.3, temporal filters.)

    Args:
        filters: channels of the output.
        kernel_size: int, or `(time, height, width)`.
        strides: int, or `(time, height, width)`. The temporal stride makes the layer, and what only
            it feeds, tick more rarely.
        padding: spatial padding, `"same"` or `"valid"`.
        temporal_padding: `"causal"`, or `"symmetric"` for offline networks.
        dilation_rate: spatial dilation, int or `(height, width)`.
        activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer,
        bias_regularizer, activity_regularizer, kernel_constraint, bias_constraint: as in Keras.

    Call arguments:
        inputs: frames `[B, H, W, C]` or clips `[B, T, H, W, C]`, floating point.

    Output shape:
        `[B, H', W', filters]` or `[B, ceil(T / stride), H', W', filters]`.

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
        kernel_size = triple(kernel_size, "kernel_size")
        strides = triple(strides, "strides")
        super().__init__(
            window=kernel_size[0],
            temporal_stride=strides[0],
            temporal_padding=temporal_padding,
            activity_regularizer=keras.regularizers.get(activity_regularizer),
            **kwargs,
        )
        check_spatial_padding(padding)
        if filters < 1:
            raise ValueError(f"filters must be at least 1. Received: filters={filters}")
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.padding = padding
        self.dilation_rate = _dilations(dilation_rate, strides)
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
                f"layer {self.name!r}: the channels of the input must be known. "
                f"Received: input shape {tuple(input_shape)}"
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
        # One 2D convolution over the channels of all ticks: [k, h, w, in, out] -> [h, w, k*in, out]
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
            spatial_size(size, kernel, stride, self.padding, dilation)
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


def _dilations(value: int | tuple[int, int], strides: tuple[int, int, int]) -> tuple[int, int]:
    """`value` as (height, width); raises ValueError for what TensorFlow cannot convolve."""
    values = (value,) * 2 if isinstance(value, int) else tuple(value)
    if len(values) != 2 or any(not isinstance(v, int) or v < 1 for v in values):
        raise ValueError(
            "dilation_rate must be a positive int or two of them (height, width). "
            f"Received: {value}"
        )
    if max(values) > 1 and max(strides[1:]) > 1:
        raise ValueError(
            "spatial strides and dilation_rate cannot both be above 1. "
            f"Received: strides={strides}, dilation_rate={value}"
        )
    return values


def triple(value: int | tuple[int, int, int], what: str) -> tuple[int, int, int]:
    """`value` as (time, height, width); raises ValueError when it is neither an int nor three."""
    values = (value,) * 3 if isinstance(value, int) else tuple(value)
    if len(values) != 3 or any(not isinstance(v, int) or v < 1 for v in values):
        raise ValueError(
            f"{what} must be a positive int or three of them (time, height, width). "
            f"Received: {value}"
        )
    return values


def check_spatial_padding(padding: str) -> None:
    """Raises ValueError unless `padding` is one that Keras's 2D layers know."""
    if padding not in ("same", "valid"):
        raise ValueError(f'padding must be "same" or "valid". Received: {padding!r}')


def spatial_size(
    size: int | None, kernel: int, stride: int, padding: str, dilation: int = 1
) -> int | None:
    """Output size along one spatial axis."""
    if size is None:
        return None
    reach = 0 if padding == "same" else dilation * (kernel - 1)
    if size <= reach:
        raise ValueError(f"a kernel that spans {reach + 1} pixels does not fit into {size}")
    return -(-(size - reach) // stride)
