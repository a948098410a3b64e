"""What a stream gets for a frame."""

import concurrent.futures
import dataclasses
from typing import Any

from mpvn.serving.units import UnitTime


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """What a network says about a frame of a stream.

    Attributes:
        stream_id: the stream.
        step: the number of the step that the stream has just run; 0 for a new stream.
        outputs: the outputs of the step: arrays without a batch axis, in the structure of the
            network's outputs.
        dropped: number of frames of the stream that were dropped since its last answer.
        wait: seconds from the arrival of the frame to its step.
        compute: seconds of the step, which it shares with other streams of its batch.
        units: when units ran; empty unless asked for.
    """

    stream_id: int
    step: int
    outputs: Any
    dropped: int
    wait: float
    compute: float
    units: tuple[UnitTime, ...] = ()


AnswerFuture = concurrent.futures.Future[Answer]
