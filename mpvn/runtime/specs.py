"""The shapes and dtypes of the values that units hand over to each other."""

import tensorflow as tf

from mpvn.executors.run import Place, after, before, now
from mpvn.plan import Plan

Specs = dict[Place, tf.TensorSpec]
"""Spec of the value at each place, with a batch axis."""


def place_specs(plan: Plan, handover: str | None = None, batch: int | None = None) -> Specs:
    """Return the spec of every place of a step.

    Args:
        plan: the plan.
        handover: dtype in which units hand over float32 values; None leaves them in float32.
            Frames, and outputs of the frame model, are float32 all the same.
        batch: number of streams; None for any, if the frame model takes any.
    """
    ends = {*plan.graph.inputs, *plan.graph.outputs}

    def spec(tensor: int, shape: tf.TensorShape, dtype: str | tf.DType) -> tf.TensorSpec:
        if handover and dtype == tf.float32 and tensor not in ends:
            dtype = handover
        return tf.TensorSpec((plan.graph.batch_size or batch, *shape), dtype)

    specs = {now(x.index): spec(x.index, x.shape, tf.as_dtype(x.dtype)) for x in plan.graph.tensors}
    for history in plan.histories.all:
        for slot in history.slots:
            kept = spec(history.tensor, history.spec.shape[1:], history.spec.dtype)
            specs |= {before(slot): kept, after(slot): kept}
    return specs
