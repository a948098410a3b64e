"""Late fusion: the weighted mean of the scores of several networks on the same videos.

For two streams, RGB and optical flow (*Temporal Segment Networks*, section 3.3, gives flow a weight
of 1.5), and for ensembles of networks on 8 and 16 frames (*Temporal Shift Module*).
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from mpvn.tasks.recognition import Scores

S = TypeVar("S", bound=Scores)


def fuse(recognitions: Sequence[S], weights: Sequence[float] | None = None) -> S:
    """Fuse the scores of several networks on the same videos.

    Args:
        recognitions: one per network, all with logits or all with probabilities.
        weights: one per network, at least 0; equal by default.

    Returns:
        Scores of the videos that all networks have; `skipped` says why others are missing.

    Raises:
        ValueError: if there are no networks, a weight is out of range, classes or labels differ, or
            the networks have no video in common.
    """
    shares = fusion_weights(len(recognitions), weights)
    classes = [recognition.scores.shape[1] for recognition in recognitions]
    if len(set(classes)) > 1:
        raise ValueError(f"Expected scores of the same classes. Received: {classes} classes")
    numbers = functools.reduce(np.intersect1d, [r.numbers for r in recognitions])
    if not len(numbers):
        raise ValueError("Expected at least one video with scores of all networks. Received: none")
    rows = [_rows(recognition.numbers, numbers) for recognition in recognitions]
    by_network = list(zip(recognitions, rows, strict=True))
    labels = _common_labels(by_network, numbers)
    scores = np.stack(
        [network.scores[row] for network, row in by_network]
    )  # [networks, N, classes]
    fused = np.average(scores, axis=0, weights=shares).astype(np.float32)
    skipped = {name: why for network in recognitions for name, why in network.skipped.items()}
    return dataclasses.replace(
        recognitions[0], numbers=numbers, labels=labels, scores=fused, skipped=skipped
    )


def _common_labels(
    by_network: Sequence[tuple[Scores, np.ndarray]], numbers: np.ndarray
) -> np.ndarray | None:
    """Return the labels of the given rows, which all networks must agree on; None without labels.

    Raises:
        ValueError: if the labels of networks differ.
    """
    known = [network.labels is not None for network, _ in by_network]
    if not any(known):
        return None
    if not all(known):
        raise ValueError("Expected labels from all networks, or from none. Received: some labels")
    # [networks, N], or [networks, N, classes]
    labels = np.stack([network.known_labels[row] for network, row in by_network])
    differing = np.argwhere(labels != labels[0])
    if len(differing):
        number = differing[0][1]
        raise ValueError(
            f"Expected the same labels from all networks. Received: labels "
            f"{labels[:, number].tolist()} for video {numbers[number]}"
        )
    return labels[0]


def fusion_weights(networks: int, weights: Sequence[float] | None = None) -> list[float]:
    """Return the fusion weights of `networks` networks.

    Args:
        networks: number of networks.
        weights: one per network; None for equal weights.

    Raises:
        ValueError: if `networks` is 0, or the number or a value of `weights` is wrong.
    """
    if not networks:
        raise ValueError("Expected at least one network to fuse. Received: none")
    shares = [1.0] * networks if weights is None else [float(weight) for weight in weights]
    if len(shares) != networks:
        raise ValueError(f"Expected {networks} weights, one per network. Received: {shares}")
    if not all(0 <= share < math.inf for share in shares) or not any(shares):
        raise ValueError(f"Expected weights of at least 0, not all 0. Received: {shares}")
    return shares


def _rows(numbers: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the index in `numbers` of each wanted number. `numbers` must contain all of them."""
    order = np.argsort(numbers)
    return order[np.searchsorted(numbers, wanted, sorter=order)]
