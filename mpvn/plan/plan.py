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

from mpvn.plan import age
from mpvn.plan.clock import EVERY_STEP, Clock, period
from mpvn.plan.cost import multiply_adds
from mpvn.plan.graph import Graph, Node, read_graph
from mpvn.plan.history import Histories
from mpvn.plan.resolve import Draft


class PlanError(ValueError):
    """A plan that does not fit its model; the message lists every fault."""


class Plan:
    """Subnetworks, clocks and devices for the nodes of a frame model.

    Args:
        model: a functional Keras model over one frame, of fixed frame size.
        subnetworks: number of parallel subnetworks. Default 1, the sequential network.
        boundaries: names of the nodes at which subnetworks 1, 2, ... begin, instead of
            `subnetworks`.
        partition: how `subnetworks` are cut: `"equal"`, equally many nodes each;
            `"balanced"`, the dearest as cheap as possible in multiply-adds per step; or `"units"`,
            equally many units each, nodes called `unit.part` being a unit (the published networks
            are built so, and the papers cut them so). The head counts as a unit.
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
            nodes tick at every step, in sequence with whatever they read. With `"units"`, the unit
            called `head` by default.

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
        subnetworks: int | None = None,
        *,
        boundaries: Sequence[str] | None = None,
        partition: str = "equal",
        clocks: None | str | Sequence[int] | Mapping[str, int] = None,
        phases: None | str | Sequence[int] | Mapping[str, int] = None,
        devices: Sequence[str] | None = None,
        head: str | None = None,
    ) -> None:
        self.graph: Graph = read_graph(model)
        draft = Draft(self.graph, subnetworks, boundaries, partition, clocks, phases, devices, head)
        if draft.faults:
            lines = "\n".join(f"  - {fault}" for fault in draft.faults)
            raise PlanError(f"this plan does not fit the model {model.name!r}:\n{lines}")
        self.head = draft.head
        self.boundaries = tuple(self.graph.names[start] for start in draft.starts[1:])
        self.subnetworks = len(draft.starts)
        self.devices = draft.devices
        self._subnetwork = draft.subnetwork
        self._clocks = draft.clocks

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

    def column(self, node: Node) -> int:
        """The subnetwork with which `node` is counted and placed: the last one for the head."""
        return min(self.subnetwork(node), self.subnetworks - 1)

    def device(self, node: Node) -> str | None:
        """Device of `node`, None for TensorFlow's choice."""
        return self.devices[self.column(node)]

    def delay(self, producer: Node | None, consumer: Node) -> int:
        """Steps that a value takes from `producer` to `consumer`: 1 across a boundary, else 0."""
        mine = self.subnetwork(consumer)
        in_step = producer is None or mine in (self.subnetworks, self.subnetwork(producer))
        return 0 if in_step else 1

    @property
    def period(self) -> int:
        """Steps after which the schedule repeats: the least common multiple of the rates."""
        return period(self._clocks)

    @functools.cached_property
    def distinct_clocks(self) -> tuple[Clock, ...]:
        """The clocks of the plan, each once."""
        return tuple(sorted(set(self._clocks)))

    def pattern(self, step: int) -> tuple[bool, ...]:
        """Which of the distinct clocks tick at `step`."""
        return tuple(clock.ticks(step) for clock in self.distinct_clocks)

    @property
    def causal(self) -> bool:
        """Whether no node looks into the future."""
        return not any(node.temporal and node.temporal.lookahead for node in self.graph.nodes)

    @property
    def has_feedback(self) -> bool:
        """Whether a node reads what a later one said one step ago."""
        return any(node.feedback_source for node in self.graph.nodes)

    @functools.cached_property
    def histories(self) -> Histories:
        """What is kept from one step to the next."""
        return Histories(self)

    # --- what follows from it ---------------------------------------------------------------

    @property
    def information_latency(self) -> tuple[int, int]:
        """Boundaries from frame to output on the fastest and on the slowest path, in steps."""
        return age.information_latency(self)

    @property
    def first_informed_step(self) -> int:
        """The first step of a clip at which every output can depend on a frame."""
        return age.first_informed_step(self)

    @property
    def ages(self) -> dict[str, age.Ages]:
        """Age of the information in each output at each step of a period, in steps."""
        return age.output_ages(self)

    def age_of(self, node: str) -> age.Ages | None:
        """Age of what the node called `node` holds; None if it stems from feedback alone.

        Raises:
            KeyError: there is no such node.
        """
        return self.node_ages[self.graph.by_name[node].index]

    @functools.cached_property
    def node_ages(self) -> list[age.Ages | None]:
        """Age of what each node holds, in plan order; None for what stems from feedback alone."""
        return age.node_ages(self)

    @property
    def receptive_field(self) -> int | None:
        """Frames from the oldest to the newest that one output can see; None with feedback."""
        return age.receptive_field(self)

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
            for step in range(clock.phase, self.period, clock.rate):
                rows[step][self.column(node)] += cost
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
    def unseen_share(self) -> float:
        """Share of the multiply-adds that are spent on values which nobody reads.

        They are replaced before a slower reader ticks. Nothing would change without them, and what
        is traced leaves most of them out, so that a network may run faster than `clock_speedup`.
        """
        ticks_seen = zip(self.node_costs, age.seen_ticks(self), strict=True)
        seen = sum(cost * len(ticks) for cost, ticks in ticks_seen)
        spent = sum(self.step_costs)
        return 1 - seen / spent if spent else 0.0

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
        return self.histories.bytes_per_stream

    # --- as data ----------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The plan as plain data; `Plan(model, **config)` makes it again."""
        return {
            "boundaries": list(self.boundaries),
            "clocks": {name: clock.rate for name, clock in self.clock_of.items()},
            "phases": {name: clock.phase for name, clock in self.clock_of.items()},
            "devices": list(self.devices) if any(self.devices) else None,
            "head": self.head,
        }

    def over(self, model: keras.Model) -> "Plan":
        """Return the same plan for another model.

        Args:
            model: a model with nodes of the same names, such as a clone, a copy for another frame
                size, or the same layers with more outputs.

        Raises:
            PlanError: the plan does not fit `model`.
        """
        return Plan(model, **self.get_config())

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
            full[self.column(node)] += cost
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
            self.clock(node).ticks(step) and self.column(node) == subnetwork
            for node in self.graph.nodes
        )

    def __str__(self) -> str:
        fastest, slowest = self.information_latency
        latency = str(fastest) if fastest == slowest else f"{fastest} to {slowest}"
        rates = sorted({clock.rate for clock in self._clocks})
        return (
            f"{self.graph.model.name} · nodes: {len(self.nodes)} · subnetworks: {self.subnetworks} "
            f"· clock rates: {', '.join(map(str, rates))} · information latency in steps: {latency}"
            f"\n{self.grid()}"
        )

    def __repr__(self) -> str:
        return (
            f"<Plan of {self.graph.model.name!r}: {self.subnetworks} subnetworks, "
            f"period {self.period}>"
        )


def _cell(cost: int, most: int, works: bool) -> str:
    if not works:
        return "."
    return " ▁▂▃▄▅▆▇█"[max(1, round(8 * cost / most))] if most else "▁"
