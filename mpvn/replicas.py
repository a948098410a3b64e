"""What the replicas of a network do together in a training step, under `tf.distribute`.

Each replica has the whole network and a share of the batch. In the step, losses are divided by the
number of replicas, as Keras does under a strategy, so sums over replicas are means over the batch:

    loss_r       of the share of replica r, divided by the number of replicas
    gradient  =  total(gradient_r)          the optimizers do this
    weights   =  the same update in each replica, on the devices of the replica

TensorFlow's replica functions usually hand every update of a variable back to the strategy
(`merge_call`), which is impossible in loops and conditions: in accumulation, in updates within a
clip, in batch norm step by step. `update_locally` makes a strategy reduce in place instead, by
collective operations, as TensorFlow itself does for GPUs under XLA. Variables then stay equal
because all replicas apply the same update. The switch is private to TensorFlow;
`tests/training/test_replicas.py` notices if it goes.

Without a strategy, there is one replica, and these functions return what they are given.
"""

from typing import Any

import keras
import tensorflow as tf


def count() -> int:
    """Return the number of replicas of the strategy in use; 1 without one."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def total(values: Any) -> Any:
    """Return the sums over all replicas of a structure of tensors, the same in each replica.

    Every replica must call it, in the same order.
    """
    return _reduce(tf.distribute.ReduceOp.SUM, values)


def mean(values: Any) -> Any:
    """Return the means over all replicas of a structure of floating-point tensors; see `total`."""
    return _reduce(tf.distribute.ReduceOp.MEAN, values)


def scaled(loss: tf.Tensor) -> tf.Tensor:
    """Return a loss of this replica so that the sum over all replicas is a mean."""
    return loss / tf.cast(count(), loss.dtype)


def unscaled(loss: tf.Tensor) -> tf.Tensor:
    """Return a `scaled` loss as it was: the loss of this replica's share."""
    return loss * tf.cast(count(), loss.dtype)


def update_locally(strategy: tf.distribute.Strategy) -> tf.distribute.Strategy:
    """Make the replicas of `strategy` update their variables in place; return the strategy."""
    strategy.extended._use_merge_call = lambda: False
    return strategy


def keep_equal(variable: keras.Variable) -> None:
    """Let each replica update its copy of a variable that all of them update alike.

    Keras asks TensorFlow to broadcast counters from the first replica, by `merge_call`.
    """
    value = variable.value
    if isinstance(value, tf.distribute.DistributedValues):
        value._aggregation = tf.VariableAggregation.NONE


def _reduce(operation: tf.distribute.ReduceOp, values: Any) -> Any:
    context = tf.distribute.get_replica_context()
    if count() == 1 or context is None:
        return values
    flat = [tf.convert_to_tensor(value) for value in tf.nest.flatten(values)]
    for dtype in dict.fromkeys(value.dtype for value in flat):  # packed together, so of one dtype
        places = [place for place, value in enumerate(flat) if value.dtype == dtype]
        reduced = context.all_reduce(operation, [flat[place] for place in places])
        for place, value in zip(places, reduced, strict=True):
            flat[place] = value
    return tf.nest.pack_sequence_as(values, flat)
