"""The early-recognition figure: accuracy against the share of the video that was seen.

As in *Temporal Shift Module*, section 5.5.2.
"""

from collections.abc import Mapping

from mpvn.report.plots import Point, lines_figure


def early_recognition_figure(curves: Mapping[str, Mapping[int, float]]) -> str:
    """Return SVG with one line per network.

    Args:
        curves: For each network, the result of `mpvn.tasks.online_accuracy`: the accuracy by the
            percentage of the video that was seen.

    Raises:
        ValueError: If there are no curves, or a curve has no points or values that are not finite.
            The message lists all faults.
    """
    lines = {
        name: [_point(percent, 100 * accuracy) for percent, accuracy in sorted(curve.items())]
        for name, curve in curves.items()
    }
    return lines_figure(lines, "share of the video seen, %", "accuracy, %")


def _point(x: float, y: float) -> Point:
    return Point(x, y, y, y)
