"""The paths of a command: what it reads and what it writes, compared before any work is done.

Each command names its paths once, in `add_parser`:

    declare_paths(parser, reads=["MODEL"], writes={"--figure": SVG})

`check_paths` then refuses, for all commands alike, outputs that would replace an input or a part of
it, two outputs at one place, and outputs that cannot be written or would replace a thing of another
kind. Inputs that do not exist as paths, such as names of networks and cameras, are not compared.
"""

import argparse
import itertools
import os
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mpvn.cli.mistakes import Mistake
from mpvn.files import cannot_write, is_device

RUN_FILES = (
    "config.json",
    "data.json",
    "versions.json",
    "metrics.jsonl",
    "skipped.json",
    "lock",
    "checkpoints",
    "model.keras",
    "network.keras",
    "report.html",
    "evaluation",
    "tensorboard",
)
"""What `mpvn train` writes into the folder of a run."""


class Output(NamedTuple):
    """What a command writes at a path.

    Attributes:
        suffixes: endings of the file, which tell what it holds; empty for a folder.
        files: of a folder, what the command replaces in it.
        new: whether nothing may be at the path.
        or_folder: whether a path without one of the suffixes is a folder for such files.
        beside_inputs: whether it may lie in a folder that the command reads. Videos, images, and
            runs may not: they would be inputs the next time, or replace some.
    """

    suffixes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    new: bool = False
    beside_inputs: bool = True
    or_folder: bool = False

    def at(self, path: str) -> "Output":
        """Return what is written at a path: one of the files, or a folder for them."""
        is_file = path.lower().endswith(self.suffixes)
        if is_file or not self.or_folder:
            return self
        return Output(files=self.files, beside_inputs=self.beside_inputs)


SVG = Output((".svg",))
JSON = Output((".json",))
TABLE = Output((".csv", ".txt"), beside_inputs=False)
ROWS = Output((".jsonl", ".csv"), beside_inputs=False)
VIDEO = Output((".mp4", ".mov", ".mkv"), beside_inputs=False)
VIDEOS = VIDEO._replace(or_folder=True)
PICTURES = Output(beside_inputs=False)
REPORT = Output(
    files=("report.html", "classes.csv", "confusion.csv", "scores.csv"), beside_inputs=False
)
NEW_FOLDER = Output(new=True)
RUN = Output(files=RUN_FILES, beside_inputs=False)


class _Path(NamedTuple):
    """A path with the name of its argument."""

    label: str
    path: str

    def __str__(self) -> str:
        return f"{self.label} {self.path}"


def declare_paths(
    parser: argparse.ArgumentParser,
    *,
    reads: Iterable[str] = (),
    runs: Iterable[str] = (),
    writes: Mapping[str, Output],
) -> None:
    """Say which arguments of a command are paths, such as `"MODEL"` or `"--figure"`.

    Args:
        parser: the parser of the command.
        reads: arguments that name files and folders to read.
        runs: arguments that name folders of runs to read.
        writes: arguments that name files and folders to write, and what is written.
    """
    parser.set_defaults(reads=tuple(reads), runs_read=tuple(runs), writes=writes)


def check_paths(arguments: argparse.Namespace, further: Mapping[str, Any] | None = None) -> None:
    """Check that a command can write its outputs, and that they spare what it reads.

    Args:
        arguments: the parsed arguments.
        further: more values that may be paths to read, by name, such as the keys of a config.

    Raises:
        Mistake: an output would replace an input or another output, or cannot be written.
    """
    inputs = [path for name in arguments.reads for path in _paths(arguments, name)]
    inputs += [
        _Path(key, value) for key, value in (further or {}).items() if isinstance(value, str)
    ]
    runs = [path for name in arguments.runs_read for path in _paths(arguments, name)]
    parts = [_Path(run.label, os.path.join(run.path, name)) for run in runs for name in RUN_FILES]
    outputs = [
        (path, kind.at(path.path))
        for name, kind in arguments.writes.items()
        for path in _paths(arguments, name)
    ]
    for output, kind in outputs:
        _check_writable(output, kind)
        _check_spares(output, kind, _existing(inputs), _existing(runs + parts))
    for (one, _), (other, _) in itertools.combinations(outputs, 2):
        if _is_same(one.path, other.path):
            raise Mistake(f"{other}: expected another path than {one}. Received: the same.")


