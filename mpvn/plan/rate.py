"""Finds a schedule that keeps a frame rate, with the least age of information.

A schedule keeps a rate if its worst step takes no longer than one frame. A step takes the sum of
the times of the nodes that tick: the subnetworks of a step share the machine.

    1. the clocks of the model's temporal strides, or none
    2. only if that is too slow: slower clocks, which change what the network computes

    for clocks, and 1, 2, 3, ... subnetworks, from the least possible age on:
        search the phases       more subnetworks have flatter steps, and older outputs

What this does not do well: subnetworks on devices of their own, which run at the same time.
"""

import collections
import dataclasses
import functools
import itertools
import math
import numbers
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mpvn.graph.data import Graph
from mpvn.plan.age import information_latency
from mpvn.plan.assignment import BRANCHES
from mpvn.plan.cost import TIME, Costs, costs_by_step
from mpvn.plan.faults import PlanError, is_int, is_list
from mpvn.plan.flow import Flow
from mpvn.plan.partition import AutoClocks
from mpvn.plan.phases import GOALS, Goal, searched_clocks, within
from mpvn.plan.resolve import resolve
from mpvn.plan.schedule import Schedule

SUBNETWORKS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16)
"""The numbers of subnetworks that are tried."""

MOST = (1, 2, 4, 8, 16, 32)
EVERY = (1, 2, 3, 4, 6, 8)
"""The clocks that are tried; see `AutoClocks`."""

_QUICK = 0.1
"""Effort of a search among many."""

_MOST_SMALLER = 3
"""How many times smaller frames may be proposed."""


class Way(NamedTuple):
    """A way to run a model.

    Attributes:
        costs: what nodes cost.
        clocks: as in `Plan`.
        subnetworks: number of subnetworks; None if the division is given.
    """

    costs: Costs
    clocks: Any
    subnetworks: int | None

    @property
    def boundaries(self) -> int:
        """Number of boundaries, if it is known, else 0."""
        return (self.subnetworks or 1) - 1


class Choice(NamedTuple):
    """A way with phases.

    Attributes:
        way: the way.
        schedule: the schedule.
        worst: cost of its worst step.
        age: mean age of the outputs, in steps.
    """

    way: Way
    schedule: Schedule
    worst: int
    age: float

    def __str__(self) -> str:
        clocks = self.way.clocks
        clocks = "the model's own clocks" if clocks is None else f"clocks {clocks}"
        return f"subnetworks: {self.schedule.subnetworks}, {clocks}"


