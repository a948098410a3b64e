"""Loading config files, and `--config.key=value` on the command line.

Keys of `base_config` are parsed and type-checked by `ml_collections`. Options of a network, a data
set or a task are parsed and checked against the function that takes them; see
`mpvn.training.options`. Unknown keys and options are refused with a list of the known ones.
"""

import copy
import os
import pathlib
import re
import runpy
import traceback
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from mpvn.training.config import optional_keys
from mpvn.training.options import (
    check_options,
    drop_options_of_reader,
    option_group,
    set_option,
    unknown,
)
from mpvn.training.ranges import check_ranges

_OVERRIDE = re.compile(r"--?(?:no)?config\.([\w.]+)(?:=(.*))?", re.DOTALL)


def load_config(path: str | os.PathLike, overrides: Sequence[str] = ()) -> ConfigDict:
    """Load a config file and change some keys.

    Args:
        path: a Python file with a function `get_config()`.
        overrides: as `override`.

    Returns:
        The config.

    Raises:
        ValueError: the file does not exist or is not a config, or as in `override`.
    """
    functions = config_functions(path)
    if "get_config" not in functions:
        raise ValueError(f"{os.fspath(path)}: expected a function get_config(). Received: none")
    config = call_of_config(path, functions["get_config"])
    if not isinstance(config, ConfigDict):
        raise ValueError(
            f"{os.fspath(path)}: expected get_config() to return a config, as base_config() does. "
            f"Received: {type(config).__name__}."
        )
    return override(with_pairs(config), overrides)


def config_functions(path: str | os.PathLike) -> Mapping[str, Any]:
    """Run a config file and return what it defines, by name.

    Raises:
        ValueError: there is no such file, or it cannot be run.
    """
    if not os.path.isfile(path) or not os.fspath(path).endswith(".py"):
        received = "a file of another kind" if os.path.isfile(path) else "nothing at that path"
        received = "a folder" if os.path.isdir(path) else received
        raise ValueError(
            f"there is no config {os.fspath(path)!r}. Expected a Python file with get_config(), "
            f"such as configs/rendered_keypoints.py. Received: {received}"
        )
    return call_of_config(path, lambda: runpy.run_path(os.fspath(path)))


def call_of_config(path: str | os.PathLike, function: Callable[[], Any]) -> Any:
    """Return the result of a function of a config file, or of running the file.

    Raises:
        ValueError: the function raises an error; the message has the line of the file.
    """
    try:
        return function()
    except (Exception, SystemExit) as fault:
        lines = [
            f"line {frame.lineno}: "
            for frame in traceback.extract_tb(fault.__traceback__)
            if frame.filename == os.fspath(path)
        ]
        line = lines[-1] if lines else ""
        raise ValueError(
            f"{os.fspath(path)}: expected a Python file with get_config(). Received: "
            f"{line}{type(fault).__name__}: {fault}"
        ) from fault


def sibling(file: str | os.PathLike, name: str) -> types.SimpleNamespace:
    """Return the functions of another config file in the same folder.

    A config that differs from another in a few lines edits that one:

        BASE = sibling(__file__, "tsm_something_v1_resnet50")
        get_grid = BASE.get_grid

        def get_config():
            config = BASE.get_config()
            config.data.name = "something_something_v2"
            return config

    Args:
        file: path of the config that asks, `__file__`.
        name: name of the other config, without `.py`.

    Returns:
        A namespace with the other file's `get_config` and, if it has one, `get_grid`.
    """
    return types.SimpleNamespace(**runpy.run_path(str(pathlib.Path(file).with_name(f"{name}.py"))))


def override(config: ConfigDict, overrides: Sequence[str]) -> ConfigDict:
    """Return a copy of `config` with some keys changed.

    Args:
        config: as `base_config` returns it.
        overrides: `"--config.key=value"`, as on the command line. Options of the network, the data
            set and the task may be set whether the config lists them or not: setting one keeps the
            others, and `"--config.model.options={}"` drops them all. Another `data.name` drops
            those of the data set, as `drop_options_of_reader`.

    Returns:
        The copy.

    Raises:
        ValueError: a key or an option does not exist, or a value has the wrong type or is out of
            range.
    """
    options: list[tuple[str, str]] = []
    missing: list[str] = []
    ordinary: list[str] = []
    for argument in overrides:
        match = _OVERRIDE.fullmatch(argument)
        key, value = match.groups() if match else ("", None)
        if option_group(key):
            if value is None:
                raise ValueError(f"Expected --config.key=value. Received: {argument}")
            options.append((key, value))
        elif value == "None" and key in optional_keys():
            missing.append(key)
        else:
            _check_key(config, key)
            ordinary.append(argument)
    changed = with_pairs(_parse(copy.deepcopy(config), ordinary))
    drop_options_of_reader(changed, config.data.name)
    changed.update_from_flattened_dict(dict.fromkeys(missing))
    for key, value in options:  # last: the network's name may have changed
        set_option(changed, key, value)
    check_options(changed)
    check_ranges(changed)
    return changed


def with_pairs(config: ConfigDict) -> ConfigDict:
    """Return `config`, with `training.class_weights` changed in place from a dict to pairs.

    A `ConfigDict` cannot hold the name of every class: not those with dots.
    """
    given = config.get("training", {}).get("class_weights")
    if isinstance(given, Mapping | ConfigDict):
        config.training.class_weights = tuple(given.items())
    return config


def _parse(config: ConfigDict, arguments: Sequence[str]) -> ConfigDict:
    """Return `config`, changed in place by keys that it has."""
    argv = ["mpvn", *arguments]
    values = flags.FlagValues()
    try:
        config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=argv)
        rest = values(argv)
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as fault:
        words = str(fault).replace("\\n", " ").replace("\\'", "").strip("'").split()
        raise ValueError(f"config: {' '.join(words)}") from fault
    if len(rest) > 1:
        raise ValueError(f"Expected --config.key=value. Received: {' '.join(rest[1:])}")
    return values.config


def _check_key(config: ConfigDict, key: str) -> None:
    """Raise ValueError if `config` has no such dotted `key`; an empty one passes."""
    path, group = "config", config
    for name in filter(None, key.split(".")):
        known = list(group) if isinstance(group, ConfigDict) else []
        if name not in known:
            raise unknown(f"{path} has no key {name!r}", name, known)
        path, group = f"{path}.{name}", group[name]
