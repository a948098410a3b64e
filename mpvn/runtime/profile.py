"""Profiles: measured times of the nodes of a model, as costs of its plans.

`mpvn.runtime.measure` measures them.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any, ClassVar

from mpvn.files import write_atomically
from mpvn.graph.data import Graph
from mpvn.plan.cost import TIME, Unit, multiply_adds
from mpvn.plan.saved import describe


@dataclasses.dataclass(frozen=True)
class Profile:
    """How long the nodes of a model take, in one way to run it.

    Attributes:
        model: name of the model.
        names: names of its nodes, in plan order.
        structure: for each node, what it is, what it reads, and its sizes.
        seconds: for each node, the time of one tick, for one stream.
        step_seconds: what each step takes besides its nodes: the call.
        settings: the arguments of `VideoNetwork.compile_inference`.
        environment: the machine and the versions.
        disturbed: share of the cores that other processes used while it was measured.
    """

    model: str
    names: tuple[str, ...]
    structure: tuple[str, ...]
    seconds: tuple[float, ...]
    step_seconds: float
    settings: Mapping[str, Any]
    environment: Mapping[str, str]
    disturbed: float = 0.0

    unit: ClassVar[Unit] = TIME

    @property
    def node_seconds(self) -> dict[str, float]:
        """The time of each node, by name."""
        return dict(zip(self.names, self.seconds, strict=True))

    @property
    def of_step(self) -> int:
        """What each step takes besides its nodes, in nanoseconds; see `mpvn.plan.cost.Costs`."""
        return round(1e9 * self.step_seconds)

    def of_nodes(self, graph: Graph) -> tuple[int, ...]:
        """Return the nanoseconds of one tick of each node, in plan order.

        Raises:
            ValueError: the profile is of another model. Names may differ.
        """
        received = structure(graph)
        if received != self.structure:
            pairs = zip(graph.names, self.structure, received, strict=False)
            different = (f"{n!r} is {now}, not {was}" for n, was, now in pairs if now != was)
            lengths = f"{len(received)} nodes, not {len(self.structure)}"
            raise ValueError(
                f"The profile was measured on another model than {graph.model.name!r}. Expected "
                f"{self.model!r}, with the same nodes and sizes. Received: a model where "
                f"{next(different, lengths)}. Measure this model: mpvn plan MODEL --profile."
            )
        return tuple(round(1e9 * seconds) for seconds in self.seconds)

    def slower(self, factor: float) -> "Profile":
        """Return a profile whose times are `factor` times as long."""
        seconds = tuple(factor * each for each in self.seconds)
        return dataclasses.replace(self, seconds=seconds, step_seconds=factor * self.step_seconds)

    def __str__(self) -> str:
        settings = ", ".join(f"{name} {value}" for name, value in self.settings.items() if value)
        return f"{settings} on {self.environment.get('cpu', 'an unknown processor')}"

    def save(self, path: str | os.PathLike) -> None:
        """Write the profile as JSON."""
        write_atomically(path, self.to_json())

    def to_json(self) -> str:
        """Return the profile as JSON."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Profile":
        """Return the profile that `to_json` wrote.

        Raises:
            ValueError: `text` is not a profile.
        """
        try:
            fields = json.loads(text)
            lists = {key: tuple(fields[key]) for key in ("names", "structure", "seconds")}
            profile = cls(**{**fields, **lists})
            seconds = [float(x) for x in (*profile.seconds, profile.step_seconds)]
            equal = len(profile.names) == len(profile.structure) == len(profile.seconds)
            if not equal or not all(0 <= x < float("inf") for x in seconds):
                raise ValueError("the times are not one number >= 0 for each node")
        except (ValueError, TypeError, KeyError) as fault:
            raise ValueError(
                "Invalid profile. Expected JSON that Profile.save or mpvn plan wrote. "
                f"Received: {text[:60]!r} ({fault}). Measure the model: mpvn plan MODEL --profile."
            ) from fault
        return profile


def structure(graph: Graph) -> tuple[str, ...]:
    """Return, for each node, what its time depends on."""
    return tuple(
        f"{describe(graph, node)} "
        f"{[(graph.tensors[index].shape, graph.tensors[index].dtype) for index in node.outputs]} "
        f"{[tuple(variable.shape) for variable in node.variables]} {multiply_adds(graph, node)}"
        for node in graph.nodes
    )
