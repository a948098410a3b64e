"""Plans and measurements as vector figures, each a string of SVG.

Written as SVG by hand rather than plotted: text stays text, every mark carries what it stands for
(`data-` attributes and a tooltip), and one style sheet serves light and dark pages. A figure is a
pure function of its arguments: the same plan gives the same bytes. Figures follow *Massively
Parallel Video Networks*, section 3 (schedules; its figure 9 is `timeline_figure`).

What they do not do well: a period or a run of several hundred steps makes a tall schedule or a wide
timeline; text widths are estimated, for SVG cannot measure them.
"""

import itertools
import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mpvn import timing
from mpvn.graph import Node
from mpvn.plan import Plan

_WIDTH = 760
_TEXT = 13
_SMALL = 11
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"

# class: (property, on light, on dark). No CSS variables: not every SVG viewer knows them.
_THEME = {
    "ink": ("fill", "#1b2026", "#e8ebef"),
    "soft": ("fill", "#59636e", "#a3adb8"),
    "rule": ("stroke", "#d3d9df", "#39424c"),
    "mark": ("stroke", "#59636e", "#a3adb8"),
    "card": ("fill", "#eff2f5", "#20272e"),
    "accent": ("fill", "#165c9f", "#6db4f2"),
    # Text on the accent, at more than half and at nearly all of its strength.
    "on-half": ("fill", "#1b2026", "#0d141b"),
    "on-full": ("fill", "#ffffff", "#0d141b"),
}

# Okabe and Ito's colours, told apart by colour-blind readers. Seven of them, so that frames two,
# four, eight or sixteen apart differ in colour.
_CATEGORIES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#e3d53b")
# Fast to slow clocks: dark blue to yellow, told apart by lightness alone.
_RAMP = ("#3f5fa8", "#2c92a6", "#4bb58d", "#a6c957", "#f0c64a")


# --- the figures --------------------------------------------------------------------------------


