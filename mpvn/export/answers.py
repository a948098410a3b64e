"""Names in the answer: the likeliest classes of an output, beside it.

An output `[..., classes]` of as many numbers as the network's metadata have names of classes gets
two more: `NAME_classes`, the names of the likeliest (string `[..., k]`), and `NAME_scores`, their
probabilities (float32 `[..., k]`). The outputs of a network with a task are logits, as its losses
and `mpvn predict` take them; those of another are probabilities if its last layer makes them so.
"""

from collections.abc import Callable, Collection
from typing import Any

import keras
import tensorflow as tf

from mpvn.export.names import free_name

TOP = 5
"""Default number of classes in the answer."""

PROBABILITIES: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "action": tf.nn.softmax,
    "multi_label_action": tf.math.sigmoid,
}
"""How the logits of a task become probabilities, as in its `ClassTask.probabilities`."""


class Answers:
    """Adds the likeliest classes to named outputs.

    Args:
        names: names of the classes, in order.
        probabilities: from outputs to probabilities.
        top: number of classes.
        outputs: for each output with classes, the names of its classes and of its scores.
    """

    def __init__(
        self,
        names: list[str],
        probabilities: Callable[[tf.Tensor], tf.Tensor],
        top: int,
        outputs: dict[str, tuple[str, str]],
    ) -> None:
        self._names, self._probabilities = names, probabilities
        self._top, self._outputs = min(top, len(names)), outputs

    @staticmethod
    def of(network: keras.Model, outputs: Collection[str], taken: Collection[str], top: int) -> "Answers":
        """Return what is added to the outputs of a network.

        Args:
            network: a `VideoNetwork`.
            outputs: the names of its outputs.
            taken: names that no further output may have.
            top: number of classes.

        Raises:
            ValueError: it has no names of classes, or no output of as many numbers, or it is not
                known what these mean.
        """
        names = list(network.metadata.names.get("classes", ())) if network.metadata else []
        shapes = [network.graph.tensors[index].shape for index in network.graph.model_outputs]
        fitting = [
            name
            for name, shape in zip(outputs, shapes, strict=True)
            if names and tuple(shape) == (len(names),)
        ]
        if not fitting:
            raise ValueError(
                "Invalid classes. Expected a network whose metadata have the names of its classes, "
                f"and an output of as many numbers. Received: {len(names)} names, and outputs of "
                f"shape {', '.join(str(tuple(shape)) for shape in shapes)}. Leave out classes."
            )
        made = {}
        for name in fitting:
            classes = free_name(f"{name}_classes", taken)
            scores = free_name(f"{name}_scores", taken)
            made[name] = classes, scores
        return Answers(names, _probabilities(network), top, made)

    def describe(self) -> dict[str, Any]:
        """Return what `mpvn.json` says of the answers."""
        return {
            name: {"classes": classes, "scores": scores, "top": self._top}
            for name, (classes, scores) in self._outputs.items()
        }

    def __call__(self, outputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Return the further outputs of named outputs."""
        answers = {}
        for name, (classes, scores) in self._outputs.items():
            shares = self._probabilities(tf.cast(outputs[name], tf.float32))
            answers[scores], best = tf.math.top_k(shares, self._top)
            answers[classes] = tf.gather(tf.constant(self._names), best)
        return answers
