"""A video network as a cell for `keras.layers.RNN`.

`keras.layers.RNN` has limits, which the cell works around:

- it casts states to the compute dtype, so the step counter starts again after a period;
- it declares states and outputs as vectors, so the cell flattens feature maps;
- it allows one input and one output.

`VideoNetwork` itself has none of these limits and is faster, because it knows phases while tracing.
"""

import math
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from mpvn.state import STEP


@keras.saving.register_keras_serializable(package="mpvn")
class NetworkCell(keras.layers.Layer):
    """One step of a video network, as a cell for `keras.layers.RNN`; see `VideoNetwork.cell`.

    Args:
        network: a causal `VideoNetwork` with one input, one output and a period of at most 256.
            (This module does not import the class, which imports this module.)

    Call arguments:
        inputs: frames `[B, ...]`.
        states: list of the step counter `[B, 1]` and the flattened slots `[B, size]`.

    Output shape:
        `[B, size]`, the flattened output of this step.

    Raises:
        ValueError: the network does not fit.
    """

    def __init__(self, network: keras.Model, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        plan = network.plan
        inputs, outputs = len(plan.graph.inputs), len(plan.graph.model_outputs)
        last = network.settled_step + plan.period - 1  # the largest number of a step
        if (inputs, outputs) != (1, 1) or last > 256 or not plan.causal:
            raise ValueError(
                "Expected a causal network with one input, one output and a period of at most "
                f"256. Received: {inputs} inputs, {outputs} outputs, period {plan.period} after "
                f"{network.settled_step} first steps, "
                f"{'causal' if plan.causal else 'looking into the future'}."
            )
        self.network = network
        self._specs = plan.histories.specs
        self.output_size = math.prod(plan.graph.tensors[plan.graph.outputs[0]].shape)
        self._slot_sizes = [math.prod(spec.shape[1:]) for spec in self._specs.values()]
        self.state_size = [1, *self._slot_sizes]
        self.built = True

    def build(self, input_shape: Any) -> None:
        """Do nothing: the network is built."""

    def get_initial_state(self, batch_size: int | None = None) -> list:
        """Return zeros, `[B, size]` for each state."""
        return [ops.zeros((batch_size, size), self.compute_dtype) for size in self.state_size]

    def call(self, inputs, states, training=None):
        counter, *slots = states
        state = {STEP: ops.cast(ops.round(counter[:, 0]), "int64")}
        for (name, spec), slot in zip(self._specs.items(), slots, strict=True):
            # [B, size] -> [B, ...]
            state[name] = tf.cast(tf.reshape(slot, (-1, *spec.shape[1:])), spec.dtype)
        outputs, state = self.network.step(inputs, state, training=bool(training))
        settled = self.network.settled_step
        counter = ops.where(counter + 1 < settled + self.network.plan.period, counter + 1, settled)
        # [B, ...] -> [B, size]
        slots = [
            ops.cast(ops.reshape(state[name], (-1, size)), self.compute_dtype)
            for name, size in zip(self._specs, self._slot_sizes, strict=True)
        ]
        return ops.reshape(outputs, (-1, self.output_size)), [counter, *slots]

    def get_config(self) -> dict:
        network = keras.saving.serialize_keras_object(self.network)
        return {**super().get_config(), "network": network}

    @classmethod
    def from_config(cls, config: dict) -> "NetworkCell":
        config = dict(config)
        return cls(keras.saving.deserialize_keras_object(config.pop("network")), **config)
