"""The architecture figure: the network itself, cut into subnetworks, with its clocks.

An arc diagram. All layers stand in one row however many there are, so that the whole network is
seen at once; what is too narrow for a name has a tooltip.
"""

import itertools
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence

from mpvn.plan import Plan
from mpvn.plan.clock import Clock
from mpvn.report import svg
from mpvn.report.arrangement import GAP, LEFT, LINE, RIGHT, STRIP, Arrangement, Part, text_width
from mpvn.report.slots import Slot
from mpvn.report.theme import category
from mpvn.report.wording import count, shortened

_FAINT = 0.4


def architecture_figure(plan: Plan) -> str:
    """The layers of a plan from left to right, what skips and feeds back, boundaries and clocks.

    A bar is a layer or a merge with what normalizes and activates it. It is as long as its map is
    large, on a log scale, and faint if it has no multiply-adds. Bars side by side are joined if one
    reads the other. Arcs are what else is read: thin within a step; strong across a boundary, one
    step late. Feedback returns dashed below the bars. The grid says for each step of a period what
    computes. The head is black, on a dark page white.
    """
    arranged = Arrangement(plan)
    items = _legend(arranged)
    places = _flow(items, arranged)
    wide, high = arranged.right + RIGHT, places[-1][1] + 14
    figure = svg.canvas(wide, high, f"Architecture of {plan.graph.model.name}")
    _draw_title(figure, arranged)
    _draw_scale(figure, arranged)
    _draw_boundaries(figure, arranged)
    _draw_arcs(figure, arranged)
    _draw_bars(figure, arranged)
    _draw_joints(figure, arranged)
    _draw_outputs(figure, arranged)
    _draw_feedback(figure, arranged)
    _draw_strip(figure, arranged)
    _draw_steps(figure, arranged)
    _draw_labels(figure, arranged)
    for (draw, words), (x, y) in zip(items, places, strict=True):
        draw(figure, x, y)
        svg.text(figure, x + 30, y + 4, words, "soft", size=svg.SMALL)
    return svg.string(figure)


def _draw_title(figure: ET.Element, arranged: Arrangement) -> None:
    plan = arranged.plan
    svg.text(figure, RIGHT, 20, shortened(plan.graph.model.name, 40), "ink", font_weight="600")
    bars = sum(bool(slot.nodes) for slot in arranged.slots)
    words = f"{count(len(plan.nodes), 'node')} as {count(bars, 'bar')} · period "
    words += count(plan.period, "step")
    if arranged.steps < plan.period:
        words += f", {arranged.steps} of them drawn"
    svg.text(figure, arranged.right, 20, words, "soft", "end", svg.SMALL)


def _row_name(figure: ET.Element, y: float, words: object) -> None:
    """What stands at the right of height `y`."""
    svg.text(figure, LEFT - 8, y, words, "soft", "end", svg.SMALL)


def _color(plan: Plan, subnetwork: int | None) -> str:
    """Color of a subnetwork; of the inputs and the head, that of text."""
    if subnetwork is None or subnetwork == plan.subnetworks:
        return "currentColor"
    return category(subnetwork)[0]


# --- the network --------------------------------------------------------------------------------


def _draw_scale(figure: ET.Element, arranged: Arrangement) -> None:
    """Lines at the commonest lengths of bars, and the pixels they stand for."""
    _row_name(figure, arranged.axis + 3, "pixels")
    extents = [slot.extent for slot in arranged.slots]
    taken = [arranged.axis]
    for extent in sorted(set(extents) - {1}, key=lambda extent: (-extents.count(extent), extent)):
        y = arranged.axis + arranged.lengths[extents.index(extent)]
        if min(abs(y - other) for other in taken) >= 12:
            svg.line(figure, LEFT, y, arranged.right, y, "rule", stroke_opacity=0.7)
            _row_name(figure, y + 4, extent)
            taken.append(y)


def _draw_boundaries(figure: ET.Element, arranged: Arrangement) -> None:
    for part in arranged.parts:
        if part.subnetwork and part.subnetwork < arranged.plan.subnetworks:
            x, kind = part.left - GAP / 2, "mark boundary"
            name = arranged.slots[part.first].name
            line = svg.line(figure, x, 32, x, arranged.bottom, kind, stroke_dasharray="3 3")
            line.set("data-node", name)


