"""The types of the arguments of a function, and values for them as users type them.

A value must fit the argument's annotation or, without one, the type of its default.
"""

import ast
import functools
import inspect
import os
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any


def argument_kinds(function: Callable) -> dict[str, Any]:
    """Return the types of the arguments of a function, without `**kwargs`."""
    plain = function
    while isinstance(plain, functools.partial):
        plain = plain.func
    hints = typing.get_type_hints(plain.__init__ if inspect.isclass(plain) else plain)
    return {
        parameter.name: hints.get(parameter.name, _default_kind(parameter.default))
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is not parameter.VAR_KEYWORD
    }


def _default_kind(default: Any) -> Any:
    """Return the type of an argument without annotation: that of its default, or None."""
    return Any if default is None or default is inspect.Parameter.empty else type(default) | None


def literal(text: str) -> Any:
    """Return the Python literal that `text` is, or `text` itself."""
    try:
        return ast.literal_eval({"true": "True", "false": "False"}.get(text, text))
    except (ValueError, SyntaxError):
        return text


def check_kind(value: Any, kind: Any, context: str) -> None:
    """Raise a `ValueError` that begins with `context` unless `value` is of the type `kind`."""
    if not fits(value, kind):
        raise ValueError(f"{context}: expected {_described(kind)}. Received: {value!r}")


def fits(value: Any, kind: Any) -> bool:
    """Return whether `value` is of the annotated type; True for types that are not known here."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, each) for each in arguments)
    if origin is typing.Literal:
        return value in arguments
    if kind is None or kind is type(None):
        return value is None
    if kind in (int, float):
        numbers = (int, float) if kind is float else int
        return isinstance(value, numbers) and not isinstance(value, bool)
    if kind is os.PathLike or origin is os.PathLike:
        return isinstance(value, str | os.PathLike)
    if origin in (tuple, list, Sequence):
        if not isinstance(value, tuple | list):
            return False
        if origin is tuple and arguments[-1] is not Ellipsis:
            if len(value) != len(arguments):
                return False
            return all(map(fits, value, arguments))
        return all(fits(each, arguments[0]) for each in value)
    return isinstance(value, kind) if kind in (str, bool, tuple, list, dict) else True


def _described(kind: Any) -> str:
    """Return an annotation in words."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(_described, arguments)))
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if kind is type(None):
        return "None"
    return kind.__name__ if isinstance(kind, type) and not arguments else str(kind)
