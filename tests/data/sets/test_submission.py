"""Test splits without labels, and the files that their evaluation takes."""

from collections.abc import Callable

import numpy as np
import pytest
from fake_sets import FakeSet, levels, raises

from mpvn.data import SETS, VideoSet
from mpvn.data.sets.submission import submission

CLASSES = tuple(f"Action {name}" for name in "abcdefg")


def version_1(fake: FakeSet, prefix: str = "something-something-v1") -> None:
    fake.text(f"{prefix}-labels.csv", CLASSES)
    fake.text(f"{prefix}-test.csv", ["12", "7", "100"])
    for identifier, level in ((7, 60), (100, 80), (12, 100)):
        fake.images(f"20bn-{prefix}/{identifier}", level, frames=1)


def version_2(fake: FakeSet) -> None:
    prefix = "something-something-v2"
    fake.json(f"labels/{prefix}-labels.json", {name: str(n) for n, name in enumerate(CLASSES)})
    fake.json(f"labels/{prefix}-test.json", [{"id": "12"}, {"id": 7}, {"id": "100"}])
    for identifier, level in ((7, 60), (100, 80), (12, 100)):
        fake.video(f"20bn-{prefix}/{identifier}.webm", level)


SETS_WITHOUT_LABELS: dict[str, Callable[[FakeSet], None]] = {
    "something_something_v1": version_1,
    "jester": lambda fake: version_1(fake, "jester-v1"),
    "something_something_v2": version_2,
}


@pytest.mark.parametrize("name", SETS_WITHOUT_LABELS)
def test_test_splits_are_read_in_the_order_of_their_lists(name: str, fake: FakeSet) -> None:
    SETS_WITHOUT_LABELS[name](fake)
    videos = SETS[name](fake.root, "test")
    assert levels(videos) == [(None, 100), (None, 60), (None, 80)]
    assert videos.classes == CLASSES
    assert not videos.labeled


def test_lists_with_labels_for_the_test_split(fake: FakeSet) -> None:
    """Such as those that somebody made from videos with known labels."""
    version_1(fake, "jester-v1")
    fake.text("jester-v1-test.csv", [f"12;{CLASSES[3]}", f"7;{CLASSES[0]}"])
    videos = SETS["jester"](fake.root, "test")
    assert levels(videos) == [(3, 100), (0, 60)]
    assert videos.labeled


def test_errors_of_test_lists(fake: FakeSet) -> None:
    version_1(fake, "jester-v1")
    fake.text("jester-v1-test.csv", ["12", "9", "12", "7;Juggling"])
    with raises("3 problems", "line 2: the folder", "line 3: 12 is", "line 4: ", "Juggling"):
        SETS["jester"](fake.root, "test")
    version_2(fake)
    entries = [{"id": "12"}, {"template": "a"}, {"id": 12}, {"id": 7, "template": "Juggling"}]
    fake.json("labels/something-something-v2-test.json", entries)
    with raises("3 problems", "entry 1: expected id.", "entry 2: 12 is a dupl", "entry 3", "Jugg"):
        SETS["something_something_v2"](fake.root, "test")


SCORES = np.array(
    [
        [0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.6],
        [5, 5, 5, -1, 5, 5, 9],
    ],
    np.float32,
)
"""Of the videos 7 and 12. The best classes are 1 3 5 6 4, and 6 0 1 2 4: equal scores in order."""


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("something_something_v1", ["12;Action g", "7;Action b", "100;Action g"]),
        ("jester", ["12;Action g", "7;Action b", "100;Action g"]),
        # The means are 2.55 2.95 2.6 -.1 2.65 2.85 4.8.
        ("something_something_v2", ["12;6;0;1;2;4", "7;1;3;5;6;4", "100;6;1;5;4;2"]),
    ],
)
def test_a_submission_has_a_line_for_each_video_of_the_list(
    name: str, lines: list[str], fake: FakeSet
) -> None:
    """Video 100 cannot be read: its line is the best guess from the other videos."""
    SETS_WITHOUT_LABELS[name](fake)
    videos = SETS[name](fake.root, "test")
    text = submission(name, videos, np.array([1, 0]), SCORES)
    assert text.splitlines() == lines
    assert text.endswith("\n")


def test_submissions_of_charades_have_all_scores(fake: FakeSet) -> None:
    class Named:
        label, name = None, "root/Charades_v1/46GP8.mp4"

    videos = VideoSet("Charades test", [Named()], CLASSES, multi_label=True)  # type: ignore[list-item]
    scores = np.array([[1 / 3, -2, 1e-9, 16777217, 0, 1, 2]], np.float32)
    identifier, *values = submission("charades", videos, np.array([0]), scores).split()
    assert identifier == "46GP8"
    np.testing.assert_array_equal(np.array(values, np.float32), scores[0], "no digit is lost")


def test_errors_of_submissions(fake: FakeSet) -> None:
    version_2(fake)
    videos = SETS["something_something_v2"](fake.root, "test")
    with raises("a format of submissions: something", "Received: 'folder'", "--predictions FILE"):
        submission("folder", videos, np.array([0, 1]), SCORES)
    broken = SCORES.copy()
    broken[1, 3] = np.nan
    with raises("Expected finite scores", "1 videos", "7.webm"):
        submission("something_something_v2", videos, np.array([0, 1]), broken)
