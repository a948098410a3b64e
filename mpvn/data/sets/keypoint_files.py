"""JSON files of joints: read them, and find the video that each of their frames belongs to."""

import collections
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from mpvn.data.sets.keypoint_formats import Content, FormatError, Frame, Size, parse
from mpvn.data.sets.layout import named, raise_problems, read_text
from mpvn.data.video.endings import is_hidden, suffix
from mpvn.data.video_set import Joints

_Parts = tuple[str, ...]


class KeypointFile(NamedTuple):
    """A JSON file.

    Attributes:
        path: Its path, relative to the folder of the annotations.
        content: Its frames, with joints that are visible (1) or hidden (0).
    """

    path: Path
    content: Content

    @property
    def name(self) -> str:
        """The path, for messages."""
        return self.path.as_posix()


class Listing(NamedTuple):
    """The frames of one video.

    Attributes:
        source: The file, or one of the files, that lists them.
        frames: Each frame once.
        lists_all, starts_at_0: As in `Content`.
        size: Height and width of the frames in which the joints were found; None if unknown.
    """

    source: str
    frames: list[Frame]
    lists_all: bool
    starts_at_0: bool
    size: Size | None


# --- reading --------------------------------------------------------------------------------------


def read_files(source: Path, threshold: float, remedy: str) -> list[KeypointFile]:
    """Read a JSON file, or all JSON files below a folder.

    Raises:
        ValueError: There are none, or some are not in a known format.
    """
    top = source.parent if source.is_file() else source
    paths = [source] if source.is_file() else sorted(_json_files(source))
    if not paths:
        raise ValueError(f"Expected JSON files with joints in the folder {source}. {remedy}")
    files, problems = [], []
    for path in paths:
        name = path.relative_to(top)
        try:
            content = parse(_load(path, remedy), path.stem)
            files.append(KeypointFile(name, with_visibility(content, threshold)))
        except FormatError as error:
            problems.append(f"{name}: {error}")
    raise_problems(str(source), problems, remedy)
    return files


def _json_files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if suffix(path.name) != ".json" or any(map(is_hidden, path.relative_to(folder).parts)):
            continue
        if path.is_file():
            yield path


def _load(path: Path, remedy: str) -> Any:
    try:
        return json.loads(read_text(path, remedy))
    except json.JSONDecodeError as error:
        raise FormatError(f"expected JSON. Received: other text ({error})") from error


def with_visibility(content: Content, threshold: float) -> Content:
    """Replace confidences by visibility (> `threshold`), and drop people without visible joints.

    Raises:
        FormatError: A person has another number of joints.
    """
    frames = [
        frame._replace(people=list(_visible(frame, len(content.names), threshold)))
        for frame in content.frames
    ]
    return content._replace(frames=frames)


def _visible(frame: Frame, count: int, threshold: float) -> Iterator[Joints]:
    for person in frame.people:
        if len(person) != count:
            raise FormatError(
                f"frame {frame.name}: expected {count} joints of each person. Received: "
                f"{len(person)}"
            )
        visible = person[:, 2] > threshold
        if visible.any():
            yield np.concatenate([person[:, :2], visible[:, None]], axis=1, dtype=np.float32)


# --- the videos of the frames ---------------------------------------------------------------------


def listings(
    root: Path, files: Sequence[KeypointFile], videos: Sequence[Path], remedy: str
) -> tuple[dict[Path, Listing], list[str]]:
    """Return the frames of each video that has some, and the names of unknown videos.

    Raises:
        ValueError: No video is known; or a name belongs to several videos, a frame is listed twice,
            or joints are not in pixels.
    """
    names = _VideoNames(root, videos)
    parts: dict[Path, list[tuple[KeypointFile, list[Frame]]]] = collections.defaultdict(list)
    unknown, problems = [], []
    for file in files:
        by_video = collections.defaultdict(list)
        for frame in file.content.frames:
            by_video[frame.video].append(frame)
        for video, frames in by_video.items():
            candidates = _candidates(file, video, len(by_video) == 1)
            try:
                path = names.find(candidates)
            except FormatError as error:
                problems.append(f"{file.name}: {error}")
            else:
                if path is None:
                    unknown.append(video or file.name)
                else:
                    parts[path].append((file, frames))
    found = {}
    for path, listed in parts.items():
        try:
            found[path] = _merge(listed)
        except FormatError as error:
            problems.append(f"{path.relative_to(root)}: {error}")
    if not found and not problems:
        received = f"those of {named(unknown)}" if unknown else "none"
        problems.append(f"expected joints of these videos. Received: {received}")
    raise_problems(str(root), problems, remedy)
    return found, unknown


