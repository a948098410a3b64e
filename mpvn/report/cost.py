"""Accuracy against cost: *Temporal Shift Module*, figure 5.

Each network is a circle at its multiply-adds and its accuracy. The areas of the circles are in
proportion to the numbers of parameters. The paper counts multiply-adds too, and calls them FLOPs.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mpvn.models.surgery.rebuild import with_frame_size
from mpvn.plan import Plan
from mpvn.plan.cost import cost_of_clip
from mpvn.report.plots import Circle, Point, circles_figure
from mpvn.training import Experiment


class Cost(NamedTuple):
    """What a network costs.

    Attributes:
        multiply_adds: Of everything that is evaluated at once: a clip, or the views of a video.
        parameters: Number of weights, those of batch norm included.
    """

    multiply_adds: int
    parameters: int

    @classmethod
    def of_clip(cls, plan: Plan, frames: int) -> "Cost":
        """Return the cost of a clip, from the first step on, with the clocks of `plan`."""
        return cls(
            cost_of_clip(plan.with_costs().step_costs, frames), plan.graph.model.count_params()
        )

    @classmethod
    def of_views(cls, experiment: Experiment) -> "Cost":
        """Return the cost of the views of a video, as `mpvn eval --views` computes them.

        Whole frames (`config.views.size=None`) are counted as squares of `config.views.scale`.

        Raises:
            ValueError: If views are whole videos, or the network cannot take frames of their size.
        """
        views, plan = experiment.views, experiment.network.plan
        if views.sampling.frames is None:
            raise ValueError(
                "Cost of a video: Expected clips of one length. Received: whole videos."
            )
        size = views.size or (views.scale, views.scale)
        if plan.graph.model.inputs[0].shape[1:3] != size:
            plan = plan.over(with_frame_size(plan.graph.model, size))
        clip = cls.of_clip(plan, views.sampling.frames)
        return clip._replace(multiply_adds=clip.multiply_adds * views.clips * views.crops)

    @classmethod
    def together(cls, costs: Iterable["Cost"]) -> "Cost":
        """Return the cost of an ensemble."""
        return cls(*map(sum, zip(*costs, strict=True)))


class Network(NamedTuple):
    """A network of the figure.

    Attributes:
        name: Text beside its circle.
        cost: Its cost.
        values: Its accuracy: one number, or one for each seed.
    """

    name: str
    cost: Cost
    values: Sequence[float]


def cost_figure(networks: Sequence[Network], metric: str, of: str) -> str:
    """Return SVG with one circle per network.

    Args:
        networks: The networks.
        metric: Name of the y axis.
        of: What the multiply-adds are of, such as "clip" or "video".

    Raises:
        ValueError: If there are no networks, or a number is not finite.
    """
    circles = []
    for name, cost, values in networks:
        label = f"{name}, {cost.parameters / 1e6:.3g} M".removeprefix(", ")
        circles.append(Circle(Point.of(cost.multiply_adds / 1e9, values, label), cost.parameters))
    return circles_figure(circles, f"billion multiply-adds per {of}", metric)
