"""Normalization of maps: batch norm as in the papers, or group norm.

Batch norm trains with statistics of a batch and predicts with moving ones. Networks with feedback
run step by step in training, so batch norm sees the statistics of one step there. *Group
Normalization* (2018) computes its statistics from the map itself, so it is the same function in
training and in streaming, in every executor.
"""

import os

import keras
from keras import layers

from mpvn.graph.reading import read_graph

NORMS = {"batch": layers.BatchNormalization, "group": layers.GroupNormalization}
"""Layers by the values of the option `norm`."""

MAX_GROUPS, MIN_GROUP_CHANNELS = 32, 16
"""Most groups, and fewest channels of one of several groups (*Group Normalization*, table 3)."""


def normalize(
    x: keras.KerasTensor,
    name: str,
    norm: str = "batch",
    *,
    epsilon: float = 1e-5,
    gamma_initializer: str = "ones",
) -> keras.KerasTensor:
    """Apply batch norm or group norm.

    Args:
        x: `[B, H, W, C]`.
        name: Name of the layer.
        norm: `"batch"` or `"group"`, with `group_count(C)` groups.
        epsilon: Added to the variance.
        gamma_initializer: Initial scale of the channels.

    Returns:
        `[B, H, W, C]`.

    Raises:
        ValueError: If `norm` is unknown.
    """
    check_norm(norm, f"layer {name!r}")
    options = {"groups": group_count(x.shape[-1])} if norm == "group" else {}
    layer = NORMS[norm](epsilon=epsilon, gamma_initializer=gamma_initializer, name=name, **options)
    return layer(x)


def check_norm(norm: str | None, owner: str) -> None:
    """Raise a `ValueError` that names `owner` unless `norm` is a key of `NORMS`."""
    if norm not in NORMS:
        raise ValueError(
            f"Invalid norm of {owner}. Expected one of {tuple(NORMS)}. Received: {norm!r}"
        )


def group_count(channels: int) -> int:
    """Return the number of groups of equal size that group norm uses for `channels`.

    It is the largest number up to `MAX_GROUPS` with `MIN_GROUP_CHANNELS` or more channels a group,
    or 1. Small groups would erase maps of one pixel, whose mean over one channel is their value.
    """
    limit = max(1, min(MAX_GROUPS, channels // MIN_GROUP_CHANNELS))
    return next(groups for groups in range(limit, 0, -1) if channels % groups == 0)


def norms_of(model: keras.Model) -> set[str]:
    """Return the keys of `NORMS` whose layers `model` has."""
    return {
        norm
        for norm, kind in NORMS.items()
        if any(isinstance(layer, kind) for layer in read_graph(model).operations)
    }


def check_norm_of_weights(
    network: str, norm: str | None, needed: str | None, weights: str | os.PathLike | None
) -> None:
    """Raise a `ValueError` unless `norm` is the one `needed` by pretrained `weights`, if any."""
    if weights is not None and norm != needed:
        raise ValueError(
            f"{network}: the pretrained weights belong to a network with norm={needed!r}. "
            f"Received: norm={norm!r}, weights={str(weights)!r}"
        )
