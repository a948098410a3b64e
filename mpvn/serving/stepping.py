"""One step of a batch: waiting frames in, answers and states out."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from mpvn.runtime import Event
from mpvn.serving.answer import Answer
from mpvn.serving.frames import Frames
from mpvn.serving.states import State, join, split
from mpvn.serving.units import units_of
from mpvn.serving.waiting import Waiting


def step_batch(
    network: Any, frames: Frames, batch: Sequence[Waiting]
) -> tuple[list[Any], list[State]]:
    """Return the outputs of each stream, as arrays of their own, and the states after the step.

    Args:
        network: the network.
        frames: makes batches of frames.
        batch: a frame of each stream.
    """
    states = [frame.slot.state or network.initial_state(1) for frame in batch]
    outputs, after = network.step(frames.batch([frame.frames for frame in batch]), join(states))
    values = keras.tree.map_structure(np.asarray, outputs)
    rows = [
        keras.tree.map_structure(lambda value, row=row: np.array(value[row]), values)
        for row in range(len(batch))
    ]
    return rows, split(after, len(batch))


def answers_of(
    batch: Sequence[Waiting],
    outputs: Sequence[Any],
    start: float,
    seconds: float,
    events: Sequence[Event],
) -> list[Answer]:
    """Return the answer to each frame, before its stream goes on to the next step.

    Args:
        batch: the frames.
        outputs: the outputs of each stream.
        start: when the step began.
        seconds: how long it took.
        events: when units ran, if that was recorded.
    """
    answers = []
    for frame, values in zip(batch, outputs, strict=True):
        slot, wait = frame.slot, start - frame.arrived
        units = units_of(events, slot.steps) if frame.units else ()
        answers.append(
            Answer(slot.stream_id, slot.steps, values, slot.dropped, wait, seconds, units)
        )
    return answers
