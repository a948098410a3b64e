"""How old information is in each node, for one schedule or for many that differ in phases.

At step t, a node holds the value of its last tick u <= t, computed from what its sources held then,
or one step before across a boundary:

    age(node, t) = (t - u) + max over sources (delay + age(source, u - delay))        slowest path
                   (t - u) + min over sources (delay + age(source, u - delay))        fastest path

Nodes of one subnetwork that tick together pass information on without any wait. So all nodes of one
*group* that get their information from the same values of other groups are equally old, and count
as one *value*: a network of hundreds of nodes has a few dozen values. Groups may be finer than
necessary, but the nodes of one must tick together.
"""

import functools
from collections.abc import Callable, Hashable, Sequence

import numpy as np

from mpvn.plan.clock import period
from mpvn.plan.schedule import Schedule

_FRAME = 0
"""The value that is the input frame: always new."""

Reads = tuple[tuple[int, int], ...]
"""The values that a value is computed from, each with the delay on the way."""


class Flow:
    """The paths of information from frames to the nodes of a schedule, whatever the phases.

    Args:
        schedule: the nodes, their subnetworks and rates.
        groups: the group of each node, in plan order.

    Attributes:
        group_of: index of the group of each node, in plan order; groups in order of their first
            nodes.
        first: index of the first node of each group.
        rates: clock rate of each group.
        phases: phase of each group in the schedule, int `[1, groups]`.
        period: steps after which all repeats.
        value_of: the value that each node holds, in plan order; None for nodes that depend on
            feedback alone.
        outputs: the values that the model outputs, as often as it does.
    """

    def __init__(self, schedule: Schedule, groups: Sequence[Hashable]) -> None:
        numbers: dict[Hashable, int] = {}
        self.group_of = [numbers.setdefault(group, len(numbers)) for group in groups]
        self.first = [self.group_of.index(group) for group in range(len(numbers))]
        self.rates = [schedule.node_clocks[node].rate for node in self.first]
        self.phases = np.array([[schedule.node_clocks[node].phase for node in self.first]])
        self.period = period(schedule.node_clocks)
        self._values: dict[tuple[int, Reads], int] = {}
        self.value_of: list[int | None] = []
        self._find_values(schedule)
        producers = map(schedule.graph.producer, schedule.graph.outputs)
        values = [_FRAME if node is None else self.value_of[node.index] for node in producers]
        self.outputs = [value for value in values if value is not None]

    def _find_values(self, schedule: Schedule) -> None:
        """Give each node its value. Feedback and memories do not count; see `mpvn.plan.age`."""
        reads_of: list[Reads] = []
        for node in schedule.graph.nodes:
            group = self.group_of[node.index]
            reads: set[tuple[int, int]] = set()
            for producer in schedule.graph.sources(node):
                delay = schedule.delay(producer, node)
                value = _FRAME if producer is None else self.value_of[producer.index]
                if producer and not delay and self.group_of[producer.index] == group:
                    reads.update(reads_of[producer.index])
                elif value is not None:
                    reads.add((value, delay))
            key = group, tuple(sorted(reads))
            reads_of.append(key[1])
            number = len(self._values) + 1  # after the frame
            self.value_of.append(self._values.setdefault(key, number) if reads else None)

    @property
    def size(self) -> int:
        """Number of values."""
        return len(self._values)

    def waits(self, phases: np.ndarray) -> np.ndarray:
        """Return the steps since the last tick of each group, int `[K, groups, period]`.

        Args:
            phases: int `[K, groups]`, for K schedules.
        """
        steps = np.arange(self.period)
        return (steps - phases[:, :, None]) % np.array(self.rates)[:, None]

    def ages(self, waits: np.ndarray, combine: Callable = np.maximum) -> list[np.ndarray]:
        """Return the ages of the values at each step of a period, int `[K, period]` each.

        Args:
            waits: from `waits`.
            combine: `np.maximum` for the slowest paths, `np.minimum` for the fastest.
        """
        count, _, length = waits.shape
        steps = np.arange(length)
        read_at = [steps - waits - delay for delay in (0, 1)]
        for index in read_at:
            index += length * (index < 0)  # a period later, all is the same
            index += np.arange(count)[:, None, None] * length  # in `[K * period]`
        ages = [np.zeros((count, length), np.int64)]
        for group, reads in self._values:
            arrivals = [
                delay + ages[value].take(read_at[delay][:, group]) for value, delay in reads
            ]
            ages.append(waits[:, group] + functools.reduce(combine, arrivals))
        return ages

    def output_ages(self, waits: np.ndarray) -> np.ndarray:
        """Return the sum of the ages of all outputs over a period, on slowest paths: int `[K]`."""
        ages = self.ages(waits)
        return sum((ages[value].sum(axis=1) for value in self.outputs), np.zeros(len(waits), int))

    def step_costs(self, waits: np.ndarray, node_costs: Sequence[int]) -> np.ndarray:
        """Return the cost of each step, int `[K, period]`.

        Args:
            waits: from `waits`.
            node_costs: cost of one tick of each node, in plan order.
        """
        costs = np.zeros(len(self.rates), np.int64)
        np.add.at(costs, self.group_of, node_costs)
        return np.einsum("kgt,g->kt", waits == 0, costs)
