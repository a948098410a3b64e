"""Early recognition as a figure: accuracy by the share of a video that was seen."""

from collections.abc import Mapping

from mpvn.report.plots import Point, lines_figure


def early_recognition_figure(curves: Mapping[str, Mapping[int, float]]) -> str:
    """A line for each network, from the first frames to the whole video.

    Args:
        curves: by name of the network, what `mpvn.tasks.online_accuracy` gives: share of videos
            that are right, by percent of the video seen.

    Returns:
        SVG, for `write_report`.

    Raises:
        ValueError: no curves, or one without points, or with what is not finite; all faults at
            once.
    """
    lines = {
        name: [_point(percent, 100 * share) for percent, share in sorted(curve.items())]
        for name, curve in curves.items()
    }
    return lines_figure(lines, "share of the video seen, %", "accuracy, %")


def _point(x: float, y: float) -> Point:
    return Point(x, y, y, y)
