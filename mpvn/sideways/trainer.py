"""The base class of trainers with their own training step: updates within clips.

    clip of 12 frames, update_every=4     update after frames 3, 7, 11
    update_every=1                        after every frame
    update_every=None                     after the clip, as Keras does

    for piece in split(clip, update_every):
        loss, outputs, state = update(piece, state)     gradients and optimizer

A trainer is a Keras model around a `VideoNetwork`. It is compiled and fitted like one, calls the
network under its plan, and trains it in its own way. Targets belong to frames, whenever the network
answers: the delay is the trainer's business, not the data's.
"""

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_layers.folding import swap_time
from mpvn import replicas
from mpvn.executors.placed import backward_on_devices
from mpvn.executors.repeat import repeat, steps_at_once
from mpvn.network import VideoNetwork, build_optimizer


class Piece(NamedTuple):
    """Some steps of a batch of clips.

    Attributes:
        clip: `[B, n, ...]` for each input of the frame model.
        targets: `[B, n, ...]`, in the structure of the network's outputs.
        weights: float32 `[B, n]`.
    """

    clip: list[tf.Tensor]
    targets: Any
    weights: tf.Tensor


class Trainer(keras.Model):
    """Trains a network with an update every `update_every` steps of a clip.

    Subclasses implement `update`, and may override `initial` and `select`.

    Args:
        network: the network to train; save and export this.
        update_every: steps between updates, fewer for the last of a clip; None for one update a
            clip.

    Call arguments:
        inputs: clips `[B, T, ...]`.
        training: as in Keras.

    Output shape:
        That of `network`, called on the clip under its plan.

    Raises:
        TypeError: `network` is not a `VideoNetwork`.
        ValueError: update_every is below 1; in training, the loss has no value for each step.
    """

    def __init__(
        self, network: VideoNetwork, update_every: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(network, VideoNetwork):
            raise TypeError(
                f"{type(self).__name__}: expected a VideoNetwork. Received: "
                f"{type(network).__name__}. To make one from an image model, use "
                "VideoNetwork(model, Plan(model, subnetworks))."
            )
        if update_every is not None and (not isinstance(update_every, int) or update_every < 1):
            raise ValueError(
                f"Invalid update_every. Expected None or at least 1 step. Received: "
                f"{update_every!r}."
            )
        self.network = network
        self.update_every = update_every
        self.autocast = False  # the frame model casts its inputs itself
        self.supports_jit = False
        self.built = True

    def make_train_function(self, force: bool = False) -> Any:
        build_optimizer(self)
        return super().make_train_function(force)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.network(inputs, training=training)

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """All optimizers that training changes, for checkpoints."""
        return [self.optimizer]

    def updates(self, steps: int) -> int:
        """Return the number of updates for a clip of `steps` steps."""
        return -(-steps // (self.update_every or steps))

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError("A trainer has no config. Save trainer.network instead.")

    # --- for subclasses ---------------------------------------------------------------------

    def initial(self, piece: Piece) -> Any:
        """Return the state before a clip: a structure of tensors."""
        return ()

    def select(self, piece: Piece) -> Piece:
        """Return the steps of a clip to train on, with the targets of those steps."""
        return piece

    def update(self, piece: Piece, state: Any) -> tuple[tf.Tensor, list[tf.Tensor], Any]:
        """Run one update.

        Args:
            piece: the steps of this update.
            state: the state before it.

        Returns:
            The loss, a mean over the counted steps, divided by the number of replicas; outputs
            `[B, n, ...]`; the state after it.
        """
        raise NotImplementedError

    # --- for all trainers -------------------------------------------------------------------

    @tf.autograph.experimental.do_not_convert
    def train_step(self, data: Any) -> dict[str, Any]:
        """Train on a batch of clips, called by `fit`."""
        piece = self.select(self._piece(*keras.utils.unpack_x_y_sample_weight(data)))
        with backward_on_devices(self.network.plan):
            loss, outputs, _ = self.run_updates(piece, self.initial(piece))
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(replicas.unscaled(loss))
        packed = self.network.graph.pack_outputs(outputs)
        return self.compute_metrics(piece.clip, piece.targets, packed, piece.weights)

    def run_updates(self, piece: Piece, state: Any) -> tuple[tf.Tensor, list[tf.Tensor], Any]:
        """Run an update every `update_every` steps; arguments and results as in `update`."""
        length, batch = piece.weights.shape[1], piece.weights.shape[0]
        if self.update_every is None or (length is not None and length <= self.update_every):
            return self.update(piece, state)
        every, known = self.update_every, length is not None
        steps = length if known else tf.shape(piece.weights)[1]
        at_once, count = steps_at_once(self.network.plan), -(-steps // every)
        # Between devices, the last update, if it has fewer steps, is apart: then the others have a
        # known number of steps, which can be laid out.
        whole = count if at_once == 1 else steps // every
        same = at_once > 1 or (known and length % every == 0)

        def run_update(number, state, total, arrays, *, size=every if same else None):
            first = number * every
            part = keras.tree.map_structure(lambda x: _cut(x, first, every, size), piece)
            loss, outputs, state = self.update(part, state)
            total += tf.cast(loss, tf.float32) * tf.cast(tf.shape(part.weights)[1], tf.float32)
            pairs = zip(arrays, outputs, strict=True)
            # [B, n, ...] -> [n, B, ...], to concatenate along time
            return state, total, [a.write(number, swap_time(x)) for a, x in pairs]

        variables = state, tf.constant(0.0), self._output_arrays(count, batch)
        updates_at_once = max(1, at_once // every)
        variables = repeat(whole, run_update, variables, updates_at_once, parallel_iterations=1)
        if whole is not count:
            size = steps % every if known else None
            variables = repeat(
                count - whole,
                lambda _, *variables: run_update(whole, *variables, size=size),
                variables,
                2 if known else 1,
            )
        state, total, arrays = variables
        outputs = [swap_time(array.concat()) for array in arrays]
        shapes = [(batch, length, *x.shape[2:]) for x in outputs]
        outputs = [tf.ensure_shape(x, shape) for x, shape in zip(outputs, shapes, strict=True)]
        return total / tf.cast(steps, total.dtype), outputs, state

    def _output_arrays(self, count: int | tf.Tensor, batch: int | None) -> list[tf.TensorArray]:
        graph = self.network.graph
        tensors = [graph.tensors[index] for index in graph.outputs]
        return [
            tf.TensorArray(t.dtype, count, infer_shape=False, element_shape=(None, batch, *t.shape))
            for t in tensors
        ]

    def loss_of(self, piece: Piece, outputs: list[tf.Tensor], weights: tf.Tensor) -> tf.Tensor:
        """Return the compiled loss of some steps, with the penalties of weights.

        Args:
            piece: the steps that the outputs belong to.
            outputs: `[B, n, ...]` for each output of the frame model.
            weights: float32 `[B, n]`, instead of the piece's.

        Raises:
            ValueError: the loss has no value for each step.
        """
        ranks = self._loss_ranks(piece.targets, outputs[: len(self.network.graph.model_outputs)])
        packed = self.network.graph.pack_outputs(outputs)
        # [B, n] -> [B, n, 1, ...], the rank of each loss
        shaped = [
            tf.reshape(weights, [*tf.unstack(tf.shape(weights)), *[1] * (rank - 2)])
            for rank in ranks
        ]
        sample_weight = keras.tree.pack_sequence_as(packed, shaped)
        return self.compute_loss(piece.clip, piece.targets, packed, sample_weight)

    def _loss_ranks(self, targets: Any, outputs: list[tf.Tensor]) -> list[int]:
        """Return the rank of the loss `[B, T, ...]` of each output.

        Raises:
            ValueError: a loss has no value for each step.
        """
        losses = keras.tree.flatten(self.loss)
        losses = losses * len(outputs) if len(losses) == 1 else losses
        ranks = []
        for loss, y, output in zip(losses, keras.tree.flatten(targets), outputs, strict=True):
            shape, longer = (_loss_shape(loss, y, output, steps) for steps in (2, 3))
            if shape.rank is None or shape.rank < 2 or (shape[1], longer[1]) != (2, 3):
                raise ValueError(
                    f"{type(self).__name__} learns step by step. Expected a loss with a value for "
                    "each step, [B, T] or [B, T, ...], before reduction. Received: "
                    f"{loss!r}, which returns {longer} for 3 steps. Use a loss that reduces "
                    "neither clips nor steps itself, such as those of mpvn.tasks."
                )
            ranks.append(shape.rank)
        return ranks

    def _piece(self, clip: Any, targets: Any, weights: Any) -> Piece:
        """Return checked tensors, weights with a time axis."""
        if targets is None:
            raise ValueError("Training: expected clips and targets [B, T, ...]. Received: clips.")
        values = self.network.convert_inputs(clip, "clip")
        batch, steps = tf.unstack(tf.shape(values[0])[:2])
        if weights is None:
            weights = tf.ones((batch, steps))
        if not tf.is_tensor(weights) or weights.shape.rank not in (1, 2):
            raise ValueError(
                "Invalid sample weights. Expected one tensor [B, T], a weight for each step, or "
                f"[B], for each clip. Received: {getattr(weights, 'shape', weights)}."
            )
        weights = tf.cast(weights, tf.float32)
        if weights.shape.rank == 1:
            weights = tf.tile(weights[:, None], [1, steps])
        return Piece(values, targets, tf.ensure_shape(weights, values[0].shape[:2]))


def _loss_shape(loss: Any, target: tf.Tensor, output: tf.Tensor, steps: int) -> tf.TensorShape:
    """Return the shape of `loss` before reduction, for two clips of `steps` steps."""
    loss = keras.losses.get(loss)
    function = loss.call if isinstance(loss, keras.losses.Loss) else loss
    specs = [tf.TensorSpec((2, steps, *x.shape[2:]), x.dtype) for x in (target, output)]
    traced = tf.function(function, autograph=False).get_concrete_function(*specs)
    return tf.TensorShape(traced.structured_outputs.shape)


def _cut(x: tf.Tensor, first: int | tf.Tensor, steps: int, size: int | None) -> tf.Tensor:
    """Return `steps` steps of `x` `[B, T, ...]` from `first` on; fewer at its end.

    Args:
        size: how many there are, if that is known.
    """
    return tf.ensure_shape(x[:, first : first + steps], (x.shape[0], size, *x.shape[2:]))
