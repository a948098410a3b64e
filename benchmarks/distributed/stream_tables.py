"""Throughput by number of subnetworks (*Massively Parallel Video Networks*, tables 2 to 4)."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from local_devices import SIMULATED, Setup, median_seconds
from placed_runners import stream_runner
from reporting import Rows

import mpvn
from mpvn.models import PUBLISHED
from mpvn.plan.simulation import place, stream, stream_rate

STEPS = 8
"""Steps of a chunk, or a period if it is longer."""


def par_densenet(setup: Setup) -> Rows:
    """Stream Par-DenseNet in 1 to 14 subnetworks, with and without clocks."""
    return list(stream_rows("par_densenet", (1, 2) if setup.small else (1, 2, 4, 7, 14), setup))


def par_inception(setup: Setup) -> Rows:
    """Stream Par-Inception in 1 to 10 subnetworks, with and without clocks."""
    return list(stream_rows("par_inception", (1, 2) if setup.small else (1, 5, 10), setup))


def stream_rows(name: str, numbers: Sequence[int], setup: Setup) -> Iterator[dict[str, Any]]:
    """Yield a row for each number of subnetworks, without clocks and with them.

    Gains are over the first row: one subnetwork, no clocks.
    """
    architecture = PUBLISHED[name]
    side, width = (64, 0.125) if setup.small else (224, 1.0)
    base = None
    for clocks in (False, True):
        model = architecture.build((side, side, 3), width=width, clocks=clocks)
        profile, factor = setup.profile(model), None
        for number in numbers:
            plan = architecture.plan(model, number, costs=profile)
            measured = {
                count: frames_per_second(plan, place(stream(plan).loads, count), setup)
                for count in (1, 2)[:number]
            }
            base = base or measured[1]
            factor = factor or 1 / (measured[1] * sum(stream(plan).loads))
            yield {
                "clocks": "yes" if clocks else "no",
                "subnetworks": number,
                "MB between subnetworks, a step": f"{traffic(plan) / 1e6:.2f}",
                **{
                    f"{count} device{'s' * (count > 1)}, frames/s": cell(measured.get(count))
                    for count in (1, 2)
                },
                "gain, 1 device": cell(measured[1] / base),
                "gain, 2 devices": cell(measured[2] / base) if number > 1 else "",
                **{
                    f"simulated gain, {count} devices": cell(
                        simulated(plan, count, factor, setup) / base
                    )
                    if fewer < number  # else as many as subnetworks were devices before
                    else ""
                    for fewer, count in itertools.pairwise((1, *SIMULATED))
                },
            }


def frames_per_second(plan: mpvn.Plan, places: Sequence[int], setup: Setup) -> float:
    """Measure a plan whose subnetworks are on these devices."""
    config = {**plan.get_config(), "devices": [setup.devices[device] for device in places]}
    placed = mpvn.Plan.from_config(plan.graph.model, config)
    steps = chunk(plan)
    run = stream_runner(plan.graph.model, placed, batch=1, chunk=steps)
    return steps / median_seconds(run, setup.rounds)


def simulated(plan: mpvn.Plan, count: int, factor: float, setup: Setup) -> float:
    """Return the frames per second on `count` devices, costs `factor` times the plan's."""
    costs = stream(plan)
    where = place(costs.loads, count)
    return stream_rate(costs.scaled(factor), where, setup.link, chunk(plan), setup.call)


def traffic(plan: mpvn.Plan) -> float:
    """Return the bytes that subnetworks read of each other at a step, averaged over a period."""
    return sum(sum(message.sizes) for message in stream(plan).messages) / plan.period


def chunk(plan: mpvn.Plan) -> int:
    """Return the steps that are laid out in one graph: whole periods."""
    return plan.period * max(1, STEPS // plan.period)


def cell(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
