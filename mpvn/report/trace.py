"""A recording as a trace for Perfetto (https://ui.perfetto.dev) and chrome://tracing.

The format is Chrome's trace events as JSON: a process for each device, in it a thread for each
subnetwork, and complete events ("X") in microseconds. Units of several subnetworks have a thread of
their own.

    CPU:0   steps          |--- step 16 ---------------|  |--- step 17 --- ...
            subnetwork 0   |- conv1 ... -|
            subnetwork 1                 |- block2 ... -|
"""

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from mpvn.plan.lanes import lane_name, newest_frame, work
from mpvn.report.lanes import Row, event_row, unit_lanes, unit_nodes
from mpvn.report.wording import clock_phrases
from mpvn.runtime import Event


def chrome_trace(events: Sequence[Event], about: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trace, to be written as JSON.

    Args:
        events: From `mpvn.runtime.record`.
        about: What else to tell about the recording, as plain data.
    """
    begin = min((event.start for event in events), default=0.0)
    device = next((event.device for event in events if event.device), None)
    devices: dict[str, int] = {}
    rows: dict[tuple[str, Row], int] = {}
    traced = []
    for event in events:
        where = _device(event.device or device)
        process = devices.setdefault(where, len(devices))
        thread = rows.setdefault((where, event_row(event)), len(rows))
        times = {"ts": _microseconds(event.start - begin), "dur": _microseconds(event.seconds)}
        about_it = {"name": _name(event), "cat": _kind(event), "args": _arguments(event)}
        traced.append({**about_it, "ph": "X", "pid": process, "tid": thread, **times})
    names = [_metadata("process_name", process, 0, name=name) for name, process in devices.items()]
    for (where, row), thread in rows.items():
        process = devices[where]
        names.append(_metadata("thread_name", process, thread, name=row.name))
        names.append(_metadata("thread_sort_index", process, thread, sort_index=row.order))
    return {"traceEvents": names + traced, "displayTimeUnit": "ms", "otherData": dict(about)}


def _metadata(kind: str, process: int, thread: int, **arguments: Any) -> dict[str, Any]:
    return {"name": kind, "ph": "M", "pid": process, "tid": thread, "args": arguments}


def _microseconds(seconds: float) -> float:
    return round(1e6 * seconds, 3)


def _device(name: str | None) -> str:
    """Return TensorFlow's name of a device without the parts that are the same for all."""
    spec = tf.DeviceSpec.from_string(name or "/device:CPU:0")
    task = "" if spec.job in (None, "localhost") else f"{spec.job} {spec.task} "
    return f"{task}{spec.device_type}:{spec.device_index}"


def _kind(event: Event) -> str:
    return "step" if event.unit is None else "unit"


def _name(event: Event) -> str:
    if event.unit is not None:
        return event.unit.name
    return f"step {', '.join(map(str, sorted(set(event.steps))))}"


def _arguments(event: Event) -> dict[str, Any]:
    """Return what is known of an event: of streams of different ages, a value for each."""
    unit, steps = event.unit, event.steps
    if unit is None or not unit.nodes:
        return {"step": _alike(steps)}
    plan = unit.plan
    nodes = unit_nodes(unit)
    clocks = list(dict.fromkeys(plan.clock(node) for node in nodes))
    return {
        "step": _alike(steps),
        "frame": _alike([newest_frame(plan, nodes, step) for step in steps]),
        "subnetworks": ", ".join(lane_name(plan, lane) for lane in unit_lanes(unit)),
        "clock": ", ".join(clock_phrases(clock)[0] for clock in clocks),
        "nodes": len(nodes),
        "multiply-adds": work(plan, nodes),
    }


def _alike(values: Sequence[int | None]) -> Any:
    """Return the value that all streams have, or the value of each stream."""
    return values[0] if len(set(values)) == 1 else list(values)
