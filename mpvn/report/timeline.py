"""The timeline figure: when each subnetwork works, and on which frame; planned, and as it ran.

After figure 9 of *Massively Parallel Video Networks*, which shows timelines measured on devices.
"""

from collections.abc import Sequence

from mpvn.graph.data import Node
from mpvn.plan import Plan
from mpvn.plan.lanes import lanes, newest_frame, ticking, work
from mpvn.report import svg
from mpvn.report.timeline_panel import LEFT, Box, Panel, Span
from mpvn.report.wording import milliseconds, percent
from mpvn.runtime.record import Event, Overhead, between_units

_LANE = 38  # Height of a lane in pixels.
_LOW_LANE = 20  # The same without shares.
_STEP = 64  # Width of the mean step of a recording in pixels, if its figure is wide.

_PLANNED = "planned: one block after another, each as long as its multiply-adds say"


def timeline_figure(plan: Plan, steps: int) -> str:
    """Return SVG of the first steps of a stream: when each subnetwork works, and on which frame.

    Nothing is measured: every step is as wide as every other. Time runs to the right, with one lane
    per subnetwork and one for the head. A box means that the subnetwork works. Its number and color
    are the newest frame that the last of its working nodes has seen, without feedback. Its height
    is the share of the subnetwork's multiply-adds. A dashed box works on no frame: on zeros,
    because no frame has arrived there yet, or on feedback alone. Lines connect the first use of a
    frame in one lane to its first use in the lane that reads it: of several lanes above that a lane
    reads, the lowest.

    Args:
        plan: The plan.
        steps: Number of steps. Many steps make a wide figure.

    Raises:
        ValueError: If `steps` is not a positive integer.
    """
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise ValueError(f"steps: Expected an integer of at least 1. Received: {steps!r}")
    width = max(24.0, min(48.0, (svg.WIDTH - LEFT - 14) / steps))
    spans = [Span(step, step, step + 1) for step in range(steps)]
    boxes = _planned_boxes(plan, steps)
    panel = Panel(plan, boxes, spans, width, _LANE, top=14)
    name = f"Timeline of {plan.graph.model.name}"
    figure = svg.canvas(max(svg.WIDTH, panel.right + 14), panel.bottom + 32, name)
    panel.draw(figure)
    legend = "number and color: frame · height: share of the lane's work" + _dashes(boxes)
    svg.text(figure, LEFT, panel.bottom + 24, legend, "soft", size=svg.SMALL)
    return svg.to_string(figure)


def recorded_timeline_figure(plan: Plan, events: Sequence[Event], runtime: str = "") -> str:
    """Return SVG of what a compiled network ran, below what it would be by its multiply-adds.

    Both panels have the same lanes, colors and scale of time; see `timeline_figure`. In the upper
    one, all steps together take as long as they did, and each block has the share of its
    multiply-adds. In the lower one, boxes are the units that ran, where they ran; a unit of several
    subnetworks has a box in each of their lanes. The last lane shows the time of steps that was
    spent between units: by the scheduler and in handing over values.

    Args:
        plan: The plan of the compiled network.
        events: Whole steps, from `mpvn.runtime.record`. Many steps make a wide figure.
        runtime: What ran the steps, as text.

    Raises:
        ValueError: If no whole step was recorded, or streams of different ages.
    """
    steps = _check(events)
    begin = steps[0].start
    total = sum(step.seconds for step in steps)
    numbers = [step.steps[0] for step in steps]
    measured = [_span(number, step, begin) for number, step in zip(numbers, steps, strict=True)]
    planned, spans = _timed_boxes(plan, numbers, 1e3 * total)
    boxes = [box for event in events for box in _recorded_boxes(plan, event, begin)]
    width = max(svg.WIDTH - LEFT - 14, _STEP * len(steps))
    scale = width / max(span.end for span in (*measured, *spans))

    upper = Panel(plan, planned, spans, scale, _LOW_LANE, top=30, rules=True)
    idle = [_span("between units", gap, begin) for gap in between_units(events)]
    lower = Panel(plan, boxes, measured, scale, _LOW_LANE, upper.bottom + 42, idle, rules=True)
    name = f"Timeline of {plan.graph.model.name}, planned and measured"
    figure = svg.canvas(LEFT + width + 14, lower.bottom + 66, name)
    overhead = Overhead.of(events)
    ran = ", ".join(["measured", *[runtime] * bool(runtime)])
    titles = (_PLANNED, f"{ran}: {milliseconds(1e3 * overhead.step)} per step")
    for panel, title in zip((upper, lower), titles, strict=True):
        svg.text(figure, LEFT, panel.top - 8, title, "ink")
        panel.draw(figure)
    lower.draw_time(figure, "ms")
    units = sum(event.unit is not None for event in events)
    legend = "number and color: frame" + _dashes([*planned, *boxes])
    legend += " · a unit of several lanes has a box in each" * (len(boxes) > units)
    for row, text in enumerate((legend, f"between units: {overhead}")):
        svg.text(figure, LEFT, lower.bottom + 42 + 16 * row, text, "soft", size=svg.SMALL)
    return svg.to_string(figure)


