"""Sideways over a plan: when each subnetwork learns, and how gradients cross its edges.

*Sideways* (CVPR 2020), section 3.4, and its shortcuts (*Skip-Sideways*, CVPR 2021): a clip runs
layer by layer as usual, and gradients cross a boundary one step later instead of one step earlier.
A chain of three, `gradient of the loss at frame | Jacobian at frame`, frames counted from 1:

    step   subnetwork 0   subnetwork 1   subnetwork 2
      0      - | 1          -              -
      1      - | 2          - | 1          -
      2      - | 3          - | 2          1 | 1           the first output that a frame has reached
      3      - | 4          1 | 3          2 | 2
      4      1 | 5          2 | 4          3 | 3           from here on every subnetwork learns

With a primed start, a frame has reached every output before step 0. What is left to wait for is the
gradient's way back: subnetworks 2, 1, 0 of the chain learn from steps 0, 1, 2 on.

What it does not do: layers that look back in time or are recurrent, slow clocks and feedback, which
the papers do not cover.
"""

import contextlib
import contextvars
import functools
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_layers.boundary import sent_sideways
from keras_layers.sideways_rules import check_clip
from mpvn.graph.data import Node
from mpvn.plan import Plan


def check_frame_by_frame(plan: Plan, method: str) -> None:
    """Raise an error if a subnetwork needs more than the outputs of the previous step.

    Args:
        plan: the plan to train.
        method: the name of the training method, for the error message.

    Raises:
        ValueError: the plan has feedback, slow clocks, or layers that look back in time.
    """
    nodes = plan.graph.nodes
    faults = [
        *_fault("feedback", [node.name for node in nodes if node.feedback_source]),
        *_fault(
            "memory of past frames", [node.name for node in nodes if node.temporal or node.memory]
        ),
        *(f"clock rate {clock.rate}" for clock in plan.distinct_clocks if clock.rate > 1),
    ]
    if faults:
        raise ValueError(
            f"{method}: expected a network that computes every frame from the previous step alone. "
            f"Received: a network with {', '.join(dict.fromkeys(faults))}. Remove it, or train by "
            'back-propagation along time (gradient="exact").'
        )


def check_order(plan: Plan, method: str) -> None:
    """Raise an error if the subnetworks are no pipeline: one reads a later one, or a circle.

    Args:
        plan: the plan to train.
        method: the name of the training method, for the error message.

    Raises:
        ValueError: a subnetwork reads a higher-numbered one.
    """
    later = [
        (part, max(read)) for part, read in enumerate(plan.read_by) if max(read, default=-1) > part
    ]
    if later:
        part, read = later[0]
        raise ValueError(
            f"{method}: expected subnetworks that read lower-numbered ones only, so that gradients "
            f"go from each to lower-numbered ones. Received: subnetwork {part} reads subnetwork "
            f"{read}. Number them in another order, or, if they read each other in a circle, "
            "divide one of them."
        )


def _fault(fault: str, names: list[str]) -> list[str]:
    """Return the fault with the names of the first three nodes that have it; [] for no nodes."""
    if not names:
        return []
    more = ", ..." if len(names) > 3 else ""
    return [f"{fault} ({', '.join(map(repr, names[:3]))}{more})"]


_WEIGHTS: contextvars.ContextVar[list[tf.Tensor] | None] = contextvars.ContextVar(
    "weights", default=None
)


@contextlib.contextmanager
def weighted(sample_weight: Any) -> Iterator[None]:
    """Within this context, gradients are means over the steps that count: of other weight than 0.

    A loss sends gradients of weighted steps, but not the weights, on which means depend.

    Args:
        sample_weight: that of the loss: None, `[B]`, `[B, T]`, or a structure of such tensors, one
            for each output. A step counts if it counts for any output.
    """
    weights = [tf.convert_to_tensor(w) for w in keras.tree.flatten(sample_weight) if w is not None]
    token = _WEIGHTS.set(weights or None)
    try:
        yield
    finally:
        _WEIGHTS.reset(token)


def _batch_and_steps(weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | int]:
    """Return the sizes of the first two axes of `[B, T, ...]`; 1 for the steps of `[B]`."""
    sizes = tf.shape(weights)
    return sizes[0], sizes[1] if weights.shape.rank > 1 else 1


def _mean_steps(counts: tf.Tensor) -> tf.Tensor:
    """Return the number of steps that count in `[B, T]`, a mean over the clips."""
    return tf.reduce_mean(tf.reduce_sum(counts, axis=1))


