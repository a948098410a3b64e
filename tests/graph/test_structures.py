"""Inputs in the structure of a model, by position or by name, as Keras takes them."""

from typing import Any

import keras
import pytest

from mpvn.graph.structures import match_inputs


def tensor(name: str) -> keras.KerasTensor:
    return keras.KerasTensor((None, 2), name=name)


LIST = [tensor("z"), tensor("a")]
SORTED = {"a": tensor("a"), "z": tensor("z")}
UNSORTED = {"z": tensor("z"), "a": tensor("a")}
DEEP = {"p": tensor("p"), "q": [tensor("r"), {"s": tensor("s")}]}


@pytest.mark.parametrize(
    ("structure", "values", "expected"),
    [
        (LIST, [1, 2], [1, 2]),
        (LIST, (1, 2), [1, 2]),
        (LIST, {"a": 2, "z": 1, "more": 3}, [1, 2]),
        (tuple(LIST), {"a": 2, "z": 1}, [1, 2]),
        (tensor("x"), 1, [1]),
        (tensor("x"), [1], [1]),
        (tensor("x"), {"x": 1, "y": 2}, [1]),
        ([tensor("x")], 1, [1]),
        ([tensor("x")], {"x": 1}, [1]),
        ({"x": tensor("x")}, 1, [1]),
        (SORTED, {"z": 2, "a": 1, "zz": 3}, [1, 2]),
        (SORTED, [1, 2], [1, 2]),
        (UNSORTED, {"a": 1, "z": 2}, [1, 2]),
        (DEEP, {"q": [2, {"s": 3, "t": 4}], "p": 1}, [1, 2, 3]),
    ],
)
def test_values_are_matched_as_in_keras(structure: Any, values: Any, expected: list) -> None:
    assert match_inputs(structure, values) == expected


@pytest.mark.parametrize(
    ("structure", "values", "message"),
    [
        (LIST, [1], r"structure \['z', 'a'\]. Received: \['1'\]"),
        (LIST, [1, 2, 3], "Expected inputs"),
        (LIST, {"z": 1}, "The input 'a' is missing"),
        (LIST, 1, "Received: 1"),
        (LIST, [[1], 2], "Expected inputs"),
        (UNSORTED, [1, 2], "or by name"),
        (SORTED, {"a": 1}, "The input 'z' is missing"),
        (SORTED, {"z": 2, "a": 1, "b": 3}, "Keras would take other values, by position"),
        (DEEP, {"p": 1, "q": [2, 3]}, "Expected inputs"),
        (DEEP, [1, 2, 3], "Expected inputs"),
        ([tensor("x"), [tensor("y")]], {"x": 1, "y": 2}, "Expected inputs"),
    ],
)
def test_what_does_not_match_is_refused(structure: Any, values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        match_inputs(structure, values)