def _draw_arcs(figure: ET.Element, arranged: Arrangement) -> None:
    """What is read further on or across a boundary, in the color of what is read."""
    for link in arranged.arcs:
        start, end = arranged.slots[link.start], arranged.slots[link.end]
        left, right = arranged.middles[link.start], arranged.middles[link.end]
        drawn = svg.element(
            figure,
            "path",
            d=_arc(left, right, arranged.axis, arranged.rise(link)),
            fill="none",
            stroke=_color(arranged.plan, start.subnetwork),
            stroke_width=_thickness(link.delay),
            class_="arc",
            data_from=start.name,
            data_to=end.name,
            data_delay=link.delay,
        )
        if link.delay:
            svg.tip(drawn, f"{end.name} reads {start.name}, one step late")


def _arc(left: float, right: float, y: float, rise: float) -> str:
    return f"M{left:.1f} {y:.1f}A{(right - left) / 2:.1f} {rise:.1f} 0 0 1 {right:.1f} {y:.1f}"


def _thickness(delay: int) -> str:
    return "2.2" if delay else "1"


def _draw_bars(figure: ET.Element, arranged: Arrangement) -> None:
    """All bars, hung from the axis, in a group for each subnetwork."""
    for part in arranged.parts:
        if part.subnetwork is None:
            group = svg.element(figure, "g", fill="none", class_="inputs")
        else:
            color = _color(arranged.plan, part.subnetwork)
            group = svg.element(figure, "g", fill=color, data_subnetwork=part.subnetwork)
        for bar in range(part.first, part.end):
            _draw_bar(group, arranged, bar)


def _draw_bar(group: ET.Element, arranged: Arrangement, bar: int) -> None:
    slot, wide = arranged.slots[bar], arranged.widths[bar]
    data = {"data_rate": slot.clock.rate, "data_phase": slot.clock.phase} if slot.nodes else {}
    drawn = svg.element(
        group,
        "rect",
        x=arranged.middles[bar] - wide / 2,
        y=arranged.axis,
        width=wide,
        height=arranged.lengths[bar],
        class_="slot" if slot.nodes else "mark",
        fill_opacity=_FAINT if slot.nodes and not slot.cost else None,
        data_node=slot.name,
        **data,
    )
    svg.tip(drawn, _described(arranged.plan, slot))


def _draw_joints(figure: ET.Element, arranged: Arrangement) -> None:
    """Along the axis, between bars of which one reads the other."""
    y = arranged.axis + 1
    paths: dict[str, list[str]] = {}
    for link in arranged.joints:
        left = arranged.middles[link.start] + arranged.widths[link.start] / 2
        right = arranged.middles[link.end] - arranged.widths[link.end] / 2
        color = _color(arranged.plan, arranged.slots[link.end].subnetwork)
        paths.setdefault(color, []).append(f"M{left:.1f} {y:.1f}H{right:.1f}")
    for color, found in paths.items():
        path = "".join(found)
        svg.element(figure, "path", d=path, stroke=color, stroke_width=2, class_="joints")


def _draw_outputs(figure: ET.Element, arranged: Arrangement) -> None:
    """A triangle below each bar that is an output of the model."""
    graph = arranged.plan.graph
    outputs = {graph.tensors[tensor].producer for tensor in graph.outputs}
    for bar, slot in enumerate(arranged.slots):
        if outputs & {node.index for node in slot.nodes}:
            y = arranged.axis + arranged.lengths[bar] + 3
            _draw_triangle(figure, arranged.middles[bar], y, y + 6).set("data-node", slot.name)


def _draw_triangle(figure: ET.Element, x: float, base: float, top: float) -> ET.Element:
    corners = svg.points([(x - 4, base), (x + 4, base), (x, top)])
    return svg.element(figure, "polygon", points=corners, class_="ink")


