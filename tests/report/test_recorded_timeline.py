"""The timeline of what really ran shows the plan's frames, as a figure and as a trace."""

import json

import numpy as np
import pytest
from small_models import clocked_network
from svg_figures import assert_inside, of_class, parsed, texts

from mpvn.report import recorded_timeline_figure
from mpvn.report.trace import chrome_trace
from mpvn.runtime import CompiledNetwork, Event, record

FIRST = 4
STEPS = 8
FRAMES = {
    0: {4: 4, 5: 5, 6: 6, 7: 7, 8: 8, 9: 9, 10: 10, 11: 11},
    1: {5: 4, 7: 6, 9: 8, 11: 10},
    2: {6: 5, 10: 9},
}
"""The frame of each subnetwork at each step from 4 on: clocks 1, 2 and 4, one step apart.

The last one skips to the first one, whose frame is the newest that it sees.
"""


@pytest.fixture(scope="module", params=["block", "pattern"])
def compiled(request: pytest.FixtureRequest) -> CompiledNetwork:
    return clocked_network().compile_inference(units=request.param)


def recorded(compiled: CompiledNetwork, streams: int = 1, joins: int | None = None) -> list[Event]:
    """Return the events from step `FIRST` on; the second stream starts anew at step `joins`."""
    state, frame = compiled.initial_state(streams), np.ones((streams, 6, 6, 2), "float32")
    for step in range(FIRST):
        if step == joins:
            state = compiled.reset(state, [False, True])
        _, state = compiled.step(frame, state)
    with record(compiled) as events:
        for _ in range(STEPS):
            _, state = compiled.step(frame, state)
    return events


def timed(events: list[Event]) -> list[Event]:
    """Return the events with times that no busy machine disturbs: a millisecond each."""
    result, begin = [], 0
    for index, event in enumerate(events):
        if event.unit:
            result.append(event._replace(start=1e-3 * index, end=1e-3 * (index + 1)))
        else:
            result.append(event._replace(start=1e-3 * begin, end=1e-3 * (index + 1)))
            begin = index + 1
    return result


def test_both_panels_show_the_frames_of_the_plan(compiled: CompiledNetwork) -> None:
    events = timed(recorded(compiled))
    root = parsed(recorded_timeline_figure(compiled.plan, events, "TensorFlow"))
    assert_inside(root)
    boxes = of_class(root, "box")
    expected = [(lane, step, f) for lane, row in FRAMES.items() for step, f in row.items()]
    shown = [
        tuple(int(box.get(f"data-{key}")) for key in ("lane", "step", "frame")) for box in boxes
    ]
    assert sorted(shown[: len(expected)]) == sorted(shown[len(expected) :]) == expected
    colors = {(box.get("data-frame"), box.get("fill")) for box in boxes}
    assert len(colors) == len({frame for frame, _ in colors})
    assert any(text.startswith("measured, TensorFlow: ") for text in texts(root))
    legend = "a unit of several lanes" in texts(root)[-2]
    assert legend == any(event.unit and event.unit.name == "step 2" for event in events)


def test_the_planned_panel_has_the_widths_of_the_multiply_adds(compiled: CompiledNetwork) -> None:
    plan = compiled.plan
    boxes = of_class(parsed(recorded_timeline_figure(plan, timed(recorded(compiled)))), "box")
    planned = {int(b.get("data-lane")): float(b.get("width")) for b in boxes[: len(boxes) // 2]}
    costs = [sum(plan.node_costs[node.index] for node in part) for part in plan.parts]
    assert planned[1] / planned[0] == pytest.approx(costs[1] / costs[0], rel=0.15)
    assert costs[0] > 3 * costs[1]


def test_the_trace_names_devices_subnetworks_clocks_and_frames(compiled: CompiledNetwork) -> None:
    events = recorded(compiled)
    trace = json.loads(json.dumps(chrome_trace(events, {"model": "small"})))
    assert trace["otherData"] == {"model": "small"}
    names = {
        kind: {e["tid"]: e["args"]["name"] for e in trace["traceEvents"] if e["name"] == kind}
        for kind in ("process_name", "thread_name")
    }
    assert names["process_name"] == {0: "CPU:0"}
    complete = [e for e in trace["traceEvents"] if e["ph"] == "X"]
    assert len(complete) == len(events)
    steps = [e for e in complete if e["cat"] == "step"]
    assert [e["name"] for e in steps] == [f"step {FIRST + n}" for n in range(STEPS)]
    assert steps[-1]["ts"] - steps[0]["ts"] == pytest.approx(
        1e6 * (events[-1].start - next(e for e in events if e.unit is None).start), abs=0.01
    )
    units = [e for e in complete if e["cat"] == "unit"]
    rows = {names["thread_name"][e["tid"]] for e in units}
    alone = {"subnetwork 0", "subnetwork 1", "subnetwork 2"}
    assert rows in (alone, {"subnetwork 0", "several subnetworks"})
    assert " ".join(e["args"]["subnetworks"] for e in units).count("subnetwork 2") == 2
    last = {e["args"]["step"]: e for e in units}[10]
    assert last["args"]["frame"] == 9
    assert last["args"]["clock"].endswith("every 4th step, from 2")


def test_streams_of_different_ages_are_traced_but_not_drawn(compiled: CompiledNetwork) -> None:
    """The second stream is three steps younger: at the first recorded step, ages are 4 and 1.

    Only those streams are told of a unit that run it.
    """
    events = recorded(compiled, streams=2, joins=3)
    with pytest.raises(ValueError, match=r"streams of one age. Received: streams of ages \[1, 4\]"):
        recorded_timeline_figure(compiled.plan, events)
    traced = [e for e in chrome_trace(events, {})["traceEvents"] if e["ph"] == "X"]
    first = [e["args"] for e in traced[: 1 + [e["cat"] for e in traced].index("step")]]
    shown = [(args["step"], args.get("frame")) for args in first]
    by_division = {
        "c0": [([4, 1], [4, 1]), (1, 0), ([4, 1], None)],  # c0 of both, c1 of the second
        "step 0": [(4, 4), (1, 0), ([4, 1], None)],  # c0 of the first, c0 and c1 of the second
    }
    assert shown == by_division[traced[0]["name"]]


def test_a_recording_without_steps_is_refused(compiled: CompiledNetwork) -> None:
    with pytest.raises(ValueError, match="Received: no step"):
        recorded_timeline_figure(compiled.plan, [])
