"""What is wrong with the arguments of a plan, in the words of its error message."""

import difflib
from collections.abc import Sequence
from typing import Any

from mpvn.graph.data import Graph


class PlanError(ValueError):
    """A plan does not fit its model. The message lists every fault."""


class Faults:
    """Collects the faults of a plan's arguments.

    Attributes:
        messages: one for each fault, without its final period.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.messages: list[str] = []

    def add(self, message: str) -> None:
        """Add a fault; the same fault counts once."""
        if message not in self.messages:
            self.messages.append(message)

    def index_of(self, name: Any, context: str) -> int | None:
        """Return the index of the node called `name`; None and a fault if there is none."""
        if name in self._graph.by_name:
            return self._graph.by_name[name].index
        if name in self._graph.region_of:
            first, *_, last = self._graph.region_of[name].calls
            self.add(
                f"{context}: {name!r} is inside the indivisible region {first.name!r} to "
                f"{last.name!r}, which regroups the batch axis. Use {first.name!r}, or a node "
                "after the region"
            )
            return None
        names = self._graph.names
        similar = difflib.get_close_matches(str(name), names, n=3) or names[:3]
        self.add(
            f"{context}: no node is named {name!r}. Nodes have names such as "
            f"{', '.join(map(repr, similar))}"
        )
        return None


def is_int(value: object, lowest: float = float("-inf")) -> bool:
    """Return whether `value` is an int of at least `lowest`, and no bool."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= lowest


def is_list(value: object) -> bool:
    """Return whether `value` is a sequence, and no text."""
    return isinstance(value, Sequence) and not isinstance(value, str)
