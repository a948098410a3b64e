"""Searches phases: the steps at which the clocks of a schedule tick, for a goal.

    "flat"     the least worst step, then the least mean age of the outputs
    "fresh"    the least mean age of the outputs, then the least worst step

Nodes of one subnetwork and rate tick together, as a *group*. Any phases of the groups are valid: a
node reads the newest values that there are. If they are few, all are tried. Otherwise a search
descends from several starts, then again and again from near the best that it found. The phases
`"aligned"` and `"chain"` are among the starts, so it never ends worse than they are. Its work is
bounded, not its time: a plan gets the same phases on every machine.
"""

import math
import random
from collections.abc import Callable, Sequence

import numpy as np

from mpvn.plan.clock import Clock
from mpvn.plan.faults import PlanError
from mpvn.plan.flow import Flow
from mpvn.plan.partition import chained_offsets
from mpvn.plan.schedule import Schedule

Goal = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, ...]]
"""Takes, of K schedules, the cost of the worst step and the ages of the outputs, int `[K]` each.
Returns what to minimize, the most important first."""

GOALS: dict[str, Goal] = {
    "flat": lambda worst, ages: (worst, ages),
    "fresh": lambda worst, ages: (ages, worst),
}
"""The goals that have names."""


def within(bound: int) -> Goal:
    """Return the goal to be fresh, with no worst step above `bound`."""
    return lambda worst, ages: (np.maximum(worst, bound), ages, worst)


LONGEST = 10**5
"""The longest period, in steps, whose phases are searched."""

_WORK = 10**8
"""Ages of a value and waits of a group at a step that a search may compute: a second or two."""

_ALL = 2**17
"""Phases that are tried if these are all."""

_BATCH = 2**13
"""Steps of all schedules that are computed at once: their arrays fit in the caches."""

_STARTS = 32
"""Phases from which a search descends at the same time."""

_KICKED = 2
"""Groups that get random phases before the next descent."""


def searched_clocks(
    schedule: Schedule, node_costs: Sequence[int], goal: Goal, effort: float = 1
) -> tuple[Clock, ...]:
    """Return the clock of each node of `schedule`, with the best phases that were found.

    Args:
        schedule: where nodes run, and their rates; its phases do not count.
        node_costs: cost of one tick of each node, in plan order.
        goal: one of `GOALS`, or another one.
        effort: share of the usual work.

    Raises:
        PlanError: the clocks repeat after very many steps.
    """
    if schedule.period > LONGEST:
        raise PlanError(
            f"phases: the clocks of {schedule.graph.model.name!r} repeat too rarely to search "
            f"phases. Expected a period of at most {LONGEST:,} steps. Received: "
            f"{schedule.period:,} steps. Use rates that are multiples of each other"
        )
    keys = zip(schedule.node_subnetworks, schedule.node_clocks, strict=True)
    flow = Flow(schedule, [(subnetwork, clock.rate) for subnetwork, clock in keys])
    offsets = chained_offsets(schedule.graph, schedule.node_subnetworks, schedule.subnetworks)
    columns = [schedule.column(schedule.graph.nodes[first]) for first in flow.first]
    chained = np.array(offsets)[columns] % flow.rates
    phases = _Search(flow, node_costs, goal, effort).best(
        np.stack([np.zeros_like(chained), chained])
    )
    return tuple(Clock(flow.rates[group], phases[group]) for group in flow.group_of)


class _Search:
    """Searches the phases of the groups of a flow.

    Args:
        flow: the groups, and how information gets to the outputs.
        node_costs, goal, effort: as in `searched_clocks`.
    """

    def __init__(self, flow: Flow, node_costs: Sequence[int], goal: Goal, effort: float) -> None:
        self._flow = flow
        self._node_costs = node_costs
        self._goal = goal
        self._rates = np.array(flow.rates)
        self._random = random.Random(0)
        of_one = flow.period * (flow.size + len(flow.rates))
        self._candidates_left = int(_WORK * effort) // of_one

    def best(self, starts: np.ndarray) -> list[int]:
        """Return the best phases that were found, of each group.

        Args:
            starts: int `[K, groups]`: phases that are tried, and improved.
        """
        free = np.eye(len(self._rates), dtype=int)[self._rates > 1]
        # A later start of everything changes neither costs nor ages: the slowest group can stay.
        if len(free) < 2:
            return [0] * len(self._rates)
        others = np.delete(free, np.argmax(self._rates[self._rates > 1]), axis=0)
        if math.prod((others @ self._rates).tolist()) <= min(_ALL, self._candidates_left):
            times = np.indices(others @ self._rates).reshape(len(others), -1)
            return self._earliest(self._choose((times.T @ others)[None])[0])
        return self._earliest(self._search(starts, free))

    def _search(self, starts: np.ndarray, free: np.ndarray) -> np.ndarray:
        """Descend from `starts` and random phases, then again and again from near the best."""
        moves = np.concatenate([free, np.logical_or.accumulate(free, axis=1)])
        best, count = self._choose(starts[None])[0], len(free)
        while self._candidates_left > 0:
            kicked = [self._kicked(best, free, count) for _ in range(len(starts), _STARTS)]
            ends = self._descend(np.concatenate([starts, kicked]), moves)
            best = self._choose(ends[None])[0]
            starts, count = best[None], min(_KICKED, len(free))
        return best

    def _kicked(self, phases: np.ndarray, free: np.ndarray, count: int) -> np.ndarray:
        """Return `phases` with random ones of `count` of the groups `free`."""
        kicked = phases.copy()
        for group in self._random.sample(range(len(free)), count):
            one = free[group] > 0
            kicked[one] = self._random.randrange(int(self._rates[one][0]))
        return kicked

    def _descend(self, phases: np.ndarray, moves: np.ndarray) -> np.ndarray:
        """Return the phases `[K, groups]` to which moves lead that improve each of `phases`."""
        before = None
        while before is None or not np.array_equal(before, phases):
            before = phases
            for move in moves:
                if self._candidates_left > 0:
                    later = np.arange(self._rates[move > 0].max())[:, None] * move
                    # [K, 1, groups] + [steps, groups]
                    phases = self._choose((phases[:, None] + later) % self._rates)
        return phases

    def _choose(self, phases: np.ndarray) -> np.ndarray:
        """Return the best of each row of `phases` `[K, N, groups]`; of equal ones the first."""
        rows = phases.reshape(-1, phases.shape[-1])
        self._candidates_left -= len(rows)
        batches = np.array_split(rows, -(-len(rows) * self._flow.period // _BATCH))
        worst, ages = map(np.concatenate, zip(*map(self._score, batches), strict=True))
        order = np.lexsort(self._goal(worst, ages)[::-1])  # the last key counts most
        ranks = np.argsort(order).reshape(phases.shape[:2])
        return phases[np.arange(len(phases)), ranks.argmin(axis=1)]

    def _score(self, phases: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the cost of the worst step, and the ages of the outputs, of each schedule."""
        waits = self._flow.waits(phases)
        costs = self._flow.step_costs(waits, self._node_costs)
        return costs.max(axis=1), self._flow.output_ages(waits)

    def _earliest(self, phases: np.ndarray) -> list[int]:
        """Return the same phases from a later start on, so that the first groups tick first."""
        later = np.arange(self._flow.period)
        for phase, rate in zip(phases, self._rates, strict=True):
            ticks = (phase + later) % rate
            later = later[ticks == ticks.min()]
        return ((phases + later[0]) % self._rates).tolist()
