"""Layouts of OpenVINO's models: operations on what a model reads compute with channels last.

TensorFlow's tensors have their channels last. OpenVINO's convolutions and pools take them first, so
its reader adds transpositions, and moves them up to the inputs of a model, as far as it can. On the
CPU, convolutions and what reads them compute with channels last all the same: a transposition is a
view there. Where several inputs meet, it moves the data, on the way in and on the way out. So here,
operations that read transposed inputs in the main go back to channels last:

    input -> T -> Concat -> Multiply -> Add -> ReLU -> Convolution         as it was read
    input -> Concat -> Multiply -> Add -> ReLU -> T -> Convolution         as it is compiled

An operation that reads as many convolutions as inputs stays where it is: its inputs become views.
"""

from typing import Any

import numpy as np

_FIRST, _LAST = (0, 3, 1, 2), (0, 2, 3, 1)

_ELEMENTWISE = {
    *("Abs", "Add", "Clamp", "Divide", "Elu", "Exp", "Gelu", "HSigmoid", "HSwish", "Maximum"),
    *("Minimum", "Multiply", "Negative", "Power", "Relu", "Sigmoid", "SoftPlus", "Sqrt"),
    *("Subtract", "Swish", "Tanh"),
}
"""Operations on each element that take numbers or maps."""
_POOLS = ("MaxPool", "AvgPool")
"""Operations that keep the layout that they find."""


def keep_channels_last(ov: Any, model: Any) -> None:
    """Move transpositions from the inputs of a model to where they are views, in place.

    Args:
        ov: the package `openvino`.
        model: the model.
    """
    for node in model.get_ordered_ops():
        if _reads_inputs(node):
            _move(ov, node)
    _skip_pairs(model)
    model.validate_nodes_and_infer_types()


def _skip_pairs(model: Any) -> None:
    """Let what reads a transposition of a transposition read what both leave as it is."""
    for node in model.get_ordered_ops():
        source = node.input_value(0).get_node() if _order(node) else node
        if {_order(node), _order(source)} == {_FIRST, _LAST}:
            for target in node.output(0).get_target_inputs():
                target.replace_source_output(source.input_value(0))


def _reads_inputs(node: Any) -> bool:
    """Return whether most maps that an operation reads are transposed, such as inputs."""
    values = [value for value in node.input_values() if not is_constant(value)]
    if node.get_output_size() != 1 or any(_rank(value) != 4 for value in values):
        return False
    if node.get_type_name() not in _ELEMENTWISE | {"Concat"}:
        return False
    orders = [_order(_pooled(value.get_node())) for value in values]
    return 2 * orders.count(_FIRST) > len(values)


def _move(ov: Any, node: Any) -> None:
    """Let an operation read and make maps with channels last, between transpositions."""
    for port in node.inputs():
        port.replace_source_output(_channels_last(ov, port.get_source_output()))
    if node.get_type_name() == "Concat":
        node.set_axis(_LAST.index(node.get_axis() % 4))
    targets = node.output(0).get_target_inputs()
    node.validate_and_infer_types()
    back = _transpose(ov, node.output(0), _FIRST)
    for target in targets:
        target.replace_source_output(back)


def _channels_last(ov: Any, value: Any) -> Any:
    """Return a value that broadcasts to maps with channels last as `value` to others."""
    if is_constant(value):  # [C, 1, 1] -> [1, C, 1, 1]
        shape = value.get_shape()
        shape = np.array([*[1] * (4 - len(shape)), *shape])
        value = ov.opset13.reshape(value, ov.opset13.constant(shape), False).output(0)
    return _transpose(ov, value, _LAST)


def _transpose(ov: Any, value: Any, order: tuple[int, ...]) -> Any:
    return ov.opset13.transpose(value, ov.opset13.constant(np.array(order))).output(0)


def _order(node: Any) -> tuple[int, ...] | None:
    """Return the order of the axes that an operation makes; None for other operations."""
    if node.get_type_name() != "Transpose" or not is_constant(node.input_value(1)):
        return None
    return tuple(node.input_value(1).get_node().get_data().tolist())


def _pooled(node: Any) -> Any:
    """Return the operation whose maps a pool reads, or pools of pools; others as they are."""
    while node.get_type_name() in _POOLS:
        node = node.input_value(0).get_node()
    return node


def is_constant(value: Any) -> bool:
    """Return whether a value of a model is known before it runs."""
    return value.get_node().get_type_name() == "Constant"


def _rank(value: Any) -> int | None:
    rank = value.get_partial_shape().rank
    return rank.get_length() if rank.is_static else None
