"""Which images of a folder are the frames of a video, and in which order: the only rule for it.

Images whose names differ only in a number are a series: `img_00001.jpg`, `img_00002.jpg`, ...
The frames are the images of the only series, in the order of their numbers (`2.png` before
`10.png`), whatever their padding is. Of the other images in the folder
- series of optical flow are ignored, because flow was computed from the frames: names that contain
  the word `flow`, or two series that differ in `x` and `y`, or in `u` and `v`;
- single images that belong to no series, such as `cover.jpg`, are left out with a warning, if they
  are fewer than the frames.
Several other series (`rgb_*` and `depth_*`, `cam1_*` and `cam2_*`, `1.jpg` and `1.png`) are an
error, because the frames may be any of them. Images without any number are the frames if there are
no others, in the order of their names.

Missing numbers are frames that got lost, if most numbers have the same distance.

A pattern in place of the folder says which images are the frames: `clip/rgb_*`. They are read in
natural order, whatever series they belong to, and without a search for missing numbers.
"""

import collections
import dataclasses
import fnmatch
import functools
import glob
import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from mpvn.data.video.endings import IMAGE_SUFFIXES, is_image
from mpvn.data.video.errors import VideoError

_FLOW = re.compile(r"(?<![^\W\d_])(opt(ical)?)?flows?[xyuvi]?(?![^\W\d_])")
_FLOW_PAIRS = (("x", "y"), ("y", "x"), ("u", "v"), ("v", "u"))
_MAX_NAMED = 5


@dataclasses.dataclass(frozen=True)
class ImageSeries:
    """The frames of a video that are images.

    Attributes:
        paths: The images, in order.
        left_out: Names of images in the same folder that belong to no series.
        missing: Numbers that are missing between those of the images.
    """

    paths: Sequence[Path]
    left_out: Sequence[str] = ()
    missing: Sequence[range] = ()


def is_series(path: Path) -> bool:
    """Return whether a path is a folder, or a pattern of names in a folder, such as `rgb_*`."""
    return path.is_dir() or ("*" in path.name and path.parent.is_dir() and not path.exists())


def images_in(path: Path) -> list[Path]:
    """Return the frames in a folder, as `find_series` does."""
    return list(find_series(path).paths)


def find_series(path: Path) -> ImageSeries:
    """Find the frames in a folder, or those that a pattern selects.

    Raises:
        VideoError: There are no images, or several series may be the frames.
    """
    chosen = not path.is_dir()
    folder = path.parent if chosen else path
    entries = [entry.name for entry in folder.iterdir()]
    names = [name for name in entries if is_image(name)]
    if chosen:
        names = fnmatch.filter(names, path.name)
    if not names:
        raise VideoError(
            f"{path}: expected a folder of images ({', '.join(sorted(IMAGE_SUFFIXES))}). "
            f"Received: a folder with {len(entries)} entries, none of them an image. Pass the "
            "folder that contains the images themselves, or a video file."
        )
    if chosen:
        return ImageSeries([folder / name for name in sorted(names, key=_natural_key)])
    frames, left_out = _frames(folder, sorted(names, key=_natural_key))
    return ImageSeries([folder / name for name in frames], left_out, _missing(frames))


def _frames(folder: Path, names: list[str]) -> tuple[list[str], list[str]]:
    """Return the names of the frames, and those of single images beside them."""
    all_series = _divide(names)
    longer = {pattern: series for pattern, series in all_series.items() if len(series) > 1}
    longer = longer or {pattern: each for pattern, each in all_series.items() if _numbers(each[0])}
    if not longer:
        return names, []
    frames = {
        pattern: series
        for pattern, series in longer.items()
        if len(longer) == 1 or not _is_flow(pattern, longer)
    }
    if len(frames) == 1:
        ((_, series),) = frames.items()
        known = {name for each in longer.values() for name in each}
        left_out = [name for name in names if name not in known]
        if len(left_out) < len(series):
            return series, left_out
    shown = [f"{pattern} ({len(series)} images)" for pattern, series in all_series.items()]
    more = f" and {len(shown) - _MAX_NAMED} more" if len(shown) > _MAX_NAMED else ""
    raise VideoError(
        f"{folder}: expected the images of one video, whose names differ in a number. Received: "
        f"{len(shown)} series: {', '.join(shown[:_MAX_NAMED])}{more}. Choose the frames: "
        f"{folder / next(iter(frames or all_series))}, for example, or {folder / '*'} for all "
        "images in the order of their names. Or keep one series in the folder."
    )


