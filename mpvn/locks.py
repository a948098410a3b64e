"""Locks on files that the system gives up when their process ends, also after `kill -9`.

The existence of the file means nothing, because a killed process leaves it behind. A process
deletes the file only while it holds the lock. So after locking it, check that it is still there.
"""

import errno
import os

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)


class NoLocks(OSError):
    """The system, or the file system, has no locks."""


def lock(file: int) -> bool:
    """Lock an open file, until it is closed.

    Args:
        file: the number of the open file.

    Returns:
        Whether that succeeded; False if another process, or another opening, holds the lock.

    Raises:
        NoLocks: there are no locks here.
        OSError: the system cannot lock this file.
    """
    if fcntl is None:
        raise NoLocks(errno.ENOSYS, "the system has no locks")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise NoLocks(error.errno, error.strerror) from error
    return True


def is_at(file: int, path: str | os.PathLike[str]) -> bool:
    """Return whether the open file is the one at `path`, and was not deleted meanwhile."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except OSError:
        return False
