"""The one-step delay between parallel subnetworks, and which way in time gradients cross it.

    forward            h -> one step later
    back-propagation   g -> one step earlier      waits for the future
    Sideways           g -> one step later        what a pipeline that never waits can send

*Sideways: Depth-Parallel Training of Video Models* (CVPR 2020), section 3, is the second line put
in place of the first, and nothing else: a subnetwork multiplies the gradient that has arrived with
its Jacobian at the input that it holds now. On a clip of equal frames the two are the same.

What it does not do well: all activations of the clip are kept, as back-propagation keeps them. For
memory that does not grow with the clip, see `keras_layers.Sideways`.
"""

import keras
import tensorflow as tf

GRADIENTS = ("exact", "sideways")


def check_gradient(gradient: object) -> str:
    """`gradient`, if it is one of `GRADIENTS`; raises ValueError otherwise."""
    if gradient not in GRADIENTS:
        raise ValueError(f"gradient must be one of {GRADIENTS}. Received: {gradient!r}")
    return str(gradient)


def sent_sideways(
    received: tf.Tensor,
    sent: tf.Tensor,
    delay: int = 1,
    start: int = 1,
    factor: tf.Tensor | None = None,
) -> tf.Tensor:
    """`received`, whose gradient goes to `sent`, and as late as `received` came.

    Args:
        received: `[B, T, ...]`, what the reader sees of `sent`, computed by whatever means.
        sent: `[B, T, ...]`, what the producer made.
        delay: steps from producer to reader and back, 0 or 1.
        start: first step, from 0, at which the producer takes a gradient; at least `delay`. Before
            it lies the mask gamma of the paper's section 3.3.
        factor: scalar on the gradient, or None.

    Returns:
        `[B, T, ...]`: at step t of the backward pass `sent` is given `factor` times the gradient of
        `received` at step `t - delay`.
    """

    @tf.custom_gradient
    def cross(received, sent):
        def backward(gradient):
            steps = tf.shape(gradient)[1]
            masked = tf.zeros_like(gradient[:, :start])
            later = tf.concat([masked, gradient[:, start - delay : steps - delay]], axis=1)
            return None, later if factor is None else later * tf.cast(factor, later.dtype)

        return tf.identity(received), backward

    return cross(received, sent)


@keras.saving.register_keras_serializable(package="keras_layers")
class Boundary(keras.layers.Layer):
    """Puts out at step t what came in at step t - 1; zeros at the first step.

    Between layers over whole clips it makes parallel subnetworks of them (*Massively Parallel Video
    Networks*, section 3.1). A chain of D subnetworks with Sideways boundaries between them trains
    by Sideways: its masks are the zeros that the shifts bring in, if the loss leaves out (by sample
    weights, say) the first D - 1 steps, whose outputs no frame has reached. A subnetwork's gradient
    is then a sum over the steps at which it learns. `mpvn.VideoNetwork` with
    `gradient="sideways"` and `keras_layers.Sideways` see to masks and means themselves.

    Args:
        gradient: `"exact"` sends the gradient one step earlier in time, as back-propagation does;
            `"sideways"` sends it one step later.
        start: with `"sideways"`, the first step, from 0, at which a gradient is sent; at least 1.
            After subnetwork i = 1, 2, ... of a chain of D, `2 * D - 1 - i` is the paper's mask; it
            must be said where shortcuts bring gradients down sooner than the chain does.

    Call arguments:
        inputs: `[B, T, ...]`. Floating point becomes the layer's compute dtype; others stay.

    Output shape:
        That of `inputs`.

    Raises:
        ValueError: another `gradient`, a `start` below 1, or an input without a time axis.

    Example:
        >>> clip = keras.ops.reshape([1.0, 2.0, 3.0], (1, 3, 1))
        >>> Boundary("sideways")(clip).numpy().ravel().tolist()
        [0.0, 1.0, 2.0]
    """

    def __init__(self, gradient: str = "exact", start: int = 1, **kwargs: object) -> None:
        super().__init__(**kwargs)
        if not isinstance(start, int) or start < 1:
            raise ValueError(
                f"layer {self.name!r}: start must be an int of at least 1, for what is sent takes "
                f"a step. Received: {start!r}"
            )
        self.gradient = check_gradient(gradient)
        self.start = start

    def call(self, inputs):
        self.compute_output_shape(inputs.shape)  # refuses what has no time
        later = tf.concat([tf.zeros_like(inputs[:, :1]), inputs[:, :-1]], axis=1)
        later = tf.ensure_shape(later, inputs.shape)
        if self.gradient == "exact" or not inputs.dtype.is_floating:
            return later
        return sent_sideways(later, inputs, start=self.start)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        if len(input_shape) < 2:
            raise ValueError(
                f"layer {self.name!r} takes clips [B, T, ...]. Received: shape={tuple(input_shape)}"
            )
        return tuple(input_shape)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), inputs.dtype)

    def get_config(self) -> dict:
        return {**super().get_config(), "gradient": self.gradient, "start": self.start}
