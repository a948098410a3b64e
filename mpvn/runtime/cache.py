"""Files that may be lost at any time: compiled models, and choices that took time to measure.

A file is named by a hash of all that its content depends on, and begins with a hash of its content.
A file that cannot be read, or is damaged, is as good as none. A folder that cannot be written costs
time, not correctness.

The folder is `$MPVN_CACHE`, or else `mpvn` in `$XDG_CACHE_HOME` or `~/.cache`; an empty
`MPVN_CACHE` turns the cache off. The files used longest ago are removed beyond 2 GB.
"""

import contextlib
import hashlib
import os
import pathlib
from collections.abc import Iterable

from absl import logging

from mpvn.files import write_atomically

LIMIT = 2 * 10**9  # bytes of all files

_SUFFIX = ".mpvn"  # other files in the folder are left alone
_DIGEST_SIZE = hashlib.sha256().digest_size


def cache_folder() -> pathlib.Path | None:
    """Return the folder of the cache, which need not exist; None if the cache is off."""
    folder = os.environ.get("MPVN_CACHE")
    if folder is not None:
        return pathlib.Path(folder) if folder else None
    try:
        home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    except RuntimeError:  # a user without a home
        return None
    return pathlib.Path(home) / "mpvn"


def content_key(parts: Iterable[bytes | str]) -> str:
    """Return a name for what depends on `parts`."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(f"{len(data)}:".encode())
        digest.update(data)
    return digest.hexdigest()


def read_cached(key: str) -> bytes | None:
    """Return what was written under `key`; None if there is nothing, or nothing valid."""
    folder = cache_folder()
    if folder is None:
        return None
    try:
        data = _file(folder, key).read_bytes()
        with contextlib.suppress(OSError):
            os.utime(_file(folder, key))  # used just now
    except OSError:
        return None
    digest, content = data[:_DIGEST_SIZE], data[_DIGEST_SIZE:]
    return content if hashlib.sha256(content).digest() == digest else None


def write_cached(key: str, content: bytes) -> None:
    """Write `content` under `key`, if possible."""
    folder = cache_folder()
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _make_room(folder, len(content))
        write_atomically(_file(folder, key), hashlib.sha256(content).digest() + content)
    except OSError as error:
        logging.info("Not cached: %s", error)


def _make_room(folder: pathlib.Path, size: int) -> None:
    """Remove the files used longest ago until there is room for `size` bytes."""
    stats = {path: path.stat() for path in folder.glob(f"*{_SUFFIX}")}
    total = size + sum(stat.st_size for stat in stats.values())
    for path in sorted(stats, key=lambda path: stats[path].st_mtime):
        if total <= LIMIT:
            return
        path.unlink(missing_ok=True)
        total -= stats[path].st_size


def _file(folder: pathlib.Path, key: str) -> pathlib.Path:
    return folder / f"{key}{_SUFFIX}"
