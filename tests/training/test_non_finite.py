"""Losses that are NaN or infinite stop a run, and never count as the best."""

import math
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
from one_build import OneBuild
from small_runs import small_config, steps, weights

from mpvn.training import NonFiniteError, RunFolder, train
from mpvn.training import run as training
from mpvn.training.callbacks import FiniteLoss

NAN, INF = math.nan, math.inf


@pytest.fixture(scope="module")
def one_build(tmp_path_factory: pytest.TempPathFactory) -> OneBuild:
    return OneBuild(tmp_path_factory.mktemp("build"))


@pytest.fixture(autouse=True)
def quick(one_build: OneBuild, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "build", one_build)
    monkeypatch.setattr(training, "example", lambda _: None)
    monkeypatch.setattr(training, "evaluate", lambda *_, **__: {"loss": 0.5})


def config(**changes: Any) -> Any:
    """Return the config of three batches, with an evaluation after each."""
    return small_config(training__steps=3, training__evaluate_every=1, **changes)


def finite(folder: RunFolder) -> bool:
    return all(np.isfinite(value).all() for value in weights(folder).values())


def spoil(monkeypatch: pytest.MonkeyPatch, step: int, value: float) -> None:
    """From the batch `step` on, set the weights to `value`, and report it as the loss."""
    end = FiniteLoss.on_train_batch_end
    seen = [0]

    def spoiled(self: FiniteLoss, batch: int, logs: dict | None = None) -> None:
        seen[0] += 1
        if seen[0] >= step:
            for variable in self.model.trainable_variables:
                variable.assign(np.full_like(variable, value))
            logs = {"loss": value}
        end(self, batch, logs)

    monkeypatch.setattr(FiniteLoss, "on_train_batch_end", spoiled)


# --- training -----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [NAN, -INF])
def test_a_run_that_diverges_stops_and_keeps_its_last_finite_state(
    value: float, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path / "run")
    spoil(monkeypatch, 2, value)
    with pytest.raises(NonFiniteError) as error:
        train(config(training__non_finite_patience=2), folder.path)
    message = str(error.value)
    assert f"by batch 3. Expected finite numbers. Received: a loss of {value}" in message
    assert "in the last 2 batches in a row (config.training.non_finite_patience)" in message
    assert "last.npz keeps the last finite state" in message
    assert "Lower config.optimizer.learning_rate, or set config.optimizer.clip_norm" in message
    assert "dtype_policy" not in message
    assert steps(folder) == 1 and finite(folder)
    assert not folder.finished


def test_a_run_that_never_had_a_finite_loss_says_so(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, 1, NAN)
    with pytest.raises(NonFiniteError, match="There is no checkpoint of a finite state"):
        train(config(training__non_finite_patience=2), tmp_path)
    assert not (tmp_path / "checkpoints" / "last.npz").exists()


def test_weights_that_diverge_in_the_last_batch_are_seen(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its loss was computed before its update, so it is finite, and there is an older best."""
    spoil(monkeypatch, 3, NAN)
    with pytest.raises(NonFiniteError, match="weights that are NaN or infinite after the last"):
        train(config(), tmp_path)
    assert steps(RunFolder(tmp_path)) == 2


def test_a_few_such_losses_are_normal() -> None:
    """With loss scaling. The mean of the losses starts again after each, and counting does, too."""
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile(keras.optimizers.SGD(0.0), lambda losses, outputs: losses + 0 * outputs)
    losses = np.array([[1], [NAN], [INF], [3], [NAN], [5], [7]], np.float32)
    watch = FiniteLoss(patience=3)
    seen: list[int] = []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(watch.bad)
    )
    options = {"batch_size": 1, "shuffle": False, "verbose": 0, "callbacks": [watch, note]}
    history = model.fit(np.ones((7, 1)), losses, **options)
    assert seen == [0, 1, 2, 0, 1, 0, 0]
    assert history.history["loss"] == [6]  # the mean of 5 and 7
    watch.patience = 2
    model.fit(np.ones((7, 1)), losses, **options)
    assert seen[7:] == [0, 1, 2] and watch.exhausted


# --- evaluation ---------------------------------------------------------------------------------


def evaluations(monkeypatch: pytest.MonkeyPatch, *losses: float) -> None:
    """Skip training, and evaluate to these losses after the batches 1, 2, ..."""
    remaining = iter(losses)
    skip = lambda run, until: setattr(run.state, "step", until)  # noqa: E731
    monkeypatch.setattr(training._Run, "_fit", skip)
    monkeypatch.setattr(training, "evaluate", lambda *_, **__: {"loss": next(remaining)})


@pytest.mark.parametrize(
    ("losses", "best"), [((NAN, 0.5, 0.7), 2), ((INF, NAN, 0.7), 3), ((-INF, 0.5, 0.4), 3)]
)
def test_a_loss_that_is_not_finite_is_never_the_best(
    losses: tuple[float, ...],
    best: int,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once, a first evaluation of NaN stayed the best: nothing is less than NaN."""
    evaluations(monkeypatch, *losses)
    folder = train(config(), tmp_path)
    assert folder.finished
    with np.load(folder.best) as stored:
        assert f'"step": {best}' in stored["about"].tobytes().decode()


def test_a_run_without_a_finite_evaluation_does_not_finish(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluations(monkeypatch, NAN, NAN, INF)
    with pytest.raises(NonFiniteError, match="an evaluation loss of inf, and no finite one before"):
        train(config(), tmp_path)
    folder = RunFolder(tmp_path)
    assert not folder.finished and not folder.best.exists() and steps(folder) == 2
    assert [row["loss"] for row in folder.rows() if row["split"] == "evaluation"][-1] == INF
