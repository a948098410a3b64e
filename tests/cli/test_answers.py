"""The table of answers when it cannot be written to its end."""

import pathlib
from collections.abc import Callable

import numpy as np
import pytest

from mpvn.cli.answers import Answers
from mpvn.files import WriteError
from mpvn.tasks import ActionRecognition


@pytest.mark.parametrize("size", [10, 100], ids=["in the header", "in a row"])
def test_a_full_disk_gets_a_message_and_leaves_no_file(
    size: int, tmp_path: pathlib.Path, small_disk: Callable[[int], None]
) -> None:
    """Once, closing the table raised an `OSError` of its own, which ended in a stack trace."""
    table = tmp_path / "answers.csv"
    small_disk(size)
    with (
        pytest.raises(WriteError, match="answers.csv: .*Received: 'File too large'. Raise the lim"),
        Answers(ActionRecognition(3), str(table)) as answers,
    ):
        for step in range(9):
            answers(step / 25, None, np.zeros(3, np.float32))
    assert list(tmp_path.iterdir()) == []
