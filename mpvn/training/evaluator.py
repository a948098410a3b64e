"""The model that evaluates a network: with the loss of its task, however it is trained."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from mpvn.network import VideoNetwork, build_optimizer

Outputs = Callable[[Any], Any]
"""From clips `[B, T, ...]` to outputs `[B, T, ...]`, as arrays or tensors."""


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
        self._outputs_of: Outputs | None = None
        self.autocast = False  # the frame model casts its inputs itself
        self.built = True

    def make_train_function(self, force: bool = False) -> Any:
        build_optimizer(self)
        return super().make_train_function(force)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if self._outputs_of is not None:
            return keras.tree.map_structure(tf.convert_to_tensor, self._outputs_of(inputs))
        return self.network(inputs, training=training)

    @contextlib.contextmanager
    def with_outputs(self, outputs_of: Outputs) -> Iterator[None]:
        """Take the outputs from a function in place of the network; it is called eagerly."""
        was_eager: bool = self.run_eagerly  # type: ignore[has-type]
        try:
            self._outputs_of, self.run_eagerly, self.test_function = outputs_of, True, None
            yield
        finally:
            self._outputs_of, self.run_eagerly, self.test_function = None, was_eager, None

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
