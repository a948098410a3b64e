"""Training by Sideways, fused: losses and pseudo-gradients of a step within that step.

*Sideways* (CVPR 2020), section 3; with shortcuts, *Skip-Sideways* (CVPR 2021). See
`mpvn.sideways.stepper` for what a step does; here are targets, optimizers, and `fit`.

    update_every=None    one update a clip: the paper's classification
    update_every=1       an update at every frame, what is under way carried on: its auto-encoding

A step's output is of a frame that came some steps ago. So targets, given on the clock of the
frames, wait in a queue for as long.
"""

import functools
from typing import Any

import keras
import tensorflow as tf

from mpvn.network import VideoNetwork
from mpvn.sideways.stepper import Part, SidewaysStepper
from mpvn.sideways.trainer import Piece, Trainer

State = dict[str, Any]
"""As `mpvn.sideways.stepper.StepperState`; and `"late"`, the targets and weights that wait."""


class SidewaysTrainer(Trainer):
    """Trains a network by Sideways, in memory that does not grow with the clip.

    In `fit`, every batch is of new clips: activations and pseudo-gradients begin as zeros. `learn`
    goes on from where it left streams, for as long as they are; `reset` begins some of them anew.

    Each subnetwork has an optimizer of its own, like the compiled one, under its device, and is
    updated when it has learned: its gradient is the mean over the steps since the last update at
    which it learns, steps of weight 0 left out. (So norms are clipped by subnetwork.)

    Args:
        network: of subnetworks that compute every frame from the last step alone.
        update_every: as `Trainer`.
        latency: by how many steps the output answers later than its frame comes; None: the
            network's information latency, along the slowest path.
        **kwargs: as `keras.Model`.

    Raises:
        TypeError: as `Trainer`.
        ValueError: as `Trainer`; or the network has feedback, slow clocks, or layers that look back
            in time; a latency below 0; clips given to `fit` that are too short for all to learn:
            2D - 1 frames for a chain of D; an optimizer that scales losses.

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
        slowest = network.plan.information_latency[1]
        if latency is not None and (not isinstance(latency, int) or latency < 0):
            raise ValueError(f"latency must be None or at least 0 steps. Received: {latency!r}")
        self.latency = slowest if latency is None else latency
        self._fused = SidewaysStepper(network.plan)
        lags = [part.lag for part in self._fused.parts]
        self._fewest = max(slowest, self.latency) + max(lags) + 1
        self._slowest_part = lags.index(max(lags))
        self._by_part: list[keras.optimizers.Optimizer] = []
        self._learn = tf.function(self._learn_piece, autograph=False, reduce_retracing=True)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """As in Keras; makes the subnetworks' optimizers."""
        super().compile(*args, **kwargs)
        if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            raise ValueError(
                "Sideways cannot scale losses, for gradients of several steps are under way at "
                "once. Train with the dtype policy mixed_bfloat16, which needs none"
            )
        self.optimizer.build([])
        self._by_part = [self._optimizer_of(part) for part in self._fused.parts]

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        return [self.optimizer, *self._by_part]

    # --- streams ----------------------------------------------------------------------------

    def initial_state(self, batch_size: int) -> State:
        """The state of streams that have seen nothing."""
        return self._fused.initial(batch_size)

    def learn(
        self, clip: Any, targets: Any, state: State, sample_weight: Any = None
    ) -> tuple[tf.Tensor, Any, State]:
        """Runs and trains on a piece of streams, of any length, from where the last piece ended.

        Args:
            clip: `[B, n, ...]`, in the structure of the frame model's inputs.
            targets: `[B, n, ...]`, of these frames.
            state: from `initial_state`, `reset` or the last `learn`.
            sample_weight: `[B, n]` or `[B]`, of these frames; 0 where nothing is to be learned.

        Returns:
            The loss, a mean over the steps that count; the outputs `[B, n, ...]`; the state.

        Raises:
            ValueError: it is not compiled, or the piece does not fit the network or the state.
        """
        if not self.compiled:
            raise ValueError("compile the trainer first: it needs an optimizer and a loss")
        loss, outputs, after = self._learn(clip, targets, state, sample_weight)
        return loss, self.network.graph.pack_outputs(outputs), after

    def reset(self, state: State, streams: Any) -> State:
        """`state` with some streams begun anew.

        Args:
            state: as from `learn`.
            streams: bool `[B]`, True for each stream that begins anew.
        """
        kept = ~tf.convert_to_tensor(streams, tf.bool)

        def of_others(value: tf.Tensor) -> tf.Tensor:
            shape = (-1, *[1] * (value.shape.rank - 1))
            return tf.where(tf.reshape(kept, shape), value, tf.zeros_like(value))

        return tf.nest.map_structure(of_others, state)

    def _learn_piece(self, clip: Any, targets: Any, state: State, weights: Any) -> tuple:
        piece = self._piece(clip, targets, weights)
        piece, late = self._held_back(piece, state.get("late"))
        carried = {name: value for name, value in state.items() if name != "late"}
        loss, outputs, after = self.episodes(piece, carried)
        return loss, outputs, {**after, "late": late}

    # --- training ---------------------------------------------------------------------------

    def begin(self, piece: Piece) -> State:
        return self._fused.initial(tf.shape(piece.weights)[0])

    def taken(self, piece: Piece) -> Piece:
        steps = piece.weights.shape[1]
        sentence = (
            f"Sideways over {self.network.plan.subnetworks} subnetworks, answering {self.latency} "
            f"steps late, learns from clips of at least {self._fewest} frames (2D - 1 for a chain "
            f"of D): subnetwork {self._slowest_part} is sent its first gradient then. Take longer "
            "clips or fewer subnetworks"
        )
        if steps is not None and steps < self._fewest:
            raise ValueError(f"{sentence}. Received: clips of {steps} frames")
        if steps is None:
            tf.debugging.assert_greater_equal(tf.shape(piece.weights)[1], self._fewest, sentence)
        # Keras's loss is the mean over all steps; here it is that over those that count.
        counted = tf.reduce_mean(tf.cast(piece.weights != 0, tf.float32))
        held, _ = self._held_back(piece._replace(weights=piece.weights * counted), None)
        return held

    def update(self, piece: Piece, state: State) -> tuple[tf.Tensor, list[tf.Tensor], State]:
        network = self.network
        with tf.GradientTape() as tape:
            penalty = tf.cast(sum(network.losses, start=0.0), tf.float32)
        loss = functools.partial(self._loss_at, piece, penalty)
        counts = tf.cast(piece.weights != 0, tf.float32)
        scanned = self._fused.scan(piece.clip, counts, state, loss)
        gradients = scanned.gradients
        if network.losses:
            variables = [[v.value for v in part.variables] for part in self._fused.parts]
            zero = tf.UnconnectedGradients.ZERO
            more = tape.gradient(penalty, variables, unconnected_gradients=zero)
            gradients = tf.nest.map_structure(tf.add, gradients, more)
        self._apply(gradients, scanned.learned)
        return scanned.loss + penalty, scanned.outputs, scanned.state

    def _loss_at(
        self,
        piece: Piece,
        penalty: tf.Tensor,
        time: tf.Tensor,
        outputs: list[tf.Tensor],
        counted: tf.Tensor,
    ) -> tf.Tensor:
        """The loss of a step of `piece`, without the penalty of weights."""
        targets = keras.tree.map_structure(lambda x: x[:, time][:, None], piece.targets)
        weights = (piece.weights[:, time] * counted)[:, None]
        now = Piece([], targets, weights)
        loss = self.loss_of(now, [output[:, None] for output in outputs], weights)
        return loss - tf.cast(penalty, loss.dtype)

    def _apply(self, gradients: list[list[tf.Tensor]], learned: tf.Tensor) -> None:
        """Updates the subnetworks that have learned something."""
        self.optimizer.iterations.assign_add(1)
        rate = self.optimizer.learning_rate
        parts = zip(self._fused.parts, self._by_part, gradients, strict=True)
        for index, (part, optimizer, own) in enumerate(parts):
            if not part.variables:
                continue
            with tf.device(part.device):
                if isinstance(
                    optimizer.learning_rate, keras.Variable
                ):  # no schedule: as it was set
                    optimizer.learning_rate.assign(rate)
                update = functools.partial(_updated, optimizer, own, part)
                tf.cond(learned[index] > 0, update, lambda: tf.constant(False))

    def _optimizer_of(self, part: Part) -> keras.optimizers.Optimizer:
        """An optimizer like the compiled one."""
        optimizer = type(self.optimizer).from_config(self.optimizer.get_config())
        with tf.device(part.device):
            optimizer.build(list(part.variables))
        return optimizer

    def _held_back(self, piece: Piece, late: Any) -> tuple[Piece, Any]:
        """`piece` with the targets and weights of earlier frames, and those that wait now."""
        if not self.latency:
            return piece, ()
        new = (piece.targets, piece.weights)
        if late is None:
            late = tf.nest.map_structure(self._nothing_late, new)
        steps = tf.shape(piece.weights)[1]
        queue = tf.nest.map_structure(lambda *x: tf.concat(x, axis=1), late, new)
        now = tf.nest.map_structure(
            lambda x, like: tf.ensure_shape(x[:, :steps], like.shape), queue, new
        )
        after = tf.nest.map_structure(
            lambda x: tf.ensure_shape(x[:, steps:], (x.shape[0], self.latency, *x.shape[2:])), queue
        )
        return Piece(piece.clip, *now), after

    def _nothing_late(self, like: tf.Tensor) -> tf.Tensor:
        shape = tf.concat([tf.shape(like)[:1], [self.latency], tf.shape(like)[2:]], axis=0)
        return tf.zeros(shape, like.dtype)


def _updated(
    optimizer: keras.optimizers.Optimizer, gradients: list[tf.Tensor], part: Part
) -> tf.Tensor:
    optimizer.apply(gradients, list(part.variables))
    return tf.constant(True)
