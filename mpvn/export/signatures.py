"""The signatures of an exported network whose states go in and out: functions of named tensors.

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

from collections.abc import Callable
from typing import TypeAlias

import keras
import tensorflow as tf

from mpvn.export.answers import Answers
from mpvn.export.images import Images
from mpvn.export.names import BATCH_SIZE, network_names
from mpvn.export.requirements import checked, counted, of_shapes, one_batch, some_frames
from mpvn.state import STEP

Specs: TypeAlias = dict[str, tf.TensorSpec]
Tensors: TypeAlias = dict[str, tf.Tensor]
Function: TypeAlias = Callable[[Tensors], Tensors]


class Signatures:
    """The exported functions of a network. They take and return flat dicts of named tensors.

    Args:
        network: a causal `VideoNetwork`.
        clips: the spec `[B, T, ...]` of each input.
        images: how frames arrive, if not as the network takes them.
        answers: what is added to the outputs; None for nothing.

    Attributes:
        names: the names of the network's tensors in the file.
        slots: the specs of the states `[B, ...]`, without the step counter.
    """

    def __init__(
        self,
        network: keras.Model,
        clips: list[tf.TensorSpec],
        images: Images | None = None,
        answers: Answers | None = None,
    ) -> None:
        self.network = network
        self.names = network_names(network)
        self._images, self._answers = images, answers
        self._clips = [images.clips(*x.shape[:2]) for x in clips] if images else clips
        self.batch = clips[0].shape[0]
        self.slots: Specs = {
            name: tf.TensorSpec((self.batch, *x.shape[1:]), x.dtype, name)
            for name, x in network.plan.histories.specs.items()
        }

    def functions(self) -> dict[str, tuple[Function, Specs]]:
        """Return each signature with the specs of its inputs."""
        count = tf.TensorSpec((), tf.int32, BATCH_SIZE)
        return {
            "step": (self.step, {**self.frames, STEP: self.of_streams(STEP), **self.slots}),
            "clip": (self.clip, self.clips),
            "init_states": (self.init_states, {BATCH_SIZE: count}),
        }

    @property
    def clips(self) -> Specs:
        """The inputs of `clip`."""
        return {
            name: tf.TensorSpec(x.shape, x.dtype, name)
            for name, x in zip(self.names.inputs, self._clips, strict=True)
        }

    @property
    def frames(self) -> Specs:
        """The frames among the inputs of `step`."""
        return {
            name: tf.TensorSpec((x.shape[0], *x.shape[2:]), x.dtype, name)
            for name, x in self.clips.items()
        }

    def of_streams(self, name: str) -> tf.TensorSpec:
        """Return the spec of a whole number for each stream."""
        return tf.TensorSpec((self.batch,), tf.int64, name)

    def step(self, values: Tensors) -> Tensors:
        frames = self.prepared(of_shapes(values, self.frames))
        state = of_shapes(values, {STEP: self.of_streams(STEP), **self.slots})
        checks = [one_batch({**frames, **state}), counted(state[STEP])]
        outputs, after = self.run(checked(frames, checks), state)
        return {**outputs, **{out: after[name] for name, out in self.names.states.items()}}

    def clip(self, values: Tensors) -> Tensors:
        clips = self.prepared(of_shapes(values, self.clips))
        clips = checked(clips, [one_batch(clips), some_frames(clips)])
        return self._named(self.network(self._packed(clips), training=False))

    def init_states(self, values: Tensors) -> Tensors:
        return self.network.initial_state(values[BATCH_SIZE])

    def prepared(self, frames: Tensors) -> Tensors:
        """Return frames or clips as the network takes them, from those that arrive."""
        images = self._images
        return {name: images(x) for name, x in frames.items()} if images else frames

    def run(self, frames: Tensors, state: Tensors) -> tuple[Tensors, Tensors]:
        """Run a step. Return the named outputs, and the state after it."""
        outputs, after = self.network.step(self._packed(frames), state)
        return self._named(outputs), after

    def _packed(self, values: Tensors) -> object:
        """Return inputs in the structure of the frame model's inputs."""
        flat = [values[name] for name in self.names.inputs]
        return keras.tree.pack_sequence_as(self.network.graph.input_structure, flat)

    def _named(self, outputs: object) -> Tensors:
        self.network.graph.pop_losses()  # symbolic tensors, which are invalid outside this trace
        named = dict(zip(self.names.outputs, keras.tree.flatten(outputs), strict=True))
        return named | (self._answers(named) if self._answers else {})
