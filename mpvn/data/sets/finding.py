"""Find the videos below a folder, and report the files that are not videos.

A folder that contains images and no video file is one video. Other folders are searched, however
deep they are. Hidden files and folders, and those of systems (`__MACOSX`, `Thumbs.db`), are not
searched.

    CLASS/a.mp4                     a video
    CLASS/person 1/b.MTS            a video
    CLASS/session/clip/00001.jpg    a video: the folder `clip`
    CLASS/cover.jpg                 passed over: the folder of a class is not a video
    CLASS/c.mp3                     passed over
    CLASS/notes.txt                 ignored

Links are followed, except those to a folder that contains the link.
"""

import collections
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mpvn.data.sets.layout import named
from mpvn.data.video.endings import is_hidden, is_image, is_video, may_be_missed, suffix


class Finder:
    """Finds the videos of one data set, and collects what it passes over.

    Attributes:
        problems: Folders that contain both images and folders of videos.
        passed_over: Files that are not videos but may be mistaken for them, and empty folders.
        twins: Videos whose paths differ from those of others only in the ending.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.passed_over: list[Path] = []
        self.twins: list[Path] = []

    def videos_in(self, folder: Path) -> list[Path]:
        """Return the videos below `folder`, which is not one itself, sorted by their paths."""
        real = os.path.realpath(folder)
        content = _Content(folder)
        self.passed_over += [*content.images, *content.others]
        videos = sorted([*content.videos, *self._videos_below(content, (real,))])
        names = [os.path.splitext(path)[0] if is_video(path.name) else str(path) for path in videos]
        counts = collections.Counter(names)
        self.twins += [path for path, name in zip(videos, names, strict=True) if counts[name] > 1]
        return videos

    def pass_over(self, folder: Path, folders: Iterable[str] = ()) -> None:
        """Note the videos and images that are in `folder` itself, or below some of its folders."""
        content = _Content(folder)
        self.passed_over += [*content.videos, *content.images]
        for name in folders:
            searched = Finder()
            self.passed_over += searched.videos_in(folder / name)

    def warn(self, root: Path) -> None:
        """Name what was passed over in one warning, and twins in another.

        Warns:
            RuntimeWarning: Files were passed over; or videos may be there twice.
        """
        if self.passed_over:
            kinds = collections.Counter(
                "folder" if path.is_dir() else suffix(path.name) or "no ending"
                for path in self.passed_over
            )
            counts = ", ".join(f"{kind} ({n})" for kind, n in kinds.most_common())
            warnings.warn(
                f"{root}: passed over {len(self.passed_over)} files or folders that are not videos "
                f"of a class: {_named(self.passed_over, root)}. Of each kind: {counts}. To read "
                "images, put those of each video into a folder in the folder of its class. Convert "
                "videos of other formats.",
                RuntimeWarning,
                stacklevel=3,
            )
        if self.twins:
            warnings.warn(
                f"{root}: {len(self.twins)} videos may be there twice, because their names differ "
                f"only in the ending: {_named(self.twins, root)}. Remove copies, or rename videos.",
                RuntimeWarning,
                stacklevel=3,
            )

    def _videos_below(self, content: "_Content", above: tuple[str, ...]) -> Iterator[Path]:
        """Yield the videos in the folders of `content`. `above` are the real paths on the way."""
        for folder, is_link in content.folders:
            real = os.path.realpath(folder) if is_link else os.path.join(above[-1], folder.name)
            if is_link and any(_contains(real, other) for other in above):
                continue  # A loop.
            yield from self._videos_of(_Content(folder), (*above, real))

    def _videos_of(self, content: "_Content", above: tuple[str, ...]) -> list[Path]:
        """Return the folder of `content` if it is a video, or else the videos below it."""
        below = list(self._videos_below(content, above))
        self.passed_over += [content.folder] if content.is_empty else content.others
        if not content.images or content.videos:
            self.passed_over += content.images
            return [*content.videos, *below]
        if below:
            self.problems.append(
                f"{content.folder}: expected images, or folders of videos. Received: both, "
                f"{content.images[0].name} and {below[0].relative_to(content.folder)}"
            )
        return [content.folder]


class _Content:
    """The entries of a folder by kind, sorted by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.videos: list[Path] = []
        self.images: list[Path] = []
        self.others: list[Path] = []
        self.folders: list[tuple[Path, bool]] = []  # Each with whether it is a link.
        with os.scandir(folder) as scanned:
            visible = (entry for entry in scanned if not is_hidden(entry.name))
            entries = sorted(visible, key=lambda entry: entry.name)
        self.is_empty = not entries
        for entry in entries:
            self._sort(entry, Path(entry.path))

    def _sort(self, entry: os.DirEntry[str], path: Path) -> None:
        if entry.is_dir():
            self.folders.append((path, entry.is_symlink()))
        elif is_video(entry.name):
            self.videos.append(path)
        elif is_image(entry.name):
            self.images.append(path)
        elif may_be_missed(entry.name):
            self.others.append(path)


def _named(paths: Sequence[Path], root: Path) -> str:
    """Name some of the paths, relative to `root`, and count the others."""
    return named([str(path.relative_to(root)) for path in paths])


def _contains(folder: str, other: str) -> bool:
    """Return whether `other` is the folder, or below it."""
    return os.path.join(other, "").startswith(os.path.join(folder, ""))
