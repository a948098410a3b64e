"""What trainers with a training step of their own share: updates within clips.

    clip of 12 frames, update_every=4     update after frames 3, 7, 11
    update_every=1                        after every frame
    update_every=None                     after the clip, as Keras does

A trainer is a Keras model around a `VideoNetwork`: compiled and fitted like one, it calls the
network as it is, under its plan, and trains it in its own way. Targets are those of the frames, on
the clock of the source: how late the network answers is the trainer's business, not the data's.
"""

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_layers.sideways import time_swapped
from mpvn.network import VideoNetwork

_WEIGHTS = (
    "sample weights must be one tensor [B, T], a weight for each step, or [B], for each clip. "
    "Received: {}"
)


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

    Args:
        network: what is trained; save and export this.
        update_every: steps between updates, the last of a clip may be shorter; None for one update
            a clip.

    Call arguments:
        inputs: clips `[B, T, ...]`.
        training: as in Keras.

    Output shape:
        What `network` gives, called on the clip under its plan.

    Raises:
        TypeError: `network` is no `VideoNetwork`.
        ValueError: update_every below 1; in training, a loss that is not per frame.
    """

    def __init__(
        self, network: VideoNetwork, update_every: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(network, VideoNetwork):
            raise TypeError(
                f"{type(self).__name__} trains a VideoNetwork. Received: {type(network).__name__}; "
                "of an image model, VideoNetwork(model, Plan(model, subnetworks)) makes one"
            )
        if update_every is not None and (not isinstance(update_every, int) or update_every < 1):
            raise ValueError(
                f"update_every must be None or at least 1 step. Received: {update_every!r}"
            )
        self.network = network
        self.update_every = update_every
        self.autocast = False  # inputs go to the frame model in its own dtype
        self.supports_jit = False
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.network(inputs, training=training)

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """All optimizers that training changes: a checkpoint needs them all."""
        return [self.optimizer]

    def updates(self, steps: int) -> int:
        """Updates for a clip of so many steps."""
        return -(-steps // (self.update_every or steps))

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError("save trainer.network, which is all that was trained")

    # --- what a trainer says of itself ------------------------------------------------------

    def begin(self, piece: Piece) -> Any:
        """The state before a clip: a structure of tensors."""
        return ()

    def taken(self, piece: Piece) -> Piece:
        """What of the clip it trains on, and the targets of those steps."""
        return piece

    def update(self, piece: Piece, state: Any) -> tuple[tf.Tensor, list[tf.Tensor], Any]:
        """One update.

        Args:
            piece: the steps of one update.
            state: before it.

        Returns:
            The loss, a mean over the steps that count; outputs `[B, n, ...]`; the state after it.
        """
        raise NotImplementedError

    # --- what follows from it ---------------------------------------------------------------

    @tf.autograph.experimental.do_not_convert
    def train_step(self, data: Any) -> dict[str, Any]:
        """A batch of clips, as `fit` calls it."""
        piece = self.taken(self._piece(*keras.utils.unpack_x_y_sample_weight(data)))
        loss, outputs, _ = self.episodes(piece, self.begin(piece))
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
        said = self.network.graph.pack_outputs(outputs)
        return self.compute_metrics(piece.clip, piece.targets, said, piece.weights)

    def episodes(self, piece: Piece, state: Any) -> tuple[tf.Tensor, list[tf.Tensor], Any]:
        """Updates for all episodes of `piece`; arguments and results as `update`."""
        length = piece.weights.shape[1]
        if self.update_every is None or (length is not None and length <= self.update_every):
            return self.update(piece, state)
        graph, batch = self.network.graph, piece.weights.shape[0]
        tensors = [graph.tensors[index] for index in graph.outputs]
        steps = tf.shape(piece.weights)[1]
        count = -(-steps // self.update_every)
        even = length is not None and length % self.update_every == 0
        written = [
            tf.TensorArray(t.dtype, count, infer_shape=False, element_shape=(None, batch, *t.shape))
            for t in tensors
        ]

        def one(number, state, total, written):
            first = number * self.update_every
            some = keras.tree.map_structure(
                lambda x: _cut(x, first, self.update_every, even), piece
            )
            loss, outputs, state = self.update(some, state)
            total += tf.cast(loss, tf.float32) * tf.cast(tf.shape(some.weights)[1], tf.float32)
            arrays = zip(written, map(time_swapped, outputs), strict=True)
            return number + 1, state, total, [array.write(number, x) for array, x in arrays]

        loop = (tf.constant(0), state, tf.constant(0.0), written)
        _, state, total, written = tf.while_loop(
            lambda number, *_: number < count, one, loop, parallel_iterations=1
        )
        outputs = [time_swapped(array.concat()) for array in written]
        shaped = [
            tf.ensure_shape(x, (batch, length, *t.shape))
            for x, t in zip(outputs, tensors, strict=True)
        ]
        return total / tf.cast(steps, total.dtype), shaped, state

    def loss_of(self, piece: Piece, outputs: list[tf.Tensor], weights: tf.Tensor) -> tf.Tensor:
        """The compiled loss of some steps, and the penalties of weights.

        Args:
            piece: what the outputs are of.
            outputs: `[B, n, ...]` for each output of the frame model.
            weights: float32 `[B, n]`, in place of the piece's.

        Raises:
            ValueError: the loss is not per frame.
        """
        ranks = self._loss_ranks(piece.targets, outputs)
        said = self.network.graph.pack_outputs(outputs)
        shaped = [
            tf.reshape(weights, [*tf.unstack(tf.shape(weights)), *[1] * (r - 2)]) for r in ranks
        ]
        weighed = keras.tree.pack_sequence_as(said, shaped)
        return self.compute_loss(piece.clip, piece.targets, said, weighed)

    def _loss_ranks(self, targets: Any, outputs: list[tf.Tensor]) -> list[int]:
        """How many axes the losses of each output have, `[B, T]` being the first.

        Raises:
            ValueError: a loss has no value for each step.
        """
        losses = keras.tree.flatten(self.loss)
        losses = losses * len(outputs) if len(losses) == 1 else losses
        ranks = []
        for loss, y, output in zip(losses, keras.tree.flatten(targets), outputs, strict=True):
            one, two = (_loss_shape(loss, y, output, steps) for steps in (2, 3))
            if one.rank is None or one.rank < 2 or (one[1], two[1]) != (2, 3):
                raise ValueError(
                    f"the loss must have a value for each step, [B, T] or [B, T, ...], for "
                    f"{type(self).__name__} learns step by step. {loss!r} gives "
                    f"{two} for 3 steps. Take one that reduces neither clips nor steps by "
                    "itself, such as those of mpvn.tasks"
                )
            ranks.append(one.rank)
        return ranks

    def _piece(self, clip: Any, targets: Any, weights: Any) -> Piece:
        if targets is None:
            raise ValueError("training needs targets: give fit clips and targets [B, T, ...]")
        values = self.network.values(clip, "clip")
        batch, steps = tf.unstack(tf.shape(values[0])[:2])
        if weights is None:
            weights = tf.ones((batch, steps))
        if not tf.is_tensor(weights) or weights.shape.rank not in (1, 2):
            raise ValueError(_WEIGHTS.format(getattr(weights, "shape", weights)))
        weights = tf.cast(weights, tf.float32)
        if weights.shape.rank == 1:
            weights = tf.tile(weights[:, None], [1, steps])
        return Piece(values, targets, tf.ensure_shape(weights, values[0].shape[:2]))


def _loss_shape(loss: Any, target: tf.Tensor, output: tf.Tensor, steps: int) -> tf.TensorShape:
    """Shape of what `loss` gives, before it is reduced, of so many steps."""
    found = keras.losses.get(loss)
    function = found.call if isinstance(found, keras.losses.Loss) else found
    specs = [tf.TensorSpec((2, steps, *x.shape[2:]), x.dtype) for x in (target, output)]
    traced = tf.function(function, autograph=False).get_concrete_function(*specs)
    return tf.TensorShape(traced.structured_outputs.shape)


def _cut(x: tf.Tensor, first: tf.Tensor, steps: int, whole: bool) -> tf.Tensor:
    """`steps` steps of `x` `[B, T, ...]` from `first` on; fewer at its end, unless `whole`."""
    some = x[:, first : first + steps]
    return tf.ensure_shape(some, (x.shape[0], steps, *x.shape[2:])) if whole else some
