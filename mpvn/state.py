"""The state of streams: a flat dict of named tensors, passed in and out of every step.

A state has the step counter `"step"` (int64 `[B]`, the number of each stream's next step) and the
slots of the plan's histories, each `[B, ...]`. So streams of any age share a batch, and states can
be gathered, split and concatenated along their first axis. Slot names are stable, because they
become arguments of exported signatures.
"""

import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from mpvn.executors.run import State
from mpvn.plan import Plan

STEP = "step"
"""Name of the step counter."""

_COUNTER = tf.TensorSpec((None,), tf.int64)


def zero_slots(plan: Plan, batch_size: Any) -> State:
    """Return the slots of streams that have not started: zeros `[batch_size, ...]`.

    Each is on the device of its subnetwork.
    """
    slots = {}
    for name, spec in plan.histories.specs.items():
        with tf.device(plan.histories.devices[name]):
            slots[name] = tf.zeros((batch_size, *spec.shape[1:]), spec.dtype)
    return slots


def check_state(plan: Plan, state: Mapping[str, Any], batch_size: int | None) -> State:
    """Return `state` as tensors of the plan's dtypes, the step counter first.

    Args:
        plan: the plan of the network.
        state: tensors or arrays.
        batch_size: number of streams, None if unknown.

    Raises:
        ValueError: the names or shapes are not those of the plan, or the batch size is not
            `batch_size`.
    """
    specs = {STEP: _COUNTER, **plan.histories.specs}
    check_names(state, specs)
    tensors = {}
    for name, spec in specs.items():
        tensor = state[name]
        if not isinstance(tensor, tf.Tensor):
            tensor = tf.convert_to_tensor(tensor, spec.dtype)
        check_shape(name, tensor.shape, spec.shape, batch_size)
        tensors[name] = tensor
    return tensors


def check_names(state: Mapping[str, Any], names: Collection[str]) -> None:
    """Raise ValueError if `state` has not the `names`, step counter included."""
    if state.keys() != set(names):
        missing = sorted(set(names) - state.keys())
        unknown = sorted(state.keys() - set(names))
        raise ValueError(
            f"The state does not belong to this network. Missing: {missing[:3]}. "
            f"Unknown: {unknown[:3]}. Create it with initial_state(batch_size)."
        )


def check_shape(name: str, shape: Any, expected: tf.TensorShape, batch_size: int | None) -> None:
    """Raise ValueError if a tensor of a state has a wrong shape.

    Args:
        name: its name.
        shape: its shape.
        expected: its shape by the plan, without a batch size.
        batch_size: number of streams, None if unknown.
    """
    sizes, wanted = list(shape), expected.as_list()
    if not sizes or (sizes[1:] != wanted[1:] and not _fits(sizes, wanted)):
        raise ValueError(
            f"Expected {name!r} in the state with shape {tuple(expected)}. "
            f"Received: {tuple(sizes)}. Create the state with initial_state(batch_size)."
        )
    if sizes[0] != batch_size and None not in (sizes[0], batch_size):
        raise ValueError(
            f"Expected a batch of {sizes[0]}, the batch size of the state. Received: a batch "
            f"of {batch_size}. Create the state with initial_state({batch_size})."
        )


def _fits(sizes: list[int | None], wanted: list[int | None]) -> bool:
    """Return whether a shape is the one that is wanted, where both are known."""
    pairs = zip(sizes, wanted, strict=False)
    return len(sizes) == len(wanted) and all(a == b or None in (a, b) for a, b in pairs)


def check_streams(streams: Any) -> tf.Tensor:
    """Return the `streams` to reset as bools `[B]`; raise ValueError if they are none."""
    streams = tf.convert_to_tensor(streams)
    if streams.dtype != tf.bool or streams.shape.rank != 1:
        raise ValueError(
            "Invalid streams. Expected one bool per stream, True for those to restart. "
            f"Received: {streams.dtype.name} of shape {tuple(streams.shape)}."
        )
    return streams


def reset_streams(state: State, streams: tf.Tensor) -> State:
    """Return `state` with zeros, step 0 included, for the streams that are True (bool `[B]`)."""
    after = {}
    for name, value in state.items():
        # [B] -> [B, 1, ..., 1], to broadcast against a slot
        mask = tf.reshape(streams, (-1, *[1] * (len(value.shape) - 1)))
        after[name] = tf.where(mask, tf.zeros_like(value), value)
    return after


def earliest_alike(step: Any, settled: int, period: int) -> Any:
    """Return the first step that is computed like `step`.

    Args:
        step: number of a step, an int or an array.
        settled: the first step from which on steps of equal phase are computed alike.
        period: the plan's period.
    """
    return step - (step > settled) * ((step - settled) // period * period)


def common_step(steps: np.ndarray, settled: int, period: int) -> int | None:
    """Return the first step that is computed like those of all streams; None if they differ.

    Args:
        steps: number of each stream's step, int `[B]`.
        settled, period: as in `earliest_alike`.
    """
    if not steps.size:
        return 0
    first = int(steps[0])
    if steps.size > 1 and not (steps == first).all():
        alike = earliest_alike(steps, settled, period)
        if not (alike == alike[0]).all():
            return None
    return earliest_alike(first, settled, period)


def run_alike(
    run: Callable[[list[tf.Tensor], State, int], Any],
    clip: list[tf.Tensor],
    state: State,
    settled: int,
    period: int,
) -> Any:
    """Return `run(clip, state, step)`, called for the streams of each step apart.

    Args:
        run: a function of streams at one step; returns a structure of tensors `[B, ...]`.
        clip: tensors `[B, ...]`.
        state: the state before the clip, with a constant step counter.
        settled, period: as in `earliest_alike`.
    """
    steps = tf.get_static_value(state[STEP])
    step = common_step(steps, settled, period)
    if step is not None:
        return run(clip, state, step)
    steps = earliest_alike(steps, settled, period)
    groups = [(int(step), np.flatnonzero(steps == step)) for step in np.unique(steps)]
    parts = []
    for step, rows in groups:
        gather = functools.partial(tf.gather, indices=rows)
        parts.append(run([*map(gather, clip)], {n: gather(x) for n, x in state.items()}, step))
    order = np.argsort(np.concatenate([rows for _, rows in groups]))
    return tf.nest.map_structure(lambda *x: tf.gather(tf.concat(x, axis=0), order), *parts)
