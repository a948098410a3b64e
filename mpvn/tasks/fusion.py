"""Late fusion: several networks that are asked about the same videos, and answer together.

Two streams, RGB and optical flow, of which *Temporal Segment Networks* (section 3.3) weighs flow
one and a half times; and the ensembles of *Temporal Shift Module* (section 5), of networks that see
8 and 16 frames.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np

from mpvn.tasks.multi_view import Recognition


def fuse(
    recognitions: Sequence[Recognition], weights: Sequence[float] | None = None
) -> Recognition:
    """What several networks say together of the same videos: the weighted mean of their scores.

    Args:
        recognitions: one of each network, their scores of one kind: logits or probabilities.
        weights: by network, none below 0; default: all the same.

    Returns:
        Scores of the videos that all have; why the others are left out is in `skipped`.

    Raises:
        ValueError: nothing to fuse, weights out of range, other classes or labels, or no video that
            all have.
    """
    shares = fusion_weights(len(recognitions), weights)
    classes = [found.scores.shape[1] for found in recognitions]
    if len(set(classes)) > 1:
        raise ValueError(f"only scores of the same classes can be fused. Received: {classes}")
    numbers = functools.reduce(np.intersect1d, [found.numbers for found in recognitions])
    if not len(numbers):
        raise ValueError("there is no video that all networks have recognized")
    rows = [_rows(found.numbers, numbers) for found in recognitions]
    by_network = list(zip(recognitions, rows, strict=True))
    labels = np.stack([found.labels[row] for found, row in by_network])  # [networks, N]
    differing = np.flatnonzero((labels != labels[0]).any(axis=0))
    if len(differing):
        raise ValueError(
            f"the networks must be asked about the same videos. Received: labels "
            f"{labels[:, differing[0]].tolist()} of video {numbers[differing[0]]}"
        )
    scores = np.stack([found.scores[row] for found, row in by_network])  # [networks, N, classes]
    fused = np.average(scores, axis=0, weights=shares).astype(np.float32)
    skipped = {name: why for found in recognitions for name, why in found.skipped.items()}
    return Recognition(numbers, labels[0], fused, skipped)


def fusion_weights(networks: int, weights: Sequence[float] | None = None) -> list[float]:
    """The weights of so many networks.

    Args:
        networks: how many.
        weights: as asked; None for all the same.

    Raises:
        ValueError: no network, another number of weights, or weights out of range.
    """
    if not networks:
        raise ValueError("there is nothing to fuse: expected at least one network")
    shares = [1.0] * networks if weights is None else [float(weight) for weight in weights]
    if len(shares) != networks:
        raise ValueError(f"expected {networks} weights, one for each network. Received: {shares}")
    if not all(0 <= share < math.inf for share in shares) or not any(shares):
        raise ValueError(f"weights must be 0 or more, and not all of them 0. Received: {shares}")
    return shares


def _rows(numbers: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where each of the `wanted` ones is among `numbers`, which have them all."""
    order = np.argsort(numbers)
    return order[np.searchsorted(numbers, wanted, sorter=order)]
