"""An experiment: everything that a config names, ready to train or evaluate."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import keras

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
