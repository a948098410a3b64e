"""Confusion matrices and bars: values, and texts that can be read, of 2 to 400 classes."""

import numpy as np
import pytest
from svg_figures import SVG, assert_inside, assert_texts_do_not_overlap, parsed, texts

from mpvn.report.confusion import MOST_BARS, accuracy_bars, bars_figure, confusion_figure


def counts(classes: int) -> np.ndarray:
    found = np.random.default_rng(1).integers(0, 3, (classes, classes))
    found[np.diag_indices(classes)] += 9
    found[0] = 0  # a class without videos
    return found


@pytest.mark.parametrize(("classes", "length"), [(2, 3), (12, 9), (25, 40)])
def test_a_matrix_has_a_cell_for_each_pair(classes: int, length: int) -> None:
    names, found = [f"class {n} ".ljust(length, "x") for n in range(classes)], counts(classes)
    root = parsed(confusion_figure(names, found))
    titles = [title.text for title in root.iter(f"{SVG}title")]
    assert len(titles) == classes**2
    assert titles[classes] == f"{names[1]}: {found[1, 0]} of {found[1].sum()} as {names[0]}"
    shares = [float(e.get("fill-opacity")) for e in root.iter(f"{SVG}rect") if e.get("fill")]
    expected = found / np.maximum(found.sum(axis=1, keepdims=True), 1)
    np.testing.assert_allclose(np.reshape(shares, found.shape), expected, atol=0.006)
    written = [int(text) for text in texts(root) if text.isdigit()]
    assert written == [n for n in found.ravel().tolist() if n]
    upright = [text for text in root.iter(f"{SVG}text") if text.get("transform") is None]
    assert all(float(text.get("x")) > 0 for text in upright)


def test_of_many_classes_the_largest_errors_are_shown() -> None:
    names, found = [f"a class with a long name {n}" for n in range(400)], counts(400)
    found[7, 9] = 50
    found[1, 2] = found[3, 4] = 40
    found[3] = np.minimum(found[3], 40)
    root = parsed(confusion_figure(names, found))
    assert_inside(root)
    assert_texts_do_not_overlap(root)
    pairs = texts(root)[::2]
    assert len(pairs) == MOST_BARS
    assert pairs[0] == "a class with a long nam… → a class with a long nam…"
    assert texts(root)[1] == f"50 of {found[7].sum()}"


def test_bars_are_the_lowest_accuracies_of_classes_with_videos() -> None:
    values, videos = np.array([0.5, np.nan, 0.25, 1.0]), np.array([4, 0, 8, 1])
    bars = accuracy_bars(["run", "none", "walk", "wave"], values, videos)
    assert [(bar.label, bar.share, bar.text) for bar in bars] == [
        ("walk", 0.25, "25 % of 8"),
        ("run", 0.5, "50 % of 4"),
        ("wave", 1.0, "100 % of 1"),
    ]
    root = parsed(bars_figure(bars, "Accuracy by class"))
    assert_inside(root)
    widths = [float(e.get("width")) for e in root.iter(f"{SVG}rect")]
    assert [bar / whole for whole, bar in zip(widths[::2], widths[1::2], strict=True)] == (
        pytest.approx([0.25, 0.5, 1.0], abs=0.001)
    )