class SidewaysRules:
    """Masks and means of a plan's pseudo-gradients.

    The slowest path decides: a subnetwork learns once a frame has reached everything that it reads
    and everything that its gradient came through. So on a clip of identical frames each subnetwork
    gets the gradient that back-propagation gives for one frame.

    Args:
        plan: the plan to train.
        start: what memories hold before the first step; see `VideoNetwork`.

    Attributes:
        start: the argument.
        first_steps: the first step, from 0, at which each subnetwork learns, and last the head. For
            the subnetworks of a chain that starts from zeros:
            `keras_layers.sideways_rules.first_learning_steps`.

    Raises:
        ValueError: the plan has feedback, slow clocks, or layers that look back in time; or
            subnetworks read later ones.
    """

    def __init__(self, plan: Plan, start: str = "zeros") -> None:
        check_frame_by_frame(plan, "Sideways")
        check_order(plan, "Sideways")
        self._plan = plan
        self.start = start
        self.first_steps = self._slowest_paths()

    @property
    def first_output(self) -> int:
        """The first step, from 0, at which every output depends on a frame."""
        return min(self.first_steps)

    @property
    def lags(self) -> list[int]:
        """Steps from a loss until each subnetwork, and last the head, learns from it."""
        return [first - self.first_output for first in self.first_steps]

    def check(self, steps: int | tf.Tensor, latency: int = 0) -> None:
        """Raise an error if clips are too short for every subnetwork to learn.

        Args:
            steps: frames of a clip, an int or a scalar tensor.
            latency: the first step, from 0, whose output has a target.

        Raises:
            ValueError: they are too short.
            tf.errors.InvalidArgumentError: they are, and it is only known at run time.
        """
        later = max(0, latency - self.first_output)
        check_clip(steps, [first + later for first in self.first_steps], "subnetwork")

    def received(
        self, value: tf.Tensor, ticks: tf.Tensor, producer: Node | None, reader: Node | None
    ) -> tf.Tensor:
        """Return `value`, with a gradient that goes to `ticks` by Sideways.

        The loss is Keras's, a weighted sum divided by the number of all steps. Each subnetwork's
        gradient becomes the mean over the steps at which it learns from a step that counts; see
        `weighted`.

        Args:
            value: `[B, T, ...]`, `ticks` as the reader sees them.
            ticks: `[B, T, ...]`, the producer's output.
            producer: the node that made it, None for a frame.
            reader: the node that reads it, None for the loss.
        """
        source, target = self._subnetwork(producer), self._subnetwork(reader)
        if source is None or source == target or not value.dtype.is_floating:
            return value
        delay = self._plan.delay(producer, reader) if reader else 0
        gate = self._gate(source, value)
        given = self._counted(value) if target is None else self._gate(target, value)
        scale = gate * tf.math.divide_no_nan(_mean_steps(given), _mean_steps(gate))
        return sent_sideways(value, ticks, delay, self.first_steps[source], scale)

    def _gate(self, subnetwork: int, value: tf.Tensor) -> tf.Tensor:
        """Return float64 `[B, T]`: 1 at each step at which a subnetwork learns, else 0.

        It learns at step t if the loss of step `t - lag` counted, and a frame had reached it.
        """
        counted, steps = self._counted(value), tf.shape(value)[1]
        informed = tf.cast(tf.range(steps) >= self.first_output, counted.dtype)
        late = tf.pad(counted * informed, [[0, 0], [self.lags[subnetwork], 0]])
        return late[:, :steps]

    def _counted(self, value: tf.Tensor) -> tf.Tensor:
        """Return float64 `[B, T]` or `[1, T]`: 1 for each step of `value` that counts, else 0."""
        weights, ones = _WEIGHTS.get(), tf.ones((1, tf.shape(value)[1]), tf.float64)
        if weights is None:
            return ones
        # [B, T, ...] -> [B, T, n]; [B] -> [B, 1, 1]
        nonzero = [tf.reshape(tf.cast(w, tf.bool), (*_batch_and_steps(w), -1)) for w in weights]
        counts = [tf.reduce_any(each, axis=-1) for each in nonzero]
        return tf.cast(functools.reduce(tf.logical_or, counts), tf.float64) * ones

    def _subnetwork(self, node: Node | None) -> int | None:
        return None if node is None else self._plan.subnetwork(node)

    def _slowest_paths(self) -> tuple[int, ...]:
        """Return the steps from frames to outputs, and back to each subnetwork."""
        plan = self._plan
        # A loss counts once frames have reached all outputs, and so every node before them.
        first_output = 0 if self.start == "primed" else plan.information_latency[1]
        steps = [first_output] * (plan.subnetworks + 1)
        for target in reversed(range(plan.subnetworks + 1)):  # readers have higher numbers
            delay = int(target < plan.subnetworks)  # the head sends without delay
            for source in plan.read_by[target]:
                steps[source] = max(steps[source], steps[target] + delay)
        return tuple(steps)