def _candidates(file: KeypointFile, video: str, is_only: bool) -> list[_Parts]:
    """Return the paths of videos that a part of a file may belong to, the likeliest first."""
    folder = file.path.parent.parts
    # MMPose's demo scripts write results_VIDEO.json.
    own = [(*folder, file.path.stem), (*folder, file.path.stem.removeprefix("results_")), folder]
    if file.content.per_frame:
        return [(*folder, video), folder] if video else [folder]
    if not video:
        return own
    stated = tuple(part for part in PurePosixPath(video).parts if part not in ("/", "."))
    # Images may be in a folder of any name; then the file has the name of the video.
    return [stated, *own[:2]] if is_only else [stated]


def _merge(listed: Sequence[tuple[KeypointFile, list[Frame]]]) -> Listing:
    """Join the entries of each frame of a video."""
    files = [file for file, _ in listed]
    whole = [file for file in files if not file.content.per_frame]
    if whole and len(files) > 1:
        raise FormatError(
            f"expected joints in one file. Received: {files[0].name} and {files[1].name}"
        )
    frames: dict[str, Frame] = {}
    for file, entries in listed:
        for frame in entries:
            known = frames.get(frame.name)
            if known is not None and file.content.per_frame:
                raise FormatError(f"frame {frame.name}: expected one file. Received: several")
            people = [] if known is None else known.people
            frames[frame.name] = frame._replace(people=[*people, *frame.people])
    sizes = {frame.size for frame in frames.values()}
    if len(sizes) > 1:
        raise FormatError(f"expected frames of one size. Received: {sizes}")
    _check_pixels([person for frame in frames.values() for person in frame.people])
    return Listing(
        files[0].name,
        list(frames.values()),
        all(file.content.lists_all for file in files),
        all(file.content.starts_at_0 for file in files),
        next(iter(sizes), None),
    )


def _check_pixels(people: Sequence[Joints]) -> None:
    if people:
        joints = np.concatenate(people)
        places = joints[joints[:, 2] > 0, :2]
        if np.abs(places).max() <= 1:
            raise FormatError(
                "expected x and y in pixels. Received: numbers between -1 and 1. Set the estimator "
                "to pixels of the source (OpenPose: --keypoint_scale 0)"
            )


class _VideoNames:
    """Finds videos by the ends of their paths."""

    def __init__(self, root: Path, videos: Iterable[Path]) -> None:
        self._by_name: dict[str, list[tuple[_Parts, Path]]] = collections.defaultdict(list)
        self._folders: set[str] = set()
        for path in videos:
            *folders, name = path.relative_to(root).parts
            self._folders.update(folders)
            stem = name if path.is_dir() else path.stem
            for last in {name, stem}:
                self._by_name[last].append(((*folders, last), path))

    def find(self, candidates: Sequence[_Parts]) -> Path | None:
        """Return the video that the first matching candidate names; None without a match.

        Raises:
            FormatError: A candidate may be one of several videos.
        """
        for candidate in filter(None, candidates):
            parts = self._without_other_folders(candidate)
            matches = [
                (min(len(parts), len(own)), path)
                for own, path in self._by_name.get(parts[-1], ())
                if _is_end(parts, own)
            ]
            longest = max((length for length, _ in matches), default=0)
            paths = [path for length, path in matches if length == longest]
            if len(paths) > 1:
                raise FormatError(
                    f"expected the name of one video. Received: {'/'.join(candidate)}, which may "
                    f"be {paths[0]} or {paths[1]}"
                )
            if paths:
                return paths[0]
        return None

    def _without_other_folders(self, parts: _Parts) -> _Parts:
        """Drop leading folders that contain no videos, such as that of all JSON files."""
        known = [number for number, part in enumerate(parts[:-1]) if part in self._folders]
        return parts[known[0] if known else -1 :]


def _is_end(one: _Parts, other: _Parts) -> bool:
    """Return whether one path is the end of the other."""
    length = min(len(one), len(other))
    return one[-length:] == other[-length:]
