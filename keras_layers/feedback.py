"""Feedback: an earlier layer reads the output that a later layer computed one step before.

*Massively Parallel Video Networks*, section 3.2. A functional Keras model cannot contain a loop.
This layer marks where the loop ends, and the executors of `mpvn` close it.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_layers")
class Feedback(keras.layers.Layer):
    """Returns the output of the node `source` at the previous step.

    In a `mpvn.VideoNetwork`, the layer returns at each of its ticks what `source` held at the end
    of the previous step. Called alone, it has no past and returns zeros.

    Args:
        source: Name of a node of the same model, usually a later one.
        shape: Shape of the output of that node, without the batch axis.

    Call arguments:
        inputs: Any tensor of the model. The layer only reads its batch size.

    Output shape:
        `[B, *shape]`.

    Raises:
        ValueError: If `source` is not a name, or `shape` is not a sequence of positive ints.

    Example:
        >>> tuple(Feedback("later", (4, 4, 2))(keras.ops.ones((3, 8, 8, 1))).shape)
        (3, 4, 4, 2)
    """

    def __init__(self, source: str, shape: tuple[int, ...], **kwargs: object) -> None:
        super().__init__(**kwargs)
        if not source or not isinstance(source, str):
            raise ValueError(
                f"Invalid source of layer {self.name!r}. Expected the name of a node of the model. "
                f"Received: {source!r}"
            )
        if not isinstance(shape, (list, tuple)) or any(
            not isinstance(size, int) or size < 1 for size in shape
        ):
            raise ValueError(
                f"Invalid shape of layer {self.name!r}. Expected positive ints, without the batch "
                f"axis. Received: {shape!r}"
            )
        self.source = source
        self.shape = tuple(shape)

    def call(self, inputs):
        return ops.zeros((ops.shape(inputs)[0], *self.shape), dtype=self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], *self.shape)

    def get_config(self) -> dict:
        return {**super().get_config(), "source": self.source, "shape": self.shape}
