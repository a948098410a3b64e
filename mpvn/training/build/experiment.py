"""An experiment: everything that a config names, ready to train or evaluate."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from mpvn.data.clips.pipeline import ClipPipeline
from mpvn.data.clips.views import Views
from mpvn.metadata import Names
from mpvn.network import VideoNetwork
from mpvn.tasks import Task
from mpvn.training.build.clips import Prepare
from mpvn.training.build.length import Length
from mpvn.training.evaluator import Evaluator


class RealTimeEvaluation(NamedTuple):
    """What evaluation in real time needs.

    Attributes:
        task: the task without latency.
        model: the compiled model for `evaluate`.
        prepare: converts an evaluation batch to the arguments of `evaluate`.
    """

    task: Task
    model: keras.Model
    prepare: Prepare


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Everything that a config names, ready to run.

    Attributes:
        network: the network that is trained and saved.
        model: the compiled model for `fit`: the network, its `Distillation`, or a trainer.
        evaluator: the compiled model for `evaluate`.
        optimizers: all optimizers whose state training changes.
        task: the prediction task.
        names: what the outputs stand for: the classes or joints, in order.
        length: how long to train.
        training: clips to train on.
        evaluation: clips to evaluate on.
        prepare: converts a training batch to the arguments of `fit`.
        prepare_evaluation: converts an evaluation batch to the arguments of `evaluate`.
        views: clips and crops of each video for evaluation by views.
        realtime: for evaluation in real time, too; None for none.
        mixes: whether training mixes the clips of a batch, so that shares of it need all clips.
        remarks: what was done to the network of the config to fit the task, for the terminal.
    """

    network: VideoNetwork
    model: keras.Model
    evaluator: Evaluator
    optimizers: Sequence[keras.optimizers.Optimizer]
    task: Task
    names: Names
    length: Length
    training: ClipPipeline
    evaluation: ClipPipeline
    prepare: Prepare
    prepare_evaluation: Prepare
    views: Views
    realtime: RealTimeEvaluation | None = None
    remarks: Sequence[str] = ()
    mixes: bool = False

    def training_batches(
        self, step: int, batches: int, share: tuple[int, int] = (0, 1)
    ) -> tf.data.Dataset:
        """Return batches of training as arguments of `fit`, or a share of each.

        Args:
            step: number of the first batch.
            batches: number of batches.
            share: as in `ClipPipeline.dataset`.
        """
        pipeline, (part, parts) = self.training, share
        start = step * pipeline.batch_size
        if not self.mixes or parts == 1:
            return pipeline.dataset(start, batches, share).map(self.prepare)

        def cut(*batch: tf.Tensor) -> tuple[tf.Tensor, ...]:
            return tuple(
                x[part * (len(x) // parts) : (part + 1) * (len(x) // parts)] for x in batch
            )

        return pipeline.dataset(start, batches).map(self.prepare).map(cut)
