"""A run: training that can be stopped at any moment, and evaluation.

Keras's `fit` trains from one checkpoint to the next, starting at the batch where the last call
ended. So a run that is killed and started again ends with the same weights.
"""

import contextlib
import gc
import math
import os
import pathlib
import signal
import time
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf
import tqdm
from ml_collections import ConfigDict

from mpvn.data.clips.pipeline import ClipPipeline
from mpvn.training.build import Experiment, build
from mpvn.training.build.task import check_labels
from mpvn.training.checkpoint import load_checkpoint, save_checkpoint
from mpvn.training.run_folder import RunFolder
from mpvn.training.tensorboard import TensorBoard

MOST_SHOWN = 64
"""Number of steps of a video that pictures are made from."""


class Interrupted(Exception):
    """A signal stopped the run, which left a checkpoint."""


def train(config: ConfigDict, run: str | os.PathLike) -> RunFolder:
    """Train a network, or resume the run in that folder.

    A finished run is left as it is.

    Args:
        config: as `base_config` returns it.
        run: folder of the run; created if missing.

    Returns:
        The folder.

    Raises:
        ValueError: the config does not fit, or the folder holds a run with another config.
        VideoError: a video cannot be read and the config says to raise, or none can be read.
        Interrupted: on SIGINT or SIGTERM, after a checkpoint of the last batch was written.
    """
    folder = RunFolder(run)
    if folder.has_finished(config):
        return folder
    _set_up(config)
    experiment = build(config)
    folder.start(config)
    state: dict[str, Any] = {"step": 0, "best": math.inf}
    if folder.last.exists():
        state = load_checkpoint(folder.last, experiment.network, experiment.optimizers)
    folder.drop_rows_after(state["step"])
    steps = experiment.length.steps
    with (
        TensorBoard(folder) as board,
        _Stop() as stop,
        _Progress(steps, state["step"]) as progress,
    ):
        board.plan(experiment.network)
        while state["step"] < steps:
            until = _next_stop(config, experiment, state["step"])
            row = _fit(experiment, state, until, [stop, progress])
            _record(experiment, folder, board, row)
            if stop.requested:
                _save(folder.last, experiment, state)
                raise Interrupted(f"stopped after {state['step']} batches; run again to resume")
            _evaluate_if_due(experiment, config, folder, board, state)
            _save(folder.last, experiment, state)
    load_checkpoint(folder.best, experiment.network)
    experiment.network.save(folder.network)
    return folder


