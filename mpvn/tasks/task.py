"""The base class of tasks: the target of each step, and the weight of each step.

The output at step t is compared with the target of frame t - p, where p is the *prediction latency*
(*Massively Parallel Video Networks*, section 4.5): a network of many subnetworks answers late, and
can be trained to do so. A task whose target lies `ahead` frames in the future compares the output
with frame t - p + ahead. Steps without a target have weight 0.

    latency 2, 6 frames     step     0   1   2   3   4   5
                            target   -   -   0   1   2   3
                            weight   0   0  1.5 1.5 1.5 1.5

The weights of a clip have mean 1. Keras divides by the number of all steps, so the loss is the mean
over the steps that count, and masking does not make losses smaller.
"""

import abc
import copy
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpvn.data.video.frames import View
from mpvn.tasks.overlay import enlarged

Batch = Mapping[str, tf.Tensor]
"""Clips: `"frames"` float32 `[B, T, H, W, C]` between -1 and 1. If the data set has them, also
`"label"` int `[B]`, or `"labels"` float32 `[B, classes]`: 1 for the classes of the clip, else 0;
and `"joints"` float32 `[B, T, people, J, 3]`: x and y in pixels of the frame (integers are centers
of pixels), and 1 for a visible joint, else 0."""


class Task(abc.ABC):
    """Targets, weights, loss, and metrics for one kind of prediction.

    Args:
        latency: prediction latency p in steps, at least 0.
        first_informed_step: the steps before this one also have weight 0; pass
            `network.first_informed_step` to leave out those at which no frame has reached the
            output. The paper trains on them.

    Attributes:
        ahead: number of frames between a frame and its target.
        only_last: whether the last step of a clip is the only one that counts.
        legend: one sentence that explains a `picture`.
        latency: the argument.
        first_step: the first step that counts.

    Raises:
        ValueError: if `latency` or `first_informed_step` is negative.

    Example:
        >>> from mpvn.tasks import Autoencoding
        >>> clips = {"frames": tf.zeros([1, 6, 8, 8, 3])}
        >>> frames, targets, weights = Autoencoding(latency=2).prepare(clips)
        >>> weights.numpy().tolist()
        [[0.0, 0.0, 1.5, 1.5, 1.5, 1.5]]
    """

    ahead: int = 0
    only_last: bool = False
    legend: str = ""

    def __init__(self, latency: int = 0, first_informed_step: int = 0) -> None:
        check_count("latency", latency, 0)
        check_count("first_informed_step", first_informed_step, 0)
        self.latency = latency
        self.first_step = max(latency, first_informed_step)

    # --- defined by each task ---------------------------------------------------------------

    @property
    @abc.abstractmethod
    def loss(self) -> keras.losses.Loss:
        """The loss for `compile`: float32 `[B, T]` before Keras weights and reduces it."""

    @abc.abstractmethod
    def metrics(self) -> list[keras.metrics.Metric]:
        """Return new metrics for `compile`, as `metrics` or as `weighted_metrics`."""

    @abc.abstractmethod
    def targets(self, batch: Batch) -> tuple[tf.Tensor, list[tf.Operation]]:
        """Return the target `[B, T, ...]` of each frame, and checks that must run before its use.

        Raises:
            ValueError: if the batch does not fit the task.
        """

    @abc.abstractmethod
    def draw(self, frame: np.ndarray, output: np.ndarray, target: np.ndarray | None) -> np.ndarray:
        """Draw one step for `picture`.

        Args:
            frame: enlarged frame, uint8 `[H', W', 3]`.
            output: output of the step, float32, finite.
            target: target of the step, or None.

        Returns:
            A picture, uint8 `[H'', W'', 3]`.
        """

    # --- shared by all tasks ----------------------------------------------------------------

    def output_shape(self, frame: tuple[int, ...]) -> tuple[int | None, ...] | None:
        """Return the shape of the output of a step; None for sizes that are free, or for any shape.

        Args:
            frame: the shape of a frame, `(H, W, C)`.
        """
        return None

    def in_real_time(self, first_step: int) -> "Task":
        """Return this task with answers that are compared with the frame of their step.

        Args:
            first_step: the first step with an answer; the steps before it do not count.
        """
        task = copy.copy(self)
        task.latency, task.first_step = 0, first_step
        return task

    @property
    def skip_last(self) -> int:
        """Number of steps at the end of a clip that do not count: their targets lie beyond it."""
        return max(self.ahead - self.latency, 0)

    @property
    def fewest_frames(self) -> int:
        """Number of frames of the shortest clip with a step that counts."""
        return self.first_step + self.skip_last + 1

    @property
    def steps(self) -> dict[str, Any]:
        """The steps that count, as arguments of a `StepMetric`."""
        return {
            "skip_first": self.first_step,
            "skip_last": self.skip_last,
            "only_last": self.only_last,
        }

    @tf.autograph.experimental.do_not_convert
    def prepare(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Prepare a batch for `fit`, with TensorFlow operations only, for `Dataset.map`.

        Returns:
            The frames `[B, T, H, W, C]`; the targets `[B, T, ...]` of each step; the weights of the
            steps, float32 `[B, T]`, with mean 1 in each clip.

        Raises:
            ValueError: if the batch does not fit the task, or no step of its clips counts
                (`tf.errors.InvalidArgumentError` if the length is known only at run time).
        """
        return self.late(*self.at_source(batch))

    @tf.autograph.experimental.do_not_convert
    def at_source(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Prepare a batch on the clock of the frames: at step t, the target of frame t.

        For trainers that delay the targets themselves, and for joining clips.
        Returns and raises as `prepare`, without the latency. All steps count, despite `only_last`.
        """
        frames = frames_of(batch)
        frame_targets, checks = self.targets(batch)
        steps = size(frames, 1)
        checks = checks + _enough_steps(steps, self.ahead + 1, f"targets {self.ahead} frames ahead")
        with tf.control_dependencies(checks):
            target = tf.minimum(tf.range(steps) + self.ahead, steps - 1)
            weights = tf.tile(step_weights(steps, 0, self.ahead)[None], [size(frames, 0), 1])
            targets = tf.gather(frame_targets, target, axis=1)
            return tf.identity(frames), targets, _with_mean_one(weights)

    @tf.autograph.experimental.do_not_convert
    def late(
        self, frames: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Delay the targets and weights from `at_source` by the latency of the answers.

        Raises:
            ValueError: if no step of the clips counts (`tf.errors.InvalidArgumentError` if the
                length is known only at run time).
        """
        steps = size(frames, 1)
        reason = (
            f"prediction latency {self.latency}, targets {self.ahead} frames ahead, and first step "
            f"that counts {self.first_step}"
        )
        checks = _enough_steps(steps, self.fewest_frames, reason)
        source = tf.maximum(tf.range(steps) - self.latency, 0)
        counted = step_weights(steps, self.first_step, 0, self.only_last)
        late = tf.gather(weights, source, axis=1) * counted
        with tf.control_dependencies(checks):
            frames = tf.identity(frames)
        return frames, tf.gather(targets, source, axis=1), _with_mean_one(late)

    def picture(self, frame: Any, output: Any, target: Any = None) -> np.ndarray:
        """Draw the frame, output, and target of one step.

        Args:
            frame: `[H, W, C]`, RGB or optical flow, uint8, or floats between -1 and 1.
            output: `[...]`, the output of the network.
            target: `[...]`, as `prepare` returns it; None draws none.

        Returns:
            A picture, uint8 `[H', W', 3]`, of one size for all steps of a clip.
        """
        finite_output = np.nan_to_num(np.asarray(output, np.float32))
        true = None if target is None else np.asarray(target)
        return self.draw(enlarged(frame), finite_output, true)

    def over(self, view: View, output: Any) -> np.ndarray:
        """Draw the output of one step over the original picture, in its size.

        By default, it is `picture`, where the frame and the output are side by side.

        Args:
            view: the frame, and the picture that it is a part of.
            output: `[...]`, the output of the network.

        Returns:
            uint8 `[H, W, 3]`.
        """
        return self.picture(view.frame, output)

    def pictures(
        self, frames: Any, outputs: Any, targets: Any, most: int = 5
    ) -> dict[int, np.ndarray]:
        """Draw a `picture` of several steps, spread evenly over the steps that count.

        Args:
            frames: `[T, H, W, C]`.
            outputs: `[T, ...]`.
            targets: `[T, ...]`.
            most: largest number of pictures.

        Returns:
            Pictures, uint8 `[H', W', 3]`, by step.
        """
        counted = np.flatnonzero(step_weights(len(frames), **self.steps))
        chosen = counted[np.linspace(0, len(counted) - 1, min(most, len(counted)), dtype=int)]
        return {
            step: self.picture(frames[step], outputs[step], targets[step])
            for step in chosen.tolist()
        }

    def score(self, outputs: Any, batch: Batch) -> dict[str, float]:
        """Return the metrics of outputs `[B, T, ...]` by name, for use outside of Keras.

        Raises:
            ValueError: as `prepare`, or if the outputs do not fit the task.
        """
        _, targets, weights = self.prepare(batch)
        results = {}
        for metric in self.metrics():
            metric.update_state(targets, tf.convert_to_tensor(outputs), weights)
            results[metric.name] = float(metric.result())
        return results


def _enough_steps(steps: int | tf.Tensor, fewest: int, reason: str) -> list[tf.Operation]:
    return require(
        steps >= fewest,
        f"No step of the clips counts ({reason}). Expected clips of at least {fewest} frames. "
        "Received frames:",
        steps,
    )


def _with_mean_one(weights: tf.Tensor) -> tf.Tensor:
    """Scale `weights` `[B, T]` to mean 1 in each clip."""
    return tf.math.divide_no_nan(weights, tf.reduce_mean(weights, axis=1, keepdims=True))


def step_weights(
    steps: int | tf.Tensor, skip_first: int, skip_last: int, only_last: bool = False
) -> tf.Tensor:
    """Return float32 `[T]`: 1 for each of the `steps` steps that counts, else 0.

    With `only_last`, of these steps the last one counts alone.
    """
    time, end = tf.range(steps), steps - skip_last
    counts = (time >= skip_first) & (time < end)
    return tf.cast(counts & (time == end - 1) if only_last else counts, tf.float32)


def entry(batch: Batch, name: str, rank: int) -> tf.Tensor:
    """Return an entry of a batch as a tensor.

    Raises:
        ValueError: if the entry is missing, or has another rank.
    """
    if name not in batch:
        raise ValueError(f"Expected a batch with {name!r}. Received: {', '.join(sorted(batch))}")
    value = tf.convert_to_tensor(batch[name])
    if value.shape.rank != rank:
        raise ValueError(
            f"Expected {name!r} with {rank} axes, the batch axis included. "
            f"Received: shape {tuple(value.shape)}"
        )
    return value


def frames_of(batch: Batch) -> tf.Tensor:
    """Return the frames of a batch, float32 `[B, T, H, W, C]`.

    Raises:
        ValueError: if there are no frames, or they are not floats.
    """
    frames = entry(batch, "frames", 5)
    if not frames.dtype.is_floating:
        raise ValueError(
            f"Expected frames as floats between -1 and 1. Received: {frames.dtype.name}. Convert "
            "uint8 frames with frames / 127.5 - 1"
        )
    return tf.cast(frames, tf.float32)


def size(tensor: tf.Tensor, axis: int) -> int | tf.Tensor:
    """Return the size of an axis, as an int if it is known."""
    known = tensor.shape[axis]
    return tf.shape(tensor)[axis] if known is None else known


def require(condition: bool | tf.Tensor, message: str, value: Any) -> list[tf.Operation]:
    """Check a condition now if it is known, else at run time.

    Args:
        condition: the condition that must hold.
        message: the error message, to be followed by `value`.
        value: the received value.

    Returns:
        Operations that must run before the checked values are used.

    Raises:
        ValueError: if `condition` is known to be false.
    """
    known = condition if isinstance(condition, bool) else tf.get_static_value(condition)
    if known is None:
        return [tf.debugging.Assert(condition, [message, value])]
    if not known:
        shown = tf.get_static_value(value) if tf.is_tensor(value) else value
        raise ValueError(f"{message} {shown}")
    return []


def check_count(name: str, value: Any, least: int) -> None:
    """Raise ValueError unless `value` is an int of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be an int of at least {least}. Received: {value!r}")