def schedule_figure(plan: Plan) -> str:
    """One period of `plan`: a row per step, a column per subnetwork, and what each step costs.

    A cell's shade and number are the percentage of its subnetwork's multiply-adds that run at that
    step; an empty cell is rest. The bar at the right is the step's cost relative to the whole frame
    model. The head is counted with the last subnetwork, as in `Plan.costs`.
    """
    rows, columns = plan.period, plan.subnetworks
    wide, high = min(60, 432 // columns), 24 if rows <= 24 else 15
    left, top = 52, 64
    bar_left = left + max(columns * wide, 84) + 20
    bar_wide = _WIDTH - bar_left - 52.0
    total = max(1, sum(plan.node_costs))
    most = _work_by_lane(plan, columns)
    svg = _canvas(_WIDTH, top + rows * high + 34, f"Schedule of {plan.graph.model.name}")

    _text(svg, left - 12, top - 10, "step", "soft", anchor="end")
    heading = "subnetwork" if columns < 5 else "subnetwork, % of its multiply-adds"
    _text(svg, left, 18, heading, "ink")
    _text(svg, bar_left, 18, "step cost, % of the frame model", "ink")
    for column in range(columns):
        name = str(column) if plan.head is None or column < columns - 1 else f"{column}+h"
        _text(svg, left + (column + 0.5) * wide, top - 10, name, "soft", anchor="middle")
    for percent in (0, 25, 50, 75, 100):
        x = bar_left + bar_wide * percent / 100
        _line(svg, x, top - 4, x, top + rows * high, "rule")
        _text(svg, x, top - 10, percent, "soft", anchor="middle", size=_SMALL)

    every = 1 if rows <= 24 else 4
    for step, row in enumerate(plan.costs):
        y = top + step * high
        if step % every == 0:
            _text(svg, left - 12, y + high / 2 + 4, step, "soft", anchor="end")
        for column, cost in enumerate(row):
            works = bool(_ticking(plan, step, column, columns))
            box = (left + column * wide, y, wide, high)
            _schedule_cell(svg, box, step, column, cost, most[column], works)
        share = sum(row) / total
        bar = _rect(svg, bar_left, y + 4, bar_wide * share, high - 8, "accent cost", radius=2)
        bar.set("data-cost", str(sum(row)))
        _tip(bar, f"step {step}: {sum(row):,} multiply-adds")
        _text(svg, _WIDTH - 8, y + high / 2 + 4, _percent(share), "ink", anchor="end", size=_SMALL)

    mean = sum(plan.step_costs) / total / rows
    x = bar_left + bar_wide * mean
    _line(svg, x, top, x, top + rows * high + 8, "mark", dash="4 3")
    _text(svg, x, top + rows * high + 22, f"mean {_percent(mean)} %", "soft", anchor="middle")
    _text(svg, left, top + rows * high + 22, f"{_count(rows, 'step')} in a period", "soft")
    return _string(svg)


def timeline_figure(plan: Plan, steps: int) -> str:
    """The first `steps` steps of a stream: when each subnetwork works, and on which frame.

    As the paper's figure 9: time runs to the right, one lane per subnetwork (and one for the head,
    if there is one). A box says that the subnetwork works; its number and colour are the newest
    frame that the last of its nodes at work has seen, its height the share of the subnetwork's
    multiply-adds. A dashed box works on zeros: no frame has come so far yet. Lines join the first
    use of a frame in one lane to its first use in the next.

    Raises:
        ValueError: `steps` is no positive integer.
    """
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise ValueError(f"steps: expected an integer of at least 1. Received: {steps!r}")
    lanes = plan.subnetworks + (plan.head is not None)
    names = [f"subnetwork {lane}" for lane in range(plan.subnetworks)] + ["head"]
    left, top, high = 116, 34, 38
    wide = max(24.0, min(48.0, (_WIDTH - left - 14) / steps))
    width = max(_WIDTH, left + steps * wide + 14)
    bottom = top + lanes * high
    boxes = _timeline(plan, steps, lanes)
    svg = _canvas(width, bottom + 32, f"Timeline of {plan.graph.model.name}")

    for lane in range(lanes):
        y = top + (lane + 1) * high
        _line(svg, left, y, left + steps * wide, y, "rule")
        _text(svg, left - 12, y - 13, names[lane], "ink", anchor="end")
    every = next(n for n in (1, 2, 4, 8, 16, 32, 64) if wide * n >= 24)
    for step in range(0, steps, every):
        _text(svg, left + (step + 0.5) * wide, top - 8, step, "soft", "middle", size=_SMALL)
    _text(svg, left - 12, top - 8, "step", "soft", anchor="end", size=_SMALL)
    _journeys(svg, boxes, left, top, wide, high)
    for box in boxes:
        _timeline_box(svg, box, left + box.step * wide, top + (box.lane + 1) * high, wide, high)

    legend = "number and colour: frame worked on · height: share of the lane's multiply-adds"
    if any(box.frame < 0 for box in boxes):
        legend += " · dashed: on zeros, before frame 0"
    _text(svg, left, bottom + 24, legend, "soft", size=_SMALL)
    return _string(svg)


def latency_figure(runs: Mapping[str, Sequence[float]]) -> str:
    """Latency of every step for each way of running, below one another on one scale.

    Args:
        runs: by name of the way, the latency of each step in milliseconds. Ways take their colours
            in the order given. Runs may differ in length; a long run is drawn by the slowest step
            of each few, and says so.

    The solid line is the median, the dashed one the 95th percentile. The scale is linear from zero;
    up to one step in a hundred, such as a first step that still compiles, may run out of the top,
    marked by a triangle and the slowest by its time. Where even so the slowest step takes more than
    12 times the fastest way's median, the scale is logarithmic.

    Raises:
        ValueError: no runs, or a run that is empty or holds anything but finite numbers >= 0; all
            faults at once.
    """
    values = _checked_runs(runs)
    left, right, top, high, gap = 52, 150, 30, 92, 34
    plot = _WIDTH - left - right
    scale = _latency_scale(list(values.values()))
    longest = max(len(run) for run in values.values())
    bottom = top + len(values) * (high + gap) - gap
    svg = _canvas(_WIDTH, bottom + 44, "Latency of each step")

    for number, (name, run) in enumerate(values.items()):
        y = top + number * (high + gap)
        panel = _Panel(left, y, plot, high, scale)
        colour = _CATEGORIES[number % len(_CATEGORIES)]
        _rect(svg, left, y - 19, 11, 11, colour=colour, radius=2)
        _text(svg, left + 18, y - 9, _shortened(name, 78), "ink", bold=True)
        for tick in scale.ticks:
            _line(svg, left, panel.y(tick), left + plot, panel.y(tick), "rule")
            _text(svg, left - 8, panel.y(tick) + 4, _tick_label(tick), "soft", "end", size=_SMALL)
        _latency_panel(svg, panel, name, run, longest, colour)

    unit = "ms" if scale.low == 0 else "ms, log"
    _text(svg, left - 8, 14, unit, "soft", anchor="end", size=_SMALL)
    for tick in _linear_ticks(longest - 1, 8):
        x = left + plot * (tick + 0.5) / longest
        _text(svg, x, bottom + 18, round(tick), "soft", anchor="middle", size=_SMALL)
    group = _group_size(longest)
    name = "step" if group == 1 else f"step (drawn: the slowest of each {group})"
    _text(svg, left + plot / 2, bottom + 38, name, "soft", anchor="middle")
    return _string(svg)


def network_figure(plan: Plan) -> str:
    """The subnetworks from frame to output: work, clock rates, nodes, and what crosses boundaries.

    Bars are multiply-adds as percentages of the whole frame model, coloured by the clock rate of
    the nodes that do them. Between two subnetworks stand the values handed over there from one step
    to the next, for one stream; a skip connection counts at every boundary it crosses. The head
    reads within the step, so nothing is handed over before it. What is fed back is named at the
    bottom and counts at no boundary.
    """
    lanes = plan.subnetworks + (plan.head is not None)
    high, gap = (44, 30) if lanes <= 8 else (34, 22)
    top, left, bar_left, bar_wide = 76, 16, 152, 390
    rates = sorted({clock.rate for clock in plan.clock_of.values()})
    colours = dict(zip(rates, _ramp(len(rates)), strict=True))
    work = _work_by_rate(plan, lanes)
    largest = max(1, *(sum(by_rate.values()) for by_rate in work))
    total = max(1, sum(plan.node_costs))
    height = top + lanes * (high + gap) - gap + 34
    svg = _canvas(_WIDTH, height, f"Subnetworks of {plan.graph.model.name}")

    _rate_legend(svg, colours)
    shapes = [plan.graph.tensors[index].shape for index in plan.graph.inputs]
    frame = "frame " + ", ".join(" × ".join(map(str, shape)) for shape in shapes)
    _arrow(svg, left + 42, top - 28, 20)
    _text(svg, left + 58, top - 14, _shortened(frame, 50), "soft")
    _text(svg, bar_left + bar_wide + 56, top - 14, "nodes", "soft", anchor="end")
    _text(svg, bar_left + bar_wide + 82, top - 14, "clock rates", "soft")

    crossing = _crossing(plan)
    for lane, by_rate in enumerate(work):
        y = top + lane * (high + gap)
        name = f"subnetwork {lane}" if lane < plan.subnetworks else "head"
        card = _rect(svg, left, y, _WIDTH - 2 * left, high, "card lane", radius=7)
        card.set("data-cost", str(sum(by_rate.values())))
        middle = y + high / 2
        _text(svg, left + 12, middle + 4.5, name, "ink", bold=True)
        x = float(bar_left)
        for rate in sorted(by_rate):
            length = (bar_wide - 48) * by_rate[rate] / largest
            bar = _rect(svg, x, middle - 8, length, 16, colour=colours[rate])
            _tip(bar, f"{name}, clock rate {rate}: {by_rate[rate]:,} multiply-adds a tick")
            x += length
        share = sum(by_rate.values()) / total
        _text(svg, x + 7, middle + 4, f"{_percent(share)} %", "ink", size=_SMALL)
        mine = [node for node in plan.graph.nodes if plan.subnetwork(node) == lane]
        _text(svg, bar_left + bar_wide + 56, middle + 4.5, len(mine), "ink", anchor="end")
        ticks = sorted({plan.clock(node).rate for node in mine})
        _text(svg, bar_left + bar_wide + 82, middle + 4.5, _rate_list(ticks), "ink")
        if lane + 1 < lanes:
            _arrow(svg, left + 42, y + high + 4, gap - 8)
            label = "read in the same step"
            if lane + 1 < plan.subnetworks:
                count, tensors = crossing[lane]
                label = f"{count:,} values in {_count(tensors, 'tensor')}"
            _text(svg, left + 58, y + high + gap / 2 + 4, label, "soft boundary", size=_SMALL)

    y = top + lanes * (high + gap) - gap
    _arrow(svg, left + 42, y + 4, 20)
    fed_back = dict.fromkeys(n.feedback_source for n in plan.graph.nodes if n.feedback_source)
    output = ", ".join(["output", *(f"{source} fed back" for source in fed_back)])
    _text(svg, left + 58, y + 19, _shortened(output, 36), "soft")
    fewest, most = plan.information_latency
    latency = _count(most, "step") if fewest == most else f"{fewest} to {most} steps"
    text = f"information latency {latency} · {_bytes(plan.cached_bytes)} kept per stream"
    _text(svg, _WIDTH - left, y + 19, text, "soft", anchor="end")
    return _string(svg)


# --- what a plan does ---------------------------------------------------------------------------


class _Box(NamedTuple):
    """A lane at work at a step: on which frame (negative: before the first), and how hard."""

    lane: int
    step: int
    frame: int
    share: float


def _ticking(plan: Plan, step: int, lane: int, lanes: int) -> list[Node]:
    """Nodes of `lane` that compute at `step`; with `lanes` lanes, the last takes in the rest."""
    return [
        node
        for node in plan.graph.nodes
        if min(plan.subnetwork(node), lanes - 1) == lane and plan.clock(node).ticks(step)
    ]


def _timeline(plan: Plan, steps: int, lanes: int) -> list[_Box]:
    """The boxes of `timeline_figure`, lane by lane."""
    ages = timing.node_ages(plan)
    most = _work_by_lane(plan, lanes)
    boxes: list[_Box] = []
    for lane, phase in itertools.product(range(lanes), range(min(plan.period, steps))):
        nodes = _ticking(plan, phase, lane, lanes)
        if not nodes:
            continue
        age = ages[nodes[-1].index].newest[phase]
        share = sum(plan.node_costs[node.index] for node in nodes) / max(1, most[lane])
        boxes.extend(
            _Box(lane, step, step - age, share) for step in range(phase, steps, plan.period)
        )
    return sorted(boxes)


def _work_by_lane(plan: Plan, lanes: int) -> list[int]:
    """Multiply-adds of each lane for a whole frame; with `lanes` lanes, the last takes the rest."""
    work = [0] * lanes
    for node, cost in zip(plan.graph.nodes, plan.node_costs, strict=True):
        work[min(plan.subnetwork(node), lanes - 1)] += cost
    return work


def _work_by_rate(plan: Plan, lanes: int) -> list[dict[int, int]]:
    """The same by lane and clock rate."""
    work: list[dict[int, int]] = [{} for _ in range(lanes)]
    for node, cost in zip(plan.graph.nodes, plan.node_costs, strict=True):
        rate = plan.clock(node).rate
        by_rate = work[min(plan.subnetwork(node), lanes - 1)]
        by_rate[rate] = by_rate.get(rate, 0) + cost
    return work


def _crossing(plan: Plan) -> list[tuple[int, int]]:
    """(values, tensors) that cross each boundary forward from one step to the next."""
    crossing: list[set[int]] = [set() for _ in range(plan.subnetworks - 1)]
    for node in plan.graph.nodes:
        for tensor in () if node.feedback_source else node.inputs:
            producer = plan.graph.producer(tensor)
            if producer is not None and plan.delay(producer, node):
                for boundary in range(plan.subnetwork(producer), plan.subnetwork(node)):
                    crossing[boundary].add(tensor)
    shapes = [tensor.shape for tensor in plan.graph.tensors]
    return [(sum(math.prod(shapes[t]) for t in found), len(found)) for found in crossing]


# --- parts of figures ---------------------------------------------------------------------------


def _schedule_cell(
    svg: ET.Element,
    box: tuple[float, float, float, float],
    step: int,
    column: int,
    cost: int,
    most: int,
    works: bool,
) -> None:
    x, y, wide, high = box
    share = cost / most if most else 0.0
    kind = "accent works" if works else "card rest"
    cell = _rect(svg, x + 1, y + 1, wide - 2, high - 2, f"{kind} cell", radius=3)
    cell.set("data-step", str(step))
    cell.set("data-subnetwork", str(column))
    cell.set("data-cost", str(cost))
    if not works:
        _tip(cell, f"step {step}, subnetwork {column}: rest")
        return
    cell.set("fill-opacity", f"{0.16 + 0.84 * share:.2f}")
    _tip(cell, f"step {step}, subnetwork {column}: {cost:,} multiply-adds")
    if high >= 20:
        shade = "on-full" if share > 0.72 else "on-half" if share > 0.5 else "ink"
        size = _SMALL if wide >= 34 else _SMALL - 1
        _text(svg, x + wide / 2, y + high / 2 + 4, _percent(share), shade, "middle", size)


def _timeline_box(
    svg: ET.Element, box: _Box, x: float, base: float, wide: float, high: float
) -> None:
    """Draws `box` above the line at `base`."""
    tall = 14 + (high - 20) * box.share
    known = box.frame >= 0
    colour = _CATEGORIES[box.frame % len(_CATEGORIES)] if known else "none"
    kind = "box" if known else "mark box"
    rect = _rect(svg, x + 1.5, base - tall - 2, wide - 3, tall, kind, colour, radius=3)
    rect.set("data-lane", str(box.lane))
    rect.set("data-step", str(box.step))
    if not known:
        rect.set("stroke-dasharray", "3 3")
        _tip(rect, f"step {box.step}: works on zeros, before the first frame")
        return
    rect.set("data-frame", str(box.frame))
    _tip(rect, f"step {box.step}: works on frame {box.frame}, {_percent(box.share)} % of its work")
    label = _text(svg, x + wide / 2, base - tall / 2 + 2, box.frame, None, "middle", size=_SMALL)
    label.set("fill", _readable_on(colour))


def _journeys(
    svg: ET.Element, boxes: Sequence[_Box], left: float, top: float, wide: float, high: float
) -> None:
    """Lines from the first box of a frame in each lane to its first box in the next."""
    first: dict[tuple[int, int], _Box] = {}
    for box in boxes:
        first.setdefault((box.lane, box.frame), box)
    for (lane, frame), box in first.items():
        onward = first.get((lane + 1, frame))
        if frame >= 0 and onward and onward.step >= box.step:
            line = _line(
                svg,
                left + (box.step + 0.5) * wide,
                top + (lane + 1) * high - 9,
                left + (onward.step + 0.5) * wide,
                top + (lane + 2) * high - 9,
                "journey",
            )
            line.set("stroke", _CATEGORIES[frame % len(_CATEGORIES)])
            line.set("stroke-width", "2")


def _latency_panel(
    svg: ET.Element, panel: "_Panel", name: str, run: np.ndarray, longest: int, colour: str
) -> None:
    """One way's steps, median and 95th percentile, the latter two labelled at the right."""
    group = _group_size(longest)
    drawn = [run[start : start + group].max() for start in range(0, len(run), group)]
    unit = panel.wide / longest
    points = []
    for number, value in enumerate(drawn):
        y = panel.y(value)
        after = min((number + 1) * group, len(run))
        points += [(panel.x + number * group * unit, y), (panel.x + after * unit, y)]
    steps = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    if panel.scale.low == 0:
        floor = panel.y(0)
        area = f"{panel.x:.1f},{floor:.1f} {steps} {points[-1][0]:.1f},{floor:.1f}"
        ET.SubElement(svg, "polygon", {"points": area, "fill": colour, "fill-opacity": "0.22"})
    line = ET.SubElement(svg, "polyline", {"points": steps, "fill": "none", "stroke": colour})
    line.set("class", "run")
    line.set("stroke-width", "1.4")
    line.set("stroke-linejoin", "round")
    _tip(line, name)

    _outliers(svg, panel, run, unit, colour)

    median, high = np.percentile(run, (50, 95))
    end = panel.x + panel.wide
    for value, dash in ((median, None), (high, "5 3")):
        mark = _line(svg, panel.x, panel.y(value), end + 6, panel.y(value), "median", dash)
        mark.set("stroke", "currentColor")
        mark.set("stroke-width", "1.2")
    y_median, y_high = _apart(panel.y(median) + 4, panel.y(high) + 4, 16, panel.top, panel.bottom)
    _text(svg, end + 12, y_median, f"median {_ms(median)} ms", "ink")
    _text(svg, end + 12, y_high, f"95 % ≤ {_ms(high)} ms", "soft")


def _outliers(svg: ET.Element, panel: "_Panel", run: np.ndarray, unit: float, colour: str) -> None:
    """Triangles where a step of `run` is off the scale, and the time of the slowest."""
    for step in np.flatnonzero(run > panel.scale.high):
        x, y = panel.x + (step + 0.5) * unit, panel.top
        points = f"{x - 5:.1f},{y + 8:.1f} {x + 5:.1f},{y + 8:.1f} {x:.1f},{y:.1f}"
        mark = ET.SubElement(svg, "polygon", {"points": points, "fill": colour})
        mark.set("class", "outlier")
        _tip(mark, f"step {step}: {_ms(run[step])} ms")
        if step == run.argmax():
            before = x > panel.x + panel.wide - 90
            text = f"{_ms(run[step])} ms"
            anchor = "end" if before else "start"
            _text(svg, x - 9 if before else x + 9, y + 9, text, "soft", anchor, size=_SMALL)


def _rate_legend(svg: ET.Element, colours: Mapping[int, str]) -> None:
    """A swatch for each clock rate, at the top."""
    x = 16.0
    _text(svg, x, 20, "% of the frame model's multiply-adds, at clock rate", "ink")
    x += 358
    many = len(colours) > 7
    for number, (rate, colour) in enumerate(colours.items()):
        _rect(svg, x, 9, 14, 14, colour=colour, radius=2)
        x += 20
        if not many or number in (0, len(colours) - 1):
            _text(svg, x, 20, rate, "ink")
            x += 14 + 8 * len(str(rate))


def _arrow(svg: ET.Element, x: float, y: float, length: float) -> None:
    """An arrow down from (x, y)."""
    _line(svg, x, y, x, y + length - 4, "mark")
    tip = y + length
    points = f"{x - 4:.1f},{tip - 6:.1f} {x + 4:.1f},{tip - 6:.1f} {x:.1f},{tip:.1f}"
    ET.SubElement(svg, "polygon", {"points": points, "class": "soft"})


# --- scales -------------------------------------------------------------------------------------


class _Scale(NamedTuple):
    """Milliseconds from `low` to `high`; linear if `low` is 0, else logarithmic."""

    low: float
    high: float
    ticks: list[float]

    def __call__(self, value: float) -> float:
        """Where `value` lies, 0 at `low` and 1 at `high`."""
        if self.low == 0:
            return min(value / self.high, 1.0)
        return math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)


