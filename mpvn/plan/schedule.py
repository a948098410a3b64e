"""The schedule of a graph: the subnetwork, clock and device of every node.

Semantics follow *Massively Parallel Video Networks*, section 3. Time is counted in steps, one frame
per step. An edge within a subnetwork carries the producer's value of the same step. An edge across
a boundary carries the value of the previous step, so the subnetworks of one step do not depend on
each other and can run in parallel.
"""

import dataclasses
import functools
import itertools
from collections.abc import Mapping

from mpvn.graph.data import Graph, Node
from mpvn.plan.clock import EVERY_STEP, Clock, period


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Schedule:
    """Where and when each node of a graph runs.

    Attributes:
        graph: nodes and tensors of the frame model.
        head: name of the first node of the fresh head, or None; see `Plan`.
        devices: device of each subnetwork; None lets TensorFlow choose.
        node_subnetworks: subnetwork of each node, in plan order; `subnetworks` for the head.
        node_clocks: clock of each node, in plan order.
        feedback: index of the node that each feedback node reads, by the index of the latter.
    """

    graph: Graph
    head: str | None
    devices: tuple[str | None, ...]
    node_subnetworks: tuple[int, ...]
    node_clocks: tuple[Clock, ...]
    feedback: Mapping[int, int]

    @property
    def subnetworks(self) -> int:
        """Number of subnetworks, not counting the head."""
        return len(self.devices)

    @property
    def boundaries(self) -> tuple[str, ...]:
        """Names of the first nodes, in plan order, of subnetworks 1, 2, ..."""
        first = [self.node_subnetworks.index(part) for part in range(1, self.subnetworks)]
        return tuple(self.nodes[index] for index in first)

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the nodes in plan order, which is a topological order."""
        return self.graph.names

    @property
    def subnetwork_of(self) -> dict[str, int]:
        """Subnetwork of each node, by name; `subnetworks` for nodes of the head."""
        return dict(zip(self.nodes, self.node_subnetworks, strict=True))

    @property
    def clock_of(self) -> dict[str, Clock]:
        """Clock of each node, by name."""
        return dict(zip(self.nodes, self.node_clocks, strict=True))

    def subnetwork(self, node: Node) -> int:
        """Return the index of the subnetwork of `node`; `subnetworks` for the head."""
        return self.node_subnetworks[node.index]

    def clock(self, node: Node | None) -> Clock:
        """Return the clock of `node`. The input frame (None) ticks at every step."""
        return EVERY_STEP if node is None else self.node_clocks[node.index]

    def column(self, node: Node) -> int:
        """Return the subnetwork whose cost and device include `node`: the last for the head."""
        return min(self.subnetwork(node), self.subnetworks - 1)

    def device(self, node: Node) -> str | None:
        """Return the device of `node`; None lets TensorFlow choose."""
        return self.devices[self.column(node)]

    def on(self, devices: tuple[str | None, ...]) -> "Schedule":
        """Return the same schedule on other devices, one for each subnetwork."""
        names = [field.name for field in dataclasses.fields(Schedule)]
        return Schedule(**{name: getattr(self, name) for name in names} | {"devices": devices})

    @property
    def several_devices(self) -> bool:
        """Whether not all subnetworks are on one device."""
        return len({*self.devices}) > 1

    @functools.cached_property
    def parts(self) -> tuple[tuple[Node, ...], ...]:
        """The nodes of each subnetwork, and last of the head if there is one, in plan order."""
        nodes = sorted(self.graph.nodes, key=self.subnetwork)
        return tuple(tuple(group) for _, group in itertools.groupby(nodes, self.subnetwork))

    @functools.cached_property
    def blocks(self) -> tuple[list[Node], ...]:
        """The nodes of one subnetwork after the other, split wherever the clock changes."""
        groups = [itertools.groupby(nodes, self.clock) for nodes in self.parts]
        return tuple(list(nodes) for part in groups for _, nodes in part)

    @functools.cached_property
    def read_by(self) -> tuple[frozenset[int], ...]:
        """The other subnetworks that each subnetwork, and last the head, reads; not by feedback."""
        read: list[set[int]] = [set() for _ in range(self.subnetworks + 1)]
        for node in self.graph.nodes:
            own = self.subnetwork(node)
            read[own] |= {self.subnetwork(p) for p in self.graph.producers(node)} - {own}
        return tuple(map(frozenset, read))

    def delay(self, producer: Node | None, consumer: Node) -> int:
        """Return the steps from `producer` to `consumer`: 1 across a boundary, else 0.

        The head and the input frame (None) have no delay.
        """
        subnetwork = self.subnetwork(consumer)
        if producer is None or subnetwork in (self.subnetworks, self.subnetwork(producer)):
            return 0
        return 1

    @property
    def period(self) -> int:
        """Steps after which the schedule repeats: the least common multiple of the rates."""
        return period(self.node_clocks)

    @functools.cached_property
    def distinct_clocks(self) -> tuple[Clock, ...]:
        """The different clocks of the schedule, sorted."""
        return tuple(sorted(set(self.node_clocks)))

    def pattern(self, step: int) -> tuple[bool, ...]:
        """Return which of the distinct clocks tick at `step`."""
        return tuple(clock.ticks(step) for clock in self.distinct_clocks)

    @property
    def causal(self) -> bool:
        """Whether no node looks into the future."""
        return not any(node.temporal and node.temporal.lookahead for node in self.graph.nodes)

    @property
    def has_feedback(self) -> bool:
        """Whether a node reads the output of a later node, one step late."""
        return bool(self.feedback)

    def feedback_source(self, node: Node) -> Node | None:
        """Return the node whose previous value `node` outputs, if `node` is a feedback node."""
        source = self.feedback.get(node.index)
        return None if source is None else self.graph.nodes[source]
