"""A lock on a folder: one training, or one sweep, writes into it at a time.

The file `lock` in the folder is locked as in `mpvn.locks`: a dead process does not hold it. Its
content only says who does.

Limitations: On network file systems the lock holds between machines only if the file system
supports it, as NFS 4 does. NFS mounted with `local_lock=flock` locks within a machine only.
A file system without locks, such as a mounted cloud drive, gives a warning instead.
"""

import contextlib
import datetime
import json
import os
import pathlib
import socket
import warnings
from typing import Any

from mpvn.locks import NoLocks, is_at, lock

LOCK = "lock"


class FolderLock:
    """A context manager during which no other process can lock the folder.

    The folder is created if missing, and removed at the end if nothing was written into it.

    Args:
        folder: the folder.
        work: what is done there, for messages, such as `"training"`.

    Raises:
        ValueError: on entry, another process, or another thread, holds the lock; or the folder
            cannot be written to. Nothing is changed then.

    Warns:
        RuntimeWarning: on entry, the file system has no locks.
    """

    def __init__(self, folder: str | os.PathLike, work: str) -> None:
        self.folder = pathlib.Path(folder)
        self.work = work
        self._path = self.folder / LOCK
        self._file: Any = None
        self._created = False

    def __enter__(self) -> "FolderLock":
        try:
            self._created = not self.folder.exists()
            self.folder.mkdir(parents=True, exist_ok=True)
            while self._file is None:
                self._file = self._locked()
        except OSError as error:
            raise ValueError(
                f"{self.folder} cannot be used for {self.work}. Expected a folder that can be "
                f"written to. Received: {error.strerror}. Choose another folder, or change its "
                "rights"
            ) from error
        holder = {"process": os.getpid(), "host": socket.gethostname(), "since": _now()}
        self._file.truncate(0)
        self._file.write(json.dumps(holder))
        self._file.flush()
        return self

    def __exit__(self, *raised: object) -> None:
        with contextlib.suppress(OSError):  # the folder is gone, or not empty
            self._path.unlink()  # while it is locked, so no other process has it
            if self._created:
                self.folder.rmdir()
        self._file.close()
        self._file = None

    def _locked(self) -> Any:
        """Return the locked file, or None if its last holder has deleted it meanwhile."""
        file = self._path.open("a+")
        try:
            is_locked = lock(file.fileno())
        except NoLocks as error:
            warnings.warn(
                f"{self.folder} cannot be locked ({error.strerror}). Do not start a second "
                f"{self.work} there.",
                RuntimeWarning,
                stacklevel=3,
            )
            return file
        if not is_locked:
            message = self._in_use(file)
            file.close()
            raise ValueError(message)
        if is_at(file.fileno(), self._path):
            return file
        file.close()
        return None

    def _in_use(self, file: Any) -> str:
        file.seek(0)
        try:
            holder = "process {process} on {host}, since {since}".format(**json.loads(file.read()))
        except (ValueError, KeyError):  # It has not been written yet.
            holder = "another process"
        return (
            f"{self.folder} is in use. Expected one {self.work} at a time in a folder. Received: a "
            f"second one. The folder is held by {holder}. Wait for it, stop it, or choose another "
            "folder"
        )


def _now() -> str:
    return datetime.datetime.now().astimezone().isoformat(" ", "seconds")
