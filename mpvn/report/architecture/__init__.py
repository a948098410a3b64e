"""The architecture figure: the network with its subnetworks and clocks.

It is an arc diagram: all layers stand in one row, however many there are, so that the whole network
is visible at once. Bars that are too narrow for a name have a tooltip.

    bars.py      which nodes share a bar, and which bar reads which
    columns.py   horizontal positions
    labels.py    names below the bars
    layout.py    vertical positions
    network.py   draws the bars, arcs and feedback
    clocks.py    draws the subnetworks, the steps at which they compute, and the names
    figure.py    puts it together, with title and legend
"""

from mpvn.report.architecture.figure import architecture_figure

__all__ = ["architecture_figure"]
