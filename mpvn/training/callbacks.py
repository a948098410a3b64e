"""Callbacks of a run: stop on signals, show progress, and watch the loss."""

import contextlib
import math
import signal
from typing import Any

import keras
import tqdm

from mpvn.cluster import supervised
from mpvn.signals import on_stop


class Stop(keras.callbacks.Callback):
    """Stops training after the batch in which a signal of `mpvn.signals` arrives.

    A second signal of the same kind has its usual effect, at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.requested = False
        self._stack = contextlib.ExitStack()
        self._usual: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        self._usual = self._stack.enter_context(on_stop(self._request))
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.close()

    def _request(self, number: int, frame: object) -> None:
        self.requested = True
        if number in self._usual:
            signal.signal(number, self._usual[number])

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if self.requested:
            self.model.stop_training = True


class Beat(keras.callbacks.Callback):
    """Tells the supervisor of this process, if it has one, that a batch is done."""

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        supervised.beat()

    def on_test_batch_end(self, batch: int, logs: dict | None = None) -> None:
        supervised.beat()


class Progress(keras.callbacks.Callback):
    """Counts batches, and shows a progress bar with the loss."""

    def __init__(self, steps: int, step: int, shown: bool = True) -> None:
        super().__init__()
        self.step = step
        self._bar = tqdm.tqdm(
            total=steps, initial=step, unit="batch", dynamic_ncols=True, disable=not shown
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *raised: object) -> None:
        self._bar.close()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.step += 1
        self._bar.update()
        if logs:
            self._bar.set_postfix(loss=f"{float(logs['loss']):.4g}", refresh=False)


class FiniteLoss(keras.callbacks.Callback):
    """Stops training when the loss of many batches in a row is not finite.

    Keras reports the mean since the last checkpoint, which one batch spoils for all that follow. So
    the mean starts again after such a batch.

    Args:
        patience: number of such batches in a row that stop training.

    Attributes:
        bad: number of such batches in a row, up to now.
        loss: the last loss.
    """

    def __init__(self, patience: int) -> None:
        super().__init__()
        self.patience = patience
        self.bad = 0
        self.loss = math.nan

    @property
    def exhausted(self) -> bool:
        """Whether there were too many such batches in a row."""
        return self.bad >= self.patience

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        if self.bad:
            self.model.reset_metrics()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.loss = float((logs or {})["loss"])
        self.bad = 0 if math.isfinite(self.loss) else self.bad + 1
        if self.exhausted:
            self.model.stop_training = True
