"""A plan for a frame rate as text: what it keeps, and what was given up for it."""

from typing import NamedTuple

from mpvn.plan import Plan
from mpvn.report.wording import milliseconds


class Rate(NamedTuple):
    """A frame rate, and what a plan makes of it.

    Attributes:
        fps: frames per second.
        plan: a plan whose costs are times.
        own: the plan of the same model with its own clocks.
        measured: seconds of the worst step, as measured; None if it was not.
    """

    fps: float
    plan: Plan
    own: Plan
    measured: float | None = None

    @property
    def computed(self) -> float:
        """Seconds of the worst step, from the times of its nodes."""
        return (max(self.plan.step_costs) + self.plan.cost_source.of_step) / 1e9

    @property
    def is_kept(self) -> bool:
        """Whether each step is computed to take no longer than one frame."""
        return self.computed * self.fps <= 1

    @property
    def slower_clocks(self) -> list[int]:
        """The rates of the clocks that are slower than the model's own, one for each node."""
        pairs = zip(self.plan.node_clocks, self.own.node_clocks, strict=True)
        return [clock.rate for clock, own in pairs if clock.rate > own.rate]

    def summary(self) -> dict[str, str]:
        """Return the names and values of what the plan keeps."""
        age = self.plan.mean_age
        lines = {
            "frame rate": f"{self.fps:g} frames/s, {milliseconds(1e3 / self.fps)} for each step",
            "runs by": str(self.plan.cost_source),
            "worst step, computed": self._margin(self.computed),
        }
        if self.measured is not None:
            lines["worst step, measured"] = self._margin(self.measured)
        if age is not None:
            lines["age of the outputs"] = f"{milliseconds(1e3 * age / self.fps)} on average"
        given_up = self._given_up() or ["nothing"]
        return {**lines, "given up": "; ".join(given_up)}

    def _margin(self, seconds: float) -> str:
        share = 1 - seconds * self.fps
        return f"{milliseconds(1e3 * seconds)}, a margin of {100 * share:.0f} %"

    def _given_up(self) -> list[str]:
        plan, given_up, slower = self.plan, [], self.slower_clocks
        if slower:
            least, most = min(slower), max(slower)
            every = f"every {most} steps" if least == most else f"every {least} to {most} steps"
            given_up.append(f"{len(slower)} of {len(plan.nodes)} nodes tick {every}")
        if plan != self.own:
            given_up.append(
                "the network computes something else than the model by its own plan: train it, or "
                "fine-tune it, with this one"
            )
        if plan.mean_age and plan != self.own:
            given_up.append(f"outputs tell of frames {plan.mean_age:.1f} steps old on average")
        precision = getattr(plan.cost_source, "settings", {}).get("precision", "float32")
        if precision != "float32":
            given_up.append(f"values are computed in {precision}")
        return given_up
