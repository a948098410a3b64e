"""The requests of a stream run one after the other, in the order in which they came.

    lines    stream 7: [a] b        a runs; b waits for it
             stream 8:     b  c     b has streams 7 and 8; c waits for b

A request is in the lines of all its streams from its arrival on, so none waits for a later one.
"""

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator, Iterable

from mpvn.serving.errors import FrameDropped


class _Place:
    """A request in line.

    Attributes:
        ids: its streams.
        may_drop: whether newer frames may take its place.
        turn: is done when it is its turn, or it was dropped.
    """

    def __init__(self, ids: frozenset[int], may_drop: bool) -> None:
        self.ids = ids
        self.may_drop = may_drop
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Turns:
    """Lines of requests, one for each stream that has any.

    Args:
        depth: most frames of a stream that wait. If another one comes, the oldest that waits goes,
            so that a stream never lags.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._lines: dict[int, collections.deque[_Place]] = {}

    @contextlib.asynccontextmanager
    async def turn(self, stream_ids: Iterable[int], may_drop: bool = True) -> AsyncIterator[None]:
        """Wait until earlier requests of the same streams are over; later ones wait for the block.

        Args:
            stream_ids: the streams of the request.
            may_drop: whether newer frames may take its place while it waits.

        Raises:
            FrameDropped: newer frames of one of its streams wait.
        """
        place = _Place(frozenset(stream_ids), may_drop)
        for each in place.ids:
            self._lines.setdefault(each, collections.deque()).append(place)
        self._begin(place)
        for each in place.ids:
            self._drop_oldest(each)
        try:
            await place.turn
            yield
        finally:
            self._leave(place)

    def _drop_oldest(self, stream_id: int) -> None:
        waiting = [place for place in self._lines[stream_id] if not place.turn.done()]
        oldest = next((place for place in waiting if place.may_drop), None)
        if len(waiting) > self._depth and oldest is not None:
            message = "The frame was not seen: newer frames of its stream wait."
            oldest.turn.set_exception(FrameDropped(message, "queue"))

    def _begin(self, place: _Place) -> None:
        is_first = all(self._lines[each][0] is place for each in place.ids)
        if is_first and not place.turn.done():
            place.turn.set_result(None)

    def _leave(self, place: _Place) -> None:
        for each in place.ids:
            line = self._lines[each]
            line.remove(place)
            if not line:
                del self._lines[each]
        for each in place.ids:
            if each in self._lines:
                self._begin(self._lines[each][0])
