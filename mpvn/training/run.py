"""A run: training that can be stopped at any moment.

Keras's `fit` trains from one checkpoint to the next, starting at the batch where the last call
ended. So a run that is killed and started again ends with the same weights.

    until the last batch is evaluated:
        evaluate if it is time, else train up to the next checkpoint or evaluation
        checkpoint

Of several processes that train together (`mpvn.training.data_parallel`), the first evaluates and
writes. The others get its state at the start, and wait for it.
"""

import contextlib
import dataclasses
import math
import os
import sys
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from mpvn.cluster import supervised
from mpvn.training.build import Experiment, build
from mpvn.training.callbacks import Beat, FiniteLoss, Progress, Stop
from mpvn.training.checkpoint import save_checkpoint
from mpvn.training.data_parallel import Group, Place, group_of, synchronize_batch_norm
from mpvn.training.evaluation import evaluate, example, load_weights, pipeline_errors
from mpvn.training.first_words import first_words
from mpvn.training.lock import FolderLock
from mpvn.training.peer_loop import PeerLoop
from mpvn.training.run_data import RunData
from mpvn.training.run_folder import RunFolder
from mpvn.training.tensorboard import TensorBoard


class Interrupted(Exception):
    """A signal stopped the run, which left a checkpoint."""


class NonFiniteError(ValueError):
    """A loss or the weights of a run are NaN or infinite, and will stay so."""


def train(config: ConfigDict, run: str | os.PathLike, place: Place | None = None) -> RunFolder:
    """Train a network, or resume the run in that folder.

    A finished run is left as it is.

    Args:
        config: as `base_config` returns it.
        run: folder of the run; created if missing.
        place: where this process stands among those that train the run together. The first writes
            the folder; the others only read the model in it, if the config names a file.

    Returns:
        The folder.

    Raises:
        ConnectionError: this process cannot be reached by the others.
        ValueError: the config does not fit; the folder is in use, or holds a run with another
            config, other classes, joints or videos, or damaged files.
        NonFiniteError: the loss stays NaN or infinite. The last checkpoint is of a finite state.
        VideoError: a video cannot be read and the config says to raise, or none can be read.
        Interrupted: on SIGINT, SIGTERM or SIGHUP, after a checkpoint of the last batch was written.
    """
    folder = RunFolder(run)
    if place is None and folder.has_finished(config):
        return folder
    with group_of(config, place) as group:
        if group.from_first(float(folder.has_finished(config)))[0]:
            return folder
        with FolderLock(folder.path, "training") if group.is_first else contextlib.nullcontext():
            _train(config, folder, group)
    return folder


def _train(config: ConfigDict, folder: RunFolder, group: Group) -> None:
    if group.is_first:
        folder.check(config)
    _set_up(config)
    resumed = group.is_first and folder.has_checkpoint
    experiment = build(folder.with_model(config), resumed=resumed, scope=group.scope())
    synchronize_batch_norm(experiment.network, config)
    state = _start(config, experiment, folder) if group.is_first else _State()
    slots = [variable for each in experiment.optimizers for variable in each.variables]
    group.share_variables([*experiment.network.variables, *slots])
    step, evaluated, state.best = group.from_first(state.step, state.evaluated, state.best)
    state.step, state.evaluated = int(step), int(evaluated)
    supervised.kept(state.step)
    with (
        TensorBoard(folder) if group.is_first else contextlib.nullcontext() as board,
        Stop() as stop,
        Progress(experiment.length.steps, state.step, group.is_first) as progress,
    ):
        _Run(config, experiment, folder, state, board, stop, progress, group).to_its_end()
    supervised.takes_long()
    if group.is_first:
        load_weights(experiment, folder.best)
        folder.save_network(experiment.network)


def _start(config: ConfigDict, experiment: Experiment, folder: RunFolder) -> "_State":
    """Write what describes a run, or check that it is the same; restore its last checkpoint."""
    data = RunData.of(
        config, experiment.names, experiment.training.videos, experiment.evaluation.videos
    )
    folder.keep(data)
    experiment.network.metadata = (folder.data or data).metadata
    folder.start(config)
    state = _State(**folder.restore(experiment.network, experiment.optimizers))
    folder.drop_rows_after(state.step)
    if state.step == experiment.length.steps and not folder.best.exists():
        state.evaluated = 0
    if not state.step:
        for line in first_words(config, experiment):
            print(line, file=sys.stderr)
    return state


def _set_up(config: ConfigDict) -> None:
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(config.training.dtype_policy)
    if config.training.deterministic:
        tf.config.experimental.enable_op_determinism()


@dataclasses.dataclass
class _State:
    """What a checkpoint holds in addition to weights and optimizer states.

    Attributes:
        step: number of batches trained.
        evaluated: number of batches at the last evaluation.
        best: lowest loss of an evaluation; infinite if none was finite.
        names: as in `RunData`; whoever loads the weights checks them.
    """

    step: int = 0
    evaluated: int = 0
    best: float = math.inf
    names: dict[str, list[str]] = dataclasses.field(default_factory=dict)


