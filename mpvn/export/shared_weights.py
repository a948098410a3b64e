"""One file of weights for several models: each different value is in it once.

A block that ticks in several patterns is part of several graphs. Converters write its weights into
each of them.
"""

import hashlib
import pathlib
from types import TracebackType
from typing import IO, Self

NAME = "weights.bin"

_ALIGNMENT = 64  # bytes: a cache line, and enough for every dtype and vector instruction


class SharedWeights:
    """The file while it is written, in a `with` block.

    Args:
        folder: the folder of the file.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._path = folder / NAME
        self._file: IO[bytes]
        self._offsets: dict[bytes, int] = {}

    def __enter__(self) -> Self:
        self._file = self._path.open("wb")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, value: bytes | memoryview) -> int:
        """Return where a value is in the file; write it if it is new."""
        key = hashlib.sha256(value).digest() + len(value).to_bytes(8)
        if key not in self._offsets:
            self._file.write(bytes(-self._file.tell() % _ALIGNMENT))
            self._offsets[key] = self._file.tell()
            self._file.write(value)
        return self._offsets[key]
