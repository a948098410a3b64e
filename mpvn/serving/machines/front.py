"""What clients talk to: it sends each frame of a request to the replica of its stream.

    request     streams 7, 8, 9
    directory   7 -> a, 8 -> b, 9 -> a
    replicas    a: frames of 7 and 9      b: the frame of 8
    answer      the outputs of 7, 8, 9

Any number of fronts may run. Frames of a stream that come to one of them keep their order. If a
replica is gone, its frames are sent again to other replicas, where their streams begin anew: the
`step` of the answer is 0.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from mpvn.export.names import STEPS, STREAM
from mpvn.serving.errors import (
    FrameDropped,
    InvalidRequest,
    NoFreeSlot,
    ServingError,
    TooLarge,
    Unreachable,
    tell_ran,
)
from mpvn.serving.machines.directory import Pin, Ticket
from mpvn.serving.machines.settings import Settings
from mpvn.serving.machines.turns import Turns
from mpvn.serving.server.access import Access
from mpvn.serving.server.offer import Offer
from mpvn.serving.server.signatures import Arrays, Signature, find_signature

_TRIES = 4  # replicas of a stream that may be gone, one after the other


class Gone(Exception):
    """A replica is gone, or stops. It did not run the request."""


class Machines(Protocol):
    """How a front reaches the directory and the replicas. Every method may raise ServingError."""

    async def place(self, stream_ids: Sequence[int]) -> list[Pin]:
        """See `Directory.place`."""

    async def find(self, stream_ids: Sequence[int]) -> list[Pin | None]:
        """See `Directory.find`."""

    async def free(self, tickets: Mapping[int, Ticket]) -> None:
        """See `Directory.free`."""

    async def lost(self, replica: str) -> None:
        """See `Directory.lost`."""

    async def run(
        self,
        replica: str,
        signature: str,
        inputs: Arrays,
        tickets: Sequence[Ticket],
        deadline: float | None,
    ) -> Arrays:
        """See `Worker.run`.

        Args:
            replica: name of the replica; empty for any.

        Raises:
            Gone: the replica is gone.
        """


class Front(Offer):
    """Answers requests with the help of all machines.

    Args:
        machines: the others.
        name: name of the model.
        signatures: what it offers, by name.
        settings: of the deployment.
        access: who may ask, and how often.

    Attributes:
        access: the argument.
    """

    def __init__(
        self,
        machines: Machines,
        name: str,
        signatures: Mapping[str, Signature],
        settings: Settings,
        access: Access | None = None,
    ) -> None:
        super().__init__(name, signatures)
        self.access = access or Access()
        self._machines = machines
        self._deadline = settings.deadline
        self._turns = Turns(settings.depth)

    async def predict(
        self, signature_name: str, inputs: Mapping[str, np.ndarray], client: str = ""
    ) -> Arrays:
        """Return the outputs of a request by name; see `Service.predict`."""
        arrived = time.monotonic()
        signature = find_signature(self.signatures, signature_name)
        streams = signature.check(inputs)
        if STREAM not in inputs:
            steps = next(iter(inputs.values())).shape[1]
            self.access.admit(client, streams * steps)
            return await self._machines.run("", signature.name, {**inputs}, (), None)
        ids = inputs[STREAM].tolist()
        if signature.name == "reset":
            async with self._turns.turn(ids, may_drop=False):
                return await self._reset(ids)
        self.access.admit(client, streams)
        async with self._turns.turn(ids):
            return await self._step(signature.name, inputs, ids, arrived)

    async def _step(
        self, name: str, inputs: Mapping[str, np.ndarray], ids: list[int], arrived: float
    ) -> Arrays:
        left = self._deadline - (time.monotonic() - arrived)
        if left <= 0:
            raise FrameDropped("The frame was not seen: earlier ones took too long.", "deadline")
        answers: dict[int, Arrays] = {}  # by row
        rows = list(range(len(ids)))
        try:
            for _ in range(_TRIES):
                pins = await self._machines.place([ids[row] for row in rows])
                placed = dict(zip(rows, pins, strict=True))
                rows = await self._run(name, inputs, placed, left, answers)
                if not rows:
                    ordered = [answers[row] for row in range(len(ids))]
                    return {key: np.stack([each[key] for each in ordered]) for key in ordered[0]}
                left = self._deadline  # to find out that a replica is gone took its time
            raise Unreachable("Replicas stop one after the other. Expected one that stays.")
        except ServingError as error:
            tell_ran(error, [ids[row] for row in sorted(answers)])
            raise

    async def _run(
        self,
        name: str,
        inputs: Mapping[str, np.ndarray],
        pins: Mapping[int, Pin],
        left: float,
        answers: dict[int, Arrays],
    ) -> list[int]:
        """Send rows of a request to their replicas; return the rows whose replicas are gone.

        Args:
            name: name of the signature.
            inputs: of the request.
            pins: by row.
            left: seconds to the answer, at most.
            answers: gets the outputs of each row.
        """
        groups: dict[str, list[int]] = {}
        for row, pin in pins.items():
            groups.setdefault(pin.replica, []).append(row)
        results = await asyncio.gather(
            *(
                self._machines.run(
                    replica,
                    name,
                    {key: value[rows] for key, value in inputs.items()},
                    [pins[row].ticket for row in rows],
                    left,
                )
                for replica, rows in groups.items()
            ),
            return_exceptions=True,
        )
        again: list[int] = []
        failed: list[BaseException] = []
        for (replica, rows), result in zip(groups.items(), results, strict=True):
            if isinstance(result, Gone):
                await self._machines.lost(replica)
                again += rows
            elif isinstance(result, BaseException):
                failed.append(result)
                await self._free_refused(result, inputs, rows, pins)
            else:
                for number, row in enumerate(rows):
                    answers[row] = {key: value[number] for key, value in result.items()}
        if failed:
            raise failed[0]
        return sorted(again)

    async def _free_refused(
        self,
        error: BaseException,
        inputs: Mapping[str, np.ndarray],
        rows: list[int],
        pins: Mapping[int, Pin],
    ) -> None:
        """Free the places of streams whose first frame was refused: they have not begun."""
        ids = inputs[STREAM].tolist()
        new = {ids[row]: pins[row].ticket for row in rows if pins[row].is_new}
        if new and isinstance(error, InvalidRequest | NoFreeSlot | TooLarge):
            await self._machines.free(new)

    async def _reset(self, ids: list[int]) -> Arrays:
        pins = dict(zip(ids, await self._machines.find(ids), strict=True))
        unknown = [stream_id for stream_id, pin in pins.items() if pin is None]
        if unknown:
            raise _unknown(unknown, "None was reset.")
        steps = {each: await self._reset_one(each, pin) for each, pin in pins.items() if pin}
        unknown = [stream_id for stream_id, count in steps.items() if count is None]
        if unknown:
            raise _unknown(unknown, "Others of the request were reset.")
        return {STEPS: np.array([*steps.values()], np.int64)}

    async def _reset_one(self, stream_id: int, pin: Pin) -> int | None:
        """Return how many steps a stream had run; None if its replica has it no more."""
        inputs = {STREAM: np.array([stream_id], np.int64)}
        count = None
        try:
            answer = await self._machines.run(pin.replica, "reset", inputs, [pin.ticket], None)
            count = int(answer[STEPS][0])
        except Gone:
            await self._machines.lost(pin.replica)
        except InvalidRequest:
            pass  # it has lost its place there: None
        await self._machines.free({stream_id: pin.ticket})
        return count


def _unknown(stream_ids: list[int], others: str) -> InvalidRequest:
    return InvalidRequest(
        "Unknown stream_id. Expected streams that have begun, and that have neither been reset nor "
        "lost their places to others, nor their replicas. Received: "
        f"{', '.join(map(str, stream_ids))}. {others}"
    )
