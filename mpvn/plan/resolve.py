"""From what a user asks of a plan to the subnetwork, clock and device of every node.

All that does not fit is collected, and what can be checked in spite of it is checked, so that a
user reads every fault at once. A part with a fault falls back to something harmless.
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from mpvn.plan.clock import EVERY_STEP, Clock
from mpvn.plan.cost import multiply_adds
from mpvn.plan.graph import Graph, Node
from mpvn.plan.partition import (
    PARTITIONS,
    Rates,
    auto_rates,
    balanced_starts,
    chained_offsets,
    equal_starts,
    inherited_rates,
    least_rate,
)
from mpvn.plan.units import HEAD_UNIT, units


class Draft:
    """A plan in the making; arguments as `Plan`.

    Attributes:
        faults: what does not fit, a sentence each.
        head: name of the head's first node, or None.
        starts: index of the first node of each subnetwork.
        subnetwork: of each node; `len(starts)` for the head.
        clocks: of each node.
        devices: of each subnetwork.
    """

    def __init__(
        self,
        graph: Graph,
        subnetworks: Any,
        boundaries: Any,
        partition: Any,
        clocks: Any,
        phases: Any,
        devices: Any,
        head: Any,
    ) -> None:
        self._graph = graph
        self.faults: list[str] = []
        self._units = units(graph.names)
        if head is None and partition == "units":
            head = self._head_unit()
        self.head = head
        head_start = None if head is None else self._index_of(head, "head")
        self._body = len(graph.nodes) if head_start is None else head_start
        by_node = self._rates_by_node(clocks)
        self.starts = self._make_starts(subnetworks, boundaries, partition, by_node)
        self.subnetwork = tuple(
            len(self.starts) if index >= self._body else sum(index >= s for s in self.starts) - 1
            for index in range(len(graph.nodes))
        )
        # A list per subnetwork must be as long as the boundaries say, even if one has a fault.
        asked = len(boundaries) + 1 if _is_list(boundaries) else len(self.starts)
        self._rates = by_node or self._rates_by_subnetwork(clocks, asked)
        self.clocks = self._make_clocks(phases, asked)
        self.devices = self._make_devices(devices, asked)
        for node in graph.nodes:
            self._check_node(node)

    # --- parts ------------------------------------------------------------------------------

    def _rates_by_node(self, clocks: Any) -> Rates | None:
        """Rates that do not depend on the boundaries; None if they do."""
        if _is_list(clocks):
            return None
        if isinstance(clocks, str) and clocks == "auto":
            return auto_rates(self._graph)
        given: dict[str, int] = {}
        if isinstance(clocks, Mapping):
            for name, rate in clocks.items():
                if not _is_count(rate, 1):
                    self._fault(f"clocks: the rate of {name!r} must be an int >= 1, got {rate!r}")
                elif self._index_of(name, "clocks") is not None:
                    given[name] = rate
        elif clocks is not None:
            self._fault(f'clocks must be None, "auto", a list or a mapping, got {clocks!r}')
        return inherited_rates(self._graph, lambda node, _: given.get(node.name))

    def _rates_by_subnetwork(self, clocks: Any, asked: int) -> Rates:
        rates = self._checked_list(clocks, "clocks", "rate >= 1", 1, asked)
        if rates is None:
            return inherited_rates(self._graph, lambda node, inherited: None)
        return tuple((*rates, 1)[own] for own in self.subnetwork)

    def _make_starts(
        self, subnetworks: Any, boundaries: Any, partition: Any, rates: Rates | None
    ) -> list[int]:
        body = self._body
        if partition not in PARTITIONS:
            self._fault(f"partition must be one of {', '.join(PARTITIONS)}, got {partition!r}")
        if boundaries is not None:
            return self._starts_by_name(subnetworks, boundaries)
        subnetworks = 1 if subnetworks is None else subnetworks
        if not _is_count(subnetworks, 0):
            self._fault(
                f"subnetworks: expected an int. Received: {subnetworks!r}. Pass the names of the "
                "nodes at which subnetworks begin as boundaries=[...]"
            )
            return [0]
        if partition == "units":
            return self._starts_by_unit(subnetworks)
        if not _is_count(subnetworks, 1) or subnetworks > body:
            self._fault(
                f"subnetworks: the model has {body} nodes to share, so between 1 and {body} "
                f"subnetworks are possible, got {subnetworks!r}"
            )
            return [0]
        if partition == "balanced":
            shared = rates or (1,) * body
            nodes = self._graph.nodes[:body]
            costs = [multiply_adds(self._graph, node) / shared[node.index] for node in nodes]
            return balanced_starts(costs, subnetworks)
        return equal_starts(body, subnetworks)

    def _starts_by_unit(self, subnetworks: Any) -> list[int]:
        body = {unit: start for unit, start in self._units.items() if start < self._body}
        if not body:
            self._fault(
                'partition: "units" needs a model whose nodes are called "unit.part", from its '
                f"first node {self._graph.names[0]!r} on"
            )
        elif not _is_count(subnetworks, 1) or subnetworks > len(body):
            self._fault(
                f"subnetworks: the model has {len(body)} units to share, {', '.join(body)}, so "
                f"between 1 and {len(body)} subnetworks are possible, got {subnetworks!r}"
            )
        else:
            count = len(body) + (self._body < len(self._graph.nodes))  # the head counts as one
            starts = list(body.values())
            return [starts[unit] for unit in equal_starts(count, subnetworks)]
        return [0]

    def _head_unit(self) -> str | None:
        """First node of the unit that is the head; None if there is none."""
        index = self._units.get(HEAD_UNIT)
        return None if index is None else self._graph.names[index]

    def _starts_by_name(self, subnetworks: Any, boundaries: Any) -> list[int]:
        if subnetworks is not None:
            self._fault(
                "expected either subnetworks or boundaries, not both. Received: "
                f"subnetworks={subnetworks!r}, boundaries={boundaries!r}"
            )
        if not _is_list(boundaries):
            self._fault(f"boundaries: expected a list of node names. Received: {boundaries!r}")
            return [0]
        starts: list[int] = []
        for name in boundaries:
            index = self._index_of(name, "boundary")
            if index in starts:
                self._fault(f"boundary: {name!r} is named twice")
            elif index == 0:
                self._fault(f"boundary: {name!r} is the first node: nothing comes before it")
            elif index is not None and index >= self._body:
                self._fault(f"boundary: {name!r} is in the head, which is not divided")
            elif index is not None:
                starts.append(index)
        return [0, *sorted(starts)]

    def _make_clocks(self, phases: Any, asked: int) -> tuple[Clock, ...]:
        parts = len(self.starts)
        chained = phases == "chain" if isinstance(phases, str) else parts > 1
        offsets = [0] * parts
        if _is_list(phases):
            offsets = self._checked_list(phases, "phases", "offset >= 0", 0, asked) or offsets
        elif chained:
            offsets = chained_offsets(self._graph, self.subnetwork, parts)
        if not (phases is None or phases in ("aligned", "chain") or not isinstance(phases, str)):
            self._fault(f'phases must be "aligned", "chain", a list or a mapping, got {phases!r}')
        given = self._phases_by_node(phases) if isinstance(phases, Mapping) else {}
        clocks = []
        for node, own in zip(self._graph.nodes, self.subnetwork, strict=True):
            rate = self._rates[node.index]
            phase = given.get(node.name, offsets[min(own, parts - 1)] % rate)
            clocks.append(EVERY_STEP if own == parts else Clock(rate, phase))
        return tuple(clocks)

    def _phases_by_node(self, phases: Mapping) -> dict[str, int]:
        given = {}
        for name, phase in phases.items():
            index = self._index_of(name, "phases")
            if index is None:
                continue
            rate = self._rates[index]
            if _is_count(phase, 0) and phase < rate:
                given[name] = phase
            else:
                self._fault(
                    f"phases: {name!r} ticks every {rate} steps, so its phase is between 0 and "
                    f"{rate - 1}, got {phase!r}"
                )
        return given

    def _make_devices(self, devices: Any, asked: int) -> tuple[str | None, ...]:
        if devices is None:
            return (None,) * len(self.starts)
        if not _is_list(devices) or len(devices) != asked:
            self._fault(
                f"devices: a list of one device for each of {asked} subnetworks, got {devices!r}"
            )
            return (None,) * len(self.starts)
        for device in devices:
            try:
                tf.DeviceSpec.from_string(device or "")
            except (ValueError, AttributeError, TypeError):
                self._fault(f"devices: {device!r} is no device string such as '/GPU:0'")
        return tuple(devices)

    # --- contradictions ---------------------------------------------------------------------

    def _check_node(self, node: Node) -> None:
        if self.subnetwork[node.index] < len(self.starts):
            self._check_rate(node)
        if node.temporal and len(node.inputs) != 1:
            self._fault(f"{node.name!r} looks back in time over {len(node.inputs)} inputs, not 1")
        if node.temporal and node.temporal.lookahead and len(self.starts) > 1:
            self._fault(
                f"{node.name!r} looks into the future (symmetric temporal padding) and cannot be "
                'in a pipelined plan; use 1 subnetwork, or temporal_padding="causal"'
            )
        if node.feedback_source:
            self._check_feedback(node)

    def _check_rate(self, node: Node) -> None:
        least = least_rate(self._graph, node, self._rates)
        mine, stride = self._rates[node.index], node.temporal_stride
        if stride > 1 and mine != least * stride:
            self._fault(
                f"{node.name!r} has a temporal stride of {stride} over an input of rate {least}, "
                f"so its rate must be {least * stride}, got {mine}"
            )
        elif mine < least:
            self._fault(
                f"{node.name!r} has clock rate {mine}, below the rate {least} of what it reads: "
                f"it would repeat its work. Give it a rate of at least {least}"
            )

    def _check_feedback(self, node: Node) -> None:
        source = self._index_of(node.feedback_source, f"feedback {node.name!r}")
        if source is None:
            return
        made = self._graph.tensors[self._graph.nodes[source].outputs[0]].shape
        mine = self._graph.tensors[node.outputs[0]].shape
        if made != mine:
            self._fault(
                f"feedback {node.name!r} expects shape {mine}, but {node.feedback_source!r} puts "
                f"out {made}"
            )

    # --- tools ------------------------------------------------------------------------------

    def _fault(self, sentence: str) -> None:
        if sentence not in self.faults:
            self.faults.append(sentence)

    def _index_of(self, name: Any, what: str) -> int | None:
        if name in self._graph.by_name:
            return self._graph.by_name[name].index
        names = self._graph.names
        close = difflib.get_close_matches(str(name), names, n=3) or names[:3]
        self._fault(
            f"{what}: no node is called {name!r}. Nodes are named like "
            f"{', '.join(map(repr, close))}"
        )
        return None

    def _checked_list(
        self, values: Any, what: str, of: str, least: int, asked: int
    ) -> list[int] | None:
        """`values`, one per subnetwork; None, with a fault noted, if they are not that."""
        if len(values) == asked and all(_is_count(value, least) for value in values):
            return list(values) if asked == len(self.starts) else None
        self._fault(
            f"{what}: a list must hold one {of} for each of the {asked} subnetworks, "
            f"got {list(values)}"
        )
        return None


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
