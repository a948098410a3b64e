"""Figures of plans and measurements, and the HTML page that shows them."""

from mpvn.report.figures import latency_figure, network_figure, schedule_figure, timeline_figure
from mpvn.report.page import Figure, Sample, write_report

__all__ = [
    "Figure",
    "Sample",
    "latency_figure",
    "network_figure",
    "schedule_figure",
    "timeline_figure",
    "write_report",
]
