"""Steps that are repeated: in a loop, or laid out in the graph.

    on one device     while number < count: step             the graph does not grow
    else              while 16 or more are left: 16 steps    each of the 16 in the graph
                      the remaining steps                    in the graph, if their number is known

Before each turn of a loop, TensorFlow has all devices of its body agree that there is one more:
between processes, that takes milliseconds, no device runs ahead, and variables of the loop visit
the process that has begun it. Steps that are laid out wait only for the values that they read.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from mpvn.plan import Plan

AT_ONCE = 16
"""Steps in a turn of a loop between devices."""


def steps_at_once(plan: Plan) -> int:
    """Return how many steps of a plan are laid out in each turn of a loop: 1 on one device here."""
    away = any(device and tf.DeviceSpec.from_string(device).job for device in plan.devices)
    return AT_ONCE if plan.several_devices or away else 1


def repeat(
    count: int | tf.Tensor,
    body: Callable[..., tuple],
    variables: tuple,
    at_once: int = 1,
    **options: Any,
) -> tuple:
    """Return `variables` after `count` calls of `body`.

    Args:
        count: number of calls, an int or int32 `[]`.
        body: takes the number of the call, an int or int32 `[]`, and the variables before it;
            returns those after it, of the same structure, shapes and dtypes.
        variables: structures of tensors and `tf.TensorArray`s.
        at_once: number of calls in each turn of a loop.
        **options: further arguments of `tf.while_loop`.
    """

    def loop(first: int | tf.Tensor, end: int | tf.Tensor, calls: int, variables: tuple) -> tuple:
        def turn(number: tf.Tensor, *variables: Any) -> tuple:
            for offset in range(calls):
                variables = body(number + offset, *variables)
            return number + calls, *variables

        start = tf.convert_to_tensor(first), *variables
        return tf.while_loop(lambda number, *_: number < end, turn, start, **options)[1:]

    if at_once == 1:
        return loop(0, count, 1, variables)
    known = isinstance(count, int)
    end = count // at_once * at_once
    if known and end == at_once:
        end = 0  # a loop is not worth it
    if not known or end:
        variables = loop(0, end, at_once, variables)
    if not known:
        return loop(end, count, 1, variables)
    for number in range(end, count):
        variables = body(number, *variables)
    return variables
