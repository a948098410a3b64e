"""A plan: the schedule of a frame model, with its costs, ages and histories.

A plan is the only description of a schedule. Executors, cost figures, drawings and exports read it.
`mpvn.plan.schedule` states the semantics.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import keras

from mpvn.graph.reading import read_graph
from mpvn.plan import age
from mpvn.plan.cost import MULTIPLY_ADDS, Costs, Unit, check_costs, costs_by_step
from mpvn.plan.domain import cut_steps
from mpvn.plan.grid import draw_grid
from mpvn.plan.history import Histories
from mpvn.plan.rate import search_for_rate
from mpvn.plan.resolve import checked_devices, resolve
from mpvn.plan.saved import plan_config, restore
from mpvn.plan.schedule import Schedule


class Plan(Schedule):
    """Subnetworks, clocks and devices for the nodes of a frame model. A plan cannot be changed.

    Args:
        model: a functional Keras model over one frame, of fixed frame size.
        subnetworks: number of parallel subnetworks. Default 1, the sequential network.
        boundaries: names of the nodes at which subnetworks 1, 2, ... begin, instead of
            `subnetworks`.
        partition: how to divide the model into `subnetworks`. `"equal"`: the same number of nodes
            each. `"balanced"`: minimize the cost per step of the most expensive subnetwork.
            `"units"`: the same number of units each, where nodes named `unit.part` form a unit (the
            published networks use such names, and the papers divide them so). `"branches"`: a
            subnetwork for each branch, as many as there are.
        assignment: subnetworks by name, instead of `subnetworks`: of nodes, of units, or of all
            nodes whose names begin so, such as `{"mixed_3b.b1": 1}`; the longest name counts. Other
            nodes are in the highest subnetwork of those that they read, or in 0. Subnetworks need
            not be runs of nodes: the value of any other subnetwork arrives one step late, whatever
            the order.
        clocks: when nodes compute. None: at every step, except for temporal strides of the model.
            `"auto"`: slower where maps are smaller, see `mpvn.plan.partition.auto_rates`;
            `"auto:4"`: so, but no rate above 4; `"2*auto:4"`: twice these rates. A sequence: one
            rate per subnetwork. A mapping: rates by node name; other nodes inherit the smallest
            rate of their inputs, times their temporal stride. Except in a mapping, nodes of the
            unit `head` that read other subnetworks tick at every step.
        phases: at which steps of its period a node ticks. `"aligned"`: all at phase 0 (the paper;
            the default for one subnetwork). `"chain"`: each subnetwork one step after the
            lower-numbered subnetworks that it reads (the default for several: values wait less, and
            the cost per step varies less). `"flat"`: searched, for the least worst step, and of
            those for the least mean age. `"fresh"`: searched, for the least mean age, and of those
            for the least worst step. A sequence: an offset in steps per subnetwork. A mapping:
            phases by node name; other nodes use the default.
        devices: one device string per subnetwork, such as `"/GPU:0"`, or None. The head runs on the
            device of the last subnetwork.
        costs: what nodes cost, for `"balanced"` partitions, for searched phases and for the figures
            of the plan. None: multiply-adds. An `mpvn.runtime.Profile`: measured times.
        head: name of the first node, or of the unit, of a fresh head. From there on, in plan order,
            nodes tick at every step and read without delay, so the outputs are fresher, but every
            step waits for all subnetworks and then for the head. Default: none; the last nodes
            belong to the last subnetwork, as in the paper (section 3.1).

    Attributes:
        graph: nodes and tensors of the frame model.
        head: name of the first node of the fresh head, or None.
        devices: device of each subnetwork; None lets TensorFlow choose.
        feedback: index of the node that each feedback node reads, by the index of the latter.

    Raises:
        TypeError: `model` is not a functional model.
        PlanError: an argument does not fit the model. The message lists every fault.

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
        assignment: Mapping[str, int] | None = None,
        clocks: None | str | Sequence[int] | Mapping[str, int] = None,
        phases: None | str | Sequence[int] | Mapping[str, int] = None,
        devices: Sequence[str] | None = None,
        head: str | None = None,
        costs: Costs | None = None,
    ) -> None:
        schedule = resolve(
            read_graph(model),
            check_costs(costs),
            subnetworks=subnetworks,
            boundaries=boundaries,
            partition=partition,
            assignment=assignment,
            clocks=clocks,
            phases=phases,
            devices=devices,
            head=head,
        )
        super().__init__(**vars(schedule))
        vars(self)["_cost_source"] = check_costs(costs)

    @classmethod
    def for_rate(
        cls,
        model: keras.Model,
        fps: float,
        latency: int | None = None,
        *,
        profile: Costs | Sequence[Costs],
        **arguments: Any,
    ) -> "Plan":
        """Return the plan whose every step takes no longer than one frame, and that is freshest.

        Clocks slower than the model's own change what it computes, so they are the last resort.

        Args:
            model: as in `Plan`.
            fps: frames per second.
            latency: boundaries between a frame and the outputs, at most; None for any number.
            profile: how long the nodes of the model take, from `mpvn.runtime.measure_profile`; or
                a list of profiles, one for each way to run the model, the preferred first. That of
                the plan is its `cost_source`.
            **arguments: arguments of `Plan` that are not searched, such as `subnetworks=4`.
                Subnetworks are balanced unless it is said how to divide the model.

        Raises:
            PlanError: there is no such plan. The message says what would make it possible.
        """
        profiles = [profile] if isinstance(profile, Costs) else list(profile)
        choice = search_for_rate(read_graph(model), fps, latency, profiles, arguments)
        return cls._of(choice.schedule, choice.way.costs)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"A plan cannot be changed. Received: {name!r}. Create another Plan.")

    def over(self, model: keras.Model) -> "Plan":
        """Return the same plan for another model.

        Args:
            model: a model of the same structure, such as a clone, a copy for another frame size,
                or the same layers with more outputs. Names may differ.

        Raises:
            PlanError: the structure of `model` is another one.
        """
        return self.from_config(model, self.get_config())

    def with_costs(self, costs: Costs | None = None) -> "Plan":
        """Return the same plan with other figures of cost.

        Args:
            costs: as in `Plan`; None for multiply-adds.

        Raises:
            ValueError: the costs are those of another model.
        """
        return self._of(self, check_costs(costs))

    def with_devices(self, devices: Sequence[str | None] | None = None) -> "Plan":
        """Return the same plan on other devices; None for TensorFlow's choice.

        Raises:
            PlanError: they are not one for each subnetwork.
        """
        return self._of(self.on(checked_devices(self, devices)), self.cost_source)

    @classmethod
    def _of(cls, schedule: Schedule, costs: Costs = MULTIPLY_ADDS) -> "Plan":
        """Return a plan from a schedule."""
        plan = cls.__new__(cls)
        names = [field.name for field in dataclasses.fields(Schedule)]
        Schedule.__init__(plan, **{name: getattr(schedule, name) for name in names})
        vars(plan)["_cost_source"] = costs
        return plan

    def get_config(self) -> dict[str, Any]:
        """Return the plan as plain data, without names and costs; see `mpvn.plan.saved`."""
        return plan_config(self)

    @classmethod
    def from_config(cls, model: keras.Model, config: Mapping[str, Any]) -> "Plan":
        """Return the plan that `get_config` described, for `model`.

        A `Feedback` layer whose source has another name in `model` gets the new name.

        Args:
            model: a model of the same structure as the one that the plan was made for.
            config: from `get_config`, also after a round trip through JSON.

        Raises:
            PlanError: the structure of `model` is another one, or `config` is not from
                `get_config`.
        """
        schedule = restore(read_graph(model), config)
        for index, source in schedule.feedback.items():
            schedule.graph.nodes[index].operation.source = schedule.nodes[source]
        return cls._of(schedule)

    def __reduce__(self) -> tuple:
        return self.from_config, (self.graph.model, self.get_config())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and self.get_config() == other.get_config()

    def __hash__(self) -> int:
        return hash((self.node_subnetworks, self.node_clocks, self.devices))

    # --- age and histories ------------------------------------------------------------------

    @functools.cached_property
    def histories(self) -> Histories:
        """The values that are kept from one step to the next."""
        return Histories(self)

    @property
    def cached_bytes(self) -> int:
        """Bytes that are kept from one step to the next, for one stream."""
        return self.histories.bytes_per_stream

    @functools.cached_property
    def largest_activation(self) -> int:
        """Bytes of the largest tensor that one frame needs, averaged over its clock's period."""
        return max(
            tensor.bytes // self.clock(self.graph.producer(tensor.index)).rate
            for tensor in self.graph.tensors
        )

    @property
    def information_latency(self) -> tuple[int, int]:
        """Boundaries from frame to output on the fastest and on the slowest path, in steps."""
        return age.information_latency(self)

    @property
    def depth(self) -> int:
        """Number of subnetworks on the slowest path of a frame: D for a chain of D."""
        return 1 + self.information_latency[1]

    @property
    def first_informed_step(self) -> int:
        """The first step of a clip at which every output can depend on a frame."""
        return age.first_informed_step(self)

    @functools.cached_property
    def cut_before(self) -> tuple[int, ...]:
        """The step before which calls of each node are cut, in plan order; 0 for most nodes.

        A stream that starts from zeros calls the node on values that come from no frame; see
        `mpvn.plan.domain`.
        """
        return cut_steps(self.graph, age.first_steps_in_domain(self))

    @functools.cached_property
    def settled_step(self) -> int:
        """The first step from which on no call is cut."""
        return max(self.cut_before)

    def after_cuts(self, step: Any) -> Any:
        """Return a step of the phase of `step` (an int or a tensor) at which no call is cut."""
        return step + -(-self.settled_step // self.period) * self.period

    @functools.cached_property
    def node_ages(self) -> list[age.Ages | None]:
        """Ages of each node's value, in plan order; None for nodes that read feedback alone."""
        return age.node_ages(self)

    @property
    def first_full_steps(self) -> tuple[int, ...]:
        """The first step at which each node reads values made of frames alone, in plan order."""
        pairs = zip(self.graph.nodes, self.node_ages, strict=True)
        return tuple(age.first_full_step(self, node, ages) for node, ages in pairs)

    @property
    def ages(self) -> dict[str, age.Ages]:
        """Ages of the information in each output, by the name of its tensor."""
        return age.output_ages(self, self.node_ages)

    @property
    def mean_age(self) -> float | None:
        """Mean age of the outputs along their slowest paths, in steps; None without any frame."""
        means = [ages.mean for ages in self.ages.values()]
        return sum(means) / len(means) if means else None

    def age_of(self, node: str) -> age.Ages | None:
        """Return the ages of the value of the node named `node`; None if it reads feedback alone.

        Raises:
            KeyError: there is no such node.
        """
        return self.node_ages[self.graph.by_name[node].index]

    @property
    def receptive_field(self) -> int | None:
        """Number of frames that an output can see, oldest to newest.

        None, without a bound, with feedback or recurrent layers.
        """
        return age.receptive_field(self)

    # --- cost -------------------------------------------------------------------------------

    @property
    def cost_source(self) -> Costs:
        """What costs are: `mpvn.plan.cost.MULTIPLY_ADDS`, or an `mpvn.runtime.Profile`."""
        return vars(self)["_cost_source"]

    @property
    def cost_unit(self) -> Unit:
        """The unit of all costs: multiply-adds, or nanoseconds of measured time."""
        return self.cost_source.unit

    @functools.cached_property
    def node_costs(self) -> tuple[int, ...]:
        """Cost of one tick of each node, for one stream, in plan order."""
        return self.cost_source.of_nodes(self.graph)

    @functools.cached_property
    def multiply_adds(self) -> tuple[int, ...]:
        """Multiply-adds of one tick of each node, whatever the unit of costs is."""
        return MULTIPLY_ADDS.of_nodes(self.graph)

    @functools.cached_property
    def costs(self) -> tuple[tuple[int, ...], ...]:
        """Costs `[period][subnetworks]`; the head counts with the last subnetwork."""
        return costs_by_step(self, self.node_costs)

    @property
    def step_costs(self) -> tuple[int, ...]:
        """Cost of the nodes of each step of a period."""
        return tuple(sum(row) for row in self.costs)

    @property
    def worst_step(self) -> float:
        """Cost of the most expensive step over the mean; 1 if all steps cost the same."""
        costs = self.step_costs
        return max(costs) * len(costs) / sum(costs) if sum(costs) else 1.0

    @property
    def clock_speedup(self) -> float:
        """Costs without clocks over costs with them."""
        total = sum(self.step_costs)
        return sum(self.node_costs) * self.period / total if total else 1.0

    @property
    def execution_speedup(self) -> float:
        """Executed nodes without clocks over executed nodes with them."""
        return len(self.node_clocks) / sum(1 / clock.rate for clock in self.node_clocks)

    @property
    def balance_bound(self) -> float:
        """Largest subnetwork's share of the costs; its inverse bounds parallel speedup."""
        totals = [sum(column) for column in zip(*self.costs, strict=True)]
        return max(totals) / sum(totals) if sum(totals) else 1.0

    @property
    def unread_share(self) -> float:
        """Share of the costs whose result is never read.

        Such a value is replaced before a slower reader ticks. Traced functions skip most of this
        work, so a network may run faster than `clock_speedup` predicts.
        """
        ticks = zip(self.node_costs, age.ticks_read(self), strict=True)
        read = sum(cost * len(steps) for cost, steps in ticks)
        total = sum(self.step_costs)
        return 1 - read / total if total else 0.0

    # --- text -------------------------------------------------------------------------------

    def grid(self) -> str:
        """Return the schedule as a drawing; see `mpvn.plan.grid.draw_grid`."""
        return draw_grid(self, self.node_costs)

    def __str__(self) -> str:
        fastest, slowest = self.information_latency
        latency = str(fastest) if fastest == slowest else f"{fastest} to {slowest}"
        rates = sorted({clock.rate for clock in self.node_clocks})
        age = "none" if self.mean_age is None else f"{self.mean_age:.1f}"
        worst = self.cost_unit.text(max(self.step_costs))
        return (
            f"{self.graph.model.name} · nodes: {len(self.nodes)} · subnetworks: {self.subnetworks} "
            f"· clock rates: {', '.join(map(str, rates))} · information latency in steps: {latency}"
            f"\nworst step: {worst}, {self.worst_step:.2f} of the mean · mean age of the outputs "
            f"in steps: {age}\n{self.grid()}"
        )

    def __repr__(self) -> str:
        return (
            f"<Plan of {self.graph.model.name!r}: {self.subnetworks} subnetworks, "
            f"period {self.period}>"
        )
