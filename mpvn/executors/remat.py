"""Rematerialization: keep a function's inputs, and compute its inside again for the gradient.

    forward    -> [ segment 0 ] -> [ segment 1 ] -> [ segment 2 ] -> loss
    backward   <- [  0 again  ] <- [  1 again  ] <- [  2 again  ] <-      one after the other

Everything is computed twice, and only one inside is alive at a time (Chen et al., *Training Deep
Nets with Sublinear Memory Cost*, 2016). Unlike `tf.recompute_grad`, it keeps graph optimizers and
XLA from merging the second computation with the first, and orders the segments in the backward
pass.

What it does not do well: see `keras_layers.pure_call` for state that Keras does not know.
"""

import itertools
from collections.abc import Callable
from typing import Any

import tensorflow as tf


def recomputed(
    function: Callable[[list[tf.Tensor]], Any],
    tensors: list[tf.Tensor],
    weights: list[tf.Tensor],
    device: str | None = None,
) -> Any:
    """Return `function([*tensors, *weights])`, to be computed again in the backward pass.

    Args:
        function: a pure function that reads no variables; returns a structure of tensors.
        tensors: arguments that the second computation waits for until gradients arrive.
        weights: arguments that it does not wait for.
        device: where to compute it again; None for TensorFlow's choice.
    """

    @tf.custom_gradient
    def run(*arguments):
        # Hide the inputs from the caller's tape: in eager mode it would keep the whole inside.
        results = function([tf.stop_gradient(tensor) for tensor in arguments])
        floating_results = [tensor.dtype.is_floating for tensor in tf.nest.flatten(results)]
        floating = [tensor.dtype.is_floating for tensor in arguments]

        def gradients_of(upstream):
            upstream = [
                tf.convert_to_tensor(g) for g in itertools.compress(upstream, floating_results)
            ]
            delay = _delay_until(upstream)
            # In a loop, weights come from a list. Copy them outside of the tape, or it
            # differentiates the list.
            again = [delay(tensor) for tensor in arguments[: len(tensors)]]
            again += [tf.identity(weight) for weight in arguments[len(tensors) :]]
            # TensorFlow's memory optimizer makes a temporary variable of a loop variable that is a
            # term of a sum; the loop's end leaves it behind, and the next run fails. Hence delay.
            upstream = [delay(gradient) for gradient in upstream]
            sources = [*itertools.compress(again, floating)]
            with tf.GradientTape() as tape:
                tape.watch(sources)
                targets = [*itertools.compress(tf.nest.flatten(function(again)), floating_results)]
            zero = tf.UnconnectedGradients.ZERO
            gradients = iter(_together(tape.gradient(targets, sources, upstream, zero)))
            return [next(gradients) if is_floating else None for is_floating in floating]

        def backward(*upstream):
            with tf.device(device):
                return gradients_of(upstream)

        return results, backward

    # Gradients of tf.cond take tensors of the branch or of the graph around it, no further out.
    return run(*(tf.identity(tensor) for tensor in (*tensors, *weights)))


def _delay_until(upstream: list[tf.Tensor]) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return an identity function whose result waits for all of `upstream`.

    Graph optimizers and XLA merge equal operations, so they would merge the second computation with
    the first. XLA ignores control dependencies. It does not ignore a factor of one that depends on
    `upstream`, as long as it cannot prove that it is one: no value is both infinite and NaN.
    """
    first = [tf.cast(tf.reshape(gradient, [-1])[:1], tf.float32) for gradient in upstream]
    values = tf.concat(first, axis=0)
    always = tf.reduce_all(~(tf.math.is_nan(values) & tf.math.is_inf(values)))

    def delay(tensor: tf.Tensor) -> tf.Tensor:
        if tensor.dtype == tf.bool:
            return tensor & always
        return tensor * tf.cast(always, tensor.dtype)

    return delay


def _together(gradients: list[tf.Tensor]) -> list[tf.Tensor]:
    """Return `gradients`, each available only when all are: then the next segment may start."""
    gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
    with tf.control_dependencies([tf.group(gradients)]):  # as many edges as gradients
        return [tf.identity(gradient) for gradient in gradients]
