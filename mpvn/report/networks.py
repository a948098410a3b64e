"""The published networks in figures: a table that is computed from their plans, never typed."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mpvn.models import PUBLISHED
from mpvn.plan import Plan

VARIANTS: Mapping[str, list[dict[str, Any]]] = {
    "par_densenet": [
        {},
        {"clocks": False},
        {"temporal_kernel": 2},
        {"temporal_kernel": 2, "temporal_filters": "all"},
        {"feedback": True},
        {"classes": 400},
    ],
    "par_inception": [
        {},
        {"clocks": False},
        {"temporal_filters": False},
        {"feedback": True},
        {"classes": 400},
    ],
}
"""Options beside the defaults with which networks were published."""

COLUMNS: Mapping[str, Callable[[Plan], str]] = {
    "subnetworks": lambda plan: str(plan.subnetworks),
    "parameters, M": lambda plan: f"{plan.graph.model.count_params() / 1e6:.2f}",
    "multiply-adds per frame, M": lambda plan: f"{sum(plan.node_costs) / 1e6:,.0f}",
    "with clocks, M": lambda plan: f"{sum(plan.step_costs) / plan.period / 1e6:,.0f}",
    "speed-up": lambda plan: f"{plan.clock_speedup:.2f}",
    "information latency, steps": lambda plan: _span(*plan.information_latency),
    "mean age, steps": lambda plan: f"{max(ages.mean for ages in plan.ages.values()):.1f}",
    "cached, MB": lambda plan: f"{plan.cached_bytes / 1e6:.2f}" if plan.causal else "offline",
}
"""What is told of a plan, in plan order."""

INTRODUCTION = """# The published networks

By `mpvn models --table`, which computes it from the networks' plans: frames of 224 x 224, float32,
clocks as published. *Multiply-adds per frame* count every layer at every step; *with clocks*, the
mean over the steps of a period; their ratio is what clocks can save, before any parallelism.
*Information latency* is the fewest and the most boundaries from the frame to the output; *mean age*
is of what the output holds, on its slowest path. *Cached* is what one stream keeps between steps,
in MB of 10^6 bytes; networks that look into the future run offline, on whole clips.
"""


def published_table(progress: Callable[[Iterator], Iterator] = lambda rows: rows) -> str:
    """Every published configuration, as a Markdown document.

    Args:
        progress: wraps the networks while they are built, as `tqdm.tqdm` does.
    """
    lines = [
        f"| network | options | {' | '.join(COLUMNS)} |",
        f"|---|---|{'---:|' * len(COLUMNS)}",
    ]
    for name, options in progress(_configurations()):
        architecture = PUBLISHED[name]
        model = architecture.build(**options)
        words = ", ".join(f"{key}={value!r}" for key, value in options.items())
        for subnetworks in architecture.subnetworks:
            plan = architecture.plan(model, subnetworks)
            cells = [
                name,
                f"`{words}`" if words else "",
                *(tell(plan) for tell in COLUMNS.values()),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return INTRODUCTION + "\n" + "\n".join(lines) + "\n"


def _configurations() -> Iterator[tuple[str, dict[str, Any]]]:
    for name in PUBLISHED:
        for options in VARIANTS.get(name, [{}]):
            yield name, options


def _span(fewest: int, most: int) -> str:
    return str(most) if fewest == most else f"{fewest} to {most}"
