"""The one-step delay between parallel subnetworks, and the direction in which gradients cross it.

    forward            h -> one step later
    back-propagation   g -> one step earlier      waits for the future
    Sideways           g -> one step later        a pipeline can send it without waiting

*Sideways: Depth-Parallel Training of Video Models* (CVPR 2020), section 3.4, replaces the second
line by the third and changes nothing else: a subnetwork multiplies the gradient that arrives with
its Jacobian at its present input. On a clip of identical frames the two are equal.

What it does not do well: it keeps all activations of the clip, as back-propagation does. For memory
that does not grow with the clip, see `keras_layers.Sideways`.
"""

import keras
import tensorflow as tf

GRADIENTS = ("exact", "sideways")


def check_gradient(gradient: object) -> str:
    """Return `gradient` if it is one of `GRADIENTS`; raise ValueError otherwise."""
    if gradient not in GRADIENTS:
        raise ValueError(f"Invalid gradient. Expected one of {GRADIENTS}. Received: {gradient!r}.")
    return str(gradient)


def sent_sideways(
    received: tf.Tensor,
    sent: tf.Tensor,
    delay: int = 1,
    start: int = 1,
    scale: tf.Tensor | None = None,
) -> tf.Tensor:
    """Return `received`; send its gradient to `sent`, as late as `received` came.

        forward    received[t] = sent[t - delay]
        backward   g_sent[t] = scale[t] * g_received[t - delay]   for t >= start, else 0

    Args:
        received: `[B, T, ...]`, `sent` as the reader sees it, however it was computed.
        sent: `[B, T, ...]`, the producer's output.
        delay: steps from producer to reader and back, 0 or 1.
        start: first step, from 0, at which the producer learns; at least `delay`. The steps before
            are the paper's mask, see `keras_layers.sideways_rules`.
        scale: factors on the gradient that is sent at each step, `[B, T]` or `[1, T]`, or None. A
            factor of 0 also stops NaN.

    Returns:
        `[B, T, ...]`.
    """

    @tf.custom_gradient
    def cross(received, sent):
        def backward(gradient):
            steps = tf.shape(gradient)[1]
            masked = tf.zeros_like(gradient[:, :start])
            later = tf.concat([masked, gradient[:, start - delay : steps - delay]], axis=1)
            return None, later if scale is None else _scaled(later, scale)

        return tf.identity(received), backward

    return cross(received, sent)


def _scaled(gradient: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Multiply `gradient` `[B, T, ...]` by `scale` `[B, T]`, where 0 stops NaN."""
    # [B, T] -> [B, T, 1, ...]
    axes = [1] * (len(gradient.shape) - 2)
    scale = tf.reshape(tf.cast(scale, gradient.dtype), [*tf.unstack(tf.shape(scale)), *axes])
    return tf.where(scale != 0, gradient * scale, tf.zeros_like(gradient))


@keras.saving.register_keras_serializable(package="keras_layers")
class Boundary(keras.layers.Layer):
    """Delays clips by one step; the first step is zero.

    Boundaries between layers over whole clips make parallel subnetworks of these layers (*Massively
    Parallel Video Networks*, section 3). A chain of D subnetworks with Sideways boundaries between
    them trains by Sideways if the loss leaves out the first D - 1 steps, for example by sample
    weights: no frame has reached their outputs yet. Then the zeros of the shifts are the paper's
    masks, and a subnetwork's gradient is the sum over the steps at which it learns.
    `mpvn.VideoNetwork` with `gradient="sideways"` and `keras_layers.Sideways` take care of masks
    and means themselves.

    Args:
        gradient: `"exact"` sends the gradient one step earlier in time, as back-propagation does;
            `"sideways"` sends it one step later.
        start: with `"sideways"`, the first step, from 0, at which a gradient is sent; at least 1.
            Needed only where shortcuts send gradients back sooner than the chain does. The paper's
            mask behind subnetwork i is
            `keras_layers.sideways_rules.first_learning_steps(D)[i]`.

    Call arguments:
        inputs: `[B, T, ...]`. Floating-point inputs are cast to the layer's compute dtype.

    Output shape:
        Same as `inputs`.

    Raises:
        ValueError: `gradient` or `start` is invalid, or an input has no time axis.

    Example:
        >>> clip = keras.ops.reshape([1.0, 2.0, 3.0], (1, 3, 1))
        >>> Boundary("sideways")(clip).numpy().ravel().tolist()
        [0.0, 1.0, 2.0]
    """

    def __init__(self, gradient: str = "exact", start: int = 1, **kwargs: object) -> None:
        super().__init__(**kwargs)
        if not isinstance(start, int) or start < 1:
            raise ValueError(
                f"Layer {self.name!r}: expected start as an int of at least 1, because sending "
                f"takes a step. Received: {start!r}."
            )
        self.gradient = check_gradient(gradient)
        self.start = start

    def call(self, inputs):
        self.compute_output_shape(inputs.shape)  # raises an error if there is no time axis
        later = tf.concat([tf.zeros_like(inputs[:, :1]), inputs[:, :-1]], axis=1)
        later = tf.ensure_shape(later, inputs.shape)
        if self.gradient == "exact" or not inputs.dtype.is_floating:
            return later
        return sent_sideways(later, inputs, start=self.start)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        if len(input_shape) < 2:
            raise ValueError(
                f"Layer {self.name!r}: expected clips [B, T, ...]. "
                f"Received: shape={tuple(input_shape)}."
            )
        return tuple(input_shape)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), inputs.dtype)

    def get_config(self) -> dict:
        return {**super().get_config(), "gradient": self.gradient, "start": self.start}
