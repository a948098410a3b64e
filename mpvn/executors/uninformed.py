"""Calls of nodes that no frame has reached: they leave nothing behind but a finite value.

    step        0      1      2      3      4          a node that reads the third subnetwork
    its input   zeros  zeros  f(0)   frame  frame      cut_before = 3
    its call    cut    cut    cut    -      -

A cut call sends no gradient, changes no variable and adds no loss: where a layer is not defined,
those would be NaN, and no weight of zero removes a NaN from a sum. Its value stays as it is, but
infinities and NaN become zero, like the values before a first tick, so that none of them reaches
later steps. At all other steps, NaN shows.

`mpvn.plan.Plan.cut_before` says which calls are cut.
"""

from collections.abc import Callable

import tensorflow as tf

from keras_layers.pure_call import DiscardedUpdates

Tensors = list[tf.Tensor]
Call = Callable[[Tensors], Tensors]


def cut_call(call: Call, inputs: Tensors) -> Tensors:
    """Return `call(inputs)`, of which nothing but finite values leaves the call."""
    with DiscardedUpdates():
        return [_finite_constant(output) for output in call(inputs)]


def call_unless_cut(
    call: Call, inputs: Tensors, number: int | tf.Tensor, cut_before: int
) -> Tensors:
    """Return `call(inputs)` at a step, cut for the streams that no frame has reached.

    Args:
        call: takes and returns tensors `[B, ...]`.
        inputs: `[B, ...]`.
        number: number of the step: an int for all streams, or int `[B]`, one for each.
        cut_before: the step before which calls are cut.
    """
    if not cut_before:
        return call(inputs)
    if not tf.is_tensor(number):
        return cut_call(call, inputs) if number < cut_before else call(inputs)
    informed = number >= cut_before

    def some_cut() -> Tensors:
        return tf.cond(
            tf.reduce_any(informed),
            lambda: _cut_rows(call, inputs, informed),
            lambda: cut_call(call, inputs),
        )

    return tf.cond(tf.reduce_all(informed), lambda: call(inputs), some_cut)


def counted_output(output: tf.Tensor, weight: tf.Tensor, steps: int) -> tf.Tensor:
    """Return an output for a loss that need not be defined at steps that no frame has reached.

    Where such a step has no weight, the output of the last step stands in for it: a loss that is
    infinite or NaN would not vanish when it is multiplied by zero.

    Args:
        output: `[B, T, ...]`.
        weight: `[B, T, ...]`, of no higher rank; or `[B]`, of whole clips.
        steps: the first steps, which no frame has reached.
    """
    if not steps or len(weight.shape) < 2:
        return output
    uninformed = tf.range(tf.shape(output)[1]) < steps
    axes = [1] * (len(output.shape) - len(weight.shape))
    weighted = tf.reshape(weight, tf.concat([tf.shape(weight), axes], axis=0)) != 0
    counts = weighted | ~tf.reshape(uninformed, (1, -1, *[1] * (len(output.shape) - 2)))
    return tf.where(counts, output, tf.stop_gradient(output[:, -1:]))


def _cut_rows(call: Call, inputs: Tensors, informed: tf.Tensor) -> Tensors:
    """Return `call(inputs)`, cut for some streams of a batch.

    In the call that is not cut, an informed stream stands in for the others: rows that do not count
    must have a gradient, too, because it is multiplied by zero.

    Args:
        call: takes and returns tensors `[B, ...]`.
        inputs: `[B, ...]`.
        informed: bool `[B]`, False for each stream whose call is cut; True for at least one.
    """
    some = tf.argmax(informed)
    called = call([_select(informed, x, tf.stop_gradient(x[some])[None]) for x in inputs])
    pairs = zip(called, cut_call(call, inputs), strict=True)
    return [_select(informed, *pair) for pair in pairs]


def _select(streams: tf.Tensor, x: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Return rows of `x` `[B, ...]` where `streams` (bool `[B]`) is True, else of `other`."""
    return tf.where(tf.reshape(streams, (-1, *[1] * (x.shape.rank - 1))), x, other)


def _finite_constant(value: tf.Tensor) -> tf.Tensor:
    if value.dtype.is_floating:
        value = tf.where(tf.math.is_finite(value), value, tf.zeros_like(value))
    return tf.stop_gradient(value)
