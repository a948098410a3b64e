"""Back-propagation on single frames: what Sideways is compared with, on the same model.

The delays of the plan are left out: each frame goes through the whole frame model and back, as on
one device. `GPipeTrainer` gives the same gradients by a pipeline; and with `realtime` frames go by
while a network of D subnetworks, each a step, takes one of them there and back:

    D = 3     frame    0  1  2  3  4  5  6  7  8 ...
              taken    0  .  .  .  .  5  .  .  .          the other 2 (D - 1) are never seen

(*Sideways*, CVPR 2020, section 5.3: its baseline for auto-encoding.)
"""

from typing import Any

import keras
import tensorflow as tf

from mpvn.network import VideoNetwork
from mpvn.sideways.gpipe import gpipe
from mpvn.sideways.rules import check_frame_by_frame
from mpvn.sideways.trainer import Piece, Trainer


class BackPropagationTrainer(Trainer):
    """Trains the frame model of a network by exact gradients of single frames.

    Args:
        network: of D subnetworks; what is trained, and what is evaluated, under its plan.
        update_every: as `Trainer`, in frames that are taken.
        realtime: whether only every (2D - 1)th frame is taken.
        **kwargs: as `keras.Model`.

    Raises:
        ValueError: as `Trainer`, or the network has feedback, slow clocks, or layers that look back
            in time: a frame alone is not what it is made for.
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
    def every(self) -> int:
        """Of how many frames one is taken."""
        return 2 * self.network.plan.subnetworks - 1 if self.realtime else 1

    def updates(self, steps: int) -> int:
        return super().updates(-(-steps // self.every))

    def taken(self, piece: Piece) -> Piece:
        return Piece(*keras.tree.map_structure(lambda x: x[:, :: self.every], tuple(piece)))

    def update(self, piece: Piece, state: Any) -> tuple[tf.Tensor, list[tf.Tensor], Any]:
        with tf.GradientTape() as tape:
            outputs = self.frames(piece.clip)
            loss = self.loss_of(piece, outputs, piece.weights)
            scaled = self.optimizer.scale_loss(loss)
        variables = self.network.trainable_variables
        self.optimizer.apply(tape.gradient(scaled, variables), variables)
        return loss, outputs, state

    def frames(self, clip: list[tf.Tensor]) -> list[tf.Tensor]:
        """Outputs `[B, n, ...]` of single frames, in training."""
        model, (batch, steps) = self.network.frame_model, tf.unstack(tf.shape(clip[0])[:2])
        folded = [tf.reshape(x, (-1, *x.shape[2:])) for x in clip]
        given = keras.tree.pack_sequence_as(model.input, folded)
        outputs = keras.tree.flatten(model(given, training=True))
        return [tf.reshape(x, (batch, steps, *x.shape[1:])) for x in outputs]


class GPipeTrainer(BackPropagationTrainer):
    """The same gradients, frames being the micro-batches of a pipeline of subnetworks.

    Memory is that of what enters subnetworks, for each frame, and of the inside of one; see
    `mpvn.sideways.gpipe`. Arguments and errors as `BackPropagationTrainer`.
    """

    def frames(self, clip: list[tf.Tensor]) -> list[tf.Tensor]:
        return gpipe(self.network.plan, clip, training=True)
