"""What all tasks share: which target the output of a step is held against, and how much it counts.

The output at step t is compared with the target of frame t - p, p being the *prediction latency*
of *Massively Parallel Video Networks*: a network of many subnetworks answers late, and may be
trained to answer that late. A task whose target lies `ahead` frames ahead compares it with frame
t - p + ahead. Steps without a target have weight 0.

    latency 2, 6 frames     step     0   1   2   3   4   5
                            target   -   -   0   1   2   3
                            weight   0   0  1.5 1.5 1.5 1.5

The weights of a clip have mean 1. So Keras, which divides by the number of all steps, gives the
mean loss over those that count, and masking does not make losses smaller.
"""

import abc
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpvn.plan import Plan
from mpvn.tasks.overlay import enlarged

Batch = Mapping[str, tf.Tensor]
"""Clips: `"frames"` float32 `[B, T, H, W, C]` between -1 and 1 and, where the set has them,
`"label"` int `[B]` and `"joints"` float32 `[B, T, J, 3]`: x and y in pixels of the frame, whole
numbers at the centers of pixels, and 1 where the joint is visible, else 0."""


class Task(abc.ABC):
    """Targets, weights, loss and metrics of one thing to predict.

    Args:
        latency: prediction latency p in steps, at least 0.
        mask_uninformed: whether the steps at which no frame can have reached the output of `plan`
            yet have weight 0 too. The paper trains on them.
        plan: of the network to be trained; only `mask_uninformed` needs it.

    Attributes:
        ahead: how many frames its target lies ahead of a frame.
        legend: what is to be seen on a `picture`, in a sentence.
        latency: as given.
        first_step: the first step that counts.

    Raises:
        ValueError: a latency below 0, or `mask_uninformed` without a plan.

    Example:
        >>> from mpvn.tasks import Autoencoding
        >>> clips = {"frames": tf.zeros([1, 6, 8, 8, 3])}
        >>> frames, targets, weights = Autoencoding(latency=2).prepare(clips)
        >>> weights.numpy().tolist()
        [[0.0, 0.0, 1.5, 1.5, 1.5, 1.5]]
    """

    ahead: int = 0
    legend: str = ""

    def __init__(
        self, latency: int = 0, mask_uninformed: bool = False, plan: Plan | None = None
    ) -> None:
        check_count("latency", latency, 0)
        if mask_uninformed and plan is None:
            raise ValueError(
                "mask_uninformed needs the plan of the network, which says when frames reach its "
                "output: give plan=network.plan"
            )
        self.latency = latency
        informed = plan.first_informed_step if mask_uninformed and plan is not None else 0
        self.first_step = max(latency, informed)

    # --- what a task says of itself ---------------------------------------------------------

    @property
    @abc.abstractmethod
    def loss(self) -> keras.losses.Loss:
        """The loss to compile with: `[B, T]` before Keras weighs and reduces it; float32."""

    @abc.abstractmethod
    def metrics(self) -> list[keras.metrics.Metric]:
        """New metrics to compile with, as `metrics` or as `weighted_metrics`."""

    @property
    def head_arguments(self) -> dict[str, int]:
        """What the published networks need to be told to have the right head."""
        return {}

    @abc.abstractmethod
    def targets(self, batch: Batch) -> tuple[tf.Tensor, list[tf.Operation]]:
        """Each frame's own target `[B, T, ...]`, before it is moved, and what is yet to be checked.

        Raises:
            ValueError: the batch does not fit the task.
        """

    @abc.abstractmethod
    def draw(self, frame: np.ndarray, output: np.ndarray, target: np.ndarray | None) -> np.ndarray:
        """What `picture` gives.

        Args:
            frame: enlarged, uint8 `[H', W', 3]`.
            output: float32, without numbers that are not finite.
            target: of the same step, or None.
        """

    # --- what follows from it ---------------------------------------------------------------

    @property
    def skip_last(self) -> int:
        """How many steps at the end of a clip do not count: their targets lie beyond it."""
        return max(self.ahead - self.latency, 0)

    @property
    def steps(self) -> dict[str, Any]:
        """Which steps count, as arguments of a `StepMetric`."""
        return {"skip_first": self.first_step, "skip_last": self.skip_last}

    @tf.autograph.experimental.do_not_convert
    def prepare(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """What `fit` takes of a batch; TensorFlow operations only, for `Dataset.map`.

        Returns:
            The frames `[B, T, H, W, C]`; the targets `[B, T, ...]` of each step; the weights of the
            steps, float32 `[B, T]`, of mean 1 in each clip.

        Raises:
            ValueError: the batch does not fit the task, or its clips are too short for any step to
                count. `tf.errors.InvalidArgumentError` where that is only known while running.
        """
        fewest = self.first_step + self.skip_last + 1
        asked = (
            f"prediction latency {self.latency}, targets {self.ahead} frames ahead and the first "
            f"step that counts {self.first_step}"
        )
        return self.late(*self._at_source(batch, fewest, asked))

    @tf.autograph.experimental.do_not_convert
    def at_source(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The same on the clock of the frames: at t the target of frame t, however late the answer.

        What trainers take that hold targets back themselves, and what clips are joined of.
        """
        return self._at_source(batch, self.ahead + 1, f"targets {self.ahead} frames ahead")

    @tf.autograph.experimental.do_not_convert
    def late(
        self, frames: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """What `at_source` gave, with targets and weights at the steps that answer them."""
        steps = size(frames, 1)
        of = tf.maximum(tf.range(steps) - self.latency, 0)
        counted = step_weights(steps, self.first_step, 0)
        late = tf.gather(weights, of, axis=1) * counted
        return frames, tf.gather(targets, of, axis=1), _of_mean_one(late)

    def _at_source(
        self, batch: Batch, fewest: int, asked: str
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        frames = frames_of(batch)
        own, checks = self.targets(batch)
        steps = size(frames, 1)
        checks = checks + require(
            steps >= fewest,
            f"no step would count: {asked} need clips of at least {fewest} frames. "
            "Received frames:",
            steps,
        )
        with tf.control_dependencies(checks):
            of = tf.minimum(tf.range(steps) + self.ahead, steps - 1)
            weights = tf.tile(step_weights(steps, 0, self.ahead)[None], [size(frames, 0), 1])
            return tf.identity(frames), tf.gather(own, of, axis=1), _of_mean_one(weights)

    def picture(self, frame: Any, output: Any, target: Any = None) -> np.ndarray:
        """What a network says at one step, drawn with the frame and the target of that step.

        Args:
            frame: `[H, W, C]`, RGB or optical flow, uint8, or floats between -1 and 1.
            output: `[...]`, as the network gives it.
            target: `[...]`, as `prepare` gives it; None draws none.

        Returns:
            uint8 `[H', W', 3]`, of one size for all steps of a clip.
        """
        said = np.nan_to_num(np.asarray(output, np.float32))
        true = None if target is None else np.asarray(target)
        return self.draw(enlarged(frame), said, true)

    def pictures(
        self, frames: Any, outputs: Any, targets: Any, most: int = 5
    ) -> dict[int, np.ndarray]:
        """A `picture` of each of some steps of a clip: evenly spread over those that count.

        Args:
            frames: `[T, H, W, C]`.
            outputs: `[T, ...]`.
            targets: `[T, ...]`.
            most: how many pictures at most.

        Returns:
            uint8 `[H', W', 3]` by step.
        """
        counted = np.flatnonzero(step_weights(len(frames), **self.steps))
        chosen = counted[np.linspace(0, len(counted) - 1, min(most, len(counted)), dtype=int)]
        return {
            step: self.picture(frames[step], outputs[step], targets[step])
            for step in chosen.tolist()
        }

    def score(self, outputs: Any, batch: Batch) -> dict[str, float]:
        """The metrics of outputs `[B, T, ...]` for clips, by name; for use outside of Keras.

        Raises:
            ValueError: as `prepare`, or the outputs do not fit the task.
        """
        _, targets, weights = self.prepare(batch)
        found = {}
        for metric in self.metrics():
            metric.update_state(targets, tf.convert_to_tensor(outputs), weights)
            found[metric.name] = float(metric.result())
        return found


def _of_mean_one(weights: tf.Tensor) -> tf.Tensor:
    """`weights` `[B, T]`, of mean 1 in each clip."""
    return tf.math.divide_no_nan(weights, tf.reduce_mean(weights, axis=1, keepdims=True))


def step_weights(steps: int | tf.Tensor, skip_first: int, skip_last: int) -> tf.Tensor:
    """1 for each of `steps` steps that counts, else 0: float32 `[T]`."""
    time = tf.range(steps)
    return tf.cast((time >= skip_first) & (time < steps - skip_last), tf.float32)


def entry(batch: Batch, name: str, rank: int) -> tf.Tensor:
    """An entry of a batch.

    Raises:
        ValueError: there is none, or it has another number of axes.
    """
    if name not in batch:
        raise ValueError(f"the batch lacks {name!r}. It has: {', '.join(sorted(batch))}")
    value = tf.convert_to_tensor(batch[name])
    if value.shape.rank != rank:
        raise ValueError(
            f"{name} must have {rank} axes, that of the batch included. "
            f"Received: shape {tuple(value.shape)}"
        )
    return value


def frames_of(batch: Batch) -> tf.Tensor:
    """The frames of a batch, float32 `[B, T, H, W, C]`.

    Raises:
        ValueError: there are none, or they are no floats.
    """
    frames = entry(batch, "frames", 5)
    if not frames.dtype.is_floating:
        raise ValueError(
            f"frames must be floats between -1 and 1. Received: {frames.dtype.name}. Of uint8 "
            "frames, frames / 127.5 - 1 makes them"
        )
    return tf.cast(frames, tf.float32)


def size(tensor: tf.Tensor, axis: int) -> int | tf.Tensor:
    """Size of an axis: an int where it is known."""
    known = tensor.shape[axis]
    return tf.shape(tensor)[axis] if known is None else known


def require(condition: bool | tf.Tensor, message: str, value: Any) -> list[tf.Operation]:
    """Checks what may be known only while running.

    Args:
        condition: what must hold.
        message: what must hold, in words that `value` can follow.
        value: what was received.

    Returns:
        Operations that must run before the values that were checked are used.

    Raises:
        ValueError: `condition` is known to be false.
    """
    known = condition if isinstance(condition, bool) else tf.get_static_value(condition)
    if known is None:
        return [tf.debugging.Assert(condition, [message, value])]
    if not known:
        shown = tf.get_static_value(value) if tf.is_tensor(value) else value
        raise ValueError(f"{message} {shown}")
    return []


def check_count(name: str, value: Any, least: int) -> None:
    """Raises ValueError unless `value` is an int of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be an int of at least {least}. Received: {value!r}")
