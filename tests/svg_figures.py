"""Read SVG figures in tests: their elements, their texts, and where they lie."""

import itertools
import re
import xml.etree.ElementTree as ET

import pytest

SVG = "{http://www.w3.org/2000/svg}"

Box = tuple[float, float, float, float]  # left, top, right, bottom


def parsed(svg: str) -> ET.Element:
    root = ET.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    return root


def of_class(root: ET.Element, name: str) -> list[ET.Element]:
    return [e for e in root.iter() if name in e.get("class", "").split()]


def texts(root: ET.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def assert_inside(root: ET.Element) -> None:
    """Assert that everything lies inside the figure, given estimated widths of texts."""
    width, height = float(root.get("width")), float(root.get("height"))
    for element in root.iter():
        for left, top, right, bottom in boxes(element):
            assert left >= 0 and right <= width, ET.tostring(element)
            assert top >= 0 and bottom <= height, ET.tostring(element)


def assert_texts_do_not_overlap(root: ET.Element) -> None:
    named_boxes = [(text.text, text_box(text)) for text in root.iter(f"{SVG}text")]
    for (name, a), (other, b) in itertools.combinations(named_boxes, 2):
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, f"{name!r} and {other!r} overlap"


def boxes(element: ET.Element) -> list[Box]:
    """Boxes that contain what an element draws."""

    def value(key: str) -> float:
        return float(element.get(key))

    tag = element.tag.removeprefix(SVG)
    if tag == "text":
        return [text_box(element)]
    if tag == "rect":
        x, y = value("x"), value("y")
        return [(x, y, x + value("width"), y + value("height"))]
    if tag == "line":
        half = float(element.get("stroke-width", 0)) / 2 * (value("x1") == value("x2"))
        return [(value("x1") - half, value("y1"), value("x2") + half, value("y2"))]
    if tag == "polygon":
        return [(*map(float, pair.split(",")),) * 2 for pair in element.get("points").split()]
    if tag == "path":
        return path_boxes(element.get("d"))
    return []


def path_boxes(path: str) -> list[Box]:
    """The corners of a path of M, H, V, and the tops of its arcs A."""
    x = y = 0.0
    corners = []
    for command, arguments in re.findall(r"([MHVA])([^MHVA]*)", path):
        numbers = [float(number) for number in arguments.split()]
        if command == "A":
            corners.append((x, y - numbers[1], x, y))
        x = numbers[0] if command in "MH" else numbers[-2] if command == "A" else x
        y = numbers[-1] if command in "MVA" else y
        corners.append((x, y, x, y))
    return corners


def text_box(text: ET.Element) -> Box:
    size = float(text.get("font-size"))
    width = 0.6 * size * len(text.text)
    x, y = float(text.get("x")), float(text.get("y"))
    start = {"middle": width / 2, "end": width}.get(text.get("text-anchor"), 0.0)
    if text.get("transform"):  # Turned by 90 degrees: left becomes down.
        turn = re.fullmatch(r"rotate\(-90 (\S+) (\S+)\)", text.get("transform"))
        assert [float(number) for number in turn.groups()] == pytest.approx([x, y], abs=0.1)
        assert text.get("text-anchor") == "end"
        return x - 0.75 * size, y, x + 0.2 * size, y + width
    return x - start, y - 0.75 * size, x - start + width, y + 0.2 * size
