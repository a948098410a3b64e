"""Text on frames."""

import numpy as np
from video_files import gray

from mpvn.data import draw_text


def test_light_letters_on_a_dark_background_at_the_top_left() -> None:
    frame = np.full((120, 200, 3), 200, np.uint8)
    drawn = draw_text(frame, ["walking 0.91", "12.4 ms"])
    assert drawn.shape == frame.shape and drawn.dtype == np.uint8
    np.testing.assert_array_equal(frame, 200)
    rows, columns, _ = np.nonzero(drawn != frame)
    assert rows.min() < 10 and columns.min() < 10 and rows.max() < 60
    changed = drawn[rows.min() : rows.max(), columns.min() : columns.max()]
    assert np.median(changed) < 90 and changed.max() > 250


def test_long_lines_shrink_to_fit() -> None:
    frame = np.full((224, 224, 3), 200, np.uint8)
    drawn = draw_text(frame, ["a line that is rather too long for so small a picture"])
    np.testing.assert_array_equal(drawn[:, -1], 200)


def test_no_lines_return_a_plain_copy() -> None:
    np.testing.assert_array_equal(draw_text(gray(3), []), gray(3))
