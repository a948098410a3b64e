"""Sequential-to-parallel distillation: a pipelined student follows a sequential teacher.

*Massively Parallel Video Networks*, section 3.6: beside its own loss, the student is to have in a
few of its layers the activations that the teacher has there,

    loss = task's loss + weight * mean over layers of |teacher - student|^2 / channels

At step t a student with prediction latency p says what was to be said of frame t - p, so its step t
is held against step t - p of the teacher (or t - p + q, of a teacher with latency q itself). Of the
sum over the positions of a map the mean is taken, so that the weight means the same at any size.
"""

import functools
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from mpvn.network import VideoNetwork
from mpvn.plan import Plan
from mpvn.plan.partition import equal_starts
from mpvn.plan.units import units

LAYERS = 3
"""How many layers are compared if none are named."""


class Distillation(keras.Model):
    """A student that is trained with a teacher's help; a Keras model over clips.

    Called, it gives the student's outputs; trained, with plain `compile` and `fit`, it adds to the
    loss how far the student's activations are from the teacher's. Its weights are the student's.

    Args:
        student: the network that learns.
        teacher: the network that is followed, of the same layers' names and shapes; frozen.
        layers: names of the nodes that are compared; default: the last of three units (of nodes,
            where there are no units), evenly spaced.
        weight: of the distance of activations beside the task's loss (lambda in the paper).
        whiten: whether a channel's distance is divided by the variance that the teacher's channel
            has in the batch: then layers and channels count alike, and a weight of 1 is of the
            loss's size. The paper does not.
        lag: steps by which the student is behind the teacher: its prediction latency less the
            teacher's.
        first_step: the first step that counts.

    Raises:
        ValueError: layers that one of the two lacks, or of other shapes; a lag below 0; a student
            placed on devices.

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
        whiten: bool = True,
        lag: int = 0,
        first_step: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if lag < 0:
            raise ValueError(
                "a student cannot follow a teacher that answers later than it does: its "
                f"prediction latency is {-lag} steps below the teacher's"
            )
        if any(student.plan.devices):
            raise ValueError("a student placed on devices cannot be distilled: train it unplaced")
        self.autocast = False
        self.names = tuple(layers) or default_layers(student.plan)
        self.weight = weight
        self.whiten = whiten
        self.lag = lag
        self.first_step = max(first_step, lag)
        self.student = student
        self._tapped = with_outputs(student, self.names)
        taught: Any = with_outputs(teacher, self.names)
        _check_shapes(self._tapped, taught, self.names)
        # In a partial Keras does not find the teacher: its weights are none of this model's.
        self._teach = functools.partial(taught, training=False)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if not training:
            return self.student(inputs, training=training)
        outputs, *own = self._tapped(inputs, training=training)
        _, *taught = self._teach(inputs)
        distances = [self._distance(a, b) for a, b in zip(taught, own, strict=True)]
        self.add_loss(self.weight * tf.add_n(distances) / len(distances))
        return outputs

    def _distance(self, taught: tf.Tensor, own: tf.Tensor) -> tf.Tensor:
        """Mean squared distance of activations `[B, T, ..., channels]` at the steps that count."""
        steps = tf.shape(own)[1]
        taught = tf.cast(taught, tf.float32)[:, self.first_step - self.lag : steps - self.lag]
        squares = tf.math.squared_difference(taught, tf.cast(own, tf.float32)[:, self.first_step :])
        axes = list(range(squares.shape.rank - 1))
        by_channel = tf.reduce_mean(squares, axis=axes)
        if self.whiten:
            variance = tf.math.reduce_variance(taught, axis=axes)
            by_channel /= variance + 1e-3 * tf.reduce_mean(variance) + keras.config.epsilon()
        return tf.reduce_mean(by_channel)

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError("save the student, which is all that was trained")


def default_layers(plan: Plan, count: int = LAYERS) -> tuple[str, ...]:
    """The last nodes of `count` units before the head, evenly spaced, the last of them at its end.

    Where nodes are not named by unit, each is one.
    """
    body = [node.name for node in plan.graph.nodes if plan.subnetwork(node) < plan.subnetworks]
    starts = [*(units(body).values() or range(len(body))), len(body)]
    ends = [starts[first] - 1 for first in equal_starts(len(starts) - 1, count)[1:]] + [-1]
    return tuple(dict.fromkeys(body[end] for end in ends))


def with_outputs(network: VideoNetwork, layers: Sequence[str]) -> VideoNetwork:
    """The same network, of the same weights, that puts out the activations of `layers` too.

    Raises:
        ValueError: there are no such layers, or more outputs than one.
    """
    nodes = network.graph.by_name
    unknown = [name for name in layers if name not in nodes]
    if unknown:
        raise ValueError(
            f"{network.name!r} has no layer {', '.join(map(repr, unknown))}: layers are "
            f"nodes of the plan, such as {', '.join(default_layers(network.plan))}"
        )
    model = network.frame_model
    taps = [nodes[name].symbolic_outputs[0] for name in layers]
    if len(model.outputs) != 1:
        raise ValueError(f"{network.name!r} has {len(model.outputs)} outputs; expected one")
    wider = keras.Model(model.input, [model.outputs[0], *taps], name=model.name)
    return VideoNetwork(wider, network.plan.over(wider), network.executor, network.rematerialize)


def _check_shapes(student: VideoNetwork, teacher: VideoNetwork, layers: Sequence[str]) -> None:
    for number, name in enumerate(layers, 1):
        own, taught = (
            network.graph.tensors[network.graph.outputs[number]].shape
            for network in (student, teacher)
        )
        if own != taught:
            raise ValueError(
                f"the layer {name!r} has shape {own} in the student and {taught} in the teacher: "
                "expected a teacher of the same architecture"
            )