def _paths(arguments: argparse.Namespace, name: str) -> list[_Path]:
    """Return the paths of one argument: none if it was not given."""
    value = getattr(arguments, name.lstrip("-").replace("-", "_").lower())
    values = value if isinstance(value, list) else [value]
    paths = [_Path(name, value) for value in values if value is not None]
    if any(not path.path for path in paths):
        raise Mistake(f"{name}: expected a path. Received: an empty one.")
    return paths


def _existing(paths: Iterable[_Path]) -> list[_Path]:
    """Return the paths at which there is something, without the protocol of `file:` URLs."""
    local = [path._replace(path=_without_protocol(path.path)) for path in paths]
    return [path for path in local if os.path.exists(path.path)]


def _without_protocol(path: str) -> str:
    if path.startswith("file://"):
        return urllib.request.url2pathname(urllib.parse.urlsplit(path).path)
    return path if os.path.exists(path) else path.removeprefix("file:")


def _check_spares(
    output: _Path, kind: Output, inputs: Iterable[_Path], runs: Iterable[_Path]
) -> None:
    replaced = [output.path, *(os.path.join(output.path, name) for name in kind.files)]
    for read in (*inputs, *runs):
        if any(_is_same(path, read.path) for path in replaced):
            raise Mistake(
                f"{output}: expected a path that replaces nothing that is read. Received: the path "
                f"of {read}. Choose another path."
            )
    for read in inputs:
        if not kind.beside_inputs and _is_in(output.path, read.path):
            raise Mistake(
                f"{output}: expected a path outside of the folders that are read. Received: a path "
                f"in {read}. Choose another path."
            )


def _is_same(one: str, other: str) -> bool:
    """Return whether two paths name the same thing, also by links or in another spelling."""
    try:
        return os.path.samefile(one, other)
    except OSError:  # One of them does not exist yet.
        return os.path.realpath(one) == os.path.realpath(other)


def _is_in(path: str, folder: str) -> bool:
    return any(_is_same(str(parent), folder) for parent in Path(os.path.realpath(path)).parents)


def _check_writable(output: _Path, kind: Output) -> None:
    """Raise `Mistake` if it is known before writing that the output cannot be written."""
    path = Path(output.path)
    try:
        os.lstat(path)
    except OSError as error:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise Mistake(cannot_write(output, error)) from error  # Such as a name too long.
    if is_device(path):
        return
    if kind.suffixes:
        _check_file(output, path, kind.suffixes)
    elif kind.new and os.path.lexists(path):
        raise Mistake(
            f"{output}: expected a new folder. Received: a path that exists. Remove it or choose "
            "another path."
        )
    here = path.parent if kind.suffixes else _nearest(path)
    if not here.is_dir():
        received = "a file" if here.exists() else "nothing at that path"
        remedy = "Choose another path" if here.exists() else "Create it first"
        raise Mistake(f"{output}: expected {here} to be a folder. Received: {received}. {remedy}.")
    try:
        tempfile.TemporaryFile(dir=here).close()
    except OSError as error:
        raise Mistake(cannot_write(output, error)) from error


def _check_file(output: _Path, path: Path, suffixes: tuple[str, ...]) -> None:
    if path.is_dir() or output.path.endswith(os.sep):
        raise Mistake(
            f"{output}: expected the path of a file. Received: a folder. Add the name of a file."
        )
    if path.suffix.lower() not in suffixes:
        raise Mistake(
            f"{output}: expected a file name that ends in {', '.join(suffixes)}. Received: "
            f"{path.suffix or 'no suffix'!r}. Rename it."
        )


def _nearest(path: Path) -> Path:
    """Return the path, or the nearest folder above it that exists."""
    return next(each for each in (path, *path.parents) if each.exists())
