"""The signatures of an exported network that keeps its states: nothing but frames travels.

- `step`: `stream_id` (int64 `[B]`, any numbers, each once) and one frame per input -> one value per
  output, and `step` (int64 `[B]`): the number of the step that each stream has just run. An id that
  the server does not know is a new stream, whose `step` is 0. So a client sees when its stream has
  been restarted: by a new server, or because it lost its slot (`mpvn.export.slots`).
- `reset`: `stream_id` -> `steps` (int64 `[B]`), how many steps each stream had run. It ends there.
- `clip`: as in `mpvn.export.signatures`; it uses no slot.

A call is refused as a whole, and then changes nothing: for ids that come twice, frames of another
size, with numbers that are not finite or of another range of pixels, more streams than there are
slots, and resets of unknown streams.
"""

from typing import Any

import tensorflow as tf

from mpvn.export.names import STEPS, STREAM
from mpvn.export.requirements import checked, distinct, finite, of_range, of_shapes, one_batch
from mpvn.export.signatures import Function, Signatures, Specs, Tensors
from mpvn.export.slots import Slots
from mpvn.export.specs import known_pixels
from mpvn.state import STEP


class ServerSignatures(Signatures):
    """The exported functions of a network with its states on the server.

    Args:
        *arguments: those of `Signatures`.
        streams: number of streams whose states the server keeps.
        idle: seconds without a frame after which a stream may lose its slot to a new one.

    Attributes:
        variables: the slots.
    """

    def __init__(self, *arguments: Any, streams: int, idle: float) -> None:
        super().__init__(*arguments)
        self.variables = Slots(self.slots, streams, idle)
        self._ids = {STREAM: self.of_streams(STREAM)}
        self._any = {STREAM: tf.TensorSpec((None,), tf.int64, STREAM)}

    def functions(self) -> dict[str, tuple[Function, Specs]]:
        return {
            "step": (self.step, {**self._ids, **self.frames}),
            "reset": (self.reset, self._any),
            "clip": (self.clip, self.clips),
        }

    def step(self, values: Tensors) -> Tensors:
        streams = of_shapes(values, self._ids)[STREAM]
        frames = self.prepared(of_shapes(values, self.frames))
        checks = [one_batch({STREAM: streams, **frames}), *distinct(streams)]
        checks += [check for name, x in frames.items() for check in finite(name, x, streams)]
        if pixels := known_pixels(self.network):
            checks += [of_range(name, x, streams, pixels) for name, x in frames.items()]
        streams = checked({STREAM: streams}, [*checks, *frames.values()])[STREAM]

        def run() -> tuple[Tensors, list[tf.Operation]]:
            claim = self.variables.claim(streams)
            outputs, after = self.run(frames, self.variables.read(claim))
            with tf.control_dependencies([*outputs.values(), *after.values()]):
                return {**outputs, STEP: claim.steps}, self.variables.write(claim, after)

        return self.variables.exclusively(run, after=streams)

    def reset(self, values: Tensors) -> Tensors:
        streams = of_shapes(values, self._any)[STREAM]
        streams = checked({STREAM: streams}, distinct(streams))[STREAM]

        def run() -> tuple[Tensors, list[tf.Operation]]:
            steps, writes = self.variables.free(streams)
            return {STEPS: steps}, writes

        return self.variables.exclusively(run, after=streams)
