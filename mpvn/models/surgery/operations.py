"""Surgery by name: from an image model to a video model, by a nested dict.

    {"shift": {"divisor": 4}, "recurrent": {"after": ["conv4"]}}

This is `config.model.surgery`, and what `--surgery shift.divisor=4` means.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import keras

from mpvn.arguments import argument_kinds, check_kind
from mpvn.models.surgery.inflate import inflate
from mpvn.models.surgery.recurrent import insert_recurrent
from mpvn.models.surgery.shift import insert_temporal_shift
from mpvn.models.surgery.shortcuts import insert_shortcuts

Surgery = Mapping[str, Mapping[str, Any]]
"""Options of operations, by their names in `OPERATIONS`."""

OPERATIONS: Mapping[str, Callable[..., keras.Model]] = MappingProxyType(
    {
        "shift": insert_temporal_shift,
        "inflate": inflate,
        "shortcuts": insert_shortcuts,
        "recurrent": insert_recurrent,
    }
)
"""Functions from a model and options to a model, in the order in which they are applied."""


def operate(model: keras.Model, surgery: Surgery) -> keras.Model:
    """Return what the operations of `surgery` make of `model`, in the order of `OPERATIONS`.

    Raises:
        ValueError: If there is no such operation or option, a value has the wrong type, or the
            operation does not fit the model.
    """
    check_surgery(surgery, "surgery")
    for name, operation in OPERATIONS.items():
        if name in surgery:
            model = operation(model, **surgery[name])
    return model


def operation_options(name: str) -> dict[str, Any]:
    """Return the types of the options of an operation."""
    kinds = argument_kinds(OPERATIONS[name])
    return {option: kind for option, kind in kinds.items() if option not in ("model", "name")}


def check_surgery(surgery: Surgery, context: str) -> None:
    """Check that operations and options exist, and the types of values.

    Raises:
        ValueError: They do not. The message begins with `context`.
    """
    for name, options in surgery.items():
        _check_name(name, OPERATIONS, context)
        known = operation_options(name)
        for option, value in options.items():
            _check_name(option, known, f"{context}.{name}")
            check_kind(value, known[option], f"{context}.{name}.{option}")


def _check_name(name: str, known: Mapping[str, Any], context: str) -> None:
    if name not in known:
        raise ValueError(f"{context}: expected one of {', '.join(known)}. Received: {name!r}")
