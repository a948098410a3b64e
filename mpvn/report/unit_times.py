"""Where the time of recorded steps goes, as the rows of a table."""

from collections.abc import Sequence

from mpvn.plan.lanes import work
from mpvn.report.lanes import Row, event_row, unit_nodes
from mpvn.runtime import Event
from mpvn.runtime.record import Overhead


def unit_time_rows(events: Sequence[Event]) -> list[dict[str, str]]:
    """Return a row for each subnetwork, one for the time between units, and one for all.

    Args:
        events: Whole steps, from `mpvn.runtime.record`.
    """
    overhead = Overhead.of(events)
    steps = sum(event.unit is None for event in events)
    units: dict[Row, list[Event]] = {
        row: [] for row in sorted(map(event_row, events)) if row.order >= 0
    }
    for event in events:
        units.get(event_row(event), []).append(event)
    everything = sum(map(_work, events))
    rows = []
    for row, own in units.items():
        seconds = sum(event.seconds for event in own) / steps
        share = f"{100 * sum(map(_work, own)) / everything:.1f}" if everything else ""
        rows.append(_row(row.name, len(own) / steps, seconds, overhead.step, share))
    count = sum(map(len, units.values())) / steps
    rows.append(_row("between units", count, overhead.share * overhead.step, overhead.step, ""))
    return [*rows, _row("all", count, overhead.step, overhead.step, "")]


def _row(name: str, units: float, seconds: float, step: float, work: str) -> dict[str, str]:
    return {
        "": name,
        "units per step": f"{units:.2f}",
        "ms per step": f"{1e3 * seconds:.3f}",
        "ms per unit": f"{1e3 * seconds / units:.3f}" if units else "",
        "% of the time": f"{100 * seconds / step:.1f}",
        "% of the multiply-adds": work,
    }


def _work(event: Event) -> int:
    return work(event.unit.plan, unit_nodes(event.unit)) if event.unit else 0
