"""The state of streams: a flat dict of named tensors, passed in and out of every step.

A state has the step counter `"step"` (int64 `[B]`, the number of each stream's next step) and the
slots of the plan's histories, each `[B, ...]`. So streams of any age share a batch, and states can
be gathered, split and concatenated along their first axis. Slot names are stable, because they
become arguments of exported signatures.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from mpvn.executors.run import State
from mpvn.plan import Plan

STEP = "step"
"""Name of the step counter."""


def zero_slots(plan: Plan, batch_size: Any) -> State:
    """Return the slots of streams that have not started: zeros `[batch_size, ...]`."""
    return {
        name: tf.zeros((batch_size, *spec.shape[1:]), spec.dtype)
        for name, spec in plan.histories.specs.items()
    }


def check_slots(plan: Plan, state: State, batch_size: int | None) -> State:
    """Return the slots of `state`.

    Raises:
        ValueError: the names are not those of the plan, or the batch size is not `batch_size`.
    """
    specs = plan.histories.specs
    if set(state) != {STEP, *specs}:
        missing = sorted({STEP, *specs} - set(state))
        unknown = sorted(set(state) - {STEP, *specs})
        raise ValueError(
            f"The state does not belong to this network. Missing: {missing[:3]}. "
            f"Unknown: {unknown[:3]}. Create it with initial_state(batch_size)."
        )
    if state[STEP].shape.rank != 1:
        raise ValueError(
            f"Expected one step counter per stream, int64 [B], in state[{STEP!r}]. "
            f"Received: shape {tuple(state[STEP].shape)}. Create the state with "
            "initial_state(batch_size)."
        )
    for value in state.values():
        streams = value.shape[0]
        if streams != batch_size and None not in (streams, batch_size):
            raise ValueError(
                f"Expected a batch of {streams}, the batch size of the state. Received: a batch of "
                f"{batch_size}. Create the state with initial_state({batch_size})."
            )
    return {name: state[name] for name in specs}


def reset_streams(state: State, streams: tf.Tensor) -> State:
    """Return `state` with zeros, step 0 included, for the streams that are True (bool `[B]`)."""
    after = {}
    for name, value in state.items():
        # [B] -> [B, 1, ..., 1], to broadcast against a slot
        mask = tf.reshape(streams, (-1, *[1] * (len(value.shape) - 1)))
        after[name] = tf.where(mask, tf.zeros_like(value), value)
    return after


def earliest_alike(steps: np.ndarray, settled: int, period: int) -> np.ndarray:
    """Return for each step the first one that is computed like it.

    Args:
        steps: numbers of steps, int `[B]`.
        settled: the first step from which on steps of equal phase are computed alike.
        period: the plan's period.
    """
    return steps - np.maximum(steps - settled, 0) // period * period


def common_step(steps: np.ndarray) -> int | None:
    """Return the step of all streams (int `[B]`); None if they have different ones."""
    if not steps.size:
        return 0
    return int(steps[0]) if (steps == steps[0]).all() else None


def run_alike(
    run: Callable[[list[tf.Tensor], State, int], Any],
    clip: list[tf.Tensor],
    state: State,
    steps: np.ndarray,
) -> Any:
    """Return `run(clip, state, step)`, called for the streams of each step apart.

    Args:
        run: a function of streams at one step; returns a structure of tensors `[B, ...]`.
        clip: tensors `[B, ...]`.
        state: the state before the clip.
        steps: the number of each stream's step, or of one like it, int `[B]`.
    """
    step = common_step(steps)
    if step is not None:
        return run(clip, state, step)
    groups = [(int(step), np.flatnonzero(steps == step)) for step in np.unique(steps)]
    parts = []
    for step, rows in groups:
        gather = functools.partial(tf.gather, indices=rows)
        parts.append(run([*map(gather, clip)], {n: gather(x) for n, x in state.items()}, step))
    order = np.argsort(np.concatenate([rows for _, rows in groups]))
    return tf.nest.map_structure(lambda *x: tf.gather(tf.concat(x, axis=0), order), *parts)