def _divide(names: Sequence[str]) -> dict[str, list[str]]:
    """Divide names in natural order into series, by a pattern that selects each."""
    parts = [part for same_text in _group(names, _text) for part in _divide_numbers(same_text)]
    return {_pattern(part, names): part for part in parts}


def _divide_numbers(names: list[str]) -> list[list[str]]:
    """Divide names that differ only in numbers and suffixes into as few series as possible.

    In a series, a number ascends from name to name. Names of different series differ in the other
    numbers, in the suffix, or in both.
    """
    columns = range(len(_numbers(names[0])))
    keys: list[Callable[[str], object]] = [
        lambda name: (),
        _suffix,
        lambda name: name,
        *(functools.partial(_without, at) for at in columns),
        *(functools.partial(_without, at, with_suffix=True) for at in columns),
    ]
    divisions = [_group(names, key) for key in keys]
    return min(
        (
            division
            for division in divisions
            if all(len(part) == 1 or _counters(part) for part in division)
        ),
        key=len,
    )


def _group(names: Iterable[str], key: Callable[[str], object]) -> list[list[str]]:
    groups = collections.defaultdict(list)
    for name in names:
        groups[key(name)].append(name)
    return list(groups.values())


def _counters(names: Sequence[str]) -> list[tuple[int, ...]]:
    """Return the columns of numbers that ascend from name to name."""
    columns = zip(*map(_numbers, names), strict=True)
    return [column for column in columns if all(a < b for a, b in itertools.pairwise(column))]


def _missing(names: Sequence[str]) -> list[range]:
    """Return the numbers that are missing between those of a series."""
    if len(names) < 3 or len(set(map(_text, names))) > 1:
        return []
    for numbers in _counters(names):
        distances = [b - a for a, b in itertools.pairwise(numbers)]
        distance, count = collections.Counter(sorted(distances)).most_common(1)[0]
        if 2 * count >= len(distances) and all(each % distance == 0 for each in distances):
            gaps = (range(a + distance, b, distance) for a, b in itertools.pairwise(numbers))
            return [gap for gap in gaps if gap]
    return []


def _is_flow(pattern: str, patterns: Iterable[str]) -> bool:
    """Return whether a series is optical flow, by its name and those of the others."""
    words = re.split(r"([^\W\d_]+)", pattern.lower())
    others = {other.lower() for other in patterns}
    swapped = (
        "".join(new if word == old else word for word in words)
        for old, new in _FLOW_PAIRS
        if old in words
    )
    return bool(_FLOW.search(pattern.lower())) or any(other in others for other in swapped)


def _pattern(series: Sequence[str], names: Sequence[str]) -> str:
    """Return a pattern that selects the series among the names, as short as possible."""
    parts = [re.split(r"(\d+)", Path(name).stem) + [Path(name).suffix] for name in series]
    columns = [set(column) for column in zip(*parts, strict=True)]
    literal = [glob.escape(min(column)) if len(column) == 1 else None for column in columns]
    if None not in literal:
        return glob.escape(series[0])
    start = "".join(text or "" for text in literal[: literal.index(None)])
    candidates = [f"{start}{digits}" for digits in ("*", "[0-9]*")]
    candidates += [
        "".join(digits if text is None else text for text in literal)
        for digits in ("*", "[0-9]*", "*[0-9]")
    ]
    selected = (each for each in candidates if fnmatch.filter(names, each) == list(series))
    return next(selected, candidates[-1])


def _text(name: str) -> str:
    """Return the stem of a name without its numbers."""
    return re.sub(r"\d+", "0", Path(name).stem.casefold())


def _numbers(name: str) -> tuple[int, ...]:
    """Return the numbers in the stem of a name."""
    return tuple(map(int, re.findall(r"\d+", Path(name).stem)))


def _suffix(name: str) -> str:
    return Path(name).suffix.lower()


def _without(at: int, name: str, with_suffix: bool = False) -> tuple[object, ...]:
    """Return the numbers in a name but one."""
    numbers = _numbers(name)
    return (*numbers[:at], *numbers[at + 1 :], _suffix(name) if with_suffix else "")


def _natural_key(name: str) -> tuple[list[str | int], str]:
    """Return a sort key that compares digits as numbers.

    `re.split` puts numbers at odd positions, so that a number is never compared with text.
    """
    parts = re.split(r"(\d+)", Path(name).stem.casefold())
    return [int(part) if at % 2 else part for at, part in enumerate(parts)], name
