"""Back-propagation on single frames: the baseline of Sideways, on the same model.

The plan's delays are left out: each frame goes forward through the whole frame model and back, as
on one device. `GPipeTrainer` computes the same gradients by a pipeline, except through batch norm,
whose statistics are those of a micro-batch there. With `realtime`, frames arrive while a network of
D subnetworks, one step each, takes one of them there and back:

    D = 3     frame      0  1  2  3  4  5  6  7  8 ...
              trained    0  .  .  .  .  5  .  .  .          the other 2 (D - 1) are never seen

(*Sideways*, CVPR 2020, sections 3.3 and 4.3: its baseline for auto-encoding. It is evaluated by the
same clock in `mpvn.sideways.real_time`.)
"""

import warnings
from typing import Any

import keras
import tensorflow as tf

from keras_layers.sideways_rules import round_trip
from mpvn.network import VideoNetwork
from mpvn.sideways.gpipe import gpipe
from mpvn.sideways.real_time import single_frames
from mpvn.sideways.rules import check_frame_by_frame
from mpvn.sideways.trainer import Piece, Trainer


class BackPropagationTrainer(Trainer):
    """Trains the frame model of a network by exact gradients of single frames.

    Args:
        network: the network of D subnetworks to train; it is evaluated under its plan.
        update_every: as in `Trainer`, counted in frames that are trained on.
        realtime: whether to train only on every (2D - 1)th frame. Of subnetworks that work on a
            frame at the same time, one counts.
        **kwargs: as in `keras.Model`.

    Raises:
        ValueError: as in `Trainer`; or the network has feedback, slow clocks, or layers that look
            back in time, and so needs more than single frames.
    """

    def __init__(
        self,
        network: VideoNetwork,
        update_every: int | None = None,
        realtime: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(network, update_every, **kwargs)
        check_frame_by_frame(network.plan, type(self).__name__)
        self.realtime = realtime

    @property
    def frame_stride(self) -> int:
        """Frames of a clip per frame that is trained on."""
        return round_trip(self.network.plan.depth) if self.realtime else 1

    def updates(self, steps: int) -> int:
        return super().updates(-(-steps // self.frame_stride))

    def select(self, piece: Piece) -> Piece:
        return Piece(*keras.tree.map_structure(lambda x: x[:, :: self.frame_stride], tuple(piece)))

    def update(self, piece: Piece, state: Any) -> tuple[tf.Tensor, list[tf.Tensor], Any]:
        with tf.GradientTape() as tape:
            outputs = self.frames(piece.clip)
            loss = self.loss_of(piece, outputs, piece.weights)
            scaled = self.optimizer.scale_loss(loss)
        variables = self.network.trainable_variables
        self.optimizer.apply(tape.gradient(scaled, variables), variables)
        return loss, outputs, state

    def frames(self, clip: list[tf.Tensor]) -> list[tf.Tensor]:
        """Return the outputs `[B, n, ...]` of the frame model for single frames, in training."""
        return single_frames(self.network, clip, training=True)


class GPipeTrainer(BackPropagationTrainer):
    """Trains by a pipeline of subnetworks whose micro-batches are frames.

    Without batch norm, its gradients are those of `BackPropagationTrainer`. Batch norm that trains
    takes its statistics over one frame of each clip, where back-propagation takes them over all
    frames of an update: a pipeline would have to wait for all frames at every such layer.

    It keeps the inputs of each subnetwork for each frame, and computes the rest again in the
    backward pass; see `mpvn.sideways.gpipe`. Arguments and errors as in `BackPropagationTrainer`.

    Warns:
        RuntimeWarning: the network has batch norm that trains.
    """

    def __init__(self, network: VideoNetwork, *args: Any, **kwargs: Any) -> None:
        super().__init__(network, *args, **kwargs)
        names = _trained_batch_norm(network)
        if names:
            warnings.warn(
                "GPipe: batch norm takes its statistics over one frame of each clip, so gradients "
                "differ from those of back-propagation. Expected a network without batch norm that "
                f"trains. Received: {len(names)} such layers, {names[0]!r} first.",
                RuntimeWarning,
                stacklevel=2,
            )

    def frames(self, clip: list[tf.Tensor]) -> list[tf.Tensor]:
        return gpipe(self.network.plan, clip, training=True)


def _trained_batch_norm(network: VideoNetwork) -> list[str]:
    """Return the names of the batch norm layers that use the statistics of a batch in training."""
    layers = {id(layer): layer for node in network.graph.nodes for layer in node.layers}
    kind = keras.layers.BatchNormalization
    return [x.name for x in layers.values() if isinstance(x, kind) and x.trainable]
