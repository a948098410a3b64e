"""The speeds of several streams, as the rows of a table."""

from collections.abc import Mapping
from typing import Any

from mpvn.streaming.report import StreamReport
from mpvn.streaming.statistics import Spread

Row = dict[str, Any]


def speed_rows(reports: Mapping[str, StreamReport], against: str | None = None) -> list[Row]:
    """Return a row for each stream: its speed, its steps, its ages, and what it keeps.

    Times are in milliseconds, and ages are "mean / worst".

    Args:
        reports: the reports, by the name of the stream. All have the same `rate`.
        against: name of the stream that the others are compared with.
    """
    return [_row(name, report, reports, against) for name, report in reports.items()]


def _row(
    name: str, report: StreamReport, reports: Mapping[str, StreamReport], against: str | None
) -> Row:
    row: Row = {"": name, "frames/s": f"{report.frames_per_second:.1f}"}
    if against is not None:
        ratio = report.frames_per_second / reports[against].frames_per_second
        row[f"x {against}"] = f"{ratio:.2f}"
    row |= {
        "median": f"{report.median:.2f}",
        "99 %": f"{report.p99:.2f}",
        "worst": f"{report.worst:.2f}",
        "worst/mean": "-" if report.unevenness is None else f"{report.unevenness:.2f}",
        "age in steps": _spread(report.age_steps),
        "age": _spread(report.age),
    }
    if report.rate is not None:
        row[f"age at {report.rate:.4g} frames/s"] = _spread(report.rated_age, "too slow")
    return row | {"MB kept": f"{report.state_bytes / 1e6:.2f}"}


def _spread(age: Spread | None, missing: str = "-") -> str:
    return missing if age is None else f"{age.mean:.4g} / {age.worst:.4g}"
