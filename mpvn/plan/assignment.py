"""Subnetworks of any nodes, not only of runs in plan order: named by the user, or one per branch.

    assignment={"mixed_3b.b1": 1, "mixed_3b.b2": 2}

    stem.1a_conv ... stem.2c_relu    0    not named; it reads frames
    mixed_3b.b0_conv                 0    not named; it reads subnetwork 0
    mixed_3b.b1a_conv                1
    mixed_3b.b2a_conv                2
    mixed_3b.join                    2    not named; the highest of 0, 1 and 2

Branches of a block in subnetworks of their own run at the same time (*Massively Parallel Video
Networks*, appendix A).
"""

import collections
import itertools
import json
import pathlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from mpvn.graph.data import Graph, Node
from mpvn.plan.units import UNIT_SEPARATOR

BRANCHES = "branches"
"""The way to divide a model that decides the number of subnetworks itself; see `by_branch`."""


def nodes_named(name: str, nodes: Collection[str]) -> list[str]:
    """Return the nodes that `name` means.

    The node of that name; or else those of the unit or nested model of that name; or else those
    whose names begin with it, where `block1` is no beginning of `block10`.

    Args:
        name: a key of an assignment.
        nodes: the names of the nodes.
    """
    if name in nodes:
        return [name]
    inside = (f"{name}{UNIT_SEPARATOR}", f"{name}/")
    return [node for node in nodes if node.startswith(inside)] or [
        node
        for node in nodes
        if name and node.startswith(name) and not _cuts_number(node, len(name))
    ]


def assigned(graph: Graph, body: int, assignment: Mapping[str, int]) -> list[int]:
    """Return the subnetwork of each of the first `body` nodes.

    If several keys mean a node, the longest counts. A node that none means is in the highest
    subnetwork of those that it reads; in 0 if it reads frames alone.

    Args:
        graph: the nodes.
        body: the number of nodes before the head.
        assignment: subnetworks by name, see `nodes_named`.
    """
    nodes = dict.fromkeys(graph.names[:body])
    chosen: dict[str, int] = {}
    for name in sorted(assignment, key=len):
        chosen |= dict.fromkeys(nodes_named(name, nodes), assignment[name])
    subnetworks: list[int] = []
    for node in graph.nodes[:body]:
        subnetworks.append(chosen.get(node.name, _inherited(graph, node, subnetworks)))
    return subnetworks


def by_branch(graph: Graph, body: int) -> list[int]:
    """Return the subnetwork of each of the first `body` nodes: one for each branch.

    A branch begins at a node that reads one value which other nodes read, too. It goes on until it
    branches itself, or ends in a merge. A merge belongs to the last of its branches.
    """
    sources = [set(graph.sources(node)) for node in graph.nodes]
    readers = collections.Counter(itertools.chain.from_iterable(sources))
    subnetworks: list[int] = []
    for node in graph.nodes[:body]:
        begins = len(sources[node.index]) == 1 and readers[next(iter(sources[node.index]))] > 1
        inherited = _inherited(graph, node, subnetworks)
        subnetworks.append(max(subnetworks, default=-1) + 1 if begins else inherited)
    return subnetworks


def parse_assignment(text: str) -> dict[str, int]:
    """Return the assignment that a command line or a config states.

    Args:
        text: `NAME=NUMBER,NAME=NUMBER,...`, or the path of a .json file that holds an object.

    Raises:
        ValueError: it is neither, the file cannot be read, or a name appears twice.
    """
    expected = f"assignment: expected NAME=NUMBER,... or a .json file. Received: {text!r}"
    try:
        if not text.endswith(".json"):
            return _unique(map(_pair, text.split(",")))
        content = json.loads(pathlib.Path(text).read_text(), object_pairs_hook=_unique)
        if not isinstance(content, dict):
            raise ValueError(f"the file holds no object, but {content!r}")
        return content
    except (OSError, ValueError) as fault:
        raise ValueError(f"{expected} ({fault})") from fault


def _pair(text: str) -> tuple[str, int]:
    """Return the name and the number of NAME=NUMBER."""
    name, _, number = text.rpartition("=")
    if not name.strip():
        raise ValueError(f"{text!r} is not NAME=NUMBER")
    return name.strip(), int(number)


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return pairs of a name and a value as a dict; raise ValueError if a name appears twice."""
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise ValueError(f"{name!r} appears twice")
        values[name] = value
    return values


def _inherited(graph: Graph, node: Node, subnetworks: Sequence[int]) -> int:
    """Return the highest subnetwork among the inputs of `node`, also if it is a feedback node."""
    producers = [graph.producer(tensor) for tensor in node.inputs]
    return max((subnetworks[producer.index] for producer in producers if producer), default=0)


def _cuts_number(text: str, at: int) -> bool:
    """Return whether `text` has a number that goes on at position `at`."""
    return text[max(at - 1, 0) : at].isdigit() and text[at : at + 1].isdigit()
