"""Arrays that are used again as soon as nobody holds them.

A step fills new arrays, because a user may keep the state before it. Fresh memory costs a page
fault for every 4 KB. So each pool keeps a few arrays, and takes one that has no holder any more: no
reference to the array, and none to a view of it, by Python's reference counts.
"""

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

_ALIGNMENT = 64  # bytes of a cache line, and of a vector register

Wrap = Callable[[np.ndarray], Any]
"""Returns a library's own object for an array."""


class Buffer:
    """Memory for one value.

    Attributes:
        array: the array `[B, ...]`.
        tensor: what `wrap` made of it.
        view: the same array, which users get: it cannot be written to.
        memory: the owner of the memory, to which all views refer.
    """

    __slots__ = ("array", "memory", "tensor", "view")

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype, wrap: Wrap) -> None:
        size = math.prod(shape) * dtype.itemsize
        self.memory = np.empty(size + _ALIGNMENT, np.uint8)
        start = -self.memory.ctypes.data % _ALIGNMENT
        self.array = self.memory[start : start + size].view(dtype).reshape(shape)
        self.tensor = wrap(self.array)
        self.view = self.array.view()
        self.view.flags.writeable = False


class Pool:
    """Buffers of one shape and dtype.

    Args:
        shape: `[B, ...]`.
        dtype: dtype.
        wrap: makes the `tensor` of each buffer.
        owned: the buffer of each view, by its id; shared by all pools.
        limit: number of buffers to keep.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype,
        wrap: Wrap,
        owned: dict[int, Buffer],
        limit: int,
    ) -> None:
        self._new = lambda: Buffer(shape, dtype, wrap)
        self._owned = owned
        self._limit = limit
        self._buffers: list[Buffer] = []
        self._add()
        self._unused = self._references()[0]

    def take(self) -> Buffer:
        """Return a buffer that nobody holds, with any content."""
        references = self._references()
        if self._unused in references:
            return self._buffers[references.index(self._unused)]
        if len(self._buffers) == self._limit:
            forgotten = self._buffers.pop(0)
            del self._owned[id(forgotten.view)]  # its arrays live on while users hold them
        self._add()
        return self._buffers[-1]

    def _add(self) -> None:
        buffer = self._new()
        self._buffers.append(buffer)
        self._owned[id(buffer.view)] = buffer

    def _references(self) -> list[tuple[int, int, int]]:
        """Return the number of references to each buffer, to its view and to its memory."""
        return [
            (sys.getrefcount(b), sys.getrefcount(b.view), sys.getrefcount(b.memory))
            for b in self._buffers
        ]
