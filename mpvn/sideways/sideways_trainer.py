"""Training by Sideways: the loss and the pseudo-gradients of a step are computed in that step.

*Sideways* (CVPR 2020), section 3; with shortcuts, *Skip-Sideways* (CVPR 2021). One step is
described in `mpvn.sideways.stepper`; targets, optimizers and `fit` are here.

    update_every=None    one update a clip: the paper's classification
    update_every=1       an update at every frame, activations and gradients carried on: its
                         auto-encoding

The output of a step belongs to an earlier frame. So targets, given with their frames, wait in a
queue for as many steps.
"""

import functools
from typing import Any

import keras
import tensorflow as tf

from mpvn import replicas
from mpvn.network import VideoNetwork
from mpvn.sideways.stepper import Part, SidewaysStepper
from mpvn.sideways.trainer import Piece, Trainer

State = dict[str, Any]
"""`mpvn.sideways.stepper.StepperState`, and in `"queue"` the targets and weights that wait."""


class SidewaysTrainer(Trainer):
    """Trains a network by Sideways, in memory that does not grow with the clip.

    In `fit`, each batch contains new clips: activations start as `network.start` says, and
    pseudo-gradients as zeros. `learn` continues streams where it left them; `reset` restarts some
    of them.

    Each subnetwork has its own optimizer, configured like the compiled one, under its device. It is
    updated when the subnetwork has learned: its gradient is the mean over the steps since the last
    update at which it learned, without steps of weight 0. (So gradient norms are clipped by
    subnetwork.)

    Args:
        network: subnetworks that compute every frame from the previous step alone.
        update_every: as in `Trainer`.
        latency: steps from a frame to its output; None for the network's information latency along
            the slowest path.
        **kwargs: as in `keras.Model`.

    Raises:
        TypeError: as in `Trainer`.
        ValueError: as in `Trainer`; or the network has feedback, slow clocks, or layers that look
            back in time; latency is below 0; clips given to `fit` are too short for all subnetworks
            to learn, 2D - 1 frames for a chain of D; the optimizer scales losses.

    Example:
        >>> from mpvn import Plan
        >>> frame = keras.Input((5,))
        >>> x = keras.layers.Dense(4, "tanh")(frame)
        >>> model = keras.Model(frame, keras.layers.Dense(2)(x))
        >>> network = VideoNetwork(model, Plan(model, subnetworks=2))
        >>> trainer = SidewaysTrainer(network, update_every=1)
        >>> trainer.compile("sgd", "mse")
        >>> state = trainer.initial_state(batch_size=3)
        >>> clip, targets = tf.ones((3, 1, 5)), tf.ones((3, 1, 2))
        >>> loss, outputs, state = trainer.learn(clip, targets, state)
        >>> tuple(outputs.shape)
        (3, 1, 2)
    """

    def __init__(
        self,
        network: VideoNetwork,
        update_every: int | None = None,
        latency: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(network, update_every, **kwargs)
        if latency is not None and (not isinstance(latency, int) or latency < 0):
            raise ValueError(
                f"Invalid latency. Expected None or at least 0 steps. Received: {latency!r}."
            )
        slowest = network.plan.information_latency[1]
        self.latency = slowest if latency is None else latency
        self._stepper = SidewaysStepper(network.plan, network.start)
        self._part_optimizers: list[keras.optimizers.Optimizer] = []
        self._learn = tf.function(self._learn_piece, autograph=False, reduce_retracing=True)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile as in Keras, and create the optimizers of the subnetworks."""
        super().compile(*args, **kwargs)
        if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            raise ValueError(
                "Sideways: expected an optimizer without loss scaling, because gradients of "
                "several steps are in flight at once. Received: LossScaleOptimizer. Train with the "
                "dtype policy mixed_bfloat16, which does not need it."
            )
        self.optimizer.build([])
        self._part_optimizers = [self._optimizer_of(part) for part in self._stepper.parts]

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        return [self.optimizer, *self._part_optimizers]

    # --- streams ----------------------------------------------------------------------------

    def initial_state(self, batch_size: int) -> State:
        """Return the state of new streams: zeros."""
        return self._stepper.initial(batch_size)

    def learn(
        self, clip: Any, targets: Any, state: State, sample_weight: Any = None
    ) -> tuple[tf.Tensor, Any, State]:
        """Run and train on a piece of streams, of any length, that continues the last piece.

        Args:
            clip: `[B, n, ...]`, in the structure of the frame model's inputs.
            targets: `[B, n, ...]`, of these frames.
            state: from `initial_state`, `reset` or the last `learn`.
            sample_weight: `[B, n]` or `[B]`, of these frames; 0 for frames not to learn from.

        Returns:
            The loss, a mean over the counted steps; the outputs `[B, n, ...]`; the state.

        Raises:
            ValueError: the trainer is not compiled, or the piece does not fit the network or the
                state.
        """
        if not self.compiled:
            raise ValueError(
                "SidewaysTrainer.learn: expected a compiled trainer, because it needs an optimizer "
                "and a loss. Call compile first."
            )
        loss, outputs, after = self._learn(clip, targets, state, sample_weight)
        return loss, self.network.graph.pack_outputs(outputs), after

    def reset(self, state: State, streams: Any) -> State:
        """Return `state` with some streams restarted.

        Args:
            state: from `learn`.
            streams: bool `[B]`, True for each stream to restart.
        """
        keep = ~tf.convert_to_tensor(streams, tf.bool)

        def reset_value(value: tf.Tensor) -> tf.Tensor:
            shape = (-1, *[1] * (value.shape.rank - 1))
            return tf.where(tf.reshape(keep, shape), value, tf.zeros_like(value))

        return tf.nest.map_structure(reset_value, state)

    def _learn_piece(self, clip: Any, targets: Any, state: State, weights: Any) -> tuple:
        piece = self._piece(clip, targets, weights)
        piece, queue = self._delay_targets(piece, state.get("queue"))
        stepper_state = {name: value for name, value in state.items() if name != "queue"}
        loss, outputs, after = self.run_updates(piece, stepper_state)
        return loss, outputs, {**after, "queue": queue}

    # --- training ---------------------------------------------------------------------------

    def initial(self, piece: Piece) -> State:
        return self._stepper.initial(tf.shape(piece.weights)[0])

    def select(self, piece: Piece) -> Piece:
        length = piece.weights.shape[1]
        steps = tf.shape(piece.weights)[1] if length is None else length
        self._stepper.rules.check(steps, self.latency)
        # Keras's loss is the mean over all steps; here it is the mean over the counted ones.
        counted = replicas.mean(tf.reduce_mean(tf.cast(piece.weights != 0, tf.float32)))
        delayed, _ = self._delay_targets(piece._replace(weights=piece.weights * counted), None)
        return delayed

    def update(self, piece: Piece, state: State) -> tuple[tf.Tensor, list[tf.Tensor], State]:
        network, parts = self.network, self._stepper.parts
        with tf.GradientTape() as tape:
            penalty = replicas.scaled(tf.cast(sum(network.losses, start=0.0), tf.float32))
        loss = functools.partial(self._loss_at, piece, penalty)
        counts = tf.cast(piece.weights != 0, tf.float32)
        result = self._stepper.scan(piece.clip, counts, state, loss)
        gradients = result.gradients
        if network.losses:
            variables = [[v.value for v in part.variables] for part in parts]
            zero = tf.UnconnectedGradients.ZERO
            of_penalty = tape.gradient(penalty, variables, unconnected_gradients=zero)
            gradients = self._stepper.added(gradients, of_penalty)
        self._apply(gradients, result.learned)
        return result.loss + penalty, result.outputs, result.state

    def _loss_at(
        self,
        piece: Piece,
        penalty: tf.Tensor,
        time: tf.Tensor,
        outputs: list[tf.Tensor],
        counted: tf.Tensor,
    ) -> tf.Tensor:
        """Return the loss of the step `time` of `piece`, without the penalty of weights."""
        targets = keras.tree.map_structure(lambda x: x[:, time][:, None], piece.targets)
        weights = (piece.weights[:, time] * counted)[:, None]
        step = Piece([], targets, weights)
        loss = self.loss_of(step, [output[:, None] for output in outputs], weights)
        return loss - tf.cast(penalty, loss.dtype)

    def _apply(self, gradients: list[list[tf.Tensor]], learned: tf.Tensor) -> None:
        """Update the subnetworks that have learned."""
        # `iterations` is a quotient if gradients are accumulated.
        self.optimizer._iterations.assign_add(1)
        rate = self.optimizer.learning_rate
        parts = zip(self._stepper.parts, self._part_optimizers, gradients, strict=True)
        for index, (part, optimizer, of_part) in enumerate(parts):
            if not part.variables:
                continue
            with tf.device(part.device):
                # A schedule is part of each optimizer's config; a variable may have been set.
                if isinstance(optimizer.learning_rate, keras.Variable):
                    optimizer.learning_rate.assign(rate)
                update = functools.partial(_update_part, optimizer, of_part, part)
                tf.cond(learned[index] > 0, update, lambda: tf.constant(False))

    def _optimizer_of(self, part: Part) -> keras.optimizers.Optimizer:
        """Return an optimizer for `part`, configured like the compiled one."""
        optimizer = type(self.optimizer).from_config(self.optimizer.get_config())
        with tf.device(part.device):
            optimizer.build(list(part.variables))
        return optimizer

    def _delay_targets(self, piece: Piece, queue: Any) -> tuple[Piece, Any]:
        """Return `piece` with targets and weights of `latency` steps ago, and those that wait.

        Args:
            piece: with targets and weights `[B, n, ...]` of its own frames.
            queue: those of the `latency` frames before it, or None for zeros.
        """
        if not self.latency:
            return piece, ()
        arriving = (piece.targets, piece.weights)
        if queue is None:
            queue = tf.nest.map_structure(self._empty_queue, arriving)
        steps = tf.shape(piece.weights)[1]
        both = tf.nest.map_structure(lambda *x: tf.concat(x, axis=1), queue, arriving)
        due = tf.nest.map_structure(
            lambda x, like: tf.ensure_shape(x[:, :steps], like.shape), both, arriving
        )
        waiting = tf.nest.map_structure(
            lambda x: tf.ensure_shape(x[:, steps:], (x.shape[0], self.latency, *x.shape[2:])), both
        )
        return Piece(piece.clip, *due), waiting

    def _empty_queue(self, like: tf.Tensor) -> tf.Tensor:
        shape = tf.concat([tf.shape(like)[:1], [self.latency], tf.shape(like)[2:]], axis=0)
        return tf.zeros(shape, like.dtype)


def _update_part(
    optimizer: keras.optimizers.Optimizer, gradients: list[tf.Tensor], part: Part
) -> tf.Tensor:
    optimizer.apply(gradients, list(part.variables))
    return tf.constant(True)