class _Panel(NamedTuple):
    """The area of one way in the latency figure."""

    x: float
    top: float
    wide: float
    high: float
    scale: _Scale

    @property
    def bottom(self) -> float:
        return self.top + self.high

    def y(self, value: float) -> float:
        """Height of `value` in the figure."""
        return self.bottom - self.high * self.scale(value)


def _latency_scale(runs: Sequence[np.ndarray]) -> _Scale:
    low = min(float(run.min()) for run in runs)
    high = max(float(run.max()) for run in runs) or 1.0
    usual = max(_usual_maximum(run) for run in runs)
    shown = 1.25 * usual if high > 2 * usual > 0 else 1.04 * high
    if low <= 0 or shown <= 12 * min(float(np.median(run)) for run in runs):
        return _Scale(0.0, shown, _linear_ticks(shown, 4))
    decades = [10.0**power for power in range(-9, 12)]
    ladder = [decade * factor for decade in decades for factor in (1, 2, 5)]
    below = max((step for step in ladder if step <= low), default=low)
    above = min((step for step in ladder if step >= high), default=high)
    ticks = [step for step in ladder if below <= step <= above]
    if len(ticks) > 5:
        ticks = [step for step in ticks if step in decades]
    return _Scale(below, above, ticks)


def _usual_maximum(run: np.ndarray) -> float:
    """The slowest step but for one in a hundred, and for one at least of several."""
    dropped = min(1 + len(run) // 100, len(run) - 1)
    return float(np.sort(run)[-1 - dropped])


def _linear_ticks(high: float, most: int) -> list[float]:
    """Round numbers from 0 to `high`, about `most` of them."""
    if high <= 0:
        return [0.0]
    power = 10.0 ** math.floor(math.log10(high / most))
    unit = next(power * m for m in (1, 2, 5, 10) if high / (power * m) <= most)
    return [unit * number for number in range(int(high / unit + 1e-9) + 1)]


def _group_size(steps: int) -> int:
    """How many steps are drawn as one, so that a run has at most 560 points."""
    return -(-steps // 560)


def _apart(
    median: float, high: float, gap: float, top: float, bottom: float
) -> tuple[float, float]:
    """Heights of two labels, the second above the first by `gap` at least, within the panel."""
    overlap = gap - (median - high)
    if overlap > 0:
        median, high = median + overlap / 2, high - overlap / 2
    shift = max(0.0, top + 8 - high) - max(0.0, median - bottom - 4)
    return median + shift, high + shift


def _checked_runs(runs: Mapping[str, Sequence[float]]) -> dict[str, np.ndarray]:
    """The runs as arrays; raises one error for all faults."""
    values = {name: np.asarray(run, np.float64) for name, run in runs.items()}
    faults = [] if values else ["expected at least one run, received none"]
    for name, run in values.items():
        if run.ndim != 1 or not run.size:
            faults.append(f"{name!r}: expected one number per step, received shape {run.shape}")
        elif not (np.isfinite(run).all() and (run >= 0).all()):
            faults.append(f"{name!r}: expected finite milliseconds >= 0, received {run.min()}")
    if faults:
        raise ValueError("latencies cannot be drawn:\n" + "\n".join(f"  - {f}" for f in faults))
    return values


# --- words and colours --------------------------------------------------------------------------


def _percent(share: float) -> str:
    """`share` in percent, without the sign."""
    return "<1" if 0 < share < 0.005 else f"{100 * share:.0f}"


def _ms(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _tick_label(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.6g}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _bytes(number: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:,.3g} GB"


def _rate_list(rates: Sequence[int]) -> str:
    """All rates, or the first and the last of many."""
    return ", ".join(map(str, rates)) if len(rates) <= 5 else f"{rates[0]} to {rates[-1]}"


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _ramp(count: int) -> list[str]:
    """`count` colours from the first of `_RAMP` to its last."""
    stops = np.array([_channels(colour) for colour in _RAMP])
    at = np.linspace(0, len(_RAMP) - 1, count)
    mixed = [np.interp(at, range(len(_RAMP)), stops[:, channel]) for channel in range(3)]
    return ["#" + "".join(f"{round(c):02x}" for c in colour) for colour in zip(*mixed, strict=True)]


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _readable_on(colour: str) -> str:
    """Near-black or white, whichever has the higher contrast (WCAG 2) on `colour`."""
    linear = [((c / 255 + 0.055) / 1.055) ** 2.4 for c in _channels(colour)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#ffffff" if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.056 else "#11161b"


# --- SVG ----------------------------------------------------------------------------------------


def _style() -> str:
    """The style sheet of every figure: classes of `_THEME` for light, then for dark pages."""
    light = "".join(f".mpvn .{c}{{{prop}:{value}}}" for c, (prop, value, _) in _THEME.items())
    dark = "".join(f".mpvn .{c}{{{prop}:{value}}}" for c, (prop, _, value) in _THEME.items())
    return (
        f".mpvn{{color:#1b2026;font-family:{_FONT};font-variant-numeric:tabular-nums}}{light}"
        f"@media (prefers-color-scheme:dark){{.mpvn{{color:#e8ebef}}{dark}}}"
    )


def _canvas(width: float, height: float, label: str) -> ET.Element:
    """An empty figure, shown at three quarters of its size at least, so that text is legible."""
    svg = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "class": "mpvn",
            "role": "img",
            "aria-label": label,
            "width": _number(width),
            "height": _number(height),
            "viewBox": f"0 0 {_number(width)} {_number(height)}",
            "style": f"max-width:100%;min-width:{_number(0.75 * width)}px;height:auto",
        },
    )
    ET.SubElement(svg, "style").text = _style()
    return svg


def _rect(
    parent: ET.Element,
    x: float,
    y: float,
    wide: float,
    high: float,
    kind: str | None = None,
    colour: str | None = None,
    radius: float = 0,
) -> ET.Element:
    numbers = {"x": x, "y": y, "width": max(0.0, wide), "height": max(0.0, high), "rx": radius}
    rect = ET.SubElement(parent, "rect", {key: _number(v) for key, v in numbers.items()})
    _set(rect, {"class": kind, "fill": colour})
    return rect


def _line(
    parent: ET.Element,
    x1: float,
    y1: float,
    x2: float,
    y2: float,
    kind: str,
    dash: str | None = None,
) -> ET.Element:
    numbers = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
    line = ET.SubElement(parent, "line", {key: _number(v) for key, v in numbers.items()})
    _set(line, {"class": kind, "stroke-dasharray": dash})
    return line


def _text(
    parent: ET.Element,
    x: float,
    y: float,
    text: object,
    kind: str | None = None,
    anchor: str = "start",
    size: float = _TEXT,
    bold: bool = False,
) -> ET.Element:
    """Text whose base line begins (or, by `anchor`, has its middle or end) at (x, y)."""
    element = ET.SubElement(parent, "text", {"x": _number(x), "y": _number(y)})
    _set(
        element,
        {
            "class": kind,
            "font-size": _number(size),
            "text-anchor": None if anchor == "start" else anchor,
            "font-weight": "600" if bold else None,
        },
    )
    element.text = str(text)
    return element


def _tip(element: ET.Element, text: str) -> None:
    """What is shown when one points at `element`."""
    ET.SubElement(element, "title").text = text


def _set(element: ET.Element, attributes: Mapping[str, str | None]) -> None:
    for key, value in attributes.items():
        if value is not None:
            element.set(key, value)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _string(svg: ET.Element) -> str:
    return ET.tostring(svg, encoding="unicode")
