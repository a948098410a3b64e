"""Helpers of the readers: mirror images of classes, and reports of problems."""

import pytest

from mpvn.data.sets.layout import mirrored_labels, raise_problems
from mpvn.data.video_set import NO_MIRROR


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (("left", "right"), (1, 0)),
        (("swipe_left", "swipe_right", "up"), (1, 0, 2)),
        (("Turning CLOCKWISE", "Turning COUNTERCLOCKWISE"), (1, 0)),
        (("left to right", "right to left", "left"), (1, 0, NO_MIRROR)),
        (("upright", "bright", "cleft"), None),
        (("counter-clockwise", "clockwise"), (NO_MIRROR, NO_MIRROR)),
    ],
)
def test_words_determine_mirror_images(
    classes: tuple[str, ...], expected: tuple[int, ...] | None
) -> None:
    assert mirrored_labels(classes) == expected


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
