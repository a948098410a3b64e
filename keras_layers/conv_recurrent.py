"""Convolutional GRU and LSTM: each pixel of a map has a memory, and sees that of its neighbors.

The LSTM is that of *Convolutional LSTM Network* (Shi et al., 2015) without peepholes, as
`keras.layers.ConvLSTM2D`; the GRU is that of *Delving Deeper into Convolutional Networks for
Learning Video Representations* (Ballas et al., 2016), as `keras.layers.GRU(reset_after=False)` at
each pixel. Weights have the names, shapes and order of gates of these layers, so they can be copied
unchanged.
"""

import math
from typing import Any

import keras
from keras import ops

from keras_layers.arguments import check_padding, output_size, standardize_pair
from keras_layers.recurrent import RecurrentLayer, first_shape


class _ConvRecurrent2D(RecurrentLayer):
    """Base class of the two layers."""

    gates: int
    """Number of maps of `filters` channels that a convolution gives."""

    memories: int
    """Number of maps of `filters` channels that the layer remembers."""

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = 1,
        padding: str = "same",
        activation: object = "tanh",
        recurrent_activation: object = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: object = "glorot_uniform",
        recurrent_initializer: object = "orthogonal",
        bias_initializer: object = "zeros",
        kernel_regularizer: object = None,
        recurrent_regularizer: object = None,
        bias_regularizer: object = None,
        kernel_constraint: object = None,
        recurrent_constraint: object = None,
        bias_constraint: object = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_padding(padding)
        if filters < 1:
            raise ValueError(f"Invalid filters. Expected at least 1. Received: {filters}")
        self.filters = filters
        self.kernel_size = standardize_pair(kernel_size, "kernel_size")
        self.strides = standardize_pair(strides, "strides")
        self.padding = padding
        self.activation = keras.activations.get(activation)
        self.recurrent_activation = keras.activations.get(recurrent_activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.recurrent_initializer = keras.initializers.get(recurrent_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = keras.regularizers.get(recurrent_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.recurrent_constraint = keras.constraints.get(recurrent_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)

    def build(self, input_shape: tuple) -> None:
        channels = first_shape(input_shape)[-1]
        if channels is None:
            raise ValueError(
                f"The number of channels that layer {self.name!r} reads must be known. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        width = self.gates * self.filters
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, channels, width),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel",
            shape=(*self.kernel_size, self.filters, width),
            initializer=self.recurrent_initializer,
            regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(width,),
                initializer=self._initial_bias,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def _initial_bias(self, shape: tuple, dtype: str | None = None) -> Any:
        return self.bias_initializer(shape, dtype=dtype)

    def prepare(self, frame):
        """Return what the frame adds to all gates, `[B, H', W', gates * filters]`."""
        outputs = ops.conv(
            frame, self.kernel, self.strides, self.padding, data_format="channels_last"
        )
        return outputs if self.bias is None else ops.add(outputs, self.bias)

    def _recurrent(self, memory, first: int, last: int):
        """Return what a map of the memory adds to the gates from `first` to before `last`."""
        kernel = ops.convert_to_tensor(self.recurrent_kernel)
        kernel = kernel[..., first * self.filters : last * self.filters]
        return ops.conv(memory, kernel, 1, "same", data_format="channels_last")

    def compute_memory_shapes(self, frame_shape: tuple) -> list[tuple]:
        axes = zip(frame_shape[1:3], self.kernel_size, self.strides, strict=True)
        spatial = [output_size(*axis, self.padding) for axis in axes]
        return [(frame_shape[0], *spatial, self.filters)] * self.memories

    def multiply_adds(self, input_shape: tuple, output_shape: tuple) -> int:
        """Return the multiply-adds of one tick on one frame.

        Args:
            input_shape, output_shape: Shapes of one frame without the batch axis.
        """
        kernels = math.prod(self.kernel.shape) + math.prod(self.recurrent_kernel.shape)
        return math.prod(output_shape[:-1]) * kernels

    def get_config(self) -> dict:
        config = super().get_config()
        config |= {name: getattr(self, name) for name in ("filters", "kernel_size", "strides")}
        config |= {"padding": self.padding, "use_bias": self.use_bias}
        for name in ("activation", "recurrent_activation"):
            config[name] = keras.activations.serialize(getattr(self, name))
        for kind in (keras.initializers, keras.regularizers, keras.constraints):
            suffix = kind.__name__.rpartition(".")[-1].removesuffix("s")
            for part in ("kernel", "recurrent", "bias"):
                name = f"{part}_{suffix}"
                config[name] = kind.serialize(getattr(self, name))
        return config


@keras.saving.register_keras_serializable(package="keras_layers")
class TemporalConvGRU2D(_ConvRecurrent2D):
    """Convolutional GRU layer that can run frame by frame.

    The layer blends its output of the previous tick with a new one, pixel by pixel (Ballas et al.,
    2016). Called on frames, it starts from zeros; called on clips, it runs over time. In a
    `mpvn.VideoNetwork`, it keeps its memory from tick to tick.

    Args:
        filters: Number of output channels.
        kernel_size: Int, or `(height, width)`, of both kernels.
        strides: Spatial strides over the frame, int or `(height, width)`.
        padding: Spatial padding of the frame, `"same"` or `"valid"`. Padding of the memory is
            `"same"`.
        activation: Activation function of the new output.
        recurrent_activation: Activation function of the gates.
        use_bias: Whether to add a bias.
        kernel_initializer: Initializer of the kernel over the frame.
        recurrent_initializer: Initializer of the kernel over the memory.
        bias_initializer: Initializer of the bias.
        kernel_regularizer: Regularizer of the kernel over the frame.
        recurrent_regularizer: Regularizer of the kernel over the memory.
        bias_regularizer: Regularizer of the bias.
        kernel_constraint: Constraint of the kernel over the frame.
        recurrent_constraint: Constraint of the kernel over the memory.
        bias_constraint: Constraint of the bias.

    Call arguments:
        inputs: Frames `[B, H, W, C]` or clips `[B, T, H, W, C]`, floating point; or a list of
            these and the memory `[B, H', W', filters]` before them.

    Output shape:
        `[B, H', W', filters]` or `[B, T, H', W', filters]`; for a list, a list of it.

    Raises:
        ValueError: If an argument is out of range, the number of input channels is unknown, or the
            kernel is larger than the frame.

    Example:
        >>> layer = TemporalConvGRU2D(8, kernel_size=3)
        >>> tuple(layer(keras.ops.ones((1, 5, 16, 16, 3))).shape)
        (1, 5, 16, 16, 8)
    """

    gates, memories = 3, 1

    def compute(self, prepared, memory):
        (old,) = memory
        of_update, of_reset, of_new = ops.split(prepared, 3, axis=-1)
        update, reset = ops.split(self._recurrent(old, 0, 2), 2, axis=-1)
        update = self.recurrent_activation(of_update + update)
        reset = self.recurrent_activation(of_reset + reset)
        new = self.activation(of_new + self._recurrent(reset * old, 2, 3))
        return [update * old + (1 - update) * new]


@keras.saving.register_keras_serializable(package="keras_layers")
class TemporalConvLSTM2D(_ConvRecurrent2D):
    """Convolutional LSTM layer that can run frame by frame.

    Over clips, it equals `keras.layers.ConvLSTM2D(return_sequences=True)` of the same weights (Shi
    et al., 2015). Called on frames, it starts from zeros. In a `mpvn.VideoNetwork`, it keeps its
    memory, the output and the cell, from tick to tick.

    Args:
        filters: Number of output channels.
        kernel_size: Int, or `(height, width)`, of both kernels.
        strides: Spatial strides over the frame, int or `(height, width)`.
        padding: Spatial padding of the frame, `"same"` or `"valid"`. Padding of the memory is
            `"same"`.
        unit_forget_bias: Whether the bias of the forget gate starts as ones.
        **kwargs: The other arguments of `TemporalConvGRU2D`.

    Call arguments:
        inputs: Frames `[B, H, W, C]` or clips `[B, T, H, W, C]`, floating point; or a list of
            these, the output and the cell `[B, H', W', filters]` before them.

    Output shape:
        `[B, H', W', filters]` or `[B, T, H', W', filters]`; for a list, a list of outputs and
        cells.

    Raises:
        ValueError: If an argument is out of range, the number of input channels is unknown, or the
            kernel is larger than the frame.

    Example:
        >>> layer = TemporalConvLSTM2D(8, kernel_size=3)
        >>> tuple(layer(keras.ops.ones((1, 5, 16, 16, 3))).shape)
        (1, 5, 16, 16, 8)
    """

    gates, memories = 4, 2

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = 1,
        padding: str = "same",
        unit_forget_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(filters, kernel_size, strides, padding, **kwargs)
        self.unit_forget_bias = unit_forget_bias

    def _initial_bias(self, shape: tuple, dtype: str | None = None) -> Any:
        bias = super()._initial_bias(shape, dtype)
        if not self.unit_forget_bias:
            return bias
        into, _, rest = ops.split(bias, [self.filters, 2 * self.filters])
        return ops.concatenate([into, ops.ones((self.filters,), dtype), rest])

    def compute(self, prepared, memory):
        output, cell = memory
        gates = ops.split(prepared + self._recurrent(output, 0, 4), 4, axis=-1)
        into, forget, out = (self.recurrent_activation(gates[gate]) for gate in (0, 1, 3))
        cell = forget * cell + into * self.activation(gates[2])
        return [out * self.activation(cell), cell]

    def get_config(self) -> dict:
        return {**super().get_config(), "unit_forget_bias": self.unit_forget_bias}
