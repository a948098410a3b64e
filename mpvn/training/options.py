"""Options of networks, data sets and tasks, checked against the function that takes them.

Four groups of a config hold keyword arguments of a function that the config names:

    model.options       the builder of the network `model.name`
    data.train          the reader of the data set `data.name`, for the training split
    data.evaluation     the same, for the evaluation split
    task.options        the task `task.name`

Any argument of that function may be set, whether the config file lists it or not. On the command
line values are Python literals, and everything else is a string. A value must fit the argument's
annotation or, without one, the type of its default.

Limitations: Misspelled options of a builder that takes `**kwargs` are found only when the builder
is called.
"""

import ast
import difflib
import functools
import inspect
import os
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
from ml_collections import ConfigDict

from mpvn.data.sets.registry import SETS, needs_path
from mpvn.models.loading import ModelError, network_builder
from mpvn.tasks.registry import TASKS

GROUPS = ("model.options", "data.train", "data.evaluation", "task.options")

_NOT_OPTIONS = {
    "model": {"input_shape"},
    # What `build_task` takes from the data set, the network, and other keys of the config.
    "task": {"classes", "names", "joints", "frame_size", "latency", "first_informed_step"},
}


class _Options(NamedTuple):
    """What a function accepts.

    Attributes:
        name: what the config calls the function.
        kinds: type of each option.
        complete: whether these are all; False if the function takes `**kwargs`.
    """

    name: str
    kinds: Mapping[str, Any]
    complete: bool


def option_group(key: str) -> str | None:
    """Return the group that the dotted `key` belongs to, or None if it is not an option."""
    return next((g for g in GROUPS if key == g or key.startswith(f"{g}.")), None)


def set_option(config: ConfigDict, key: str, text: str) -> None:
    """Set an option of `config` in place, or all options of a group.

    Args:
        config: names the function that takes the option.
        key: such as `"model.options.width"`, or `"model.options"` for the whole group.
        text: the value as typed on the command line.

    Raises:
        ValueError: there is no such option, or the value has the wrong type.
    """
    group = option_group(key)
    if group is None:
        raise ValueError(f"config.{key}: expected a key of {', '.join(GROUPS)}. Received: {key!r}")
    values = config[group]
    if key == group:
        replaced = _literal(text)
        if not isinstance(replaced, dict):
            raise ValueError(f"config.{key}: expected a dict such as {{'a': 1}}. Received: {text}")
        with values.unlocked():
            for name in list(values):
                del values[name]
            values.update(replaced)
        return
    name = key.removeprefix(f"{group}.")
    options = _accepted(config, group)
    value = _literal(text)
    if options is not None:
        kind = _kind(options, group, name)
        if isinstance(value, list):
            value = tuple(value)
        value = value if _fits(value, kind) or not _fits(text, kind) else text
        _check(value, kind, f"config.{key}")
    with values.unlocked(), values.ignore_type():
        values[name] = value


def drop_options_of_reader(config: ConfigDict, name: str) -> None:
    """Drop from `config`, in place, the options that mean nothing to the data set it names now.

    Those of a published data set mean nothing to another, because splits have other names. Readers
    of one's own videos, which may have no splits, share the options that both take.

    Args:
        config: names a data set, and has the options of the data set `name`.
        name: the data set it named before.
    """
    if config.data.name == name:
        return
    before, now = (_kinds(SETS[each]) if each in SETS else {} for each in (name, config.data.name))
    own_videos = all(_fits(None, kinds.get("split", str)) for kinds in (before, now))
    shared = before.keys() & now.keys() if own_videos else set()
    for group in ("data.train", "data.evaluation"):
        with config[group].unlocked():
            for option in set(config[group]) - shared:
                del config[group][option]


def check_options(config: ConfigDict) -> None:
    """Check the options of every group.

    Names of networks, data sets and tasks that do not exist are left to `build`.

    Raises:
        ValueError: there is no such option, or a value has the wrong type.
    """
    for group in GROUPS:
        options = _accepted(config, group)
        if options is not None:
            for name, value in config[group].items():
                _check(value, _kind(options, group, name), f"config.{group}.{name}")


def unknown(context: str, name: str, known: Iterable[str], remedy: str = "") -> ValueError:
    """Return the error for a name that is not among the `known` ones."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    remedy = f"Did you mean {close[0]!r}?" if close else remedy
    expected = f"{context}. Expected one of {', '.join(known)}."
    return ValueError(f"{expected} Received: {name!r}. {remedy}".strip())


# --- what a function accepts --------------------------------------------------------------------


def _accepted(config: ConfigDict, group: str) -> _Options | None:
    """Return what the function of a group accepts; None if there is no such function."""
    part = group.partition(".")[0]
    name = config[part].name
    finders: Mapping[str, Callable] = {"model": _network, "data": SETS.get, "task": TASKS.get}
    function = finders[part](name)
    if function is None:
        return None
    hidden = _NOT_OPTIONS.get(part, set())
    if part == "data" and needs_path(name):
        hidden = {next(iter(inspect.signature(function).parameters))}
    kinds = {name: kind for name, kind in _kinds(function).items() if name not in hidden}
    # A task passes its `**kwargs` to `Task`, whose arguments are not options.
    parameters = inspect.signature(function).parameters.values()
    is_open = part != "task" and any(p.kind is p.VAR_KEYWORD for p in parameters)
    return _Options(name, kinds, not is_open)


def _kinds(function: Callable) -> dict[str, Any]:
    """Return the types of the arguments of a function, without `**kwargs`."""
    hints = _annotations(function)
    return {
        parameter.name: hints.get(parameter.name, _default_kind(parameter.default))
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is not parameter.VAR_KEYWORD
    }


def _network(name: str) -> Callable[..., keras.Model] | None:
    """Return the builder of a network; None for saved models and unknown names."""
    try:
        return network_builder(name)
    except ModelError:
        return None


def _annotations(function: Callable) -> dict[str, Any]:
    while isinstance(function, functools.partial):
        function = function.func
    return typing.get_type_hints(function.__init__ if inspect.isclass(function) else function)


def _default_kind(default: Any) -> Any:
    """Return the type of an argument without annotation: that of its default, or None."""
    return Any if default is None or default is inspect.Parameter.empty else type(default) | None


def _kind(options: _Options, group: str, name: str) -> Any:
    if name in options.kinds:
        return options.kinds[name]
    if not options.complete:
        return Any
    raise unknown(
        f"config.{group}: {options.name} has no option {name!r}",
        name,
        sorted(options.kinds),
        f"Give another name, or drop the options of the config file: --config.{group}={{}}",
    )


# --- values -------------------------------------------------------------------------------------


def _literal(text: str) -> Any:
    """Return the Python literal that `text` is, or `text` itself."""
    try:
        return ast.literal_eval({"true": "True", "false": "False"}.get(text, text))
    except (ValueError, SyntaxError):
        return text


def _check(value: Any, kind: Any, context: str) -> None:
    if not _fits(value, kind):
        raise ValueError(f"{context}: expected {_described(kind)}. Received: {value!r}")


def _fits(value: Any, kind: Any) -> bool:
    """Return whether `value` is of the annotated type; True for types that are not known here."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, each) for each in arguments)
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
            return all(map(_fits, value, arguments))
        return all(_fits(each, arguments[0]) for each in value)
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
