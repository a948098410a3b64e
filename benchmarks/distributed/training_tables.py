"""Speed of training (*Sideways*, table 2; *Skip-Sideways*, supplement, table 1)."""

import math
from collections.abc import Callable
from typing import Any

from local_devices import SIMULATED, Setup, median_seconds
from placed_runners import training_runner
from reporting import Rows

from mpvn.models import PUBLISHED, insert_shortcuts
from mpvn.plan.simulation import place, ring_all_reduce_time, simulate, stream, stream_rate
from mpvn.sideways.simulation import back_propagation_works, chain, gpipe_works, sideways_stream

FRAMES = 16
"""Frames of a clip. Sideways in 8 modules learns from the 15th frame on."""

PAPER = {
    ("simple_cnn", "back-propagation"): "1.7",
    ("simple_cnn", "Sideways"): "8.4",
    ("vgg8", "back-propagation"): "0.1",
    ("vgg8", "Sideways"): "0.6",
}
"""*Sideways*, table 2: steps per second, one V100 for each module."""

SHORTCUTS = (3,)
"""Units that the shortcuts of Skip-Sideways span."""


def sideways(setup: Setup) -> Rows:
    """Train Simple-CNN and VGG-8 by back-propagation, GPipe and Sideways."""
    rows = []
    for name in ("simple_cnn", "vgg8"):
        architecture = PUBLISHED[name]
        side, width = (32, 0.125) if setup.small else (112, 1.0)
        model = architecture.build((side, side, 3), width=width)
        sizes = {"batch": 1 if setup.small else 8, "frames": FRAMES}
        modules = {"simple_cnn": 6, "vgg8": 8}[name]
        for method in ("back-propagation", "GPipe", "Sideways"):
            row = training_row(method, model, architecture.plan, modules, setup, **sizes)
            paper = PAPER.get((name, method), "")
            rows.append({"network": name, "method": method, **row, "paper, steps/s": paper})
    return rows


def skip_sideways(setup: Setup) -> Rows:
    """Train VGG-16 by Skip-Sideways and GPipe, and networks that read whole clips."""
    side, width = (32, 0.125) if setup.small else (112, 1.0)
    sizes = {"batch": 1, "frames": FRAMES}
    vgg16 = PUBLISHED["vgg16"]
    model = vgg16.build((side, side, 3), width=width)
    rows = []
    for name, method, trained in (
        ("vgg16, shortcuts", "Sideways", insert_shortcuts(model, SHORTCUTS)),
        ("vgg16", "GPipe", model),
    ):
        row = training_row(method, trained, vgg16.plan, 8, setup, **sizes)
        rows.append({"network": name, "method": method, **row})
    for name, options in (
        ("vgg_3d", {}),
        ("vgg_3d", {"rematerialize": True}),
        ("i3d_inception", {}),
    ):
        architecture = PUBLISHED[name]
        whole = architecture.build((side, side, 3), width=width)
        row = whole_clip_row(whole, architecture.plan, setup, options, **sizes)
        method = "back-propagation" + ", rematerialized" * bool(options)
        rows.append({"network": name, "method": method, **row})
    return rows


def training_row(
    method: str,
    model: Any,
    plan: Callable[..., Any],
    modules: int,
    setup: Setup,
    batch: int,
    frames: int,
) -> dict[str, Any]:
    """Return the steps per second of a method that divides a network, measured and simulated."""
    costs = plan(model, modules, costs=setup.profile(model))
    loads = stream(costs).loads

    def measured(count: int) -> float:
        where = [setup.devices[device] for device in place(loads, count)]
        placed = plan(model, modules, devices=where)
        run = training_runner(method, model, placed, batch, frames)
        return frames / median_seconds(run, setup.rounds)

    def simulated(count: int, factor: float) -> float:
        where = place(loads, count)
        if method == "Sideways":
            seconds = sideways_stream(stream(costs, batch)).scaled(factor)
            return stream_rate(seconds, where, setup.link, frames, setup.call)
        seconds = chain(costs, batch)
        if method == "GPipe":
            works = gpipe_works(seconds.rematerialized.scaled(factor), where, frames)
        else:
            works = back_propagation_works(seconds.scaled(factor), where, frames)
        return frames / (simulate(works, setup.link).length + setup.call)

    alone, both = measured(1), measured(2)
    factor = scale(alone, lambda factor: simulated(1, factor))
    return {
        "modules": modules,
        "1 device, steps/s": f"{alone:.2f}",
        "2 devices, steps/s": f"{both:.2f}",
        **{name: f"{simulated(count, factor):.2f}" for name, count in columns(modules).items()},
    }


def whole_clip_row(
    model: Any,
    plan: Callable[..., Any],
    setup: Setup,
    options: dict[str, Any],
    batch: int,
    frames: int,
) -> dict[str, Any]:
    """Return the steps per second of back-propagation through whole clips, which one device runs.

    Columns of several devices are of batches of a clip for each device, whose gradients are summed.
    """
    placed = plan(model, 1, devices=setup.devices[:1])
    run = training_runner("whole clips", model, placed, batch, frames, **options)
    seconds = median_seconds(run, setup.rounds)
    size = 4 * sum(math.prod(variable.shape) for variable in model.trainable_variables)

    def rate(count: int) -> float:
        return count * frames / (seconds + ring_all_reduce_time(size, count, setup.link))

    return {
        "modules": 1,
        "1 device, steps/s": f"{frames / seconds:.2f}",
        "2 devices, steps/s": "",
        **{name: f"batch: {rate(count):.2f}" for name, count in columns(8).items()},
    }


def columns(modules: int) -> dict[str, int]:
    """Return the numbers of simulated devices, by the name of their column."""
    few = {f"simulated, {count} devices": count for count in SIMULATED[:2]}
    return {**few, "simulated, a device per module": modules}


def scale(rate: float, simulated: Callable[[float], float]) -> float:
    """Return the factor of the costs with which a simulation has the rate of a measurement."""
    low, high = 0.0, 1.0
    while simulated(high) > rate:
        low, high = high, 2 * high
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if simulated(middle) > rate else (low, middle)
    return high
