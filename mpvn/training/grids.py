"""What a sweep varies: the axes of its grid.

An axis has the values of one key of the config, or named changes of several keys. A grid is the
product of its axes:

    {"plan.subnetworks": (1, 2, 4), "seed": (0, 1, 2)}

    {
        "network": {
            "non-causal": {"model.options.temporal_padding": "symmetric"},
            "sequential": {},
            "parallel": {"plan.subnetworks": 14},
        },
        "seed": (0, 1, 2),
    }

A config file has a grid in its function `get_grid()`, and may have others in functions
`get_grid_NAME()`, which `mpvn sweep --grid NAME` chooses.
"""

import functools
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mpvn.training.config import base_config
from mpvn.training.options import unknown
from mpvn.training.overrides import call_of_config, config_functions

Changes = Mapping[str, Any]
"""Values by dotted key of a config."""

Grid = Mapping[str, Sequence[Any] | Mapping[str, Changes]]
"""The axes: values by dotted key of a config, or named changes by a name without dots."""

_FUNCTION = "get_grid"


class Choice(NamedTuple):
    """A point of a grid.

    Attributes:
        labels: the value or the name on each axis.
        changes: what changes in the config.
    """

    labels: dict[str, Any]
    changes: dict[str, Any]


def choices(grid: Grid) -> Iterator[Choice]:
    """Yield the points of a grid, the last axis fastest.

    Raises:
        ValueError: an axis is empty or has a value twice, an axis or a change has a name that it
            must not have, or two axes change the same key.
    """
    _check(grid)
    axes = [[(name, *each) for each in _steps(name, axis)] for name, axis in grid.items()]
    for steps in itertools.product(*axes):
        labels = {name: label for name, label, _ in steps}
        yield Choice(labels, {k: v for _, _, changes in steps for k, v in changes.items()})


@functools.cache
def is_config_key(name: str) -> bool:
    """Return whether a name is that of a key of the config, and not that of an axis."""
    return "." in name or name in base_config()


def changed_keys(grid: Grid) -> list[str]:
    """Return the keys of the config that a grid changes."""
    return list(dict.fromkeys(key for name, axis in grid.items() for key in _keys(name, axis)))


def config_grid(config: str | os.PathLike, name: str | None = None) -> Grid:
    """Return a grid of a config file.

    Args:
        config: the file.
        name: of its grid; None for that of `get_grid()`.

    Raises:
        ValueError: the file has no such grid, or cannot be run.
    """
    functions = {} if os.path.isdir(config) else config_functions(config)  # a run has no grids
    if name is not None:
        start = f"{_FUNCTION}_"
        known = [each.removeprefix(start) for each in functions if each.startswith(start)]
        if name not in known:
            remedy = "Give --grid KEY=VALUE,VALUE such as --grid seed=0,1"
            raise unknown(f"{os.fspath(config)} has no grid {name!r}", name, known, remedy)
        return call_of_config(config, functions[start + name])
    if _FUNCTION not in functions:
        lack = "is a run, which has no grid" if os.path.isdir(config) else f"has no {_FUNCTION}()"
        raise ValueError(
            f"{os.fspath(config)} {lack}. Expected values to try, such as "
            "--grid plan.subnetworks=1,2,4 --grid seed=0,1,2"
        )
    return call_of_config(config, functions[_FUNCTION])


def _steps(name: str, axis: Sequence[Any] | Mapping[str, Changes]) -> list[tuple[Any, Changes]]:
    """Return the labels of an axis with their changes."""
    if isinstance(axis, Mapping):
        return list(axis.items())
    return [(value, {name: value}) for value in axis]


def _keys(name: str, axis: Sequence[Any] | Mapping[str, Changes]) -> list[str]:
    return list(dict.fromkeys(key for _, changes in _steps(name, axis) for key in changes))


def _check_names(name: str, axis: Mapping[str, Changes]) -> None:
    if is_config_key(name):  # The report shows values with their keys, and names alone.
        raise ValueError(
            f"A grid has named changes on the axis {name!r}. Expected a name that is not a key of "
            "the config, and has no dot. Received that"
        )
    for each in (name, *axis):
        if not each or set(each) & set("/,="):  # They are in names of folders.
            raise ValueError(
                f"A grid has named changes on the axis {name!r}. Expected names without '/', ',' "
                f"and '='. Received: {each!r}"
            )


def _check(grid: Grid) -> None:
    seen: dict[str, str] = {}
    for name, axis in grid.items():
        if not axis:
            raise ValueError(f"A grid has no values on the axis {name!r}. Expected at least one")
        if isinstance(axis, Mapping):
            _check_names(name, axis)
        if len(set(map(str, axis))) < len(axis):
            raise ValueError(
                f"A grid has a value twice on the axis {name!r}. Expected different ones. "
                f"Received: {', '.join(map(str, axis))}"
            )
        for key in _keys(name, axis):
            if seen.setdefault(key, name) != name:
                raise ValueError(
                    f"A grid changes config.{key} on two axes. Expected one. Received: "
                    f"{seen[key]!r} and {name!r}"
                )
