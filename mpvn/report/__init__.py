"""Figures of plans and measurements, and the HTML page that shows them."""

from mpvn.report.architecture import architecture_figure
from mpvn.report.latency import latency_figure
from mpvn.report.page import Figure, Sample, write_report
from mpvn.report.timeline import recorded_timeline_figure, timeline_figure

__all__ = [
    "Figure",
    "Sample",
    "architecture_figure",
    "latency_figure",
    "recorded_timeline_figure",
    "timeline_figure",
    "write_report",
]
