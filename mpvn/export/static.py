"""A network as static graphs: one for each set of blocks that tick together, and when each runs.

    first   step_0                               steps that only start streams
    cycle   step_1   step_2   step_1   step_4    then these, again and again

A graph computes what its step changes, from the frames and the states that it reads. What a step
only passes on, such as all but the newest tick of a history, is no part of a graph: `outputs` and
`states` name the value to take. So slow blocks are absent where they do not tick, and no runtime
needs conditions, a step counter, or copies. This is all that a runner does in a step:

    values = {**states, **frames}
    values |= run(graph, {name: values[name] for name in graph.reads})
    outputs = {name: values[source] for name, source in graph.outputs.items()}
    states |= {name: values[source] for name, source in graph.states.items()}
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from mpvn.executors.run import Place, after, before, now
from mpvn.export.full_precision import full_precision, use_full_precision
from mpvn.export.names import network_names
from mpvn.runtime.compiled import freeze_units
from mpvn.runtime.freeze import Frozen
from mpvn.runtime.program import held, output_places
from mpvn.runtime.specs import place_specs
from mpvn.runtime.unit import Unit, divide, settled_step

Specs = dict[str, tf.TensorSpec]


@dataclasses.dataclass(frozen=True, eq=False)
class StaticGraph:
    """What one step computes.

    Attributes:
        name: `step_` and the number of the first step that it computes.
        units: the units that it consists of.
        reads: the specs of the frames and states that it reads, by name.
        makes: the specs of the values that it makes, by name.
        outputs: for each output of the network, the name of its value: one that the graph makes, a
            state before the step, or a frame.
        states: the same for each state that changes; others stay as they are.
        function: a concrete function from the values of `reads` to a list of those of `makes`; None
            if it makes nothing.
    """

    name: str
    units: tuple[Unit, ...]
    reads: Specs
    makes: Specs
    outputs: dict[str, str]
    states: dict[str, str]
    function: Any


class StaticNetwork:
    """The static graphs of a network.

    Args:
        network: a causal `VideoNetwork`.
        clips: the spec `[B, T, ...]` of each input; frames of another dtype than the frame model's
            are cast.

    Attributes:
        network: the argument.
        names: the names of its tensors.
        frames: the spec `[B, ...]` of each input, by name.
        states: the same of each state.
        specs: the specs of its values, by place.
        frozen: its units.
        graphs: its graphs, in the order in which a stream needs them.
        first: the graph of each step before the cycle.
        cycle: the graph of each step of the cycle.

    Raises:
        ValueError: the network changes variables in inference, or has values that are no numbers.
    """

    def __init__(self, network: keras.Model, clips: Sequence[tf.TensorSpec]) -> None:
        self.network = network
        self.names = network_names(network)
        plan = network.plan
        _refuse_others(plan.graph)
        batch = clips[0].shape[0]
        self.frames = {
            name: tf.TensorSpec((batch, *clip.shape[2:]), full_precision(clip.dtype))
            for name, clip in zip(self.names.inputs, clips, strict=True)
        }
        specs = place_specs(plan, batch=batch)
        self.specs = {
            place: tf.TensorSpec(spec.shape, full_precision(spec.dtype))
            for place, spec in specs.items()
        }
        self.states = {slot: self.specs[before(slot)] for slot in plan.histories.specs}
        self.frozen = freeze_units(plan, network.start, "pattern", None, batch)
        settled = settled_step(plan, network.start)
        units_at = divide(plan, network.start, "pattern")
        graphs: dict[tuple[Unit, ...], StaticGraph] = {}
        steps = []
        for number in range(settled + plan.period):
            units = tuple(units_at(number))
            if units not in graphs:
                graphs[units] = _Composed(self, units).graph(f"step_{number}")
            steps.append(graphs[units])
        self.graphs = [*graphs.values()]
        self.first, self.cycle = steps[:settled], steps[settled:]

    def at(self, step: int) -> StaticGraph:
        """Return the graph of a step."""
        if step < len(self.first):
            return self.first[step]
        return self.cycle[(step - len(self.first)) % len(self.cycle)]


class _Made(NamedTuple):
    """A result of one of several units."""

    unit: int
    result: int


class _Composed:
    """The units of a step as one graph.

    Args:
        static: the network.
        units: the units.
    """

    def __init__(self, static: StaticNetwork, units: tuple[Unit, ...]) -> None:
        self._static = static
        self._plan = static.network.plan
        self._units = units
        self._frozen = [static.frozen[unit] for unit in units]
        inputs = map(now, self._plan.graph.inputs)
        slots = map(before, self._plan.histories.specs)
        self._starts: dict[Any, str] = dict(zip(inputs, static.frames, strict=True))
        self._starts |= dict(zip(slots, static.states, strict=True))
        self._specs = static.frames | static.states
        self._calls: list[tuple[Frozen, list[Any]]] = []
        self._sources = self._follow()

    def graph(self, name: str) -> StaticGraph:
        """Return the graph."""
        names, plan = self._static.names, self._plan
        made: dict[tuple[Any, tf.DType], str] = {}
        makes: Specs = {}

        def source(place: Place, target: str) -> str:
            """Return the name of the value at a place, which is made as `target` if need be."""
            key, spec = self._find(place), self._static.specs[place]
            start = self._starts.get(key)
            if start is not None and self._specs[start].dtype == spec.dtype:
                return start
            if (key, spec.dtype) not in made:
                made[key, spec.dtype] = target
                makes[target] = spec
            return made[key, spec.dtype]

        places = output_places(plan)[: len(names.outputs)]  # masks of outputs come after them
        outputs = {n: source(p, n) for n, p in zip(names.outputs, places, strict=True)}
        states = {slot: source(after(slot), names.states[slot]) for slot in self._static.states}
        states = {slot: value for slot, value in states.items() if value != slot}
        read = [key for _, keys in self._calls for key in keys] + [key for key, _ in made]
        starts = [key for key in self._starts if key in read]
        reads = {self._starts[key]: self._specs[self._starts[key]] for key in starts}
        function = self._function(starts, [*reads.values()], [*made]) if made else None
        reads = reads if made else {}
        return StaticGraph(name, self._units, reads, makes, outputs, states, function)

    def _follow(self) -> dict[Place, Any]:
        """Return where the value at each place comes from: where it is at the start, or `_Made`."""
        sources: dict[Place, Any] = {place: place for place in self._starts}
        for index, frozen in enumerate(self._frozen):
            self._sources = sources
            self._calls.append((frozen, [self._find(place) for place in frozen.entering]))
            made = {place: _Made(index, i) for i, place in enumerate(frozen.leaving)}
            same = {
                place: made[twin] if twin in made else self._find(twin)
                for place, twin in frozen.same.items()
            }
            sources |= made | same
        return sources

    def _find(self, place: Place) -> Any:
        return self._sources[place if place in self._sources else held(place)]

    def _function(
        self, starts: list[Place], signature: list[tf.TensorSpec], made: list[tuple[Any, tf.DType]]
    ) -> Any:
        """Return a concrete function from the values at `starts` to those that are `made`."""

        def compute(*tensors: tf.Tensor) -> list[tf.Tensor]:
            values: dict[Any, tf.Tensor] = {
                key: tf.cast(x, self._static.specs[key].dtype)
                for key, x in zip(starts, tensors, strict=True)
            }
            for index, (frozen, keys) in enumerate(self._calls):
                if frozen.function is not None:
                    arguments = [values[key] for key in keys]
                    results = inline(frozen.function, arguments, use_full_precision)
                    values |= {_Made(index, i): x for i, x in enumerate(results)}
            return [tf.cast(values[key], dtype) for key, dtype in made]

        traced = tf.function(compute, autograph=False, input_signature=signature)
        return traced.get_concrete_function()


def inline(
    function: Any,
    values: Sequence[tf.Tensor],
    change: Callable[[Any, tf.Graph], None] | None = None,
    results: Sequence[tf.Tensor] | None = None,
) -> list[tf.Tensor]:
    """Return the results of a function without variables, whose operations join this graph.

    Args:
        function: the concrete function.
        values: its arguments.
        change: changes its `GraphDef`, given its graph.
        results: tensors of its graph to return; None for those that it returns.
    """
    definition = function.graph.as_graph_def()
    if change is not None:
        change(definition, function.graph)
    given = {x.op.name: value for x, value in zip(function.inputs, values, strict=True)}
    nodes = [node for node in definition.node if node.name not in given]
    for node in nodes:
        node.device = ""
    del definition.node[:]
    definition.node.extend(nodes)
    names = [x.name for x in (function.outputs if results is None else results)]
    return tf.graph_util.import_graph_def(definition, given, names, name="")


def _refuse_others(graph: Any) -> None:
    """Raise ValueError if a network has values that are no numbers."""
    others = [x for x in graph.tensors if not _is_number(tf.as_dtype(x.dtype))]
    if others:
        raise ValueError(
            f"Cannot export {graph.model.name!r} as static graphs. Expected numbers. Received: "
            f"{others[0].name!r}, {others[0].dtype}. Use format='tf_saved_model'."
        )


def _is_number(dtype: tf.DType) -> bool:
    return dtype.is_floating or dtype.is_integer or dtype.is_bool
