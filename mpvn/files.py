"""Write files and folders atomically: under a temporary name first, then renamed.

A reader sees the old content or the new content and never a part of it, even if the process is
killed in the middle. A killed process may leave a hidden `.NAME.*.partial` beside the target.
"""

import os
import shutil
import uuid
from pathlib import Path
from types import TracebackType


class AtomicPath:
    """A file or folder that gets its name only when it is complete.

    As a context manager, it returns the temporary path, commits at the end of the block, and
    discards if the block raises.

    Args:
        path: The final path. Its parent folder must exist. An existing file is replaced at the end.

    Attributes:
        target: The final path.
        temporary: Where to write until then: a hidden path in the same folder.

    Example:
        >>> with AtomicPath("model.json") as temporary:
        ...     temporary.write_text("{}")
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.target = Path(path)
        name = f".{self.target.name}.{uuid.uuid4().hex[:8]}.partial"
        self.temporary = self.target.with_name(name)

    def commit(self) -> None:
        """Rename the temporary path to the target.

        Raises:
            OSError: If the rename fails. The temporary path is removed.
        """
        try:
            os.replace(self.temporary, self.target)
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Remove the temporary path. Leave the target as it is."""
        if self.temporary.is_dir():
            shutil.rmtree(self.temporary, ignore_errors=True)
        else:
            self.temporary.unlink(missing_ok=True)

    def __enter__(self) -> Path:
        return self.temporary

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.discard()


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write `content` to `path`, replacing an existing file.

    Raises:
        OSError: If the folder does not exist or is not writable.
    """
    with AtomicPath(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
