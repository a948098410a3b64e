"""The table of the published networks, computed from their plans."""

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
"""Options of the published variants, by network. Other networks have the defaults only."""

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
"""Cells of the table, by column."""

INTRODUCTION = """# The published networks

Written by `mpvn models --table`, which computes all numbers from the networks' plans: frames of
224 x 224, float32, clocks as published. *Multiply-adds per frame* count every layer at every step;
*with clocks* is the mean over the steps of a period; their ratio is the *speed-up* from clocks,
before any parallelism. *Information latency* is the smallest and the largest number of boundaries
from the frame to the output; *mean age* is the age of the output's content on its slowest path.
*Cached* is what one stream keeps between steps, in MB of 10^6 bytes; networks that look into the
future run offline, on whole clips.
"""


def published_table(progress: Callable[[Iterator], Iterator] = lambda rows: rows) -> str:
    """Return the table of all published networks and variants as a Markdown document.

    Args:
        progress: Wraps the iterator over the networks, such as `tqdm.tqdm`.
    """
    lines = [
        f"| network | options | {' | '.join(COLUMNS)} |",
        f"|---|---|{'---:|' * len(COLUMNS)}",
    ]
    for name, options in progress(_variants()):
        architecture = PUBLISHED[name]
        model = architecture.build(**options)
        text = ", ".join(f"{key}={value!r}" for key, value in options.items())
        for subnetworks in architecture.subnetworks:
            plan = architecture.plan(model, subnetworks)
            cells = [name, f"`{text}`" if text else "", *(cell(plan) for cell in COLUMNS.values())]
            lines.append(f"| {' | '.join(cells)} |")
    return INTRODUCTION + "\n" + "\n".join(lines) + "\n"


def _variants() -> Iterator[tuple[str, dict[str, Any]]]:
    for name in PUBLISHED:
        for options in VARIANTS.get(name, [{}]):
            yield name, options


def _span(low: int, high: int) -> str:
    return str(high) if low == high else f"{low} to {high}"
