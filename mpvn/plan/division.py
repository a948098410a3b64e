"""Which node runs in which subnetwork: resolves the arguments of a plan that say so."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from mpvn.graph.data import Graph
from mpvn.graph.opaque import REMEDY
from mpvn.plan.assignment import BRANCHES, assigned, by_branch, nodes_named
from mpvn.plan.faults import Faults, is_int, is_list
from mpvn.plan.partition import PARTITIONS, Rates, balanced_starts, equal_starts
from mpvn.plan.units import units


class Division:
    """Divides the nodes before the head among subnetworks.

    Args:
        graph: the nodes.
        body: number of nodes before the head.
        faults: where faults are added.
        node_costs: returns the cost of one tick of each node.
    """

    def __init__(
        self,
        graph: Graph,
        body: int,
        faults: Faults,
        node_costs: Callable[[], Sequence[int]],
    ) -> None:
        self._graph = graph
        self._body = body
        self._names = dict.fromkeys(graph.names[:body])
        self._faults = faults
        self._node_costs = node_costs

    def subnetworks(
        self, subnetworks: Any, partition: Any, ways: Mapping[str, Any], rates: Rates | None
    ) -> list[int]:
        """Return the subnetwork of each node before the head.

        Args:
            subnetworks, partition: as in `Plan`.
            ways: other ways to say where subnetworks are, by the name of the argument.
            rates: rates of all nodes, if they do not depend on the subnetworks.
        """
        if partition not in (*PARTITIONS, BRANCHES):
            self._faults.add(
                f"partition: expected one of {', '.join((*PARTITIONS, BRANCHES))}. "
                f"Received: {partition!r}"
            )
        named = {name: value for name, value in ways.items() if value is not None}
        if partition == BRANCHES:
            named["partition"] = partition
        if subnetworks is not None and named:
            named = {"subnetworks": subnetworks, **named}
        if len(named) > 1:
            received = ", ".join(f"{name}={value!r}" for name, value in named.items())
            self._faults.add(
                f"expected either {' or '.join(named)}, not both. Received: {received}"
            )
        if ways["assignment"] is not None:
            return self._assigned(ways["assignment"])
        if ways["boundaries"] is not None:
            return self._runs(self._starts_by_name(ways["boundaries"]))
        if partition == BRANCHES:
            return by_branch(self._graph, self._body)
        return self._runs(self._starts(1 if subnetworks is None else subnetworks, partition, rates))

    def _runs(self, starts: list[int]) -> list[int]:
        """Return the subnetwork of each node before the head, given their first nodes."""
        return [sum(index >= start for start in starts) - 1 for index in range(self._body)]

    def _assigned(self, assignment: Any) -> list[int]:
        if not isinstance(assignment, Mapping):
            self._faults.add(
                "assignment: expected a mapping from names of nodes or units to subnetworks. "
                f"Received: {assignment!r}"
            )
            return [0] * self._body
        valid = {n: value for n, value in assignment.items() if self._is_assignment(n, value)}
        subnetworks = assigned(self._graph, self._body, valid)
        empty = min({*range(len(set(subnetworks)))} - {*subnetworks}, default=None)
        if empty is not None and len(valid) == len(assignment):
            self._faults.add(
                f"assignment: no node is in subnetwork {empty}. Expected subnetworks 0, 1, 2, ... "
                "without gaps. Nodes that are not named are in the highest subnetwork of those "
                "that they read, and in 0 if they read frames alone"
            )
        return [0] * self._body if empty is not None else subnetworks

    def _is_assignment(self, name: Any, subnetwork: Any) -> bool:
        """Return whether an entry of an assignment is valid; report its faults otherwise."""
        if not is_int(subnetwork, 0):
            self._faults.add(
                f"assignment: expected a subnetwork >= 0 for {name!r}. Received: {subnetwork!r}"
            )
            return False
        if not isinstance(name, str) or not nodes_named(name, self._graph.by_name):
            self._faults.index_of(name, "assignment")
            return False
        if not nodes_named(name, self._names):
            self._faults.add(f"assignment: {name!r} is in the head, which belongs to no subnetwork")
            return False
        return True

    def _starts(self, subnetworks: Any, partition: Any, rates: Rates | None) -> list[int]:
        if not is_int(subnetworks):
            self._faults.add(
                f"subnetworks: expected an int. Received: {subnetworks!r}. To pass the names of "
                "the nodes at which subnetworks begin, use boundaries=[...]"
            )
            return [0]
        if partition == "units":
            return self._starts_by_unit(subnetworks)
        body = self._body
        if not 1 <= subnetworks <= body:
            self._faults.add(
                f"subnetworks: expected 1 to {body}, because the model has {body} nodes to divide. "
                f"Received: {subnetworks}{self._opaque_models()}"
            )
            return [0]
        if partition == "balanced":
            rates = rates or (1,) * body
            costs = zip(self._node_costs()[:body], rates[:body], strict=True)
            return balanced_starts([cost / rate for cost, rate in costs], subnetworks)
        return equal_starts(body, subnetworks)

    def _starts_by_unit(self, subnetworks: int) -> list[int]:
        body = units([*self._names])
        if not body:
            self._faults.add(
                'partition: "units" needs nodes named "unit.part", from the first node on. '
                f"Received: a model whose first node is {self._graph.names[0]!r}"
            )
        elif not 1 <= subnetworks <= len(body):
            self._faults.add(
                f"subnetworks: expected 1 to {len(body)}, because the model has {len(body)} units "
                f"to divide: {', '.join(body)}. Received: {subnetworks}"
            )
        else:
            # A fresh head counts as a unit, so that it does not move the boundaries.
            count = len(body) + (self._body < len(self._graph.nodes))
            starts = list(body.values())
            return [starts[unit] for unit in equal_starts(count, subnetworks)]
        return [0]

    def _starts_by_name(self, boundaries: Any) -> list[int]:
        if not is_list(boundaries):
            self._faults.add(f"boundaries: expected a list of node names. Received: {boundaries!r}")
            return [0]
        starts: list[int] = []
        for name in boundaries:
            index = self._faults.index_of(name, "boundaries")
            if index in starts:
                self._faults.add(f"boundaries: {name!r} appears twice")
            elif index == 0:
                self._faults.add(
                    f"boundaries: {name!r} is the first node of the model. Name only the nodes at "
                    "which subnetworks 1, 2, ... begin"
                )
            elif index is not None and index >= self._body:
                self._faults.add(f"boundaries: {name!r} is in the head, which cannot be divided")
            elif index is not None:
                starts.append(index)
        return [0, *sorted(starts)]

    def _opaque_models(self) -> str:
        """Return which nodes are models that cannot be divided, and what to do."""
        nodes = [n.name for n in self._graph.nodes if isinstance(n.operation, keras.Model)]
        return f". Models with a call of their own: {', '.join(nodes)}. {REMEDY[:-1]}" * bool(nodes)
