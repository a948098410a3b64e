"""The base class of layers with a memory of their own, and one way to run them.

    prepared = prepare(frame)                          what a frame gives without the past
    memory   = compute(prepared, memory)               zeros before the first tick
    output   = memory[0]

*Massively Parallel Video Networks*, section 3.1, allows any spatial recurrent module as the
internal state of a network. A recurrent layer is a function of the frame and of what the layer
itself put out at its previous tick. The caller keeps that memory: `call` does so over a clip, and
the executors of `mpvn` do so for each stream. Training and streaming share this one `compute`.

What it does not do well: over a clip, `compute` runs once for each frame, in a loop; `prepare` runs
for all frames at once, so most of the work belongs there.
"""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from keras_layers.arguments import is_clip
from keras_layers.folding import fold_time, swap_time, unfold_time
from keras_layers.pure_call import DiscardedUpdates


class RecurrentLayer(keras.layers.Layer):
    """A layer that remembers what it put out at its previous tick.

    Subclasses implement `compute` and `compute_memory_shapes`, and `build` if they have weights.
    They may override `prepare`. In a `mpvn.VideoNetwork`, each call of the layer has a memory of
    its own for each stream, which changes at the ticks of the layer's clock only.

    Call arguments:
        inputs: One of
            - a batch of frames, of rank `frame_rank`: one tick from an empty memory;
            - a batch of clips, of rank `frame_rank + 1`, with the time axis after the batch axis:
              the recurrence over time, from an empty memory;
            - a list of frames or clips, followed by the memory before them, `[B, ...]` each; none
              means an empty memory.

    Output shape:
        The first of `compute_memory_shapes`; for clips of T frames, with a time axis of T after
        the batch axis. For a list, a list: the whole memory after each tick.

    Raises:
        ValueError: If the input has another rank, `activity_regularizer` is given, or `compute`
            assigns variables or adds losses.
    """

    frame_rank = 4
    """Rank of a batch of frames, `[B, H, W, C]`."""

    def __init__(self, **kwargs: Any) -> None:
        if kwargs.get("activity_regularizer"):
            raise ValueError(
                "A recurrent layer cannot regularize its activity, because its memory is not all "
                "output. Expected activity_regularizer=None. Received: "
                f"{kwargs['activity_regularizer']!r}. Use keras.layers.ActivityRegularization "
                "after the layer."
            )
        super().__init__(**kwargs)

    def prepare(self, frame):
        """Return what `compute` needs of a batch of frames; by default the frames.

        Args:
            frame: A batch of frames `[B, ...]`, of rank `frame_rank`.

        Returns:
            A tensor `[B, ...]`.
        """
        return frame

    def compute(self, prepared, memory):
        """Return the new memory.

        It must be finite where the memory and the frames are zeros, because streams start there. It
        cannot assign variables, as batch norm and dropout do in training; `prepare` can.

        Args:
            prepared: Result of `prepare`, `[B, ...]`.
            memory: List of tensors `[B, ...]`, what `compute` returned at the previous tick.

        Returns:
            List of tensors of the shapes of `memory`. The first is the output of the layer.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement compute(prepared, memory)")

    def compute_memory_shapes(self, frame_shape: tuple) -> list[tuple]:
        """Return the shapes of the memory for a batch of frames of shape `frame_shape`.

        Unknown sizes of `frame_shape` are None, or scalar tensors.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must implement compute_memory_shapes(frame_shape)"
        )

    def call(self, inputs):
        alone = not isinstance(inputs, (list, tuple))
        frames, *memory = [inputs] if alone else inputs
        clip = is_clip(frames.shape, self.frame_rank, self.name)
        memory = memory or self._empty_memory(frames, clip)
        run = self._run_clip if clip else self._run_frame
        memory = run(frames, memory)
        return memory[0] if alone else memory

    def _run_frame(self, frame: Any, memory: list) -> list:
        return self._tick(self.prepare(frame), memory)

    def _run_clip(self, clip: Any, memory: list) -> list:
        batch, steps = ops.shape(clip)[:2]
        # [B, T, ...] -> [B*T, ...] -> [B, T, ...] -> [T, B, ...]
        prepared = swap_time(unfold_time(self.prepare(fold_time(clip)), batch, steps))
        frames = tf.TensorArray(prepared.dtype, steps, clear_after_read=False).unstack(prepared)
        # With the memory before the clip in front, no array is empty, even if the clip is.
        arrays = [
            tf.TensorArray(x.dtype, steps + 1, element_shape=x.shape).write(0, x) for x in memory
        ]

        def step(time, memory, arrays):
            memory = self._tick(frames.read(time), memory)
            pairs = zip(arrays, memory, strict=True)
            return time + 1, memory, [array.write(time + 1, x) for array, x in pairs]

        *_, arrays = tf.while_loop(
            lambda time, *_: time < steps,
            step,
            (tf.constant(0), memory, arrays),
            maximum_iterations=clip.shape[1],
        )
        after = [swap_time(array.stack()[1:]) for array in arrays]  # [T, B, ...] -> [B, T, ...]
        pairs = zip(after, memory, strict=True)
        return [tf.ensure_shape(x, (*clip.shape[:2], *old.shape[1:])) for x, old in pairs]

    def _tick(self, prepared: Any, memory: list) -> list:
        """Return `compute(prepared, memory)`, in the dtypes and shapes of `memory`."""
        with _NoUpdates(self.name):
            results = list(self.compute(prepared, list(memory)))
        if len(results) != len(memory):
            raise ValueError(
                f"Layer {self.name!r}: expected compute to return a list of {len(memory)} tensors, "
                f"one for each of compute_memory_shapes. Received: {len(results)}."
            )
        pairs = zip(results, memory, strict=True)
        return [tf.ensure_shape(tf.cast(x, old.dtype), old.shape) for x, old in pairs]

    def _empty_memory(self, frames: Any, clip: bool) -> list:
        shape = tuple(ops.shape(frames))
        shapes = self.compute_memory_shapes((shape[0], *shape[1 + clip :]))
        return [ops.zeros(shape, dtype=self.compute_dtype) for shape in shapes]

    def compute_output_shape(self, input_shape: tuple) -> Any:
        shape = first_shape(input_shape)
        clip = is_clip(shape, self.frame_rank, self.name)
        frame = (shape[0], *shape[1 + clip :])
        shapes = [
            (size, *shape[1 : 1 + clip], *rest) for size, *rest in self.compute_memory_shapes(frame)
        ]
        return shapes[0] if shape == tuple(input_shape) else shapes


def first_shape(input_shape: Any) -> tuple:
    """Return the shape of the frames or clips, which may come in a list with the memory."""
    several = isinstance(input_shape[0], (list, tuple))
    return tuple(input_shape[0] if several else input_shape)


class _NoUpdates(DiscardedUpdates):
    """A scope in which layers cannot assign variables or add losses.

    Over a clip, `compute` runs in a loop, which neither can leave.

    Args:
        layer: the name of the recurrent layer.
    """

    def __init__(self, layer: str) -> None:
        super().__init__()
        self._layer = layer

    def add_update(self, update: tuple[keras.Variable, Any]) -> None:
        raise self._error(f"assigns the variable {update[0].path!r}")

    def add_loss(self, loss: Any) -> None:
        raise self._error("adds a loss")

    def _error(self, fault: str) -> ValueError:
        return ValueError(
            f"compute of layer {self._layer!r} {fault}, but it runs in a loop over the frames of a "
            "clip. Expected a function of the frame, the memory and the weights. Put batch norm, "
            "dropout and losses into prepare, or before or after the layer."
        )
