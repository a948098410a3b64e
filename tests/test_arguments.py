"""Types of arguments, and values as users type them."""

from typing import Any

import keras
import pytest

from mpvn.arguments import fits, literal


def test_values_are_literals_and_everything_else_is_a_string() -> None:
    texts = {"1": 1, "0.5": 0.5, "(1, 2)": (1, 2), "None": None, "true": True, "/a/b": "/a/b"}
    assert {text: literal(text) for text in texts} == texts


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (1, int, True),
        (True, int, False),
        (1, float, True),
        ("1", float, False),
        (None, int | None, True),
        ((1, 2), tuple[int, int] | None, True),
        ((1, 2, 3), tuple[int, int], False),
        ((1, 2, 3), tuple[int, ...], True),
        ("a", Any, True),
        ("a", keras.Model, True),  # types that are not known here
    ],
)
def test_values_fit_annotations(value: Any, kind: Any, expected: bool) -> None:
    assert fits(value, kind) is expected
