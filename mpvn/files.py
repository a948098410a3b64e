"""Write files and folders atomically: under a hidden name first, then renamed.

A reader sees the old content or the new content and never a part of it, even if the process is
killed in the middle. What a killed process has left behind is removed at the next writing of the
same file: each writer holds a lock.

Limitations: file systems without locks keep what a killed process has left behind.
"""

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mpvn.locks import is_at, lock

_LOCK = ".writer.lock"  # beside what is written, so no output has this name
_LONGEST_NAME = 240  # bytes; most file systems allow 255, and hidden names are longer

_REMEDIES = {
    errno.ENOSPC: "Free space, or choose another disk.",
    errno.EDQUOT: "Free space, or choose another disk.",
    errno.EFBIG: "Raise the limit of the file size, or choose another disk.",
    errno.EACCES: "Grant write access to the folder, or choose another one.",
    errno.EPERM: "Grant write access to the folder, or choose another one.",
    errno.EROFS: "Choose a folder on another disk.",
    errno.ENOENT: "Create its folder first.",
    errno.ENOTDIR: "Choose another path: a part of this one is a file.",
    errno.EEXIST: "Choose another path: a part of this one is a file.",
    errno.EISDIR: "Choose another path: this one is a folder.",
    errno.ENOTEMPTY: "Choose another path: this one is a folder.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
}


class WriteError(OSError):
    """A file or folder cannot be written. The message names it and the remedy."""


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Raise the `OSError` of a block that writes `path` as a `WriteError`.

    A closed pipe stays a `BrokenPipeError`.
    """
    try:
        yield
    except (BrokenPipeError, WriteError):
        raise
    except OSError as error:
        raise WriteError(cannot_write(path, error)) from error


def cannot_write(path: object, error: Exception) -> str:
    """Return the message about an error of the system that occurred when writing `path`."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    # Libraries quote the system in errors of their own.
    numbers = (number for number in _REMEDIES if os.strerror(number) in reason)
    number = getattr(error, "errno", None) or next(numbers, 0)
    remedy = _REMEDIES.get(number, "Choose another path.")
    return f"{path!s}: expected a path that can be written. Received: '{reason}'. {remedy}"


class AtomicPath:
    """A file or folder that gets its name only when it is complete.

    As a context manager, it returns the temporary path, commits at the end of the block, and
    discards if the block raises.

    Args:
        path: The final path. Its parent folder must exist. An existing file is replaced at the end;
            of a link, the file that it points to.

    Attributes:
        target: The final path, absolute and without links.

    Raises:
        WriteError: While entering or leaving the block: the path cannot be written.

    Example:
        >>> with AtomicPath("model.json") as temporary:
        ...     temporary.write_text("{}")
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.target = Path(os.path.realpath(path))
        self._path = path
        self._room: _Room | None = None

    @property
    def temporary(self) -> Path:
        """Where to write until the commit: a path with the same name in a hidden folder.

        Raises:
            WriteError: The hidden folder cannot be created.
        """
        if self._room is None:
            with writing(self._path):
                _refuse_device(self.target)
                self._room = _Room(self.target)
        return self._room.folder / self.target.name

    def commit(self) -> None:
        """Rename the temporary path to the target.

        Raises:
            WriteError: The rename fails. The temporary path is removed.
        """
        try:
            with writing(self._path):
                os.replace(self.temporary, self.target)
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove the temporary path. Leave the target as it is."""
        room, self._room = self._room, None
        if room is not None:
            room.remove()

    def __enter__(self) -> Path:
        return self.temporary

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.commit()
        else:
            self.discard()


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write `content` to `path`, replacing an existing file.

    A device or a pipe, such as `/dev/stdout`, is written to and not replaced.

    Raises:
        WriteError: The folder does not exist or is not writable, or the disk is full.
    """
    data = content.encode() if isinstance(content, str) else content
    with writing(path):
        if is_device(path):
            Path(path).write_bytes(data)
            return
        with AtomicPath(path) as temporary:
            temporary.write_bytes(data)


def is_device(path: str | os.PathLike[str]) -> bool:
    """Return whether `path` is a device, a pipe or a socket, which have no content to replace."""
    path = Path(path)
    return path.exists() and not path.is_file() and not path.is_dir()


def _refuse_device(path: Path) -> None:
    if is_device(path):
        raise OSError(errno.EINVAL, "a device or a pipe")


class _Room:
    """A hidden folder that one writer of `target` owns: `.NAME.partial/RANDOM/`.

    Several processes may write one target at the same time, each in a folder of its own.
    """

    def __init__(self, target: Path) -> None:
        self._all = target.with_name(f".{_short(target.name)}.partial")
        self.folder, self._lock = self._create()
        for other in self._all.iterdir():
            if other != self.folder and (file := _take(other)) is not None:
                _remove(other, file)  # of a dead writer

    def remove(self) -> None:
        """Remove the folder and what is in it."""
        _remove(self.folder, self._lock)
        with contextlib.suppress(OSError):  # Others are still writing.
            self._all.rmdir()

    def _create(self) -> tuple[Path, int]:
        while True:
            self._all.mkdir(exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # Another writer has just cleaned up.
                folder = Path(tempfile.mkdtemp(dir=self._all, prefix=""))
                if (file := _take(folder, new=True)) is not None:
                    return folder, file


def _short(name: str) -> str:
    """Return `name`, or a hash of a name that would be too long with an ending."""
    encoded = os.fsencode(name)
    return name if len(encoded) <= _LONGEST_NAME else hashlib.sha256(encoded).hexdigest()


def _take(folder: Path, new: bool = False) -> int | None:
    """Lock a folder. Return the open lock; None if another process holds it, or it is gone.

    Where locks do not exist, only a `new` folder can be taken.
    """
    try:
        file = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        is_taken = lock(file)
    except OSError:
        is_taken = new
    if is_taken and is_at(file, folder / _LOCK):
        return file
    os.close(file)
    return None


def _remove(folder: Path, file: int) -> None:
    """Remove a folder whose lock this process holds: its content, its lock, and then itself."""
    with contextlib.suppress(OSError):
        for path in list(folder.iterdir()):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != _LOCK:
                path.unlink(missing_ok=True)
        (folder / _LOCK).unlink()
        folder.rmdir()
    os.close(file)
