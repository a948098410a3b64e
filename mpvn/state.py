"""The state of streams: a flat dict of named tensors, passed in and out of every step.

A state has a step counter `"step"` (int64 scalar, one for the batch because clocks are common) and
the slots of the plan's histories, each `[B, ...]`. Slot names are stable, because they become
arguments of exported signatures.
"""

from typing import Any

import tensorflow as tf

from mpvn.executors.run import State
from mpvn.plan import Plan

STEP = "step"
"""Name of the step counter, the only tensor of a state without a batch axis."""


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
    for name in specs:
        streams = state[name].shape[0]
        if streams != batch_size and None not in (streams, batch_size):
            raise ValueError(
                f"Expected a batch of {streams}, the batch size of the state. Received: a batch of "
                f"{batch_size}. Create the state with initial_state({batch_size})."
            )
    return {name: state[name] for name in specs}


def reset_streams(state: State, streams: tf.Tensor) -> State:
    """Return `state` with zero slots for the streams that are True in `streams` (bool `[B]`)."""
    after = {STEP: state[STEP]}
    for name, value in state.items():
        if name != STEP:
            # [B] -> [B, 1, ..., 1], to broadcast against a slot
            mask = tf.reshape(streams, (-1, *[1] * (len(value.shape) - 1)))
            after[name] = tf.where(mask, tf.zeros_like(value), value)
    return after
