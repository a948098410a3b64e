"""The sources of a command: files, folders that are searched for videos, globs, cameras, URLs."""

import glob
import itertools
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from mpvn.cli.mistakes import Mistake
from mpvn.data.sets.finding import Finder
from mpvn.data.sets.layout import named
from mpvn.data.video.cameras import is_camera
from mpvn.data.video.endings import is_hidden, is_image, is_video


class Found(NamedTuple):
    """A source.

    Attributes:
        source: what `VideoReader` takes.
        name: name for files that are written about it, without an ending; it may have folders.
    """

    source: str
    name: str


def find_sources(given: Iterable[str]) -> list[Found]:
    """Return the sources that arguments of a command name, each once, in their order.

    A folder is searched as data sets are, however deep; a folder of images is one video. A glob
    stands for the files and folders that match; if these are images, it is one video.

    Raises:
        Mistake: a folder has no videos, or nothing matches a glob.
    """
    found: dict[str, Found] = {}
    for each in itertools.chain.from_iterable(map(_found, given)):
        is_path = os.path.exists(each.source)
        found.setdefault(os.path.realpath(each.source) if is_path else each.source, each)
    return list(_with_own_names(found.values()))


def _found(text: str) -> Iterator[Found]:
    if "://" in text or is_camera(text) or text == "-":
        yield Found(text, re.sub(r"\W+", "_", text).strip("_") or "input")
    elif os.path.isdir(text):
        yield from _in_folder(Path(text))
    elif glob.has_magic(text) and not os.path.exists(text):
        yield from _matching(text)
    else:
        yield Found(text, Path(text).stem)


def _in_folder(folder: Path) -> Iterator[Found]:
    finder = Finder()
    videos = finder.videos_in(folder)
    if finder.problems:
        raise Mistake(f"{finder.problems[0]}. Give the folders one by one.")
    images = [path for path in finder.passed_over if path.parent == folder and is_image(path.name)]
    if not videos and not images:
        raise Mistake(
            f"{folder}: expected a folder with videos. Received: one without any, or with files of "
            "other endings only. Give the path of a file to read it whatever its ending is."
        )
    if not videos:
        yield Found(str(folder), folder.resolve().name)
        return
    _say_passed_over(finder.passed_over, folder)
    for path in videos:
        inside = path.relative_to(folder)
        yield Found(str(path), str(inside.with_suffix("") if is_video(path.name) else inside))


def _matching(pattern: str) -> Iterator[Found]:
    matches = sorted(map(Path, glob.glob(pattern, recursive=True)))
    matches = [path for path in matches if not is_hidden(path.name)]
    if not matches:
        raise Mistake(
            f"{pattern}: expected a pattern of files or folders. Received: one without matches "
            f"(current folder: {Path.cwd()})."
        )
    if all(path.is_file() and is_image(path.name) for path in matches):
        yield Found(pattern, Path(pattern).parent.resolve().name)
        return
    others = [path for path in matches if not (path.is_dir() or is_video(path.name))]
    _say_passed_over(others, Path())
    if len(others) == len(matches):
        raise Mistake(f"{pattern}: expected videos among the files that match. Received: none.")
    for path in matches:
        if path not in others:
            yield from _in_folder(path) if path.is_dir() else [Found(str(path), path.stem)]


def _say_passed_over(paths: Sequence[Path], folder: Path) -> None:
    if paths:
        names = named([os.path.relpath(path, folder) for path in paths])
        print(
            f"passed over {len(paths)} files or folders without a video: {names}", file=sys.stderr
        )


def _with_own_names(found: Iterable[Found]) -> Iterator[Found]:
    """Yield the sources, with a number at the end of names that others have."""
    taken: set[str] = set()
    for each in found:
        numbered = (f"{each.name}-{number}" for number in itertools.count(2))
        name = next(name for name in itertools.chain([each.name], numbered) if name not in taken)
        taken.add(name)
        yield each._replace(name=name)