def evaluate(
    experiment: Experiment,
    checkpoint: str | os.PathLike | None = None,
    first: int | None = None,
) -> dict[str, float]:
    """Return loss and metrics on the evaluation videos.

    Args:
        experiment: as `build` returns it.
        checkpoint: file with weights; None keeps those of the network.
        first: number of videos, from the first; None for all.

    Raises:
        ValueError: the videos have no labels, and the task needs them.
    """
    check_labels(experiment.task, experiment.evaluation.videos)
    if checkpoint is not None:
        load_checkpoint(checkpoint, experiment.network)
    count = -(-first // experiment.evaluation.batch_size) if first else None
    batches = experiment.evaluation.dataset(batches=count).map(experiment.prepare_evaluation)
    # A batch with too few clips for a montage is empty.
    batches = batches.filter(lambda frames, *_: tf.shape(frames)[0] > 0)
    with _pipeline_errors(experiment.evaluation), warnings.catch_warnings():
        # Keras warns of every dataset of unknown length; unreadable videos make it unknown.
        warnings.filterwarnings("ignore", message="Your input ran out of data")
        results = experiment.model.evaluate(batches, verbose=0, return_dict=True)
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


def _save(path: pathlib.Path, experiment: Experiment, state: dict[str, Any]) -> None:
    save_checkpoint(path, experiment.network, experiment.optimizers, state)


def _set_up(config: ConfigDict) -> None:
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(config.training.dtype_policy)
    if config.training.deterministic:
        tf.config.experimental.enable_op_determinism()


def _evaluation_period(config: ConfigDict, experiment: Experiment) -> int:
    return max(1, experiment.length.batches(config.training.evaluate_every))


def _next_stop(config: ConfigDict, experiment: Experiment, step: int) -> int:
    """Return the next step with a checkpoint or an evaluation."""
    periods = (config.training.checkpoint_every, _evaluation_period(config, experiment))
    return min(*((step // period + 1) * period for period in periods), experiment.length.steps)


def _fit(
    experiment: Experiment,
    state: dict[str, Any],
    until: int,
    callbacks: list[keras.callbacks.Callback],
) -> dict[str, Any]:
    """Train from `state["step"]` to `until`, or until stopped; update the step; return a row."""
    start, started = state["step"], time.perf_counter()
    pipeline = experiment.training
    batches = pipeline.dataset(start * pipeline.batch_size, until - start)
    with _pipeline_errors(pipeline):
        history = experiment.model.fit(
            batches.map(experiment.prepare),
            steps_per_epoch=until - start,
            shuffle=False,
            verbose=0,
            callbacks=callbacks,
        )
    progress = next(c for c in callbacks if isinstance(c, _Progress))
    state["step"] = progress.step
    seconds = round(time.perf_counter() - started, 3)
    metrics = {name: float(values[-1]) for name, values in history.history.items()}
    rate = float(experiment.model.optimizer.learning_rate)
    row = {"step": state["step"], "split": "train", "seconds": seconds, "learning_rate": rate}
    return {**row, **metrics}


def _record(
    experiment: Experiment, folder: RunFolder, board: TensorBoard, row: dict[str, Any]
) -> None:
    """Write a row of metrics, and the videos that could not be read so far."""
    folder.write(**row)
    board.scalars(row)
    for pipeline in (experiment.training, experiment.evaluation):
        folder.add_skipped(pipeline.skipped)


def _evaluate_if_due(
    experiment: Experiment,
    config: ConfigDict,
    folder: RunFolder,
    board: TensorBoard,
    state: dict[str, Any],
) -> None:
    step = state["step"]
    last = step == experiment.length.steps
    if step % _evaluation_period(config, experiment) and not last:
        return
    metrics = evaluate(experiment, first=None if last else config.training.evaluate_first)
    _record(experiment, folder, board, {"step": step, "split": "evaluation", **metrics})
    shown = example(experiment)
    if shown is not None:
        board.clip(step, experiment.task, *shown)
    if metrics["loss"] < state["best"] or not folder.best.exists():
        state["best"] = metrics["loss"]
        _save(folder.best, experiment, state)


@contextlib.contextmanager
def _pipeline_errors(pipeline: ClipPipeline) -> Iterator[None]:
    """Re-raise the pipeline's own exception instead of TensorFlow's wrapper."""
    try:
        yield
    except tf.errors.OpError as wrapped:
        raise (pipeline.failure or wrapped) from wrapped
    finally:
        gc.collect()  # an iterator that still prefetches when Python exits hangs


class _Stop(keras.callbacks.Callback):
    """Stops training after the batch in which SIGINT or SIGTERM arrives."""

    def __init__(self) -> None:
        super().__init__()
        self.requested = False
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> "_Stop":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, *raised: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _request(self, number: int, frame: object) -> None:
        self.requested = True

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if self.requested:
            self.model.stop_training = True


class _Progress(keras.callbacks.Callback):
    """Counts batches, and shows a progress bar with the loss."""

    def __init__(self, steps: int, step: int) -> None:
        super().__init__()
        self.step = step
        self._bar = tqdm.tqdm(total=steps, initial=step, unit="batch", dynamic_ncols=True)

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *raised: object) -> None:
        self._bar.close()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.step += 1
        self._bar.update()
        if logs:
            self._bar.set_postfix(loss=f"{float(logs['loss']):.4g}", refresh=False)
