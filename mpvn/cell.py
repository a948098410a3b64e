"""A whole video network as a cell for `keras.layers.RNN`.

Bounds of `keras.layers.RNN`, and how the cell keeps within them: states are cast to the compute
dtype, so the step is counted modulo the period; states and outputs are declared as vectors, so maps
are flattened; one input and one output. Nothing of this holds for `VideoNetwork` itself, which is
also faster, because its phases are known while tracing.
"""

import math
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from mpvn.network import STEP, VideoNetwork


@keras.saving.register_keras_serializable(package="mpvn")
class NetworkCell(keras.layers.Layer):
    """One step of `network` per time step of a `keras.layers.RNN`.

    Args:
        network: a causal `VideoNetwork` with one input and one output, of a period of at most 256.

    Call arguments:
        inputs: frames `[B, ...]`.
        states: list of the step counter `[B, 1]` and the flattened slots `[B, size]`.

    Output shape:
        `[B, size]`: the output of this step, flattened.

    Raises:
        ValueError: the network is not of that kind.
    """

    def __init__(self, network: VideoNetwork, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        plan = network.plan
        ends = (len(plan.graph.inputs), len(plan.graph.outputs))
        if ends != (1, 1) or plan.period > 256 or not plan.causal:
            raise ValueError(
                "a cell takes a causal network with one input, one output and a period of at most "
                f"256. Received: {ends[0]} inputs, {ends[1]} outputs, period {plan.period}, "
                f"{'causal' if plan.causal else 'looking into the future'}"
            )
        self.network = network
        self._specs = plan.histories.specs
        self.output_size = math.prod(plan.graph.tensors[plan.graph.outputs[0]].shape)
        self.state_size = [1, *(math.prod(spec.shape[1:]) for spec in self._specs.values())]
        self.built = True

    def build(self, input_shape: Any) -> None:
        """Nothing to build: the network is."""

    def get_initial_state(self, batch_size: int | None = None) -> list:
        """Zeros."""
        return [ops.zeros((batch_size, size), self.compute_dtype) for size in self.state_size]

    def call(self, inputs, states, training=None):
        counter, *flat = states
        period = self.network.plan.period
        state = {STEP: ops.cast(ops.round(counter[0, 0]), "int64")}
        for (name, spec), value in zip(self._specs.items(), flat, strict=True):
            # [B, size] -> [B, ...]
            state[name] = tf.cast(tf.reshape(value, (-1, *spec.shape[1:])), spec.dtype)
        outputs, state = self.network.step(inputs, state, training=bool(training))
        slots = [ops.reshape(state[name], (-1, size)) for name, size in self._sizes()]
        slots = [ops.cast(slot, self.compute_dtype) for slot in slots]
        counter = ops.mod(counter + 1, period)
        return ops.reshape(outputs, (-1, self.output_size)), [counter, *slots]

    def _sizes(self) -> list[tuple[str, int]]:
        return list(zip(self._specs, self.state_size[1:], strict=True))

    def get_config(self) -> dict:
        network = keras.saving.serialize_keras_object(self.network)
        return {**super().get_config(), "network": network}

    @classmethod
    def from_config(cls, config: dict) -> "NetworkCell":
        config = dict(config)
        return cls(keras.saving.deserialize_keras_object(config.pop("network")), **config)
