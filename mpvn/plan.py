"""A plan: which nodes of a frame model form which parallel subnetwork, when each computes, where.

The one description of a schedule; executors, cost figures, grids and exports all read it. Semantics
follow *Massively Parallel Video Networks*, section 3: time is counted in steps, one frame a step;
an edge within a subnetwork reads its producer's value of this step, an edge across a boundary the
value of the previous step, and so the subnetworks of one step depend on nothing that the same step
computes.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from mpvn import partition, timing
from mpvn.clock import EVERY_STEP, Clock, period
from mpvn.cost import multiply_adds
from mpvn.graph import Graph, Node, read_graph
from mpvn.memory import Memories


class PlanError(ValueError):
    """A plan that does not fit its model; the message lists every fault."""


class Plan:
    """Subnetworks, clocks and devices for the nodes of a frame model.

    Args:
        model: a functional Keras model over one frame, of fixed frame size.
        subnetworks: how many parallel subnetworks (1 is the sequential network), or the names of
            the nodes at which subnetworks 1, 2, ... begin.
        partition: how a number of subnetworks is cut: `"equal"`, equally many nodes each (the
            paper), or `"balanced"`, the dearest as cheap as possible in multiply-adds per step.
        clocks: when nodes compute. None: at every step, but for the model's temporal strides.
            `"auto"`: see `partition.auto_rates`. A sequence: one rate per subnetwork. A mapping:
            rates by node name; other nodes inherit the smallest rate of what they read, times
            their temporal stride.
        phases: at which steps of its period a node ticks. `"aligned"`: all at 0 (the paper; the
            default for one subnetwork). `"chain"`: each subnetwork one step after the one that
            feeds it (the default for several: values wait less, and steps cost more evenly). A
            sequence: an offset in steps per subnetwork. A mapping: phases by node name, the rest
            as by default.
        devices: None, or one device string per subnetwork, such as `"/GPU:0"`. The head shares the
            device of the last.
        head: name of the first node of the head, if the model has one: from it on, in plan order,
            nodes tick at every step, in sequence with whatever they read.

    Raises:
        TypeError: `model` is no functional model.
        PlanError: anything else that does not fit, all faults at once.

    Example:
        >>> import keras
        >>> model = keras.applications.MobileNetV2(weights=None, input_shape=(64, 64, 3))
        >>> plan = Plan(model, subnetworks=4, clocks="auto")
        >>> plan.period, plan.information_latency
        (16, (3, 3))
    """

    def __init__(
        self,
        model: keras.Model,
        subnetworks: int | Sequence[str] = 1,
        *,
        partition: str = "equal",
        clocks: None | str | Sequence[int] | Mapping[str, int] = None,
        phases: None | str | Sequence[int] | Mapping[str, int] = None,
        devices: Sequence[str] | None = None,
        head: str | None = None,
    ) -> None:
        self.graph: Graph = read_graph(model)
        faults: list[str] = []
        head_start = self._index_of(head, "head", faults)
        body = len(self.graph.nodes) if head_start is None else head_start
        rates = self._rates_by_node(clocks, faults)
        starts = self._starts(subnetworks, partition, body, rates, faults)
        _stop_at(faults, model)

        self.head = head
        self.boundaries = tuple(self.graph.names[start] for start in starts[1:])
        self.subnetworks = len(starts)
        self._subnetwork = tuple(
            len(starts) if node.index >= body else sum(node.index >= s for s in starts) - 1
            for node in self.graph.nodes
        )
        if rates is None:
            rates = self._rates_by_subnetwork(clocks, faults)
        self._clocks = self._make_clocks(rates, phases, faults)
        self.devices = self._check_devices(devices, faults)
        _stop_at(faults, model)
        faults.extend(self._contradictions())
        _stop_at(faults, model)

    # --- what the plan says -----------------------------------------------------------------

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the nodes in plan order, a topological order."""
        return self.graph.names

    @property
    def subnetwork_of(self) -> dict[str, int]:
        """Index of each node's subnetwork; nodes of the head have `subnetworks`."""
        return dict(zip(self.nodes, self._subnetwork, strict=True))

    @property
    def clock_of(self) -> dict[str, Clock]:
        """Clock of each node."""
        return dict(zip(self.nodes, self._clocks, strict=True))

    def subnetwork(self, node: Node) -> int:
        """Index of the subnetwork of `node`; `subnetworks` for the head."""
        return self._subnetwork[node.index]

    def clock(self, node: Node | None) -> Clock:
        """Clock of `node`; of the input frame (None), every step."""
        return EVERY_STEP if node is None else self._clocks[node.index]

    def device(self, node: Node) -> str | None:
        """Device of `node`, None for TensorFlow's choice."""
        return self.devices[min(self.subnetwork(node), self.subnetworks - 1)]

    def delay(self, producer: Node | None, consumer: Node) -> int:
        """Steps that a value takes from `producer` to `consumer`: 1 across a boundary, else 0."""
        mine = self.subnetwork(consumer)
        in_step = producer is None or mine in (self.subnetworks, self.subnetwork(producer))
        return 0 if in_step else 1

    @property
    def period(self) -> int:
        """Steps after which the schedule repeats: the least common multiple of the rates."""
        return period(self._clocks)

    def pattern(self, step: int) -> tuple[bool, ...]:
        """Which of the plan's clocks tick at `step`, in the order of `sorted(set(clocks))`."""
        return tuple(clock.ticks(step) for clock in sorted(set(self._clocks)))

    @property
    def causal(self) -> bool:
        """Whether no node looks into the future."""
        return not any(node.temporal and node.temporal.lookahead for node in self.graph.nodes)

    @property
    def has_feedback(self) -> bool:
        """Whether a node reads what a later one said one step ago."""
        return any(node.feedback_source for node in self.graph.nodes)

    @functools.cached_property
    def memories(self) -> Memories:
        """What is kept from one step to the next."""
        return Memories(self)

    # --- what follows from it ---------------------------------------------------------------

    @property
    def information_latency(self) -> tuple[int, int]:
        """Boundaries from frame to output on the fastest and on the slowest path, in steps."""
        return timing.information_latency(self)

    @property
    def ages(self) -> dict[str, timing.Ages]:
        """Age of the information in each output at each step of a period, in steps."""
        return timing.output_ages(self)

    def age_of(self, node: str) -> timing.Ages | None:
        """Age of what the node called `node` holds; None if it stems from feedback alone."""
        faults: list[str] = []
        index = self._index_of(node, "age_of", faults)
        _stop_at(faults, self.graph.model)
        return self.node_ages[index or 0]

    @functools.cached_property
    def node_ages(self) -> list[timing.Ages | None]:
        """Age of what each node holds, in plan order; None for what stems from feedback alone."""
        return timing.node_ages(self)

    @property
    def receptive_field(self) -> int | None:
        """Frames from the oldest to the newest that one output can see; None with feedback."""
        return timing.receptive_field(self)

    @functools.cached_property
    def node_costs(self) -> tuple[int, ...]:
        """Multiply-adds of one tick of each node, for one stream."""
        return tuple(multiply_adds(self.graph, node) for node in self.graph.nodes)

    @functools.cached_property
    def costs(self) -> tuple[tuple[int, ...], ...]:
        """Multiply-adds `[period][subnetworks]` of a step, the head's counted with the last."""
        rows = [[0] * self.subnetworks for _ in range(self.period)]
        for node, cost in zip(self.graph.nodes, self.node_costs, strict=True):
            clock = self.clock(node)
            column = min(self.subnetwork(node), self.subnetworks - 1)
            for step in range(clock.phase, self.period, clock.rate):
                rows[step][column] += cost
        return tuple(tuple(row) for row in rows)

    @property
    def step_costs(self) -> tuple[int, ...]:
        """Multiply-adds of each step of a period."""
        return tuple(sum(row) for row in self.costs)

    @property
    def worst_step(self) -> float:
        """Cost of the dearest step over the mean: 1 where all steps cost the same."""
        costs = self.step_costs
        return max(costs) * len(costs) / sum(costs) if sum(costs) else 1.0

    @property
    def clock_speedup(self) -> float:
        """Multiply-adds without clocks over multiply-adds with them."""
        spent = sum(self.step_costs)
        return sum(self.node_costs) * self.period / spent if spent else 1.0

    @property
    def execution_speedup(self) -> float:
        """The same ratio in executed nodes."""
        return len(self._clocks) / sum(1 / clock.rate for clock in self._clocks)

    @property
    def balance_bound(self) -> float:
        """Work of the largest subnetwork over all; its inverse bounds the parallel speed-up."""
        totals = [sum(column) for column in zip(*self.costs, strict=True)]
        return max(totals) / sum(totals) if sum(totals) else 1.0

    @property
    def cached_bytes(self) -> int:
        """Bytes that one stream keeps between steps."""
        return self.memories.bytes_per_stream

    # --- as data ----------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The plan as plain data; `Plan(model, **config)` makes it again."""
        return {
            "subnetworks": list(self.boundaries),
            "clocks": {name: clock.rate for name, clock in self.clock_of.items()},
            "phases": {name: clock.phase for name, clock in self.clock_of.items()},
            "devices": list(self.devices) if any(self.devices) else None,
            "head": self.head,
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and self.get_config() == other.get_config()

    def __hash__(self) -> int:
        return hash((self.boundaries, self._clocks, self.devices, self.head))

    def grid(self) -> str:
        """The schedule drawn: a row per step of the period, a column per subnetwork.

        A cell shows which share of its subnetwork's multiply-adds runs at that step, by eighths of
        a block; a dot is rest.
        """
        full = [0] * self.subnetworks
        for node, cost in zip(self.graph.nodes, self.node_costs, strict=True):
            full[min(self.subnetwork(node), self.subnetworks - 1)] += cost
        width = max(3, len(str(self.subnetworks - 1)) + 1)
        lines = ["step " + "".join(f"{s:>{width}}" for s in range(self.subnetworks)) + "   cost"]
        total = sum(self.node_costs) or 1
        for step, row in enumerate(self.costs):
            cells = "".join(
                _cell(cost, most, self._works(s, step)).rjust(width)
                for s, (cost, most) in enumerate(zip(row, full, strict=True))
            )
            lines.append(f"{step:>4} {cells}  {100 * sum(row) / total:4.0f} %")
        return "\n".join(lines)

    def _works(self, subnetwork: int, step: int) -> bool:
        return any(
            clock.ticks(step) and min(own, self.subnetworks - 1) == subnetwork
            for own, clock in zip(self._subnetwork, self._clocks, strict=True)
        )

    def __str__(self) -> str:
        fastest, slowest = self.information_latency
        rates = sorted({clock.rate for clock in self._clocks})
        return (
            f"{self.graph.model.name}: {len(self.nodes)} nodes, {self.subnetworks} subnetworks, "
            f"clock rates {', '.join(map(str, rates))}, information latency {fastest} to {slowest} "
            f"steps\n{self.grid()}"
        )

    def __repr__(self) -> str:
        return (
            f"<Plan of {self.graph.model.name!r}: {self.subnetworks} subnetworks, "
            f"period {self.period}>"
        )

    # --- how it is made ---------------------------------------------------------------------

    def _index_of(self, name: str | None, what: str, faults: list[str]) -> int | None:
        if name is None or name in self.nodes:
            return None if name is None else self.nodes.index(name)
        faults.append(f"{what}: no node is called {name!r}. {self._similar(name)}")
        return None

    def _similar(self, name: object) -> str:
        import difflib

        close = difflib.get_close_matches(str(name), self.nodes, n=3) or self.nodes[:3]
        return f"Nodes are named like {', '.join(map(repr, close))}"

    def _rates_by_node(self, clocks: Any, faults: list[str]) -> partition.Rates | None:
        """Rates that do not depend on the boundaries; None if they do."""
        if clocks is None:
            return partition.inherited_rates(self.graph, lambda node, inherited: None)
        if isinstance(clocks, str):
            if clocks != "auto":
                faults.append(f'clocks must be None, "auto", a list or a mapping. Got {clocks!r}')
            return partition.auto_rates(self.graph)
        if isinstance(clocks, Mapping):
            for name, rate in clocks.items():
                self._index_of(name, "clocks", faults)
                if not _is_count(rate, 1):
                    faults.append(f"clocks: the rate of {name!r} must be an int >= 1, got {rate!r}")
            if faults:
                return None
            return partition.inherited_rates(
                self.graph, lambda node, inherited: clocks.get(node.name)
            )
        if not _is_list(clocks):
            faults.append(f'clocks must be None, "auto", a list or a mapping. Got {clocks!r}')
        return None

    def _rates_by_subnetwork(self, clocks: Any, faults: list[str]) -> partition.Rates:
        rates = list(clocks)
        if len(rates) != self.subnetworks or not all(_is_count(rate, 1) for rate in rates):
            faults.append(
                f"clocks: a list must hold one rate >= 1 for each of the {self.subnetworks} "
                f"subnetworks, got {rates}"
            )
            rates = [1] * self.subnetworks
        return tuple((*rates, 1)[own] for own in self._subnetwork)

    def _starts(
        self,
        subnetworks: Any,
        how: str,
        body: int,
        rates: partition.Rates | None,
        faults: list[str],
    ) -> list[int]:
        if isinstance(subnetworks, int) and not isinstance(subnetworks, bool):
            if not 1 <= subnetworks <= body:
                faults.append(
                    f"subnetworks: the model has {body} nodes to share, so between 1 and {body} "
                    f"subnetworks are possible, got {subnetworks}"
                )
                return [0]
            if how == "equal":
                return partition.equal_starts(body, subnetworks)
            if how == "balanced":
                shared = rates or (1,) * body
                costs = [self.node_costs[i] / shared[i] for i in range(body)]
                return partition.balanced_starts(costs, subnetworks)
            faults.append(f'partition must be "equal" or "balanced", got {how!r}')
            return [0]
        if not _is_list(subnetworks):
            faults.append(f"subnetworks must be a number or a list of names, got {subnetworks!r}")
            return [0]
        found = [self._index_of(name, "boundary", faults) for name in subnetworks]
        starts = [index for index in found if index is not None]
        for index in starts:
            if index == 0 or index >= body:
                where = "the first node" if index == 0 else "in the head"
                faults.append(
                    f"boundary: {self.nodes[index]!r} is {where}; a subnetwork would be empty"
                )
        if len(set(starts)) < len(starts):
            faults.append(f"boundary: named twice in {list(subnetworks)}")
        return [0, *sorted(starts)]

    def _make_clocks(
        self, rates: partition.Rates, phases: Any, faults: list[str]
    ) -> tuple[Clock, ...]:
        by_name: Mapping[str, int] = phases if isinstance(phases, Mapping) else {}
        policy = phases
        if phases is None or isinstance(phases, Mapping):
            policy = "chain" if self.subnetworks > 1 else "aligned"
        if policy == "aligned":
            offsets = [0] * self.subnetworks
        elif policy == "chain":
            offsets = partition.chained_offsets(self.graph, self._subnetwork, self.subnetworks)
        elif not _is_list(policy):
            faults.append(f'phases must be "aligned", "chain", a list or a mapping, got {policy!r}')
            offsets = [0] * self.subnetworks
        else:
            offsets = list(policy)
            if len(offsets) != self.subnetworks or not all(_is_count(o, 0) for o in offsets):
                faults.append(
                    f"phases: a list must hold one offset >= 0 for each of the {self.subnetworks} "
                    f"subnetworks, got {offsets}"
                )
                offsets = [0] * self.subnetworks
        for name, phase in by_name.items():
            index = self._index_of(name, "phases", faults)
            if index is not None and not (_is_count(phase, 0) and phase < rates[index]):
                faults.append(
                    f"phases: {name!r} ticks every {rates[index]} steps, so its phase is between 0 "
                    f"and {rates[index] - 1}, got {phase!r}"
                )
        return tuple(
            EVERY_STEP
            if own == self.subnetworks
            else Clock(rate, by_name.get(node.name, offsets[own] % rate))
            for node, own, rate in zip(self.graph.nodes, self._subnetwork, rates, strict=True)
        )

    def _check_devices(self, devices: Any, faults: list[str]) -> tuple[str | None, ...]:
        if devices is None:
            return (None,) * self.subnetworks
        given = [devices] if isinstance(devices, str) else list(devices)
        if len(given) != self.subnetworks:
            faults.append(
                f"devices: {self.subnetworks} subnetworks need as many devices, got {given}"
            )
        for device in given:
            try:
                tf.DeviceSpec.from_string(device or "")
            except (ValueError, AttributeError, TypeError):
                faults.append(f"devices: {device!r} is no device string such as '/GPU:0'")
        return tuple(given)

    def _contradictions(self) -> list[str]:
        """Faults between the clocks, the boundaries and what the layers ask for."""
        faults = []
        rates = [clock.rate for clock in self._clocks]
        for node in self.graph.nodes:
            if self.subnetwork(node) < self.subnetworks:
                faults.extend(self._rate_faults(node, rates))
            if node.temporal and len(node.inputs) != 1:
                faults.append(f"{node.name!r} looks back in time over {len(node.inputs)} inputs")
            if node.temporal and node.temporal.lookahead and self.subnetworks > 1:
                faults.append(
                    f"{node.name!r} looks into the future (symmetric temporal padding) and cannot "
                    'be in a pipelined plan; use 1 subnetwork, or temporal_padding="causal"'
                )
            if node.feedback_source:
                faults.extend(self._feedback_faults(node))
        return faults

    def _rate_faults(self, node: Node, rates: list[int]) -> list[str]:
        slowest = partition.slowest_allowed(self.graph, node, rates)
        mine = rates[node.index]
        if node.temporal_stride > 1 and mine != slowest * node.temporal_stride:
            return [
                f"{node.name!r} has a temporal stride of {node.temporal_stride} over an input of "
                f"rate {slowest}, so its rate must be {slowest * node.temporal_stride}, got {mine}"
            ]
        if mine < slowest:
            return [
                f"{node.name!r} has clock rate {mine}, below the rate {slowest} of what it reads: "
                f"it would repeat its work. Give it a rate of at least {slowest}"
            ]
        return []

    def _feedback_faults(self, node: Node) -> list[str]:
        faults: list[str] = []
        source = self._index_of(node.feedback_source, f"feedback {node.name!r}", faults)
        if source is not None:
            shape = self.graph.tensors[self.graph.nodes[source].outputs[0]].shape
            mine = self.graph.tensors[node.outputs[0]].shape
            if shape != mine:
                faults.append(
                    f"feedback {node.name!r} expects shape {mine}, but {node.feedback_source!r} "
                    f"puts out {shape}"
                )
        return faults


def _stop_at(faults: list[str], model: keras.Model) -> None:
    if faults:
        lines = "\n".join(f"  - {fault}" for fault in dict.fromkeys(faults))
        raise PlanError(f"this plan does not fit the model {model.name!r}:\n{lines}")


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _cell(cost: int, most: int, works: bool) -> str:
    if not works:
        return "."
    return " ▁▂▃▄▅▆▇█"[max(1, round(8 * cost / most))] if most else "▁"
