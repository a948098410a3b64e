"""Operations on the devices of their subnetworks, forward and backward.

`tf.device` around a forward pass says nothing about its gradient: TensorFlow would compute that
where it likes, and send activations there. But TensorFlow creates the operations of the gradient in
the name scope of the forward operation, so the scope can tell the subnetwork:

    forward     mpvn_subnetwork2/Conv2D
    backward    gradient_tape/mpvn_subnetwork2/Conv2D/Conv2DBackpropFilter

What it does not do well: a training loop of your own must use `backward_on_devices` itself, and
eager execution ignores it.
"""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from mpvn.graph.data import Node
from mpvn.plan import Plan

_SCOPE = "mpvn_subnetwork"
_IN_SCOPE = re.compile(rf"(?:^|/){_SCOPE}(\d+)(?:_\d+)?/")  # TensorFlow numbers equal scopes


@contextlib.contextmanager
def on_device(plan: Plan, node: Node) -> Iterator[None]:
    """Create operations on the device of `node`, during the block."""
    scope = tf.name_scope(f"{_SCOPE}{plan.column(node)}")
    with tf.device(plan.device(node)), scope if plan.several_devices else contextlib.nullcontext():
        yield


def backward_on_devices(plan: Plan) -> contextlib.AbstractContextManager:
    """Return a context in which gradients are computed where the forward pass was.

    Use it around a forward pass and its gradient, while a `tf.function` is traced.
    """
    if not plan.several_devices or tf.executing_eagerly():
        return contextlib.nullcontext()

    def device(operation: Any) -> str:
        scopes = _IN_SCOPE.findall(operation.name)
        if operation.device:
            return operation.device
        if scopes:
            return plan.devices[int(scopes[-1])] or ""
        if operation.type == "AddN":  # gradients of a weight that is used several times
            return operation.inputs[0].device
        return ""

    return tf.compat.v1.get_default_graph().device(device)  # tf.device takes no functions