def _draw_feedback(figure: ET.Element, arranged: Arrangement) -> None:
    """From below each bar that is fed back to below the bar that reads it at the next step."""
    links = arranged.feedback
    for number, link in enumerate(links):
        start, end = arranged.slots[link.start], arranged.slots[link.end]
        aside = min(6.0, arranged.rooms[link.start] / 4)
        left = arranged.middles[link.end] - (aside if link.start == link.end else 0)
        right = arranged.middles[link.start] + aside
        foot, top = (arranged.axis + arranged.lengths[bar] + 3 for bar in (link.start, link.end))
        y = arranged.loops + 6 + number * min(12, 60 / len(links))
        drawn = svg.element(
            figure,
            "path",
            d=f"M{right:.1f} {foot:.1f}V{y:.1f}H{left:.1f}V{top + 6:.1f}",
            class_="feedback",
            data_from=start.name,
            data_to=end.name,
            data_delay=link.delay,
            **_DASHED,
        )
        svg.tip(drawn, f"{end.name} is {start.name}, one step late")
        _draw_triangle(figure, left, top + 6, top)


_DASHED = {
    "fill": "none",
    "stroke": "currentColor",
    "stroke_width": "1.6",
    "stroke_dasharray": "5 3",
}


# --- subnetworks, clocks, names -----------------------------------------------------------------


def _draw_strip(figure: ET.Element, arranged: Arrangement) -> None:
    """The subnetworks' numbers below their bars."""
    y = arranged.strip + STRIP / 2 + 4
    _row_name(figure, y, "subnetwork")
    for part in arranged.parts:
        x, wide = part.left, part.right - part.left
        style: dict[str, str] = {"font_weight": "600"}
        kind, words = None, str(part.subnetwork)
        if part.subnetwork is None:
            style, kind, words = {}, "soft", "frame"
        elif part.subnetwork == arranged.plan.subnetworks:
            svg.rect(figure, x, arranged.strip, wide, STRIP, "ink head", radius=3)
            kind, words = "on-full", "head"
        else:
            color, style["fill"] = category(part.subnetwork)
            svg.rect(figure, x, arranged.strip, wide, STRIP, "part", radius=3, fill=color)
        if text_width(words) <= wide:
            svg.text(figure, x + wide / 2, y, words, kind, "middle", svg.SMALL, **style)


def _draw_steps(figure: ET.Element, arranged: Arrangement) -> None:
    """Which bars compute at each step, and their clocks in words."""
    _row_name(figure, arranged.grid - 7, "computes")
    for step in range(0, arranged.steps, 1 if arranged.row >= 12 else 4):
        y = arranged.grid + (step + 0.5) * arranged.row + 4
        _row_name(figure, y, step or "step 0")
    high = arranged.bottom - arranged.grid
    for part in arranged.parts:
        if part.subnetwork is None:
            continue
        svg.rect(figure, part.left, arranged.grid, part.right - part.left, high, "card")
        bars = range(part.first, part.end)
        for clock, run in itertools.groupby(bars, key=lambda bar: arranged.slots[bar].clock):
            first, *others = run
            _draw_clock(figure, arranged, part, clock, first, first + len(others) + 1)


def _draw_clock(
    figure: ET.Element, arranged: Arrangement, part: Part, clock: Clock, first: int, end: int
) -> None:
    """The clock of the bars from `first` up to `end`: a dash for each step at which they compute.

    It is one dashed line downwards, as thick as the bars are wide together.
    """
    wide = part.edge(end) - part.edge(first)
    x = part.edge(first) + wide / 2
    words = _in_words(clock)
    fitting = [form for form in words if text_width(form) <= wide - 2]
    if fitting:
        svg.text(figure, x, arranged.grid - 7, fitting[0], "ink", "middle", svg.SMALL)
    begin = arranged.grid + clock.phase * arranged.row + 0.5
    if clock.phase < arranged.steps:
        dash = arranged.row - 1
        drawn = svg.line(figure, x, begin, x, arranged.bottom, "ticks")
        drawn.set("stroke", _color(arranged.plan, part.subnetwork))
        drawn.set("stroke-width", f"{wide:.2f}")
        drawn.set("stroke-dasharray", f"{dash:.2f} {clock.rate * arranged.row - dash:.2f}")
        svg.tip(drawn, words[0])