@dataclasses.dataclass(frozen=True, eq=False)
class Search:
    """Searches schedules of a model whose steps cost no more than a budget.

    Attributes:
        graph: the model.
        budget: cost of a step, at most.
        costs: what nodes cost, one for each way to run the model, the preferred first.
        latency: boundaries between a frame and an output, at most; None for any number.
        arguments: arguments of `Plan` that are given.
    """

    graph: Graph
    budget: int
    costs: Sequence[Costs]
    latency: int | None
    arguments: Mapping[str, Any]

    def best(self) -> Choice | None:
        """Return the schedule of the least age; None if none is cheap enough."""
        own, *slower = self._clocks
        found = self._freshest([own]) or self._freshest(slower)
        if found is None or "phases" in self.arguments:
            return found
        polished = self._choice(found.way, found.schedule, within(self._bound(found.way)))
        return min(found, polished, key=lambda choice: (choice.age, choice.worst))

    def flattest(self) -> Choice | None:
        """Return the schedule of the least worst step; None if no latency is low enough."""
        ways = [(way, self._base(way)) for way in self._ways(self._clocks)]
        floors = [(self._floor(way, base), way, base) for way, base in ways if base]
        best: Choice | None = None
        for floor, way, base in sorted(floors, key=lambda each: each[0]):
            if best and floor >= best.worst:
                break
            found = self._choice(way, base, GOALS["flat"], _QUICK)
            best = found if best is None or found.worst < best.worst else best
        return best

    def _freshest(self, clocks: Sequence[Any]) -> Choice | None:
        """Return the schedule of the least age that is cheap enough.

        Each boundary on the slowest path makes outputs a step older, so the search ends when what
        is left cannot be fresher. It takes all boundaries to be on that path.
        """
        least = [self._least_age(each) for each in clocks]
        ways = [
            (age + way.boundaries, way)
            for each, age in zip(clocks, least, strict=True)
            for way in self._ways([each])
        ]
        best: Choice | None = None
        for freshest, way in sorted(ways, key=lambda each: each[0]):  # in order of the costs
            if best and freshest >= best.age:
                break
            base = self._base(way)
            if base and self._floor(way, base) <= self.budget:
                found = self._choice(way, base, within(self._bound(way)), _QUICK)
                if found.worst <= self.budget and (best is None or found.age < best.age):
                    best = found
        return best

    def _choice(self, way: Way, base: Schedule, goal: Goal, effort: float = 1) -> Choice:
        """Return `base` with the best phases for a goal, unless phases are given."""
        costs = self._node_costs(way)
        if "phases" not in self.arguments:
            clocks = searched_clocks(base, costs, goal, effort)
            base = dataclasses.replace(base, node_clocks=clocks)
        worst = max(map(sum, costs_by_step(base, costs))) + way.costs.of_step
        return Choice(way, base, worst, _mean_age(base))

    @functools.cached_property
    def _clocks(self) -> list[Any]:
        """The clocks to try, those of the model first."""
        if "clocks" in self.arguments:
            return [self.arguments["clocks"]]
        names = [None, *(str(AutoClocks(most, every)) for every in EVERY for most in MOST)]
        distinct: dict[tuple, Any] = {}
        for clocks in names:
            base = self._base(next(iter(self._ways([clocks]))), anyway=True)
            if base:
                distinct.setdefault(base.node_clocks, clocks)
        return [*distinct.values()]

    def _ways(self, clocks: Iterable[Any]) -> Iterator[Way]:
        """Yield the ways with some clocks: the preferred costs and few subnetworks first."""
        given = {"subnetworks", "boundaries", "assignment"} & set(self.arguments)
        is_given = given or self.arguments.get("partition") == BRANCHES
        counts = (None,) if is_given else SUBNETWORKS
        yield from itertools.starmap(Way, itertools.product(self.costs, clocks, counts))

    def _base(self, way: Way, anyway: bool = False) -> Schedule | None:
        """Return the schedule of a way, with the phases 0; None if there is none.

        Args:
            way: the way.
            anyway: whether its latency does not matter.
        """
        arguments = {"partition": "balanced", "phases": "aligned", **self.arguments}
        arguments["clocks"] = way.clocks
        if way.subnetworks:
            arguments["subnetworks"] = way.subnetworks
        try:
            base = resolve(self.graph, way.costs, **arguments)
        except PlanError:  # clocks that a temporal stride rules out, or too few nodes to divide
            return None
        latency = 0 if anyway or self.latency is None else information_latency(base)[1]
        return base if latency <= (self.latency or 0) else None

    def _bound(self, way: Way) -> int:
        """Return what the nodes of a step may cost."""
        return self.budget - way.costs.of_step

    def _least_age(self, clocks: Any) -> float:
        """Return the least age without boundaries; a lower bound if `clocks` are by subnetwork."""
        if is_list(clocks):
            return 0
        head = self.arguments.get("head")
        sequential = resolve(self.graph, head=head, clocks=clocks, phases="aligned")
        costs = [0] * len(self.graph.nodes)
        fresh = searched_clocks(sequential, costs, GOALS["fresh"], _QUICK)
        return _mean_age(dataclasses.replace(sequential, node_clocks=fresh))

    def _floor(self, way: Way, schedule: Schedule) -> float:
        """Return what the worst step costs at least, whatever the phases."""
        always, mean, slow = 0, 0.0, collections.Counter[tuple[int, int]]()
        for node, cost in zip(schedule.graph.nodes, self._node_costs(way), strict=True):
            rate = schedule.clock(node).rate
            mean += cost / rate
            if rate == 1:
                always += cost
            else:
                slow[schedule.subnetwork(node), rate] += cost
        return way.costs.of_step + max(mean, always + max(slow.values(), default=0))

    @functools.cached_property
    def _all_node_costs(self) -> dict[int, tuple[int, ...]]:
        return {id(costs): costs.of_nodes(self.graph) for costs in self.costs}

    def _node_costs(self, way: Way) -> tuple[int, ...]:
        return self._all_node_costs[id(way.costs)]


