"""The answer for a video, and the table of answers when it cannot be written to its end."""

import pathlib
from collections.abc import Callable

import numpy as np
import pytest

from mpvn.cli.answers import Answers, Shown, step_row, video_row
from mpvn.files import WriteError
from mpvn.prediction import Prediction, VideoAnswer
from mpvn.prediction.scoring import Numbers
from mpvn.tasks import ActionRecognition


def prediction(task: ActionRecognition, logits: np.ndarray, seconds: float = 0.0) -> Prediction:
    shares = task.shares(logits).numpy()
    return Prediction(seconds, logits, task.names, scores=logits, shares=shares)


def test_the_answer_is_the_mean_or_the_last_step() -> None:
    steps = np.log([[0.8, 0.2], [0.8, 0.2], [0.25, 0.75]]).astype("float32")
    texts = []
    for task in (ActionRecognition(2), ActionRecognition(2, answer="last")):
        answers = Answers(task)
        for step in steps:
            answers(prediction(task, step))
        texts.append(str(answers))
    assert texts == [
        "answer: class 0 63.6 %, class 1 36.4 % (mean of 3 frames)",
        "answer: class 1 75.0 %, class 0 25.0 % (the last frame)",
    ]


def test_rows_of_numbers_below_zero() -> None:
    """Once, they ended in an error about values to unpack."""
    numbers, outputs = Numbers(2), np.array([-3.0, -2.0], np.float32)
    answer = VideoAnswer(numbers)
    step = Prediction(0.0, outputs, numbers.names, scores=outputs, shares=outputs)
    answer.add(step)
    shown = Shown(threshold=-np.inf, share="value")
    expected = {
        "answer": "output 1",
        "value": -2.0,
        "top": [{"name": "output 1", "value": -2.0}],
        "scores": {"output 0": -3.0, "output 1": -2.0},
    }
    assert video_row(answer, shown) == expected
    assert step_row(step, shown) == {"seconds": 0.0, **expected}


def test_outputs_that_are_not_finite_have_rows_without_an_answer() -> None:
    wrong = np.array([np.nan, np.nan], np.float32)
    step = Prediction(0.0, wrong, ("hop", "run"), scores=wrong, shares=wrong)
    assert step_row(step) == {
        "seconds": 0.0,
        "answer": None,
        "probability": None,
        "top": [],
        "scores": {"hop": None, "run": None},
    }
    answers = Answers(ActionRecognition(2))
    answers(step)
    assert str(answers).startswith("no answer: outputs of the network are NaN or infinite")


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
            answers(prediction(ActionRecognition(3), np.zeros(3, np.float32), step / 25))
    assert list(tmp_path.iterdir()) == []
