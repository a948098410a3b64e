"""The signatures of an exported network: functions of named tensors.

- `init_states`: `batch_size` (int32 scalar) -> the named initial states of that many streams.
- `step`: one frame per input, and the states -> one value per output, and the new states. A state
  that goes in as `x` comes out as `next_x`. Each stream has its own step counter, int64 `[B]`, so
  streams of any age share a batch. A block on a slow clock computes the streams that tick, and is
  skipped if there are none.
- `clip`: one clip of any length per input -> the outputs of every step of new streams.

`mpvn.export.names` says how inputs and outputs are called. In `step` and `clip`, every input and
output has the batch axis first, as TensorFlow Serving needs it to batch requests and for the row
format of its REST API. `init_states` has none in its input, so neither works there: a client makes
initial states itself, as zeros of the shapes and dtypes in `step`. Streams that start primed begin
with zeros, too: `step` primes those whose counter is 0.
"""

import keras
import tensorflow as tf

from mpvn.export.names import network_names
from mpvn.state import STEP

Specs = dict[str, tf.TensorSpec]
Tensors = dict[str, tf.Tensor]


class Signatures:
    """The exported functions of a network. They take and return flat dicts of named tensors.

    Args:
        network: a causal `VideoNetwork`.
        clips: the spec `[B, T, ...]` of each input.

    Attributes:
        names: the names of the network's tensors in the file.
        states: the specs of the states `[B, ...]`, the step counter first.
    """

    def __init__(self, network: keras.Model, clips: list[tf.TensorSpec]) -> None:
        self.network = network
        self._clips = clips
        batch = clips[0].shape[0]
        slots = network.plan.histories.specs.items()
        counter = {STEP: tf.TensorSpec((batch,), tf.int64, STEP)}
        self.states: Specs = counter | {
            name: tf.TensorSpec((batch, *x.shape[1:]), x.dtype, name) for name, x in slots
        }
        self.names = network_names(network)

    def clip_specs(self) -> Specs:
        """Return the inputs of `clip`."""
        return {
            name: tf.TensorSpec(x.shape, x.dtype, name)
            for name, x in zip(self.names.inputs, self._clips, strict=True)
        }

    def frame_specs(self) -> Specs:
        """Return the inputs of `step`, without the states."""
        return {
            name: tf.TensorSpec((x.shape[0], *x.shape[2:]), x.dtype, name)
            for name, x in self.clip_specs().items()
        }

    def step(self, values: Tensors) -> Tensors:
        state = {name: values[name] for name in self.states}
        outputs, after = self.network.step(self._packed(values), state)
        moved = {out: after[name] for name, out in self.names.states.items()}
        return {**self._named(outputs), **moved}

    def clip(self, clips: Tensors) -> Tensors:
        return self._named(self.network(self._packed(clips), training=False))

    def init_states(self, values: Tensors) -> Tensors:
        return self.network.initial_state(values["batch_size"])

    def _packed(self, values: Tensors) -> object:
        """Return the inputs among `values` in the structure of the frame model's inputs."""
        flat = [values[name] for name in self.names.inputs]
        return keras.tree.pack_sequence_as(self.network.graph.input_structure, flat)

    def _named(self, outputs: object) -> Tensors:
        self.network.graph.pop_losses()  # symbolic tensors, which are invalid outside this trace
        return dict(zip(self.names.outputs, keras.tree.flatten(outputs), strict=True))
