"""The model that evaluates a network: with the loss of its task, however it is trained."""

from typing import Any

import keras
import tensorflow as tf

from mpvn.network import VideoNetwork


class Evaluator(keras.Model):
    """A network as its evaluation sees it; for `compile` and `evaluate`.

    The loss of training may smooth labels, weight classes, or have a teacher. An evaluation with it
    would rank networks by something else than what they are for.

    Args:
        network: the network.

    Call arguments:
        inputs: clips `[B, T, ...]`.
        training: as in Keras.

    Output shape:
        That of `network`.
    """

    def __init__(self, network: VideoNetwork, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.network = network
        self.autocast = False  # the frame model casts its inputs itself
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.network(inputs, training=training)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tf.Tensor | None:
        y_pred = self.network.counted_outputs(y_pred, sample_weight)
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def get_config(self) -> dict[str, Any]:
        name = type(self).__name__
        raise NotImplementedError(f"{name} is not saved. Save its network instead")
