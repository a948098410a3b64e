"""Measures how long the nodes of a model take on this machine.

A node alone would take longer than it does in a step, where a convolution is fused with what
follows it. So *small groups* are compiled and timed: a node that multiplies, merges, resizes or
looks back in time, and the nodes after it that only change its values. The time of a group counts
at its first node.

    for each round:    the whole model in one call, then group after group, as in a step
    time of a group = its best - that of a call, scaled so that all add up to the whole

Best times count, because other processes can only make them longer. The time of a call is what the
groups take longer than the whole, for each further call.

What this does not do well: models on a GPU, whose calls return before they are done.
"""

import json
import time
from collections.abc import Callable, Sequence

import keras
import numpy as np

from mpvn.graph.data import Node
from mpvn.machine import QUIET, OtherProcesses, environment
from mpvn.plan import Plan
from mpvn.plan.cost import multiply_adds
from mpvn.runtime.cache import content_key, read_cached, write_cached
from mpvn.runtime.compiled import CompiledNetwork
from mpvn.runtime.create import Settings, create_network, create_runtime
from mpvn.runtime.freeze import freeze
from mpvn.runtime.profile import Profile, structure
from mpvn.runtime.runtime import Runtime
from mpvn.runtime.specs import Specs, place_specs
from mpvn.runtime.unit import Unit
from mpvn.runtime.verify import random_values

_WARM_UP = 2
_ROUNDS = 7
"""Rounds that do not count, and those that do, at least."""

Call = Callable[[], object]
"""Runs some nodes once."""


def measure_profile(
    model: keras.Model,
    runtime: str = "tensorflow",
    precision: str = "float32",
    threads: int | None = None,
    seconds: float = 3.0,
    show: Callable[[float], object] = lambda share: None,
) -> Profile:
    """Measure the nodes of a model, or return what was measured on this machine before.

    What was measured while other processes used the cores is not kept.

    Args:
        model: as in `Plan`. Its weights do not matter.
        runtime, precision, threads: as in `VideoNetwork.compile_inference`.
        seconds: time to measure, after all groups are compiled.
        show: called with the share of the work that is done.

    Raises:
        ValueError: an argument is invalid, or the runtime cannot run the model.
    """
    plan = Plan(model)
    settings = {"runtime": runtime, "precision": precision, "threads": threads}
    library = create_runtime(plan, runtime, precision, threads)
    measured_on = environment()
    parts = (*structure(plan.graph), json.dumps([settings, measured_on], sort_keys=True))
    key = content_key(["profile", *parts])
    cached = read_cached(key)
    if cached is not None:
        return Profile.from_json(cached.decode())
    groups = small_groups(plan)
    others = OtherProcesses()
    calls = _compiled(plan, library, [[*plan.graph.nodes], *groups], lambda x: show(x / 2))
    others.start()
    whole, *times = _best(calls, seconds, lambda x: show((1 + x) / 2))
    call, of_groups = split(whole, times)
    of_nodes = dict.fromkeys(plan.nodes, 0.0)
    of_nodes |= {group[0].name: each for group, each in zip(groups, of_groups, strict=True)}
    profile = Profile(
        model=model.name,
        names=plan.nodes,
        structure=structure(plan.graph),
        seconds=tuple(of_nodes.values()),
        step_seconds=call,
        settings=settings,
        environment=measured_on,
        disturbed=others.share(),
    )
    if profile.disturbed <= QUIET:
        write_cached(key, profile.to_json().encode())
    return profile


def measure_steps(
    plan: Plan,
    runtime: str = "tensorflow",
    precision: str = "float32",
    threads: int | None = None,
    seconds: float = 2.0,
) -> list[float]:
    """Return the median seconds of each step of a period, for one stream.

    A model of a fixed batch size runs as many streams.

    Args:
        plan: the plan of a causal network.
        runtime, precision, threads: as in `VideoNetwork.compile_inference`.
        seconds: time to measure; some periods at least.
    """
    streams = plan.graph.batch_size or 1
    network = create_network(plan, "zeros", Settings(runtime, precision, threads, streams))
    begin, periods = time.perf_counter(), list[np.ndarray]()
    while len(periods) < _WARM_UP + _ROUNDS or time.perf_counter() < begin + seconds:
        periods.append(time_period(network, streams))
    return np.median(periods[_WARM_UP:], axis=0).tolist()


