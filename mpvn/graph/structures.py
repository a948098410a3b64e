"""Matches what is passed to a model with the structure of its inputs, as Keras does.

Keras only warns where structures differ, and takes values by position. That can swap two inputs, so
it is an error here. Conveniences of Keras are kept: inputs by name for a list of inputs, inputs in
sorted order for a dict whose keys were sorted when the model was built, and further keys of a dict
where they do not change which value Keras takes for an input.
"""

from typing import Any

import keras


def match_inputs(structure: Any, values: Any) -> list:
    """Return the values for the inputs of a model, in the order of `keras.Model.inputs`.

    Args:
        structure: the model's symbolic inputs: a tensor, or a list, tuple or dict of structures.
        values: a structure like it. A dict may have more keys, if Keras ignores them.

    Raises:
        ValueError: the structures differ, or an input is missing.
    """
    inputs = keras.tree.flatten(structure)
    if not _is_nested(values):
        if len(inputs) == 1:
            return [values]
        raise _mismatch(structure, values)
    if isinstance(values, dict) and not isinstance(structure, dict):
        if any(_is_nested(part) for part in _parts(structure)):
            raise _mismatch(structure, values)
        return [_item(values, tensor.name, structure, values) for tensor in inputs]
    if isinstance(structure, dict) and not isinstance(values, dict):
        if list(structure) != sorted(structure) or len(structure) != len(values):
            raise _mismatch(structure, values)
        values = dict(zip(structure, values, strict=True))
    if not _is_nested(structure) and len(values) == 1:
        (values,) = values
    matched = keras.tree.flatten(_matched(structure, values, structure, values))
    by_position = keras.tree.flatten(values)
    if any(value is not other for value, other in zip(matched, by_position, strict=False)):
        raise _mismatch(structure, values, " Keras would take other values, by position.")
    return matched


def _matched(part: Any, values: Any, structure: Any, received: Any) -> Any:
    """Return `values` in the structure of `part`; `structure` and `received` are for the error."""
    if isinstance(part, dict):
        if not isinstance(values, dict):
            raise _mismatch(structure, received)
        items = [
            (key, _matched(inner, _item(values, key, structure, received), structure, received))
            for key, inner in part.items()
        ]
        return type(part)(items)
    if isinstance(part, (list, tuple)):
        if not isinstance(values, (list, tuple)) or len(values) != len(part):
            raise _mismatch(structure, received)
        pairs = zip(part, values, strict=True)
        return [_matched(inner, value, structure, received) for inner, value in pairs]
    if _is_nested(values):
        raise _mismatch(structure, received)
    return values


def _item(values: dict, key: Any, structure: Any, received: Any) -> Any:
    if key not in values:
        raise _mismatch(structure, received, f" The input {key!r} is missing.")
    return values[key]


def _parts(structure: Any) -> list:
    return list(structure) if isinstance(structure, (list, tuple)) else [structure]


def _is_nested(values: Any) -> bool:
    return isinstance(values, (dict, list, tuple))


def _mismatch(structure: Any, values: Any, detail: str = "") -> ValueError:
    names = keras.tree.map_structure(lambda tensor: tensor.name, structure)
    received = keras.tree.map_structure(_describe, values)
    return ValueError(
        f"Expected inputs in the structure {names}. Received: {received}.{detail} Pass the inputs "
        "in that structure, or by name."
    )


def _describe(value: Any) -> str:
    return f"shape {tuple(value.shape)}" if hasattr(value, "shape") else repr(value)
