"""The loop of `fit` for a network whose replicas are processes on several hosts.

    for batch in batches:                       this process's share of each
        weights, metrics <- model.train_step    gradients are summed over all replicas
        logs = metrics of all replicas
        stop if a signal came to any replica

Every process ends at the same batch, with the same weights and the same numbers.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from mpvn import replicas
from mpvn.network import VideoNetwork
from mpvn.training.callbacks import Stop
from mpvn.training.data_parallel import Group, batch_norms


class PeerLoop:
    """Trains a compiled model together with the other processes of a group.

    Args:
        model: what trains the network: itself, its `Distillation`, or a trainer.
        network: the network.
        group: the replicas.
    """

    def __init__(self, model: keras.Model, network: VideoNetwork, group: Group) -> None:
        self.model = model
        self.group = group
        self._moving = [
            variable.value
            for norm in batch_norms(network)
            if not norm.synchronized
            for variable in norm.non_trainable_variables
        ]
        self._step = tf.function(self._run, autograph=False, reduce_retracing=True)

    def fit(
        self,
        batches: tf.data.Dataset,
        stop: Stop,
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> dict[str, float]:
        """Train on batches, this process's share of each; return the metrics of all shares."""
        model, logs = self.model, {}
        model.stop_training = False
        model.reset_metrics()
        called = keras.callbacks.CallbackList(list(callbacks), model=model)
        called.on_train_begin()
        for number, batch in enumerate(batches):
            called.on_train_batch_begin(number)
            results, stops = self._run_step(batch, float(stop.requested))
            logs = {name: float(value) for name, value in results.items()}
            called.on_train_batch_end(number, logs)
            if float(stops):
                stop.requested = True
            if float(stops) or model.stop_training:
                break
        called.on_train_end(logs)
        return logs

    def _run_step(self, batch: Any, requested: float) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        try:
            return self._step(batch, tf.constant(requested))
        except tf.errors.OpError:
            # TensorFlow may notice first that a worker is lost, in words of its own.
            if self.group.watch:
                self.group.watch.wait_for_verdict()
            raise

    def _run(self, batch: Any, requested: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        strategy: Any = self.group.strategy
        return strategy.run(self._replica_step, args=(batch, requested))

    def _replica_step(self, batch: Any, requested: tf.Tensor) -> tuple[Any, tf.Tensor]:
        self.model.train_step(batch)
        for variable, value in zip(self._moving, replicas.mean(self._moving), strict=True):
            variable.assign(value)
        return self._results(), replicas.total(requested)

    def _results(self) -> dict[str, tf.Tensor]:
        """Return the metrics of all replicas; the variables of metrics keep those of this one."""
        variables = [variable.value for variable in self.model.metrics_variables]
        own = [tf.identity(variable) for variable in variables]
        for variable, value in zip(variables, replicas.total(own), strict=True):
            variable.assign(value)
        results = {
            name: tf.identity(value) for name, value in self.model.get_metrics_result().items()
        }
        for variable, value in zip(variables, own, strict=True):
            variable.assign(value)
        return results
