"""Class activation maps over time: where a network sees an action, and when.

*Temporal Shift Module*, section 8, equation 4. A classifier that is the mean over the last
feature map and a dense layer may apply the dense layer first. Then each position of the map has a
score for each class, and the mean over the positions plus the bias is the logit (*Learning Deep
Features for Discriminative Localization*, CVPR 2016).

What it does not do well: a map is as coarse as the network's last feature map, and its positions
have seen a larger part of the frame than they cover. If the classifier ticks less often than the
feature map that it reads, the map of a step may be newer than the logits.
"""

import itertools
from typing import Any, NamedTuple

import numpy as np
from keras import layers

from mpvn.graph.data import Graph, Node
from mpvn.network import VideoNetwork
from mpvn.outputs import with_outputs

_DENSE, _MEAN = layers.Dense, layers.GlobalAveragePooling2D
_PARTS = ((layers.Activation, layers.Softmax), _DENSE, layers.Dropout, _MEAN)
"""The layers of a classifier, from the output backward."""


class ClassMaps(NamedTuple):
    """Class activation maps of a clip.

    Attributes:
        maps: Score of each position for each class, float32 `[T, h, w, classes]`. The mean over
            `[h, w]` plus the bias of the dense layer is the logit.
        outputs: Outputs of the network, float32 `[T, classes]`.
    """

    maps: np.ndarray
    outputs: np.ndarray


class ActivationMapper:
    """Computes the class activation maps of a network.

    Args:
        network: A network with one output, made from a feature map by GlobalAveragePooling2D and
            one Dense layer. Dropout may stand between them, and an activation after them.

    Call arguments:
        frames: A clip, float `[T, H, W, C]`, as the network takes it.

    Returns:
        `ClassMaps`.

    Raises:
        ValueError: If the network has another classifier.
    """

    def __init__(self, network: VideoNetwork) -> None:
        path = _classifier(network.graph)
        self._network: Any = with_outputs(network, (path[0].name,))
        self._dense: Any = next(n.operation for n in path if isinstance(n.operation, _DENSE))
        self._delay = sum(itertools.starmap(network.plan.delay, itertools.pairwise(path)))

    def __call__(self, frames: Any) -> ClassMaps:
        outputs, features = self._network(np.asarray(frames)[None])
        # [1, T, h, w, C] @ [C, classes] -> [T, h, w, classes]
        maps = np.asarray(features, np.float32)[0] @ np.asarray(self._dense.kernel, np.float32)
        # Across boundaries, the classifier reads an older feature map. Align the maps with it.
        zeros = np.zeros_like(maps[: self._delay])
        aligned = np.concatenate([zeros, maps])[: len(maps)]
        return ClassMaps(aligned, np.asarray(outputs, np.float32)[0])


def _classifier(graph: Graph) -> list[Node]:
    """Return the nodes from the last feature map to the output.

    Raises:
        ValueError: If the output is not the mean over a feature map and one dense layer.
    """
    path: list[Node] = []  # From the output backward.
    node = graph.producer(graph.outputs[0])
    for kinds in _PARTS:
        while node is not None and isinstance(node.operation, kinds):
            path.append(node)
            node = graph.producer(node.inputs[0])
    counts = [sum(isinstance(part.operation, kind) for part in path) for kind in (_DENSE, _MEAN)]
    if node is None or counts != [1, 1]:
        ends = [*path, *([node] if node else [])][::-1]
        received = ", ".join(f"{end.name} ({type(end.operation).__name__})" for end in ends)
        raise ValueError(
            "Activation maps need a classifier of GlobalAveragePooling2D, optional Dropout, one "
            "Dense layer and an optional activation. "
            f"Received: {graph.model.name!r}, which ends with {received}. Train a network with "
            "such a head, as mpvn.models.action_head makes it."
        )
    return [node, *reversed(path)]
