"""Sideways over a plan: when each subnetwork learns, and how gradients cross its edges.

*Sideways* (CVPR 2020), section 3, and its shortcuts (*Skip-Sideways*, CVPR 2021): `sweep` runs as
ever, and gradients cross a boundary one step later instead of one step earlier. A chain of three,
`gradient of the loss at frame | Jacobian at frame`, both counted from 1:

    step   subnetwork 0   subnetwork 1   subnetwork 2
      0      - | 1          -              -
      1      - | 2          - | 1          -
      2      - | 3          - | 2          1 | 1           the first output that a frame has reached
      3      - | 4          1 | 3          2 | 2
      4      1 | 5          2 | 4          3 | 3           from here on every subnetwork learns

What it does not do: networks whose layers look back in time, slow clocks and feedback, of which the
papers say nothing.
"""

from typing import TYPE_CHECKING

import tensorflow as tf

from keras_layers.boundary import sent_sideways
from mpvn.plan.graph import Node

if TYPE_CHECKING:
    from mpvn.plan import Plan


def check_frame_by_frame(plan: "Plan", trainer: str) -> None:
    """Refuses plans whose subnetworks need more than what the last step made.

    Args:
        plan: what is trained.
        trainer: what cannot train it otherwise.

    Raises:
        ValueError: the plan has feedback, slow clocks, or layers that look back in time.
    """
    nodes = plan.graph.nodes
    faults = [
        *_some("feedback", [node.name for node in nodes if node.feedback_source]),
        *_some("memory of past frames", [node.name for node in nodes if node.temporal]),
        *(f"clock rate {clock.rate}" for clock in plan.distinct_clocks if clock.rate > 1),
    ]
    if faults:
        raise ValueError(
            f"{trainer} is defined for networks that compute every frame from the last step alone. "
            f"This one has {', '.join(dict.fromkeys(faults))}: take that out, or train by "
            'back-propagation along time (gradient="exact")'
        )


def _some(what: str, names: list[str]) -> list[str]:
    """What some nodes have, with the names of the first three."""
    if not names:
        return []
    more = ", ..." if len(names) > 3 else ""
    return [f"{what} ({', '.join(map(repr, names[:3]))}{more})"]


class SidewaysRules:
    """The masks and means of a plan's pseudo-gradients.

    The mask is by the slowest path: a subnetwork learns once a frame has reached all that it reads,
    and all that its gradient came through. So a clip of equal frames gives each the gradient that
    back-propagation gives for one frame.

    Args:
        plan: what is trained.

    Attributes:
        starts: the first step, from 0, at which each subnetwork learns; the head's comes last.
            `2 * D - 1 - i` for subnetwork i = 1 .. D of a chain.

    Raises:
        ValueError: the plan has feedback, slow clocks, or layers that look back in time.
    """

    def __init__(self, plan: "Plan") -> None:
        check_frame_by_frame(plan, "Sideways")
        self._plan = plan
        self.starts = self._find_starts()

    @property
    def fewest_steps(self) -> int:
        """Frames a clip needs for every subnetwork to learn: 2D - 1 for a chain of D."""
        return max(self.starts) + 1

    def check(self, steps: int | tf.Tensor) -> None:
        """Refuses clips of `steps` frames if some subnetwork would learn nothing from them.

        Raises:
            ValueError: as said; `tf.errors.InvalidArgumentError` where that is only known while
                running.
        """
        slowest = self.starts.index(max(self.starts))
        sentence = (
            f"Sideways over {self._plan.subnetworks} subnetworks learns from clips of at least "
            f"{self.fewest_steps} frames (2D - 1 for a chain of D): subnetwork {slowest} is sent "
            f"its first gradient at step {self.fewest_steps}. Take longer clips or fewer "
            "subnetworks"
        )
        if isinstance(steps, int) and steps < self.fewest_steps:
            raise ValueError(f"{sentence}. Received: clips of {steps} frames")
        if not isinstance(steps, int):
            tf.debugging.assert_greater_equal(steps, self.fewest_steps, sentence)

    def received(
        self, value: tf.Tensor, ticks: tf.Tensor, producer: Node | None, reader: Node | None
    ) -> tf.Tensor:
        """`value`, what `reader` (None: the loss) sees of `ticks`; its gradient goes Sideways.

        A loss is taken to be a mean over all steps, and each subnetwork's gradient becomes the mean
        over those at which it learns. Weights of mean 1 that leave out the first n steps of T, as
        those of `mpvn.tasks`, make all of them T / (T - n) times as large.
        """
        source, target = self._subnetwork(producer), self._subnetwork(reader)
        if source is None or source == target or not value.dtype.is_floating:
            return value
        delay = self._plan.delay(producer, reader) if reader else 0
        steps = tf.shape(value)[1]
        share = self._learning(steps, target) / self._learning(steps, source)
        return sent_sideways(value, ticks, delay, self.starts[source], share)

    def _learning(self, steps: tf.Tensor, subnetwork: int | None) -> tf.Tensor:
        """At how many of `steps` a subnetwork learns; the loss (None) is a mean over all of them.

        At least 1: of a gradient that is asked for in inference all may be masked.
        """
        start = 0 if subnetwork is None else self.starts[subnetwork]
        return tf.cast(tf.maximum(steps - start, 1), tf.float64)

    def _subnetwork(self, node: Node | None) -> int | None:
        return None if node is None else self._plan.subnetwork(node)

    def _find_starts(self) -> tuple[int, ...]:
        plan = self._plan
        # No loss is of use before frames have reached all outputs, and so all that lead to them.
        starts = [plan.information_latency[1]] * (plan.subnetworks + 1)
        for node in reversed(plan.graph.nodes):  # whoever reads a subnetwork comes after it
            for producer in plan.graph.producers(node):
                source, own = plan.subnetwork(producer), plan.subnetwork(node)
                if source != own:
                    starts[source] = max(starts[source], starts[own] + plan.delay(producer, node))
        return tuple(starts)
