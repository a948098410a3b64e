"""The early-recognition figure: accuracy in percent against the share of the video."""

import math
import xml.etree.ElementTree as ET

import pytest

from mpvn.report.early_recognition import early_recognition_figure
from mpvn.report.plots import Point, lines_figure


def test_accuracy_is_drawn_in_percent() -> None:
    curves = {"online": {50: 0.5, 10: 0.25, 100: 0.75}, "per frame": {10: 0.2, 100: 0.3}}
    points = {
        "online": [Point(10, 25, 25, 25), Point(50, 50, 50, 50), Point(100, 75, 75, 75)],
        "per frame": [Point(10, 20, 20, 20), Point(100, 30, 30, 30)],
    }
    figure = early_recognition_figure(curves)
    assert figure == lines_figure(points, "share of the video seen, %", "accuracy, %")
    texts = {
        element.text for element in ET.fromstring(figure).iter("{http://www.w3.org/2000/svg}text")
    }
    assert {"share of the video seen, %", "accuracy, %", "10", "50", "100", *curves} <= texts


@pytest.mark.parametrize(
    ("curves", "message"),
    [
        ({}, "at least one series"),
        ({"online": {}}, "'online': Expected at least one point"),
        ({"online": {10: math.nan}}, "'online': Expected finite low"),
    ],
)
def test_curves_that_cannot_be_drawn_are_rejected(curves: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        early_recognition_figure(curves)
