"""Layouts of OpenVINO's models: channels stay last outside of convolutions.

TensorFlow's tensors have their channels last. OpenVINO's convolutions take them first, so its
reader adds transpositions, and moves them as far as it can, up to the inputs of a model. On the
CPU, a convolution computes with channels last all the same: next to a convolution, a transposition
is a view. Next to a concatenation, it moves the data, once on the way in and once on the way out.
So here, operations between transposed values go back to channels last:

    input -> T -> Concat -> Multiply -> Add -> ReLU -> Convolution         as it was read
    input -> Concat -> Multiply -> Add -> ReLU -> T -> Convolution         as it is compiled

An element-wise operation that reads a convolution stays where it is: the kernel of the convolution
computes it.
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

_COMPUTE = _ELEMENTWISE | {
    "Convolution",
    "ConvolutionBackpropData",
    "GroupConvolution",
    "GroupConvolutionBackpropData",
}
"""Operations whose kernels may also compute what reads them."""


def keep_channels_last(ov: Any, model: Any) -> None:
    """Move transpositions from the inputs of a model down to its convolutions, in place.

    Args:
        ov: the package `openvino`.
        model: the model.
    """
    for node in model.get_ordered_ops():
        if _moves(node):
            _move(ov, node)
    for node in model.get_ordered_ops():
        if _order(node) == _LAST:
            source = node.input_value(0).get_node()
            if _order(source) == _FIRST:
                _replace(node.output(0), source.input_value(0))
    model.validate_nodes_and_infer_types()


def _moves(node: Any) -> bool:
    """Return whether an operation reads transposed maps, and no convolution computes it."""
    values = [value for value in node.input_values() if not _is_constant(value)]
    if not values or node.get_output_size() != 1 or any(_rank(value) != 4 for value in values):
        return False
    if not any(_order(value.get_node()) == _FIRST for value in values):
        return False
    if node.get_type_name() == "Concat":
        return node.get_axis() in (1, -3)
    computing = any(value.get_node().get_type_name() in _COMPUTE for value in values)
    return node.get_type_name() in _ELEMENTWISE and not computing


def _move(ov: Any, node: Any) -> None:
    """Let an operation read and make maps with channels last, between transpositions."""
    for port in node.inputs():
        port.replace_source_output(_channels_last(ov, port.get_source_output()))
    if node.get_type_name() == "Concat":
        node.set_axis(3)
    targets = node.output(0).get_target_inputs()
    node.validate_and_infer_types()
    back = _transpose(ov, node.output(0), _FIRST)
    for target in targets:
        target.replace_source_output(back)


def _channels_last(ov: Any, value: Any) -> Any:
    """Return a value that broadcasts to maps with channels last as `value` to others."""
    if _is_constant(value):  # [C, 1, 1] -> [1, C, 1, 1]
        shape = value.get_shape()
        shape = np.array([*[1] * (4 - len(shape)), *shape])
        value = ov.opset13.reshape(value, ov.opset13.constant(shape), False).output(0)
    return _transpose(ov, value, _LAST)


def _transpose(ov: Any, value: Any, order: tuple[int, ...]) -> Any:
    return ov.opset13.transpose(value, ov.opset13.constant(np.array(order))).output(0)


def _order(node: Any) -> tuple[int, ...] | None:
    """Return the order of the axes that an operation makes; None for other operations."""
    if node.get_type_name() != "Transpose" or not _is_constant(node.input_value(1)):
        return None
    return tuple(node.input_value(1).get_node().get_data().tolist())


def _replace(old: Any, new: Any) -> None:
    for target in old.get_target_inputs():
        target.replace_source_output(new)


def _is_constant(value: Any) -> bool:
    return value.get_node().get_type_name() == "Constant"


def _rank(value: Any) -> int | None:
    rank = value.get_partial_shape().rank
    return rank.get_length() if rank.is_static else None