def _check(events: Sequence[Event]) -> list[Event]:
    """Return the steps among events; raise ValueError if they cannot be drawn."""
    steps = [event for event in events if event.unit is None]
    ages = max((set(step.steps) for step in steps), key=len, default=set())
    if len(ages) != 1:
        received = f"streams of ages {sorted(ages)}" if steps else "no step"
        raise ValueError(
            "Cannot draw what was recorded. Expected whole steps of streams of one age. Received: "
            f"{received}."
        )
    return steps


def _span(name: object, event: Event, begin: float) -> Span:
    """Return the time of an event in milliseconds since `begin`."""
    return Span(name, 1e3 * (event.start - begin), 1e3 * (event.end - begin))


# --- boxes --------------------------------------------------------------------------------------


def _planned_boxes(plan: Plan, steps: int) -> list[Box]:
    """Return the boxes of steps of equal width, lane by lane and step by step."""
    boxes = []
    for lane, nodes in enumerate(lanes(plan)):
        total = max(1, work(plan, nodes))
        for step in range(steps):
            working = ticking(plan, nodes, step)
            if working:
                share = work(plan, working) / total
                frame = newest_frame(plan, working, step)
                text = _text(frame) + f", {percent(share)} % of the lane's work" * _shown(frame)
                boxes.append(Box(lane, step, frame, step, step + 1, share, text))
    return boxes


def _timed_boxes(plan: Plan, steps: Sequence[int], total: float) -> tuple[list[Box], list[Span]]:
    """Return the boxes and the spans of steps that take `total` by their multiply-adds."""
    costs = {step: _block_costs(plan, step) for step in steps}
    unit = total / max(1, sum(cost for step in steps for _, cost in costs[step]))
    boxes, spans, time = [], [], 0.0
    for step in steps:
        start = time
        for nodes, cost in costs[step]:
            frame, end = newest_frame(plan, nodes, step), time + cost * unit
            text = f"{_text(frame)}, {cost:,} multiply-adds"
            boxes.append(Box(plan.subnetwork(nodes[0]), step, frame, time, end, 0, text))
            time = end
        spans.append(Span(step, start, time))
    return boxes, spans


def _block_costs(plan: Plan, step: int) -> list[tuple[list[Node], int]]:
    """Return the blocks of a step and their multiply-adds, at least 1 each."""
    ticks = [block for block in plan.blocks if plan.clock(block[0]).ticks(step)]
    return [(block, max(1, work(plan, block))) for block in ticks]


def _recorded_boxes(plan: Plan, event: Event, begin: float) -> list[Box]:
    """Return a box for each lane of a unit, in milliseconds since `begin`; none for a step."""
    if event.unit is None:
        return []
    step, (_, start, end) = event.steps[0], _span("", event, begin)
    boxes = []
    for lane, nodes in enumerate(lanes(plan)):
        own = [node for node in nodes if node.index in event.unit.nodes]
        if own:
            frame = newest_frame(plan, own, step)
            text = f"{event.unit.name}: {_text(frame)}, {milliseconds(end - start)}"
            boxes.append(Box(lane, step, frame, start, end, 0, text))
    return boxes


# --- text ---------------------------------------------------------------------------------------


def _shown(frame: int | None) -> bool:
    return frame is not None and frame >= 0


def _text(frame: int | None) -> str:
    """Return what a lane works on."""
    if frame is None:
        return "works on feedback only"
    return f"works on frame {frame}" if frame >= 0 else "works on zeros, before the first frame"


def _dashes(boxes: Sequence[Box]) -> str:
    """Return the part of the legend about dashed boxes, if there are any."""
    if any(box.frame is None for box in boxes):
        return " · dashed: no frame"
    return " · dashed: zeros, before frame 0" * any(not _shown(box.frame) for box in boxes)
