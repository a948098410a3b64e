"""Sequential-to-parallel distillation: a pipelined student imitates a sequential teacher.

*Massively Parallel Video Networks*, section 3.3: in addition to its own loss, the student is
trained to have the teacher's activations in a few layers,

    loss = task loss + weight * mean over layers of |teacher - student|^2 / channels

With prediction latency p, step t of the student answers for frame t - p, so it is compared with
step t - p of the teacher (t - p + q for a teacher with latency q).

The distance of a layer has three forms. Each has its own scale, so its own weight:

    distance      of an activation map [H, W, C], averaged over the clips and steps that count
    "sum"         sum of the squared differences / C. The paper's; its weight, lambda, is 1 for
                  poses and 100 for actions. It grows with the frame: 784, 196 and 3136 positions
                  in the default layers of Par-DenseNet at 224x224.
    "mean"        "sum" / (H W): the same weight at any frame size.
    "whitened"    as "mean", but each channel is divided by its variance in the teacher, over the
                  batch. Layers and channels count alike, whatever the scale of the teacher's
                  activations: a weight of 1 is on the scale of the loss.
"""

import functools
from collections.abc import Sequence
from typing import Any, Literal, get_args

import keras
import tensorflow as tf

from mpvn.executors.placed import backward_on_devices
from mpvn.network import VideoNetwork
from mpvn.outputs import with_outputs
from mpvn.plan import Plan
from mpvn.plan.partition import equal_starts
from mpvn.plan.units import HEAD_UNIT, units
from mpvn.training.evaluator import Evaluator

LAYERS = 3
"""Number of layers to compare by default."""

Distance = Literal["sum", "mean", "whitened"]
"""How activations are compared; see the module's docstring."""


class Distillation(Evaluator):
    """A student network that is trained with the help of a teacher.

    Calling it returns the student's outputs. Training it with plain `compile` and `fit` adds the
    distance between the student's and the teacher's activations to the loss. Its weights are those
    of the student; the teacher is frozen.

    Args:
        student: the network to train.
        teacher: the network to imitate, with layers of the same names and shapes.
        layers: names of the nodes to compare; default: of the nodes that both networks have, the
            last ones of three units (or of three nodes, if there are no units), evenly spaced.
        weight: weight of the distance in the loss (lambda in the paper, with `distance="sum"`).
        distance: `"sum"`, the paper's form, `"mean"` or `"whitened"`; see the table at the top of
            `mpvn.training.distillation`. Their weights are not comparable.
        lag: steps by which the student answers later than the teacher: the difference of their
            prediction latencies.
        first_step: first step that counts.

    Call arguments:
        inputs: clips `[B, T, ...]`.
        training: whether to add the distance to the losses.

    Output shape:
        That of the student.

    Raises:
        ValueError: a network lacks one of the layers, their shapes differ, `lag` is negative,
            or there is no such distance.

    Example:
        >>> from mpvn.models import simple_cnn
        >>> frames = simple_cnn((32, 32, 3), classes=4, width=0.25)
        >>> teacher = VideoNetwork(simple_cnn((32, 32, 3), classes=4, width=0.25))
        >>> student = VideoNetwork(frames, Plan(frames, 3))
        >>> distillation = Distillation(student, teacher, lag=2)
        >>> distillation.compile("sgd", "mse")
    """

    def __init__(
        self,
        student: VideoNetwork,
        teacher: VideoNetwork,
        layers: Sequence[str] = (),
        weight: float = 1.0,
        distance: Distance = "whitened",
        lag: int = 0,
        first_step: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(student, **kwargs)
        if distance not in get_args(Distance):
            raise ValueError(
                f"Activations are compared by their distance. Expected one of "
                f"{', '.join(get_args(Distance))}. Received: {distance!r}"
            )
        if lag < 0:
            raise ValueError(
                "The student cannot imitate a teacher that answers later. Expected a prediction "
                "latency of at least the teacher's. Received: a student whose latency is "
                f"{-lag} steps below the teacher's"
            )
        self.names = tuple(layers) or default_layers(student.plan, teacher.plan)
        self.weight = weight
        self.distance = distance
        self.lag = lag
        self.first_step = max(first_step, lag)
        self._student_outputs = with_outputs(student, self.names)
        teacher_outputs: Any = with_outputs(teacher, self.names)
        _check_shapes(self._student_outputs, teacher_outputs, self.names)
        # A partial hides the teacher from Keras: its weights are not weights of this model.
        self._teach = functools.partial(teacher_outputs, training=False)

    @tf.autograph.experimental.do_not_convert
    def train_step(self, data: Any) -> dict[str, Any]:
        with backward_on_devices(self.network.plan):
            return super().train_step(data)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if not training:
            return super().call(inputs, training)
        outputs, *activations = self._student_outputs(inputs, training=training)
        _, *taught = self._teach(inputs)
        distances = []
        for name, *pair in zip(self.names, taught, activations, strict=True):
            with tf.device(self.network.plan.device(self.network.graph.by_name[name])):
                distances.append(self._distance(*pair))
        self.add_loss(self.weight * tf.add_n(distances) / len(distances))
        return outputs

    def _distance(self, taught: tf.Tensor, learned: tf.Tensor) -> tf.Tensor:
        """Return the distance of activations `[B, T, ..., C]` at steps that count."""
        steps = tf.shape(learned)[1]
        taught = tf.cast(taught, tf.float32)[:, self.first_step - self.lag : steps - self.lag]
        learned = tf.cast(learned, tf.float32)[:, self.first_step :]
        squares = tf.math.squared_difference(taught, learned)
        axes = list(range(squares.shape.rank - 1))  # all but the channels
        by_channel = tf.reduce_mean(squares, axis=axes)
        if self.distance == "whitened":
            variance = tf.math.reduce_variance(taught, axis=axes)
            by_channel /= variance + 1e-3 * tf.reduce_mean(variance) + keras.config.epsilon()
        mean = tf.reduce_mean(by_channel)
        if self.distance == "sum":
            mean *= tf.cast(tf.reduce_prod(tf.shape(squares)[2:-1]), tf.float32)  # positions
        return mean


def default_layers(student: Plan, teacher: Plan, count: int = LAYERS) -> tuple[str, ...]:
    """Return the last nodes of `count` evenly spaced units, the last one next to the head.

    Where nodes are not named by unit, each node is a unit. Nodes that the teacher lacks, such as
    the temporal pools of a student with clocks, do not count.

    Raises:
        ValueError: both have no node in common.
    """
    names = student.nodes
    head = names.index(student.head) if student.head else units(names).get(HEAD_UNIT)
    body = [name for name in names[:head] if name in teacher.nodes]
    if not body:
        raise ValueError(
            "A teacher has no node of the student before its head. Expected nodes of the same "
            f"names, to compare them. Received: {student.graph.model.name!r}, taught by "
            f"{teacher.graph.model.name!r}. Give layers of the same names and shapes"
        )
    starts = [*(units(body).values() or range(len(body))), len(body)]
    ends = [starts[first] - 1 for first in equal_starts(len(starts) - 1, count)[1:]] + [-1]
    return tuple(dict.fromkeys(body[end] for end in ends))


def _check_shapes(student: VideoNetwork, teacher: VideoNetwork, layers: Sequence[str]) -> None:
    for number, name in enumerate(layers, 1):
        learned, taught = (
            network.graph.tensors[network.graph.outputs[number]].shape
            for network in (student, teacher)
        )
        if learned != taught:
            raise ValueError(
                f"The layer {name!r} differs. Expected a teacher of the same architecture. "
                f"Received: shape {learned} in the student and {taught} in the teacher"
            )