def _draw_labels(figure: ET.Element, arranged: Arrangement) -> None:
    """Names below the bars; those of units below a line as long as the unit."""
    labels, top = arranged.labels, arranged.bottom + 10
    if labels.names:
        _row_name(figure, top + 9, labels.of)
    for label in labels.names:
        if labels.of == "unit":
            svg.line(figure, label.left + 1, top - 5, label.right - 1, top - 5, "mark")
        x, y, anchor, turn = label.x, top + 9 + LINE * label.line, labels.anchor, None
        if anchor is None:
            x, y, anchor = x + 4, top, "end"
            turn = f"rotate(-90 {x:.1f} {y:.1f})"
        svg.text(figure, x, y, label.words, "ink label", anchor, svg.SMALL, transform=turn)


# --- the legend ---------------------------------------------------------------------------------

_Item = tuple[Callable[[ET.Element, float, float], None], str]


def _legend(arranged: Arrangement) -> list[_Item]:
    """Marks that the figure holds, and what they mean."""
    items: list[_Item] = [
        (
            _bar_mark,
            "layer or merge, with what normalizes or activates it; faint: without multiply-adds",
        )
    ]
    delays = {link.delay for link in arranged.arcs}
    if 0 in delays:
        items.append((_arc_mark, "read in the same step"))
    if 1 in delays:
        items.append((_strong_arc_mark, "read across a boundary, one step late"))
    if arranged.feedback:
        items.append((_feedback_mark, "fed back, one step late"))
    items.append((_output_mark, "output"))
    return items


def _flow(items: Sequence[_Item], arranged: Arrangement) -> list[tuple[float, float]]:
    """Where the items of a legend stand: side by side as far as they fit."""
    places = []
    x, y = float(LEFT), arranged.legend
    for _, words in items:
        wide = 30 + text_width(words)
        if x > LEFT and x + wide > arranged.right:
            x, y = float(LEFT), y + 20
        places.append((x, y))
        x += wide + 18
    return places


def _bar_mark(figure: ET.Element, x: float, y: float) -> None:
    color = category(0)[0]
    svg.rect(figure, x + 2, y - 7, 8, 14, fill=color)
    svg.rect(figure, x + 13, y - 7, 8, 14, fill=color, fill_opacity=_FAINT)


def _arc_mark(figure: ET.Element, x: float, y: float, delay: int = 0) -> None:
    style = {"fill": "none", "stroke": category(0)[0], "stroke_width": _thickness(delay)}
    svg.element(figure, "path", d=_arc(x + 1, x + 23, y + 5, 10), **style)


def _strong_arc_mark(figure: ET.Element, x: float, y: float) -> None:
    _arc_mark(figure, x, y, delay=1)


def _feedback_mark(figure: ET.Element, x: float, y: float) -> None:
    path = f"M{x + 22:.1f} {y - 6:.1f}V{y + 5:.1f}H{x + 5:.1f}V{y:.1f}"
    svg.element(figure, "path", d=path, **_DASHED)
    _draw_triangle(figure, x + 5, y, y - 6)


def _output_mark(figure: ET.Element, x: float, y: float) -> None:
    _draw_triangle(figure, x + 12, y - 3, y + 3)


# --- words --------------------------------------------------------------------------------------


def _in_words(clock: Clock) -> list[str]:
    """A clock, in fewer and fewer words."""
    if clock.rate == 1:
        return ["every step", "each"]
    often = f"every {_ordinal(clock.rate)}"
    begin = f"from {clock.phase}"
    return [f"{often} step, {begin}", f"{often}, {begin}", often, _ordinal(clock.rate)]


def _ordinal(number: int) -> str:
    endings = {1: "st", 2: "nd", 3: "rd"}
    teen = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teen else endings.get(number % 10, 'th')}"


def _described(plan: Plan, slot: Slot) -> str:
    """A bar's tooltip."""
    names = ", ".join([slot.name, *(node.name for node in slot.nodes[1:])])
    shape = " × ".join(map(str, slot.tensor.shape))
    if slot.subnetwork is None:
        return f"{names}\n{shape}"
    where = "head" if slot.subnetwork == plan.subnetworks else f"subnetwork {slot.subnetwork}"
    window = max(node.window for node in slot.nodes)
    sees = f", sees {count(window, 'tick')}" if window > 1 else ""
    work = f"{slot.cost:,} multiply-adds"
    return f"{names}\n{shape}, {work}\n{where}, {_in_words(slot.clock)[0]}{sees}"