class _Run:
    """A run in progress."""

    def __init__(
        self,
        config: ConfigDict,
        experiment: Experiment,
        folder: RunFolder,
        state: _State,
        board: TensorBoard | None,
        stop: Stop,
        progress: Progress,
        group: Group,
    ) -> None:
        self.config = config
        self.experiment = experiment
        self.folder = folder
        self.state = state
        self._board: Any = board  # of the first process
        self.stop = stop
        self.progress = progress
        self.group = group
        self.loop = PeerLoop(experiment.model, experiment.network, group) if group.place else None
        self.finite = FiniteLoss(config.training.non_finite_patience)
        state.names = {kind: list(names) for kind, names in experiment.names.items()}
        if board:
            board.plan(experiment.network)

    def to_its_end(self) -> None:
        """Train and evaluate until the last batch is evaluated, or a signal arrives."""
        state, steps = self.state, self.experiment.length.steps
        while state.step < steps or self._is_due:
            if self._is_due:
                self._evaluate()
            else:
                self._fit(self._next_stop())
            if self.stop.requested or not self._is_due:
                self._checkpoint()
            if self.stop.requested and (state.step < steps or self._is_due):
                self.group.meet()  # when the first has written the checkpoint
                raise Interrupted(f"stopped after {state.step} batches; run again to resume")

    @property
    def _is_due(self) -> bool:
        """Whether the weights are to be evaluated before the next batch."""
        step, last = self.state.step, self.experiment.length.steps
        if step == last:
            return self.state.evaluated != step
        return step % self._evaluation_period == 0 and self.state.evaluated != step

    @property
    def _evaluation_period(self) -> int:
        return max(1, self.experiment.length.batches(self.config.training.evaluate_every))

    def _next_stop(self) -> int:
        """Return the next step with a checkpoint or an evaluation."""
        periods = (self.config.training.checkpoint_every, self._evaluation_period)
        following = ((self.state.step // period + 1) * period for period in periods)
        return min(*following, self.experiment.length.steps)

    def _fit(self, until: int) -> None:
        """Train up to a step, or until stopped."""
        start, started = self.state.step, time.perf_counter()
        experiment, callbacks = self.experiment, [self.progress, self.finite, Beat()]
        batches = experiment.training_batches(start, until - start, self.group.share)
        with pipeline_errors(experiment.training):
            if self.loop:
                metrics = self.loop.fit(batches, self.stop, callbacks)
            else:
                history = experiment.model.fit(
                    batches,
                    steps_per_epoch=until - start,
                    shuffle=False,
                    verbose=0,
                    callbacks=[self.stop, *callbacks],
                )
                metrics = {name: float(values[-1]) for name, values in history.history.items()}
        self.state.step = self.progress.step
        self._record(
            {
                "step": self.state.step,
                "split": "train",
                "seconds": round(time.perf_counter() - started, 3),
                "learning_rate": float(experiment.model.optimizer.learning_rate),
                **metrics,
            }
        )
        if self.finite.exhausted:
            raise self._not_finite(
                f"a loss of {self.finite.loss} in the last {self.finite.bad} batches in a row "
                "(config.training.non_finite_patience)"
            )

    def _evaluate(self) -> None:
        """Evaluate, and keep the weights if they are the best."""
        state, experiment = self.state, self.experiment
        state.evaluated = state.step
        if not self.group.is_first:
            return
        last = state.step == experiment.length.steps
        first = None if last else self.config.training.evaluate_first
        supervised.takes_long()
        metrics = evaluate(experiment, first=first)
        self._record({"step": state.step, "split": "evaluation", **metrics})
        supervised.takes_long()
        shown = example(experiment)
        if shown is not None:
            self._board.clip(state.step, experiment.task, *shown)
        loss = metrics["loss"]
        if math.isfinite(loss) and (loss < state.best or not self.folder.best.exists()):
            state.best = loss
            self._save(best=True)
        elif last and not self.folder.best.exists():
            raise self._not_finite(f"an evaluation loss of {loss}, and no finite one before")

    def _record(self, row: dict[str, Any]) -> None:
        """Write a row of metrics, and the videos that could not be read so far."""
        if not self.group.is_first:
            return
        self.folder.write(**row)
        self._board.scalars(row)
        self.folder.add_unread(self.experiment.training, self.experiment.evaluation)

    def _checkpoint(self) -> None:
        """Save the state, unless it is not finite: then the checkpoint before is of more use."""
        weights = self.experiment.network.trainable_variables
        if all(np.isfinite(np.asarray(weight, np.float32)).all() for weight in weights):
            self._save()
        elif self.state.step == self.experiment.length.steps:
            raise self._not_finite("weights that are NaN or infinite after the last batch")

    def _save(self, best: bool = False) -> None:
        if not self.group.is_first:
            return
        path = self.folder.best if best else self.folder.last
        previous = None if best else self.folder.previous
        experiment, about = self.experiment, dataclasses.asdict(self.state)
        save_checkpoint(path, experiment.network, experiment.optimizers, about, previous)
        if not best:
            supervised.kept(self.state.step)

    def _not_finite(self, received: str) -> NonFiniteError:
        kept = "There is no checkpoint of a finite state"
        if self.folder.last.exists():
            kept = f"{self.folder.last} keeps the last finite state that was saved"
        remedies = "Lower config.optimizer.learning_rate, or set config.optimizer.clip_norm"
        if self.config.training.dtype_policy != "float32":
            remedies += ", or use config.training.dtype_policy=float32"
        if self.config.teacher:
            remedies += ", or train the teacher longer, or set config.distillation.distance=mean"
        return NonFiniteError(
            f"Training diverged by batch {self.state.step}. Expected finite numbers. Received: "
            f"{received}. {kept}. {remedies}, in another run"
        )
