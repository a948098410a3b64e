"""A run: training that can be stopped at any moment, and evaluation.

Keras's `fit` does the work, from one checkpoint to the next; each part begins at the batch where
the last one ended. So a run that was killed, and begun again, ends with the same weights.
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
from mpvn.training.checkpoint import load_checkpoint, save_checkpoint
from mpvn.training.run_folder import RunFolder
from mpvn.training.tensorboard import TensorBoard

MOST_SHOWN = 64
"""Steps of the video that pictures are made of."""


class Interrupted(Exception):
    """A run was stopped by a signal, and left a checkpoint."""


def train(config: ConfigDict, run: str | os.PathLike) -> RunFolder:
    """Trains as `config` says, or goes on where the run in that folder was stopped.

    A run that is finished stays as it is.

    Args:
        config: as `base_config`.
        run: folder of the run; made if missing.

    Returns:
        The folder.

    Raises:
        ValueError: a config that names what there is not, or a folder of another run.
        VideoError: data that cannot be read.
        Interrupted: SIGINT or SIGTERM; the checkpoint is that of the last batch.
    """
    folder = RunFolder(run)
    if folder.has_finished(config):
        return folder
    _set_up(config)
    experiment = build(config)
    folder.begin(config)
    state: dict[str, Any] = {"step": 0, "best": math.inf}
    if folder.last.exists():
        state = load_checkpoint(folder.last, experiment.network, experiment.optimizers)
    folder.forget_after(state["step"])
    with (
        TensorBoard(folder) as board,
        _Stop() as stop,
        _Progress(config.training.steps, state["step"]) as progress,
    ):
        board.plan(experiment.network)
        while state["step"] < config.training.steps:
            until = _next_stop(config, state["step"])
            row = _fit(experiment, config, state, until, [stop, progress])
            _record(experiment, folder, board, row)
            if stop.asked:
                _save(folder.last, experiment, state)
                raise Interrupted(f"stopped after {state['step']} batches; run again to go on")
            _evaluate_if_due(experiment, config, folder, board, state)
            _save(folder.last, experiment, state)
    load_checkpoint(folder.best, experiment.network)
    experiment.network.save(folder.network)
    return folder


def evaluate(
    experiment: Experiment, checkpoint: str | os.PathLike | None = None, first: int = 0
) -> dict[str, float]:
    """Loss and metrics on the videos for evaluation.

    Args:
        experiment: as `build` makes it.
        checkpoint: file of weights; None evaluates those that the network has.
        first: how many videos, from the first; 0 for all.
    """
    if checkpoint is not None:
        load_checkpoint(checkpoint, experiment.network)
    count = -(-first // experiment.evaluation.batch_size) if first else None
    batches = experiment.evaluation.dataset(batches=count).map(experiment.prepare_evaluation)
    some = batches.filter(lambda frames, *_: tf.shape(frames)[0] > 0)  # too few for a montage
    with _readable(experiment.evaluation), warnings.catch_warnings():
        # Keras warns of every dataset that does not know its length: ours may meet damaged videos.
        warnings.filterwarnings("ignore", message="Your input ran out of data")
        found = experiment.model.evaluate(some, verbose=0, return_dict=True)
    return {name: float(value) for name, value in found.items()}


def example(experiment: Experiment) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor] | None:
    """Frames, outputs and targets `[T, ...]` of the first video for evaluation that can be read.

    At most so many steps as `MOST_SHOWN`, beside those that do not count; None without a video.
    """
    task, pipeline = experiment.task, experiment.evaluation
    numbers = range(len(pipeline.videos.videos))
    clip = next((clip for number in numbers for clip in pipeline.dataset(number, 1)), None)
    if clip is None:
        return None
    most = MOST_SHOWN + task.first_step + task.skip_last
    # [B, ...] -> [1, ...], and of what has a time axis [1, T, ...]
    one = {name: v[:1, :most] if v.shape.rank > 1 else v[:1] for name, v in clip.items()}
    frames, targets, _ = task.prepare(one)
    network: Any = experiment.network
    return frames[0], network(frames)[0], targets[0]


def _save(path: pathlib.Path, experiment: Experiment, state: dict[str, Any]) -> None:
    save_checkpoint(path, experiment.network, experiment.optimizers, state)


def _set_up(config: ConfigDict) -> None:
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(config.training.dtype_policy)
    if config.training.deterministic:
        tf.config.experimental.enable_op_determinism()


def _next_stop(config: ConfigDict, step: int) -> int:
    """The next step at which there is something to do beside training."""
    training = config.training
    periods = (training.checkpoint_every, training.evaluate_every)
    return min(*((step // period + 1) * period for period in periods), training.steps)


def _fit(
    experiment: Experiment,
    config: ConfigDict,
    state: dict[str, Any],
    until: int,
    callbacks: list[keras.callbacks.Callback],
) -> dict[str, Any]:
    """Trains from `state["step"]` on, at most to `until`; moves the step. What it was like."""
    start, began = state["step"], time.perf_counter()
    pipeline = experiment.training
    batches = pipeline.dataset(start * pipeline.batch_size, until - start)
    with _readable(pipeline):
        history = experiment.model.fit(
            batches.map(experiment.prepare),
            steps_per_epoch=until - start,
            shuffle=False,
            verbose=0,
            callbacks=callbacks,
        )
    progress = next(c for c in callbacks if isinstance(c, _Progress))
    state["step"] = progress.step
    seconds = round(time.perf_counter() - began, 3)
    values = {name: float(value[-1]) for name, value in history.history.items()}
    rate = float(experiment.model.optimizer.learning_rate)
    about = {"step": state["step"], "split": "train", "seconds": seconds, "learning_rate": rate}
    return {**about, **values}


def _record(
    experiment: Experiment, folder: RunFolder, board: TensorBoard, row: dict[str, Any]
) -> None:
    """Writes down a row of metrics, and what could not be read on the way to it."""
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
    training, step = config.training, state["step"]
    last = step == training.steps
    if step % training.evaluate_every and not last:
        return
    found = evaluate(experiment, first=0 if last else training.evaluate_first)
    _record(experiment, folder, board, {"step": step, "split": "evaluation", **found})
    shown = example(experiment)
    if shown is not None:
        board.clip(step, experiment.task, *shown)
    if found["loss"] < state["best"] or not folder.best.exists():
        state["best"] = found["loss"]
        _save(folder.best, experiment, state)


@contextlib.contextmanager
def _readable(pipeline: ClipPipeline) -> Iterator[None]:
    """Within it, what stopped the data is raised as it was, without TensorFlow's wrapping."""
    try:
        yield
    except tf.errors.OpError as wrapped:
        raise (pipeline.failure or wrapped) from wrapped
    finally:
        gc.collect()  # of iterators that read ahead: one that still does when Python ends, hangs


class _Stop(keras.callbacks.Callback):
    """Ends training after the batch during which SIGINT or SIGTERM came."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "_Stop":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *raised: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: object) -> None:
        self.asked = True

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if self.asked:
            self.model.stop_training = True


class _Progress(keras.callbacks.Callback):
    """Counts batches, on a bar with the loss and the time that is left."""

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
