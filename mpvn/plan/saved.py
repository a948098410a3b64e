"""Plans as plain data that fits every model of the same structure.

Nodes are stored by their position in plan order, because names are not always saved: a model whose
class builds its graph names its layers anew in each process, and so are operations whose class
takes no name. So that a position means the same node, the data also has a fingerprint: what each
node is and what it reads. It has no names and no sizes.
"""

import itertools
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from mpvn.graph.data import Graph, Node
from mpvn.plan.faults import PlanError, is_list
from mpvn.plan.resolve import resolve
from mpvn.plan.schedule import Schedule

KEYS = ("subnetworks", "head", "rates", "phases", "feedback", "devices", "fingerprint")

_OLD_KEYS = ("boundaries", *KEYS[1:])  # of plans whose subnetworks are runs of nodes


def read_plan(path: str | os.PathLike) -> dict[str, Any]:
    """Return the plan that `mpvn plan --json` wrote, as data.

    Raises:
        PlanError: the file cannot be read, or holds something else.
    """
    expected = "Expected a .json file that mpvn plan --json has written"
    try:
        content = json.loads(pathlib.Path(path).read_text())
    except (OSError, ValueError) as fault:
        raise PlanError(f"The plan {path} cannot be read. {expected}. Received: {fault}") from fault
    if not isinstance(content, dict):
        raise PlanError(f"{path} holds no plan. {expected}. Received: {type(content).__name__}")
    return content


def plan_config(schedule: Schedule) -> dict[str, Any]:
    """Return `schedule` as plain data, which JSON can hold.

    Returns:
        A dict: `subnetworks`, `rates` and `phases`, one per node; `head`, the position of its first
        node, or None; `feedback`, pairs of the positions of a feedback node and of the node that it
        reads; `devices`, one per subnetwork, or None; and `fingerprint`, one string per node.
    """
    index = {name: node.index for name, node in schedule.graph.by_name.items()}
    return {
        "subnetworks": list(schedule.node_subnetworks),
        "head": None if schedule.head is None else index[schedule.head],
        "rates": [clock.rate for clock in schedule.node_clocks],
        "phases": [clock.phase for clock in schedule.node_clocks],
        "feedback": [list(pair) for pair in schedule.feedback.items()],
        "devices": list(schedule.devices) if any(schedule.devices) else None,
        "fingerprint": [describe(schedule.graph, node) for node in schedule.graph.nodes],
    }


def restore(graph: Graph, config: Mapping[str, Any]) -> Schedule:
    """Return the schedule of `graph` that `config`, from `plan_config`, describes.

    Raises:
        PlanError: `config` belongs to a model of another structure, or is not from `plan_config`.
    """
    if set(config) not in (set(KEYS), set(_OLD_KEYS)):
        raise PlanError(
            "Invalid config of a plan. Expected a dict from Plan.get_config(), with the keys "
            f"{', '.join(KEYS)}. Received: the keys {', '.join(map(str, config))}."
        )
    _check_lists(config)
    _check_fingerprint(graph, config["fingerprint"])
    head = None if config["head"] is None else _name(graph, config["head"])
    return resolve(
        graph,
        **_subnetworks(graph, config),
        head=head,
        clocks=_by_name(graph, config["rates"]),
        phases=_by_name(graph, config["phases"]),
        devices=config["devices"],
        restored=True,
        feedback={_name(graph, node): _name(graph, source) for node, source in config["feedback"]},
    )


def _subnetworks(graph: Graph, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the argument of a plan that says which node is in which subnetwork."""
    if "boundaries" in config:
        return {"boundaries": [_name(graph, index) for index in config["boundaries"]]}
    by_name = _by_name(graph, config["subnetworks"])
    return {"assignment": dict(itertools.islice(by_name.items(), config["head"]))}


def _check_lists(config: Mapping[str, Any]) -> None:
    """Raise PlanError unless what `plan_config` gives as lists are lists."""
    for key, value in config.items():
        if key not in ("head", "devices") and not is_list(value):
            raise PlanError(
                f"Invalid config of a plan. Expected {key} to be a list. Received: {value!r}."
            )
    if any(not is_list(pair) or len(pair) != 2 for pair in config["feedback"]):
        raise PlanError(
            "Invalid config of a plan. Expected feedback to be pairs of positions. "
            f"Received: {config['feedback']!r}."
        )


def _check_fingerprint(graph: Graph, expected: list[str]) -> None:
    """Raise PlanError if the structure of `graph` is not the `expected` one."""
    received = [describe(graph, node) for node in graph.nodes]
    if received == expected:
        return
    pairs = zip(expected, graph.nodes, received, strict=False)
    different = (
        f"node {node.index}, {node.name!r}: expected {before}. Received: {now}"
        for before, node, now in pairs
        if before != now
    )
    lengths = f"expected {len(expected)} nodes. Received: {len(received)} nodes"
    raise PlanError(
        f"The plan was made for a model of another structure than {graph.model.name!r}:\n"
        f"  - {next(different, lengths)}.\n"
        "Create a plan of this model: Plan(model, ...)."
    )


def describe(graph: Graph, node: Node) -> str:
    """Return what `node` is and what it reads, such as `Add(0, 3)` for the nodes 0 and 3."""
    read = ", ".join(_source(graph, tensor) for tensor in node.inputs)
    return f"{'+'.join(type(call.operation).__name__ for call in node.calls)}({read})"


def _source(graph: Graph, tensor: int) -> str:
    """Return which output of which node, or which input of the model, `tensor` is."""
    producer = graph.producer(tensor)
    if producer is None:
        return f"input {graph.inputs.index(tensor)}"
    number = producer.outputs.index(tensor)
    return f"{producer.index}#{number}" if number else f"{producer.index}"


def _name(graph: Graph, index: Any) -> str:
    """Return the name of the node at position `index`."""
    if index in range(len(graph.nodes)):
        return graph.names[index]
    raise PlanError(
        f"Invalid config of a plan. Expected positions from 0 to {len(graph.nodes) - 1}. "
        f"Received: {index!r}."
    )


def _by_name(graph: Graph, values: list) -> dict[str, Any]:
    """Return `values`, one per node, by the name of the node."""
    if len(values) != len(graph.nodes):
        raise PlanError(
            f"Invalid config of a plan. Expected {len(graph.nodes)} subnetworks, rates and phases, "
            f"one per node. Received: {len(values)}."
        )
    return dict(zip(graph.names, values, strict=True))