def time_period(network: CompiledNetwork, streams: int = 1, most: int | None = None) -> np.ndarray:
    """Return the seconds of each step of a period, from a frame to the outputs in memory.

    Args:
        network: the network.
        streams: number of streams in the batch.
        most: number of steps, at most; None for all of a period.
    """
    random = np.random.default_rng(0)
    frames = keras.tree.map_structure(
        lambda x: random.uniform(size=(streams, *x.shape[1:])).astype(x.dtype),
        network.graph.input_structure,
    )
    state, times = network.initial_state(streams), []
    for _ in range(network.plan.after_cuts(1)):  # steps after which all are alike
        _, state = network.step(frames, state)
    for _ in range(min(network.plan.period, most or network.plan.period)):
        start = time.perf_counter()
        outputs, state = network.step(frames, state)
        keras.tree.map_structure(np.asarray, outputs)
        times.append(time.perf_counter() - start)
    return np.array(times)


def small_groups(plan: Plan) -> list[list[Node]]:
    """Return the nodes of a plan in groups of one subnetwork and clock."""
    groups: list[list[Node]] = []
    for node in plan.graph.nodes:
        if groups and _continues(plan, groups[-1], node):
            groups[-1].append(node)
        else:
            groups.append([node])
    return groups


def _continues(plan: Plan, group: Sequence[Node], node: Node) -> bool:
    """Return whether `node` only changes the values of the last node of `group`."""
    graph, last = plan.graph, group[-1]
    return (
        [*map(graph.producer, node.inputs)] == [last]
        and not (node.temporal or node.memory or node.feedback_source)
        and not multiply_adds(graph, node)
        and graph.tensors[node.inputs[0]].shape == graph.tensors[node.outputs[0]].shape
        and plan.clock(node) == plan.clock(last)
        and plan.subnetwork(node) == plan.subnetwork(last)
    )


def split(whole: float, groups: Sequence[float]) -> tuple[float, list[float]]:
    """Return the seconds of one call, and those of each group in the whole model without calls.

    Args:
        whole: seconds of the whole model in one call.
        groups: seconds of each group in a call of its own; 0 for groups that compute nothing.
    """
    called = [seconds for seconds in groups if seconds]
    call = (sum(called) - whole) / (len(called) - 1) if len(called) > 1 else 0.0
    call = min(max(call, 0.0), *called, whole) if called else 0.0
    rest = [max(seconds - call, 0.0) for seconds in groups]
    scale = (whole - call) / sum(rest) if any(rest) else 0.0
    return call, [seconds * scale for seconds in rest]


def _compiled(
    plan: Plan,
    runtime: Runtime,
    groups: Sequence[Sequence[Node]],
    show: Callable[[float], object],
) -> list[Call | None]:
    """Return a function that runs each group once; None for a group that computes nothing."""
    specs = place_specs(plan, runtime.handover)
    calls: list[Call | None] = []
    for group in groups:
        calls.append(_compile(plan, runtime, group, specs))
        show(len(calls) / len(groups))
    return calls


def _compile(plan: Plan, runtime: Runtime, group: Sequence[Node], specs: Specs) -> Call | None:
    nodes = tuple(node.index for node in group)
    unit = Unit(plan, group[0].name, 0, nodes, settled=plan.settled_step)
    frozen = freeze(unit, specs)
    if frozen.function is None:
        return None
    run = runtime.compile(frozen, specs)
    entering = [specs[place] for place in frozen.entering]
    examples = random_values(entering, plan.graph.batch_size or 1)
    values = [runtime.hold(x, spec) for x, spec in zip(examples, entering, strict=True)]
    return lambda: run(values)


def _best(
    calls: Sequence[Call | None], seconds: float, show: Callable[[float], object]
) -> list[float]:
    """Return the least seconds of each call, which run in rounds; 0 for None."""
    times: list[list[float]] = [[] for _ in calls]
    begin, rounds = time.perf_counter(), 0
    while rounds < _WARM_UP + _ROUNDS or time.perf_counter() < begin + seconds:
        for call, measured in zip(calls, times, strict=True):
            if call is not None:
                start = time.perf_counter()
                call()
                measured.append(time.perf_counter() - start)
        rounds += 1
        share = (time.perf_counter() - begin) / seconds if seconds else 1.0
        show(min(1.0, share, rounds / (_WARM_UP + _ROUNDS)))
    return [min(each[_WARM_UP:], default=0.0) for each in times]
