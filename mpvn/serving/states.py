"""States of single streams as one state of a batch, and back. They are arrays or tensors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

State = dict[str, Any]


def join(states: Sequence[State]) -> State:
    """Return the state `[B, ...]` of streams, given those `[1, ...]` of each."""
    if len(states) == 1:
        return states[0]
    return {name: _concatenate([state[name] for state in states]) for name in states[0]}


def split(state: State, streams: int) -> list[State]:
    """Return the states `[1, ...]` of the streams of a batch."""
    if streams == 1:
        return [state]
    # Copies: a row that is a view would keep the rows of all others in memory.
    rows = {name: _rows(value, streams) for name, value in state.items()}
    return [{name: each[row] for name, each in rows.items()} for row in range(streams)]


def _concatenate(values: list[Any]) -> Any:
    if isinstance(values[0], tf.Tensor):
        return tf.concat(values, axis=0)
    return np.concatenate(values)


def _rows(value: Any, count: int) -> list[Any]:
    if isinstance(value, tf.Tensor):
        return tf.split(value, count)
    return [np.array(value[row : row + 1]) for row in range(count)]
