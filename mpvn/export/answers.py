"""Names in the answer: the likeliest classes of an output, beside it.

An output `[..., classes]` of as many numbers as the network's metadata have names of classes gets
two more: `NAME_classes`, the names of the likeliest (string `[..., k]`), and `NAME_scores`, their
probabilities (float32 `[..., k]`). The outputs of a network with a task are logits, as its losses
and `mpvn predict` take them; those of another are probabilities if its last layer makes them so.
"""

import contextlib
from collections.abc import Callable
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from mpvn.export.names import Names, network_names

Probabilities: TypeAlias = Callable[[tf.Tensor], tf.Tensor]

TOP = 5
"""Default number of classes in the answer."""

PROBABILITIES: dict[str, Probabilities] = {
    "action": tf.nn.softmax,
    "multi_label_action": tf.math.sigmoid,
}
"""How the logits of a task become probabilities, as in its `ClassTask.probabilities`."""


class Answers:
    """Adds the likeliest classes to named outputs.

    Args:
        classes: names of the classes, in order.
        outputs: for each output with classes, how it becomes probabilities, and the names of the
            two outputs.
        top: number of classes in the answer.
    """

    def __init__(
        self,
        classes: list[str],
        outputs: dict[str, tuple[Probabilities, str, str]],
        top: int,
    ) -> None:
        self._classes, self._outputs, self._top = classes, outputs, min(top, len(classes))

    @staticmethod
    def of(network: keras.Model, names: Names, top: int = TOP) -> "Answers":
        """Return what is added to the outputs of a network.

        Args:
            network: a `VideoNetwork`.
            names: the names of its tensors.
            top: number of classes.

        Raises:
            ValueError: it has no names of classes, or no output of as many numbers, or it is not
                known what these mean.
        """
        classes = list(network.metadata.names.get("classes", ())) if network.metadata else []
        tensors = dict(zip(names.outputs, network.graph.model_outputs, strict=True))
        shapes = {name: network.graph.tensors[index].shape for name, index in tensors.items()}
        fitting = [name for name, shape in shapes.items() if tuple(shape) == (len(classes),)]
        if not classes or not fitting:
            raise ValueError(
                "Invalid classes. Expected a network whose metadata have the names of its classes, "
                f"and an output of as many numbers. Received: {len(classes)} names, and outputs of "
                f"shape {', '.join(map(str, shapes.values()))}. Leave out classes."
            )
        made = {
            name: (
                _probabilities(network, tensors[name]),
                names.free(f"{name}_classes"),
                names.free(f"{name}_scores"),
            )
            for name in fitting
        }
        return Answers(classes, made, top)

    @staticmethod
    def wanted(network: keras.Model, top: int | None, images: bool) -> "Answers | None":
        """Return what is added to the outputs of a network; None for nothing.

        Args:
            network: a `VideoNetwork`.
            top: number of classes, 0 for none. None: `TOP` with pictures, if it knows their names
                and what its outputs are.
            images: whether frames are pictures.

        Raises:
            ValueError: as in `of`, if a number is given.
        """
        names = network_names(network)
        if top is not None:
            return Answers.of(network, names, top) if top else None
        with contextlib.suppress(ValueError):
            return Answers.of(network, names) if images else None
        return None

    def specs(self) -> dict[str, tf.TensorSpec]:
        """Return the specs `[k]` of the further outputs by name."""
        specs = {}
        for _, classes, scores in self._outputs.values():
            specs[scores] = tf.TensorSpec((self._top,), tf.float32)
            specs[classes] = tf.TensorSpec((self._top,), tf.string)
        return specs

    def describe(self) -> dict[str, Any]:
        """Return what `mpvn.json` says of the answers."""
        return {
            name: {"classes": classes, "scores": scores, "top": self._top}
            for name, (_, classes, scores) in self._outputs.items()
        }

    def __call__(self, outputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Return the further outputs of named outputs."""
        answers = {}
        for name, (probabilities, classes, scores) in self._outputs.items():
            shares = probabilities(tf.cast(outputs[name], tf.float32))
            answers[scores], best = tf.math.top_k(shares, self._top)
            answers[classes] = tf.gather(tf.constant(self._classes), best)
        return answers


def _probabilities(network: keras.Model, output: int) -> Probabilities:
    """Return how an output becomes probabilities.

    Raises:
        ValueError: it is not known what it means.
    """
    task = network.metadata.task
    if task in PROBABILITIES:
        return PROBABILITIES[task]
    node = network.graph.producer(output)
    operation = node and node.operation
    activation = getattr(operation, "activation", None)
    made = (keras.activations.softmax, keras.activations.sigmoid)
    if task is None and (isinstance(operation, keras.layers.Softmax) or activation in made):
        return tf.identity
    raise ValueError(
        "Invalid classes. Expected a network with a task whose outputs are scores of classes "
        f"({', '.join(PROBABILITIES)}), or outputs of a softmax or a sigmoid. Received: the task "
        f"{task}, and the outputs of {node.name if node else 'an input'}. Set the task of its "
        "metadata, or leave out classes."
    )