def _mean_age(schedule: Schedule) -> float:
    """Return the mean age of the outputs, in steps; 0 if they depend on feedback alone."""
    clocks = zip(schedule.node_subnetworks, schedule.node_clocks, strict=True)
    flow = Flow(schedule, list(clocks))
    total = int(flow.output_ages(flow.waits(flow.phases))[0])
    return total / (flow.period * len(flow.outputs)) if flow.outputs else 0.0


def search_for_rate(
    graph: Graph,
    fps: float,
    latency: int | None,
    profiles: Sequence[Costs],
    arguments: Mapping[str, Any],
) -> Choice:
    """Return the best schedule of a model for a frame rate; see `Plan.for_rate`.

    Raises:
        PlanError: none keeps the rate. The message says what would make it possible.
        ValueError: an argument is not a number above 0, or a profile is of another model.
    """
    if not (isinstance(fps, numbers.Real) and 0 < fps < math.inf):
        raise ValueError(f"Invalid fps. Expected a number above 0. Received: {fps!r}.")
    if latency is not None and not is_int(latency, 0):
        raise ValueError(f"Invalid latency. Expected None or an int >= 0. Received: {latency!r}.")
    if not profiles or any(costs.unit != TIME for costs in profiles):
        raise ValueError(
            "A plan for a frame rate needs measured times. Expected profiles. Received: "
            f"{', '.join(costs.unit.name for costs in profiles) or 'none'}. Measure one by "
            "mpvn.runtime.measure_profile(model)."
        )
    if not resolve(graph, profiles[0], **arguments).causal:
        raise PlanError(
            f"{graph.model.name}: a frame rate is kept by streams. Expected a model that sees past "
            "frames only. Received: layers that look into the future. Use "
            'temporal_padding="causal".'
        )
    search = Search(graph, int(1e9 / fps), profiles, latency, arguments)
    found = search.best()
    if found is None:
        raise PlanError(_refusal(search, fps))
    return found


def _refusal(search: Search, fps: float) -> str:
    """Return why there is no schedule, and what would make it possible."""
    name, limit = search.graph.model.name, search.latency
    context = f"{name}: no plan was found for {fps:g} frames/s"
    if limit is not None:
        context += f" with an information latency of at most {_steps(limit)}"
    nearest = search.flattest()
    unlimited = dataclasses.replace(search, latency=None)
    remedies = []
    if nearest is not None:
        worst = TIME.text(nearest.worst)
        received = f"Received: {worst} in the worst step at least ({nearest})"
        remedies.append(f"a rate of at most {_rounded_down(1e9 / nearest.worst)} frames/s")
    else:
        received = "Received: a division with more boundaries on the way of a frame"
    higher = unlimited.best() if limit is not None else None
    if higher is not None:
        remedies.append(
            f"a latency of {_steps(information_latency(higher.schedule)[1])} ({higher})"
        )
    if nearest is not None:
        remedies += _smaller(search, nearest)
    lines = "".join(f"\n  - {remedy}" for remedy in remedies)
    return (
        f"{context}. Expected steps of at most {TIME.text(search.budget)}. {received}. This would "
        f"make it possible:{lines}"
    )


def _smaller(search: Search, nearest: Choice) -> Iterator[str]:
    """Yield what makes steps cheaper: a smaller input, a faster runtime."""
    ratio = nearest.worst / search.budget
    shapes = [search.graph.tensors[tensor].shape for tensor in search.graph.inputs]
    if len(shapes) == 1 and len(shapes[0]) == 3 and ratio <= _MOST_SMALLER**2:
        smaller = [int(side / math.sqrt(ratio)) for side in shapes[0][:2]]
        yield "frames of about {} x {} pixels, if times go with their number".format(*smaller)
    yield f"a runtime or a precision that is {ratio:.1f} times faster"


def _rounded_down(value: float) -> str:
    """Return three digits of a number that is not above `value`."""
    digits = max(0, 2 - math.floor(math.log10(value)))
    return f"{math.floor(value * 10**digits) / 10**digits:.{digits}f}"


def _steps(number: int) -> str:
    return f"{number} step{'s' * (number != 1)}"
