"""What streams have seen and answered, and whether that is what the network says alone.

A life of a stream begins at its step 0, and ends when the stream is reset, or begun anew by the
server. The numbers of its steps tell which of its frames the server has counted, even if answers
were lost.
"""

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from soak.network import alone, frame

TOLERANCE = 1e-4
_BATCH = 256


@dataclasses.dataclass
class Life:
    """A life of a stream.

    Attributes:
        stream: the id.
        voice: whose frames it shows.
        frames: the numbers of the frames that the network has seen.
        outputs: for each of them, what it has answered; None if that was lost.
        protocol: how it was spoken to.
        is_certain: whether it is known which frames the network has seen.
    """

    stream: int
    voice: int
    protocol: str
    frames: list[int] = dataclasses.field(default_factory=list)
    outputs: list[np.ndarray | None] = dataclasses.field(default_factory=list)
    is_certain: bool = True


@dataclasses.dataclass(frozen=True)
class Told:
    """The server told that it has begun a stream anew.

    Attributes:
        since: when the frame before was sent.
        now: when the answer came that told it.
        stream, protocol: the stream.
    """

    since: float
    now: float
    stream: int
    protocol: str


class Record:
    """Follows a stream by the numbers of its steps.

    Attributes:
        lives: the lives that have ended.
        faults: what cannot be.
        told: restarts by the server.
    """

    def __init__(self, stream: int, voice: int, protocol: str) -> None:
        self.stream, self.voice, self.protocol = stream, voice, protocol
        self.lives: list[Life] = []
        self.faults: list[str] = []
        self.told: list[Told] = []
        self._sent = 0.0
        self._begin()

    @property
    def expected(self) -> int:
        """The number of the next step."""
        return len(self._life.frames)

    def answer(self, number: int, step: int, output: Any, unsure: int, sent: float) -> None:
        """Note an answer.

        Args:
            number: the frame.
            step: the number of its step.
            output: the output.
            unsure: how many requests with this frame before may have counted.
            sent: when it was sent.
        """
        expected = self.expected
        if expected <= step <= expected + unsure:
            self._life.is_certain &= not (unsure and unsure >= expected)
            self._see([number] * (step - expected))
        elif step <= unsure and step < expected:
            self.told.append(Told(self._sent, time.time(), self.stream, self.protocol))
            self._end()
            self._see([number] * step)
        else:
            self.faults.append(
                f"{self.protocol} {self.stream}: step {step} instead of {expected}, {unsure} unsure"
            )
            self._life.is_certain = False
            self._end()
            self._life.is_certain = False
            self._see([number] * step)
        self._life.frames.append(number)
        self._life.outputs.append(np.asarray(output, "float32"))
        self._sent = sent

    def end(self, ran: int | None = None) -> None:
        """Note that the stream has ended; the server said how many steps it had run."""
        if ran is not None and ran != self.expected and self._life.is_certain:
            self.faults.append(f"{self.stream}: {ran} steps at the end, not {self.expected}")
        self._end()

    def _see(self, numbers: list[int]) -> None:
        self._life.frames += numbers
        self._life.outputs += [None] * len(numbers)

    def _begin(self) -> None:
        self._life = Life(self.stream, self.voice, self.protocol)

    def _end(self) -> None:
        if self._life.frames:
            self.lives.append(self._life)
        self._begin()


def wrong_answers(network: object, lives: list[Life]) -> Iterator[str]:
    """Yield what differs from the network alone."""
    known = [life for life in lives if life.is_certain]
    for start in range(0, len(known), _BATCH):
        part = known[start : start + _BATCH]
        clips = [[frame(life.voice, number) for number in life.frames] for life in part]
        for life, wanted in zip(part, alone(network, clips), strict=True):
            if life.protocol == "websocket":  # which tells the shares of the classes
                wanted = np.exp(wanted) / np.exp(wanted).sum(axis=1, keepdims=True)
            for step, (output, right) in enumerate(zip(life.outputs, wanted, strict=True)):
                if output is not None and not np.allclose(output, right, atol=TOLERANCE):
                    yield (
                        f"{life.protocol} {life.stream}, step {step} of {len(life.frames)}: "
                        f"{output} instead of {right}"
                    )
                    break
