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
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from mpvn.data.video.endings import IMAGE_SUFFIXES, is_image
from mpvn.data.video.errors import VideoError

_FLOW = re.compile(r"(?<![^\W\d_])(opt(ical)?)?flows?[xyuvi]?(?![^\W\d_])")
_FLOW_PAIRS = (("x", "y"), ("y", "x"), ("u", "v"), ("v", "u"))
_MAX_NAMED = 5


@dataclasses.dataclass(frozen=True)
class ImageSeries:
    """The frames of a video that are images.

    Attributes:
        folder: The folder of the images.
        names: Their names, in order.
        left_out: Names of images in the same folder that belong to no series.
        missing: Numbers that are missing between those of the images.
    """

    folder: Path
    names: Sequence[str]
    left_out: Sequence[str] = ()
    missing: Sequence[range] = ()


def is_series(path: Path) -> bool:
    """Return whether a path is a folder, or a pattern of names in a folder, such as `rgb_*`."""
    return path.is_dir() or ("*" in path.name and path.parent.is_dir() and not path.exists())


def images_in(path: Path) -> list[Path]:
    """Return the frames in a folder, as `find_series` does."""
    series = find_series(path)
    return [series.folder / name for name in series.names]


def find_series(path: Path) -> ImageSeries:
    """Find the frames in a folder, or those that a pattern selects.

    Raises:
        VideoError: There are no images, or several series may be the frames.
    """
    chosen = not path.is_dir()
    folder = path.parent if chosen else path
    entries = os.listdir(folder)
    names = [name for name in entries if is_image(name)]
    if chosen:
        names = fnmatch.filter(names, path.name)
    if not names:
        raise VideoError(
            f"{path}: expected a folder of images ({', '.join(sorted(IMAGE_SUFFIXES))}). "
            f"Received: a folder with {len(entries)} entries, none of them an image. Pass the "
            "folder that contains the images themselves, or a video file."
        )
    images = sorted(map(_parse, names), key=lambda image: image.order)
    if chosen:
        return ImageSeries(folder, _names(images))
    frames, left_out = _frames(folder, images)
    return ImageSeries(folder, _names(frames), _names(left_out), _missing(frames))


class _Image(NamedTuple):
    """The name of an image, taken apart.

    Attributes:
        name: The name.
        order: Key of the natural order, which compares digits as numbers.
        text: The stem without its numbers.
        numbers: The numbers in the stem.
        suffix: The ending, in lower case.
    """

    name: str
    order: tuple[list[str | int], str]
    text: str
    numbers: tuple[int, ...]
    suffix: str


def _parse(name: str) -> _Image:
    stem, suffix = os.path.splitext(name)
    # Numbers are at odd positions, so that a number is never compared with text.
    parts: list[str | int] = list(re.split(r"(\d+)", stem.casefold()))
    text = "0".join(map(str, parts[::2]))
    parts[1::2] = numbers = [int(part) for part in parts[1::2]]
    return _Image(name, (parts, name), text, tuple(numbers), suffix.lower())


def _names(images: Iterable[_Image]) -> list[str]:
    return [image.name for image in images]


def _frames(folder: Path, images: list[_Image]) -> tuple[list[_Image], list[_Image]]:
    """Return the frames, and single images beside them, from images in natural order."""
    divided = [part for same_text in _group(images, _text) for part in _divide(same_text)]
    longer = [series for series in divided if len(series) > 1]
    longer = longer or [series for series in divided if series[0].numbers]
    if not longer:
        return images, []
    frames = longer if len(longer) == 1 else _without_flow(longer, _names(images))
    if len(frames) == 1:
        known = set(itertools.chain.from_iterable(map(_names, longer)))
        left_out = [image for image in images if image.name not in known]
        if len(left_out) < len(frames[0]):
            return frames[0], left_out
    selected = [_pattern(_names(series), _names(images)) for series in divided[:_MAX_NAMED]]
    counts = [f"{len(series)} images" for series in divided[:_MAX_NAMED]]
    shown = map("{} ({})".format, selected, counts)
    more = f" and {len(divided) - _MAX_NAMED} more" if len(divided) > _MAX_NAMED else ""
    raise VideoError(
        f"{folder}: expected the images of one video, whose names differ in a number. Received: "
        f"{len(divided)} series: {', '.join(shown)}{more}. Choose the frames: "
        f"{folder / selected[0]}, for example, or {folder / '*'} for all images in the order of "
        "their names. Or keep one series in the folder."
    )


def _without_flow(all_series: list[list[_Image]], names: Sequence[str]) -> list[list[_Image]]:
    patterns = [_pattern(_names(series), names) for series in all_series]
    return [
        series
        for series, pattern in zip(all_series, patterns, strict=True)
        if not _is_flow(pattern, patterns)
    ]


def _text(image: _Image) -> str:
    return image.text


def _divide(images: list[_Image]) -> list[list[_Image]]:
    """Divide images whose names differ only in numbers and suffixes into as few series as possible.

    In a series, a number ascends from name to name. Names of different series differ in the other
    numbers, in the suffix, or in both.
    """
    if _is_one_series(images):
        return [images]
    keys: list[Callable[[_Image], object]] = [lambda image: image.suffix, lambda image: image.name]
    for at in range(len(images[0].numbers)):
        keys += [functools.partial(_others, at), functools.partial(_others_and_suffix, at)]
    divisions = [_group(images, key) for key in keys]
    return min((each for each in divisions if all(map(_is_one_series, each))), key=len)


def _others(at: int, image: _Image) -> tuple[int, ...]:
    return image.numbers[:at] + image.numbers[at + 1 :]


def _others_and_suffix(at: int, image: _Image) -> object:
    return _others(at, image), image.suffix


def _group(images: Iterable[_Image], key: Callable[[_Image], object]) -> list[list[_Image]]:
    groups = collections.defaultdict(list)
    for image in images:
        groups[key(image)].append(image)
    return list(groups.values())


def _is_one_series(images: Sequence[_Image]) -> bool:
    return len(images) == 1 or bool(_counters(images))


def _counters(images: Sequence[_Image]) -> list[tuple[int, ...]]:
    """Return the columns of numbers that ascend from name to name."""
    columns = zip(*(image.numbers for image in images), strict=True)
    return [column for column in columns if all(a < b for a, b in itertools.pairwise(column))]


def _missing(images: Sequence[_Image]) -> list[range]:
    """Return the numbers that are missing between those of a series."""
    if len(images) < 3 or len(set(map(_text, images))) > 1:
        return []
    for numbers in _counters(images):
        distances = [b - a for a, b in itertools.pairwise(numbers)]
        distance, count = collections.Counter(sorted(distances)).most_common(1)[0]
        if 2 * count >= len(distances) and all(each % distance == 0 for each in distances):
            gaps = (range(a + distance, b, distance) for a, b in itertools.pairwise(numbers))
            return [gap for gap in gaps if gap]
    return []


def _is_flow(pattern: str, patterns: Sequence[str]) -> bool:
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
    parts = [[*re.split(r"(\d+)", stem), suffix] for stem, suffix in map(os.path.splitext, series)]
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
