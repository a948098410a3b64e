"""The properties of a plan as text, for `mpvn plan` and the reports."""

import contextlib

from mpvn.plan import Plan
from mpvn.plan.traffic import Traffic, backward_traffic, forward_traffic
from mpvn.report.wording import count
from mpvn.sideways.rules import SidewaysRules


def summary(plan: Plan) -> dict[str, str]:
    """Return the names and values of a plan's properties."""
    fastest, slowest = plan.information_latency
    field = plan.receptive_field
    steps, unit = plan.step_costs, plan.cost_unit
    properties = {
        "subnetworks": str(plan.subnetworks),
        "period": count(plan.period, "step"),
        "information latency": f"{count(fastest, 'step')} (fastest path), "
        f"{count(slowest, 'step')} (slowest)",
    }
    for name, ages in plan.ages.items():
        properties[f"age of {name}"] = f"mean {ages.mean:.1f}, worst {ages.worst} steps"
    properties |= {
        "temporal receptive field": f"unbounded ({'feedback' if plan.has_feedback else 'memory'})"
        if field is None
        else count(field, "frame"),
        f"{unit.name}, without clocks": f"{unit.text(sum(plan.node_costs))} per frame",
        f"{unit.name}, with clocks": f"{unit.text(sum(steps) / len(steps))} per frame (mean)",
        "speed-up from clocks": f"{plan.clock_speedup:.2f} in {unit.name}, "
        f"{plan.execution_speedup:.2f} in executed nodes",
        "unread work": f"{100 * plan.unread_share:.0f} % of the {unit.name}, on values replaced "
        "before any node reads them",
        "worst step": f"{unit.text(max(steps))}, {plan.worst_step:.2f} of the mean",
        "balance bound": f"largest subnetwork {100 * plan.balance_bound:.0f} % of the work: "
        f"at most {1 / plan.balance_bound:.2f} times faster in parallel",
        "kept between steps": f"{plan.cached_bytes / 1e6:,.2f} MB per stream",
    }
    if plan.subnetworks > 1:
        properties |= _traffic(plan)
    return properties


def _traffic(plan: Plan) -> dict[str, str]:
    """Return what travels between the subnetworks of a plan."""
    own = "" if any(plan.devices) else ", if each subnetwork had its own"
    traffic = {f"sent between devices{own}": forward_traffic(plan)}
    with contextlib.suppress(ValueError):  # Sideways cannot train every plan
        SidewaysRules(plan)
        traffic["sent back by Sideways"] = backward_traffic(plan)
    return {name: _sent(sent) for name, sent in traffic.items()}


def _sent(sent: Traffic) -> str:
    pairs = ", ".join(f"{a} to {b}: {size / 1e3:,.1f}" for (a, b), size in sent.items())
    return f"{sum(sent.values()) / 1e3:,.1f} kB per step and stream" + f" ({pairs})" * bool(pairs)
