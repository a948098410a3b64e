"""Evaluation of a network on the evaluation videos of its config."""

import contextlib
import gc
import os
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from mpvn.data.clips.pipeline import ClipPipeline
from mpvn.data.video.errors import VideoError
from mpvn.training.build import Experiment
from mpvn.training.build.clips import Prepare
from mpvn.training.build.task import check_labels
from mpvn.training.callbacks import Beat
from mpvn.training.checkpoint import read_checkpoint
from mpvn.training.evaluator import Outputs
from mpvn.training.run_data import check_names

REAL_TIME = "_realtime"
"""End of the names of metrics in real time."""

MOST_SHOWN = 64
"""Number of steps of a video that pictures are made from."""


def load_weights(experiment: Experiment, checkpoint: str | os.PathLike) -> dict:
    """Load the weights of a checkpoint into the network of an experiment.

    Returns:
        The other values in the checkpoint.

    Raises:
        ValueError: the checkpoint is damaged or belongs to another network, or the classes or
            joints of the experiment are not those that the network was trained on. The network is
            not changed then.
    """
    stored = read_checkpoint(checkpoint)
    check_names(stored.about.get("names", {}), experiment.names, str(checkpoint))
    stored.restore(experiment.network)
    return stored.about


def evaluate(
    experiment: Experiment,
    checkpoint: str | os.PathLike | None = None,
    first: int | None = None,
    outputs: Outputs | None = None,
) -> dict[str, float]:
    """Return loss and metrics on the evaluation videos.

    Outputs are compared with the targets of their own frames. If the config asks for it, metrics in
    real time stand beside, by names that end in `REAL_TIME`; see `mpvn.sideways.real_time`.

    Args:
        experiment: as `build` returns it.
        checkpoint: file with weights; None keeps those of the network.
        first: number of videos, from the first; None for all.
        outputs: makes the outputs of clips, such as a compiled network does; None for the network.
            There are no metrics in real time then.

    Raises:
        ValueError: as `load_weights`; or the videos have no labels, and the task needs them.
        VideoError: a video cannot be read and the config says to raise, or none can be read.
    """
    check_labels(experiment.task, experiment.evaluation.videos)
    if checkpoint is not None:
        load_weights(experiment, checkpoint)
    arguments = experiment, experiment.evaluator, experiment.prepare_evaluation, first
    if outputs is not None:
        with experiment.evaluator.with_outputs(outputs):
            return _evaluate(*arguments)
    results = _evaluate(*arguments)
    if experiment.realtime:
        realtime = experiment.realtime
        late = _evaluate(experiment, realtime.model, realtime.prepare, first)
        results |= {f"{name}{REAL_TIME}": late[name] for name in late if name != "loss"}
    return results


def _evaluate(
    experiment: Experiment, model: keras.Model, prepare: Prepare, first: int | None
) -> dict[str, float]:
    """Return what Keras's `evaluate` of a model returns for the evaluation videos."""
    count = -(-first // experiment.evaluation.batch_size) if first else None
    batches = experiment.evaluation.dataset(batches=count).map(prepare)
    # A batch with too few clips for a montage is empty.
    batches = batches.filter(lambda frames, *_: tf.shape(frames)[0] > 0)
    done = _Batches()
    with pipeline_errors(experiment.evaluation), warnings.catch_warnings():
        # Keras warns of every dataset of unknown length; unreadable videos make it unknown.
        warnings.filterwarnings("ignore", message="Your input ran out of data")
        results = model.evaluate(batches, verbose=0, return_dict=True, callbacks=[done])
    if not done.count:  # Keras returns a loss of 0.
        videos = experiment.evaluation.videos
        raise VideoError(
            f"{videos.name}: expected clips to evaluate among {first or 'all'} of "
            f"{len(videos.videos)} videos. Received: none.\n{experiment.evaluation.report()}"
        )
    return {name: float(value) for name, value in results.items()}


def example(experiment: Experiment) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor] | None:
    """Return frames, outputs and targets `[T, ...]` of the first evaluation video.

    The first video that can be read is used, up to `MOST_SHOWN` steps in addition to those that do
    not count; None if there is no such video.
    """
    task, pipeline = experiment.task, experiment.evaluation
    numbers = range(len(pipeline.videos.videos))
    clip = next((clip for number in numbers for clip in pipeline.dataset(number, 1)), None)
    if clip is None:
        return None
    steps = MOST_SHOWN + task.first_step + task.skip_last
    # [B, ...] -> [1, ...], and [B, T, ...] -> [1, steps, ...] for entries with a time axis
    batch = {name: v[:1, :steps] if v.shape.rank > 1 else v[:1] for name, v in clip.items()}
    frames, targets, _ = task.prepare(batch)
    network: Any = experiment.network
    return frames[0], network(frames)[0], targets[0]


@contextlib.contextmanager
def pipeline_errors(pipeline: ClipPipeline) -> Iterator[None]:
    """Re-raise the pipeline's own exception instead of TensorFlow's wrapper."""
    try:
        yield
    except tf.errors.OpError as wrapped:
        raise (pipeline.failure or wrapped) from wrapped
    finally:
        gc.collect()  # an iterator that still prefetches when Python exits hangs


class _Batches(Beat):
    """Counts the batches of an evaluation."""

    count = 0

    def on_test_batch_end(self, batch: int, logs: dict | None = None) -> None:
        super().on_test_batch_end(batch, logs)
        self.count += 1
