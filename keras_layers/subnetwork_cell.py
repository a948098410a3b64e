"""One subnetwork as a cell for `keras.layers.RNN`: a clock, a cached output, a device.

What it does not do well, because of `keras.layers.RNN`:

- RNN casts states to the compute dtype, so the cell counts steps modulo the clock's rate, which is
  small enough to be exact in half precision.
- RNN declares outputs and states as vectors, so the cell flattens maps to `[B, size]`; reshape them
  after the RNN.
- RNN runs stacked cells one after the other within a step, so subnetworks that read the previous
  step's value need the cell's `delay`, and skips across subnetworks are not possible.

`mpvn.VideoNetwork` has none of these limits.
"""

import math

import keras
import tensorflow as tf
from keras import ops


@keras.saving.register_keras_serializable(package="keras_layers")
class SubnetworkCell(keras.layers.Layer):
    """Computes a module at the ticks of a clock, and repeats its last output between them.

    Args:
        module: a Keras layer or model from the features of one frame to one tensor.
        rate: steps between ticks, at most 256. The cell ticks at steps t with `t % rate == phase`.
        phase: the first step at which the cell ticks, less than `rate`.
        delay: 0, or 1 to return at step t the output of step t - 1: the boundary between parallel
            subnetworks (*Massively Parallel Video Networks*, section 3).
        device: device string for the module's variables and computation, or None.
        frame_shape: shape without the batch axis, to reshape inputs to; None to leave them.

    Call arguments:
        inputs: `[B, ...]`, the features of one step; with `frame_shape`, vectors `[B, size]`.
        states: a list of the step counter `[B, 1]` and the last output `[B, size]`.
        training: as in Keras.

    Output shape:
        `[B, size]`, where size is the number of values in the module's output for one frame.

    Raises:
        ValueError: rate, phase or delay is out of range.

    Example:
        >>> cell = SubnetworkCell(keras.layers.Dense(3), rate=2)
        >>> tuple(keras.layers.RNN(cell, return_sequences=True)(ops.ones((1, 5, 4))).shape)
        (1, 5, 3)
    """

    def __init__(
        self,
        module: keras.layers.Layer,
        rate: int = 1,
        phase: int = 0,
        delay: int = 0,
        device: str | None = None,
        frame_shape: tuple[int, ...] | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        if not 1 <= rate <= 256 or not 0 <= phase < rate:
            raise ValueError(
                "Invalid clock of a cell. Expected 1 <= rate <= 256 and 0 <= phase < rate. "
                f"Received: rate={rate}, phase={phase}"
            )
        if delay not in (0, 1):
            raise ValueError(f"Invalid delay. Expected 0 or 1. Received: {delay}")
        self.module = module
        self.rate = rate
        self.phase = phase
        self.delay = delay
        self.device = device
        self.frame_shape = None if frame_shape is None else tuple(frame_shape)
        self._size: int | None = None

    def build(self, input_shape: tuple) -> None:
        if self.frame_shape is not None:
            input_shape = (input_shape[0], *self.frame_shape)
        with tf.device(self.device):
            if not self.module.built:
                self.module.build(input_shape)
        shape = self.module.compute_output_shape(input_shape)
        self._size = math.prod(shape[1:])

    @property
    def output_size(self) -> int | None:
        """Number of values in the output for one frame; None before `build`."""
        return self._size

    @property
    def state_size(self) -> list[int | None]:
        """Sizes of the states: the step counter and the last output."""
        return [1, self._size]

    def get_initial_state(self, batch_size: int | None = None) -> list:
        """Return zeros `[batch_size, size]` for each state."""
        sizes = (1, self._size)
        return [ops.zeros((batch_size, size), dtype=self.compute_dtype) for size in sizes]

    def call(self, inputs, states, training=None):
        counter, last = states

        def compute():
            frame = inputs
            if self.frame_shape is not None:
                frame = ops.reshape(inputs, (-1, *self.frame_shape))  # [B, size] -> [B, *frame]
            with tf.device(self.device):
                values = self.module(frame, training=training)
            return ops.cast(ops.reshape(values, (-1, self._size)), last.dtype)  # -> [B, size]

        # All streams of the batch share the clock, so any of their counters will do.
        ticks = ops.equal(counter[0, 0], ops.cast(self.phase, counter.dtype))
        newest = compute() if self.rate == 1 else tf.cond(ticks, compute, lambda: last)
        counter = ops.mod(counter + 1, self.rate)
        return (last if self.delay else newest), [counter, newest]

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "module": keras.saving.serialize_keras_object(self.module),
            "rate": self.rate,
            "phase": self.phase,
            "delay": self.delay,
            "device": self.device,
            "frame_shape": self.frame_shape,
        }

    @classmethod
    def from_config(cls, config: dict) -> "SubnetworkCell":
        config = dict(config)
        module = keras.saving.deserialize_keras_object(config.pop("module"))
        return cls(module, **config)
