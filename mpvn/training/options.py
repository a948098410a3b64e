"""Options of networks, data sets and tasks, checked against the function that takes them.

Groups of a config hold keyword arguments of a function that the config names:

    model.options       the builder of the network `model.name`
    model.surgery.NAME  the operation NAME of `mpvn.models.surgery.operations`, if there is this key
    data.train          the reader of the data set `data.name`, for the training split
    data.evaluation     the same, for the evaluation split
    task.options        the task `task.name`

Any argument of that function may be set, whether the config file lists it or not. On the command
line values are Python literals, and everything else is a string. Types are those of
`mpvn.arguments`. `--config.model.surgery.NAME=True` operates with the defaults, and `=False` not.

Limitations: Misspelled options of a builder that takes `**kwargs` are found only when the builder
is called.
"""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import keras
from ml_collections import ConfigDict

from mpvn.arguments import argument_kinds, check_kind, fits, literal
from mpvn.data.sets.registry import SETS, needs_path
from mpvn.models.loading import ModelError, network_builder
from mpvn.models.surgery.operations import OPERATIONS, operation_options
from mpvn.tasks.registry import TASKS
from mpvn.training.config import base_config

SURGERY = "model.surgery"

GROUPS = (
    "model.options",
    *(f"{SURGERY}.{name}" for name in OPERATIONS),
    "data.train",
    "data.evaluation",
    "task.options",
)

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
    """Return the group that the dotted `key` belongs to, or None if it is not an option.

    That of an operation that does not exist is `SURGERY`.
    """
    groups = (*GROUPS, SURGERY)
    return next((g for g in groups if key == g or key.startswith(f"{g}.")), None)


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
    if group == SURGERY:
        _set_surgery(config, key, text)
    elif key == group:
        _set_group(config, group, text)
    else:
        _set_one(config, group, key.removeprefix(f"{group}."), text)


def _set_group(config: ConfigDict, group: str, text: str) -> None:
    """Set all options of a group; of an operation, also whether it is applied at all."""
    replaced = literal(text)
    parent, _, name = group.rpartition(".")
    if parent == SURGERY and isinstance(replaced, bool | None):
        replaced = {} if replaced else None
    elif not isinstance(replaced, dict):
        raise ValueError(f"config.{group}: expected a dict such as {{'a': 1}}. Received: {text}")
    with config[parent].unlocked():
        if name in config[parent]:
            del config[parent][name]
        if replaced is not None:
            config[parent][name] = replaced


def _set_surgery(config: ConfigDict, key: str, text: str) -> None:
    """Set all operations, or raise ValueError for one that does not exist."""
    replaced = literal(text)
    if key != SURGERY:
        name = key.removeprefix(f"{SURGERY}.").partition(".")[0]
        raise unknown(f"config.{SURGERY} has no operation {name!r}", name, OPERATIONS)
    if not isinstance(replaced, dict) or not all(isinstance(x, dict) for x in replaced.values()):
        raise ValueError(
            f"config.{key}: expected a dict of dicts, such as {{'shift': {{'divisor': 8}}}}. "
            f"Received: {text}"
        )
    _set_group(config, key, text)


def _set_one(config: ConfigDict, group: str, name: str, text: str) -> None:
    """Set an option of a group."""
    parent, _, last = group.rpartition(".")
    options, value = _accepted(config, group), literal(text)
    if options is not None:
        kind = _kind(options, group, name)
        if isinstance(value, list):
            value = tuple(value)
        value = value if fits(value, kind) or not fits(text, kind) else text
        check_kind(value, kind, f"config.{group}.{name}")
    if last not in config[parent]:
        _set_group(config, group, "{}")
    values = config[group]
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
    before, now = (
        argument_kinds(SETS[each]) if each in SETS else {} for each in (name, config.data.name)
    )
    own_videos = all(fits(None, kinds.get("split", str)) for kinds in (before, now))
    shared = before.keys() & now.keys() if own_videos else set()
    for group in ("data.train", "data.evaluation"):
        with config[group].unlocked():
            for option in set(config[group]) - shared:
                del config[group][option]


def check_options(config: ConfigDict) -> None:
    """Check all keys, and the options of every group.

    Names of networks, data sets and tasks that do not exist are left to `build`.

    Raises:
        ValueError: there is no such key or option, or a value has the wrong type.
    """
    _check_keys(config, base_config(), "config")
    operations = config.model.get("surgery", {})
    for name in operations:
        if name not in OPERATIONS:
            raise unknown(f"config.{SURGERY} has no operation {name!r}", name, OPERATIONS)
    absent = {f"{SURGERY}.{name}" for name in OPERATIONS if name not in operations}
    for group in GROUPS:
        options = None if group in absent else _accepted(config, group)
        if options is not None:
            for name, value in config[group].items():
                check_kind(value, _kind(options, group, name), f"config.{group}.{name}")


def _check_keys(config: ConfigDict, known: ConfigDict, path: str) -> None:
    """Raise ValueError for keys that no code reads; a config file may set any."""
    for name, value in config.items():
        if name not in known:
            raise unknown(f"{path} has no key {name!r}", name, known)
        inner = f"{path}.{name}"
        if isinstance(known[name], ConfigDict) and not option_group(inner.partition(".")[2]):
            _check_keys(value, known[name], inner)


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
    if group.startswith(SURGERY):
        operation = group.removeprefix(f"{SURGERY}.")
        return _Options(operation, operation_options(operation), True)
    part = group.partition(".")[0]
    name = config[part].name
    finders: Mapping[str, Callable] = {"model": _network, "data": SETS.get, "task": TASKS.get}
    function = finders[part](name)
    if function is None:
        return None
    hidden = _NOT_OPTIONS.get(part, set())
    if part == "data" and needs_path(name):
        hidden = {next(iter(inspect.signature(function).parameters))}
    kinds = {name: kind for name, kind in argument_kinds(function).items() if name not in hidden}
    # A task passes its `**kwargs` to `Task`, whose arguments are not options.
    parameters = inspect.signature(function).parameters.values()
    is_open = part != "task" and any(p.kind is p.VAR_KEYWORD for p in parameters)
    return _Options(name, kinds, not is_open)


def _network(name: str) -> Callable[..., keras.Model] | None:
    """Return the builder of a network; None for saved models and unknown names."""
    try:
        return network_builder(name)
    except ModelError:
        return None


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
