"""Temporal shifts of OpenVINO's models, folded into the convolutions that read them.

    Convolution(Concat(past, split(x)[1]), [a | b])           as it was read
    Convolution(Concat(past, x), [a | 0 | b])                 folded; x has more channels

In int8, OpenVINO splits maps byte by byte: that takes longer than the convolutions. In float32 and
bfloat16, the split takes less time than the wider convolution.
"""

from typing import Any

import numpy as np

from mpvn.runtime.layouts import is_constant


def fold_shifts(ov: Any, model: Any) -> None:
    """Let convolutions read whole maps in place of pieces of them, in place.

    Args:
        ov: the package `openvino`.
        model: the model.
    """
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Concat" and node.get_axis() in (1, -3):
            _fold(ov, node)
    for node in model.get_ordered_ops():
        if node.get_type_name() == "VariadicSplit":
            _slice(ov, node)
    model.validate_nodes_and_infer_types()


def _fold(ov: Any, concat: Any) -> None:
    """Fold a concatenation that convolutions alone read, and that has one piece of a split."""
    values = concat.input_values()
    found = [(index, piece) for index, value in enumerate(values) if (piece := _piece(value))]
    readers = [(port.get_node(), port.get_index()) for port in concat.output(0).get_target_inputs()]
    if len(found) != 1 or not all(_can_read(node, index) for node, index in readers):
        return
    index, (start, stop, size) = found[0]
    before = sum(_channels(value) for value in values[:index])
    values[index] = values[index].get_node().input_value(0)
    whole = ov.opset13.concat(values, 1).output(0)
    for node, _ in readers:
        weights = np.array(node.input_value(1).get_node().get_data())
        zeros = [np.zeros_like(weights[:, :1]).repeat(n, axis=1) for n in (start, size - stop)]
        after = before + stop - start
        parts = (
            weights[:, :before],
            zeros[0],
            weights[:, before:after],
            zeros[1],
            weights[:, after:],
        )
        node.input(1).replace_source_output(ov.opset13.constant(np.concatenate(parts, 1)).output(0))
        node.input(0).replace_source_output(whole)


def _slice(ov: Any, split: Any) -> None:
    """Read the only piece of a split that something reads as a slice."""
    read = [piece for piece in split.outputs() if piece.get_target_inputs()]
    piece = _piece(read[0]) if len(read) == 1 else None
    if piece is None:
        return
    bounds = (ov.opset13.constant(np.array([number])) for number in (*piece[:2], 1, 1))
    sliced = ov.opset13.slice(split.input_value(0), *bounds).output(0)
    for target in read[0].get_target_inputs():
        target.replace_source_output(sliced)


def _piece(value: Any) -> tuple[int, int, int] | None:
    """Return which channels of how many a value is, if it is a piece of a split of channels."""
    node = value.get_node()
    if node.get_type_name() != "VariadicSplit" or not all(
        map(is_constant, node.input_values()[1:])
    ):
        return None
    axis, lengths = (node.input_value(index).get_node().get_data() for index in (1, 2))
    if int(axis.reshape(())) not in (1, -3) or min(lengths) < 0:
        return None
    start = int(sum(lengths[: value.get_index()]))
    return start, start + int(lengths[value.get_index()]), int(sum(lengths))


def _can_read(node: Any, index: int) -> bool:
    """Return whether a node is a convolution of known weights that reads maps at this input."""
    known = node.get_type_name() == "Convolution" and is_constant(node.input_value(1))
    return known and index == 0


def _channels(value: Any) -> int:
    return value.get_partial_shape()[1].get_length()
