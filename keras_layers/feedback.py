"""Feedback: what a later layer said one step ago, as an input of an earlier one.

*Massively Parallel Video Networks*, section 3.5. A feed-forward Keras graph cannot hold the loop;
the layer marks the place, and an executor of `mpvn` closes it.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_layers")
class Feedback(keras.layers.Layer):
    """The output of the node called `source` at the previous step.

    Called alone, on a frame or a clip, it has no past: zeros. In a `VideoNetwork` it returns at its
    ticks what `source` held at the end of the previous step.

    Args:
        source: name of a node of the same model, usually a later one.
        shape: shape of that node's output without the batch axis.

    Call arguments:
        inputs: any tensor of the model; it gives only the batch size (and, for a clip given to the
            layer alone, nothing else).

    Output shape:
        `[B, *shape]`.
    """

    def __init__(self, source: str, shape: tuple[int, ...], **kwargs: object) -> None:
        super().__init__(**kwargs)
        if not source or not isinstance(source, str):
            raise ValueError(
                f"layer {self.name!r}: source must name a node of the model. Received: {source!r}"
            )
        if not isinstance(shape, (list, tuple)) or any(
            not isinstance(size, int) or size < 1 for size in shape
        ):
            raise ValueError(
                f"layer {self.name!r}: shape must be known sizes without the batch axis. "
                f"Received: {shape!r}"
            )
        self.source = source
        self.shape = tuple(shape)

    def call(self, inputs):
        return ops.zeros((ops.shape(inputs)[0], *self.shape), dtype=self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], *self.shape)

    def get_config(self) -> dict:
        return {**super().get_config(), "source": self.source, "shape": self.shape}
