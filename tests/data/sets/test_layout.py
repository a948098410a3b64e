"""Helpers of the readers: reports of problems."""

import pytest

from mpvn.data.sets.layout import raise_problems


@pytest.mark.parametrize(("count", "lines"), [(1, 3), (5, 7), (6, 8), (1000, 8)])
def test_an_error_lists_five_problems_and_counts_the_rest(count: int, lines: int) -> None:
    with pytest.raises(ValueError) as error:
        raise_problems("list.txt", [f"problem {n}" for n in range(count)], "Fix it.")
    message = str(error.value).splitlines()
    assert len(message) == lines
    assert message[0] == f"list.txt: {count} problem{'s' * (count > 1)}:"
    assert message[1] == "  problem 0"
    assert message[-1] == "Fix it."
    if count > 5:
        assert message[-2] == f"  and {count - 5} more"


def test_without_problems_nothing_is_raised() -> None:
    raise_problems("list.txt", [], "")
