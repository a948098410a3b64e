"""Draws the network in the architecture figure: bars, arcs, boundaries and feedback."""

import itertools
import xml.etree.ElementTree as ET

from mpvn.plan import Plan
from mpvn.report import svg
from mpvn.report.architecture.bars import Bar
from mpvn.report.architecture.columns import GAP, LEFT
from mpvn.report.architecture.layout import Layout
from mpvn.report.architecture.marks import (
    FAINT,
    FEEDBACK_STYLE,
    arc_path,
    arc_width,
    draw_row_name,
    draw_triangle,
    subnetwork_color,
)
from mpvn.report.wording import clock_phrases, count


def draw_network(figure: ET.Element, layout: Layout) -> None:
    """Draw the scale, the boundaries, the bars and what they read."""
    _draw_scale(figure, layout)
    _draw_boundaries(figure, layout)
    _draw_arcs(figure, layout)
    _draw_bars(figure, layout)
    _draw_joints(figure, layout)
    _draw_outputs(figure, layout)
    _draw_feedback(figure, layout)


def _draw_scale(figure: ET.Element, layout: Layout) -> None:
    """Draw lines at the most frequent lengths of bars, with the sizes of the maps in pixels."""
    draw_row_name(figure, layout.axis + 3, "pixels")
    extents = [bar.extent for bar in layout.bars]
    occupied = [layout.axis]
    for extent in sorted(set(extents) - {1}, key=lambda extent: (-extents.count(extent), extent)):
        y = layout.axis + layout.lengths[extents.index(extent)]
        if min(abs(y - other) for other in occupied) >= 12:
            svg.line(figure, LEFT, y, layout.right, y, "rule", stroke_opacity=0.7)
            draw_row_name(figure, y + 4, extent)
            occupied.append(y)


def _draw_boundaries(figure: ET.Element, layout: Layout) -> None:
    subnetworks = range(layout.plan.subnetworks)
    for before, section in itertools.pairwise(layout.sections):
        if before.subnetwork is not None and section.subnetwork in subnetworks:
            x, class_ = section.left - GAP / 2, "mark boundary"
            line = svg.line(figure, x, 32, x, layout.bottom, class_, stroke_dasharray="3 3")
            line.set("data-node", layout.bars[section.first].name)


def _draw_arcs(figure: ET.Element, layout: Layout) -> None:
    """Draw arcs in the color of what is read."""
    for link in layout.arcs:
        start, end = layout.bars[link.start], layout.bars[link.end]
        left, right = layout.centers[link.start], layout.centers[link.end]
        arc = svg.element(
            figure,
            "path",
            d=arc_path(left, right, layout.axis, layout.rise(link)),
            fill="none",
            stroke=subnetwork_color(layout.plan, start.subnetwork),
            stroke_width=arc_width(link.delay),
            class_="arc",
            data_from=start.name,
            data_to=end.name,
            data_delay=link.delay,
        )
        if link.delay:
            svg.tooltip(arc, f"{end.name} reads {start.name} one step later")


def _draw_bars(figure: ET.Element, layout: Layout) -> None:
    """Draw all bars, in one group per section."""
    for section in layout.sections:
        if section.subnetwork is None:
            group = svg.element(figure, "g", fill="none", class_="inputs")
        else:
            color = subnetwork_color(layout.plan, section.subnetwork)
            group = svg.element(figure, "g", fill=color, data_subnetwork=section.subnetwork)
        for index in range(section.first, section.end):
            _draw_bar(group, layout, index)


def _draw_bar(group: ET.Element, layout: Layout, index: int) -> None:
    bar, width = layout.bars[index], layout.widths[index]
    data = {"data_rate": bar.clock.rate, "data_phase": bar.clock.phase} if bar.nodes else {}
    rect = svg.element(
        group,
        "rect",
        x=layout.centers[index] - width / 2,
        y=layout.axis,
        width=width,
        height=layout.lengths[index],
        class_="bar" if bar.nodes else "mark",
        fill_opacity=FAINT if bar.nodes and not bar.cost else None,
        data_node=bar.name,
        **data,
    )
    svg.tooltip(rect, _description(layout.plan, bar))


def _description(plan: Plan, bar: Bar) -> str:
    """Return the tooltip of a bar."""
    names = ", ".join([bar.name, *(node.name for node in bar.nodes[1:])])
    shape = " × ".join(map(str, bar.tensor.shape))
    if bar.subnetwork is None:
        return f"{names}\n{shape}"
    place = "head" if bar.subnetwork == plan.subnetworks else f"subnetwork {bar.subnetwork}"
    window = max(node.window for node in bar.nodes)
    sees = f", sees {count(window, 'tick')}" if window > 1 else ""
    sees += ", remembers its last tick" * any(node.memory for node in bar.nodes)
    work = f"{bar.cost:,} multiply-adds"
    return f"{names}\n{shape}, {work}\n{place}, {clock_phrases(bar.clock)[0]}{sees}"


def _draw_joints(figure: ET.Element, layout: Layout) -> None:
    """Draw lines along the axis between neighbors where the right bar reads the left one."""
    y = layout.axis + 1
    paths: dict[str, list[str]] = {}  # By color.
    for link in layout.joints:
        left = layout.centers[link.start] + layout.widths[link.start] / 2
        right = layout.centers[link.end] - layout.widths[link.end] / 2
        color = subnetwork_color(layout.plan, layout.bars[link.end].subnetwork)
        paths.setdefault(color, []).append(f"M{left:.1f} {y:.1f}H{right:.1f}")
    for color, lines in paths.items():
        path = "".join(lines)
        svg.element(figure, "path", d=path, stroke=color, stroke_width=2, class_="joints")


def _draw_outputs(figure: ET.Element, layout: Layout) -> None:
    """Draw a triangle below each bar that is an output of the model."""
    graph = layout.plan.graph
    outputs = {graph.tensors[tensor].producer for tensor in graph.outputs}
    for index, bar in enumerate(layout.bars):
        if outputs & {node.index for node in bar.nodes}:
            y = layout.axis + layout.lengths[index] + 3
            draw_triangle(figure, layout.centers[index], y, y + 6).set("data-node", bar.name)


def _draw_feedback(figure: ET.Element, layout: Layout) -> None:
    """Draw dashed lines below the bars, from the source to the bar that reads it a step later."""
    links = layout.feedback
    for number, link in enumerate(links):
        start, end = layout.bars[link.start], layout.bars[link.end]
        offset = min(6.0, layout.rooms[link.start] / 4)
        left = layout.centers[link.end] - (offset if link.start == link.end else 0)
        right = layout.centers[link.start] + offset
        foot, top = (layout.axis + layout.lengths[i] + 3 for i in (link.start, link.end))
        y = layout.loops + 6 + number * min(12, 60 / len(links))
        path = svg.element(
            figure,
            "path",
            d=f"M{right:.1f} {foot:.1f}V{y:.1f}H{left:.1f}V{top + 6:.1f}",
            class_="feedback",
            data_from=start.name,
            data_to=end.name,
            data_delay=link.delay,
            **FEEDBACK_STYLE,
        )
        svg.tooltip(path, f"{end.name} is {start.name} of the previous step")
        draw_triangle(figure, left, top + 6, top)
