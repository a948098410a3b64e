"""Clips on which int8 is calibrated: which of them are streamed, and which steps are for what.

step             0 1 2 3 4 5 6 7 8 9 10 11
not informed     - -                           a unit still reads what comes from no frame
calibrate            x x x x x x x             ranges of values are measured
held out                           x  x  x     outputs are compared with those in float32
"""

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpvn.graph.data import Graph
from mpvn.inputs import convert_inputs
from mpvn.runtime.cache import content_key

HELD_OUT = 0.25
"""Share of the steps of a clip, at its end, on which nothing is calibrated."""

STEPS_OF_CLIP = 16
"""Steps of a clip, at least, if it is as long: opening more clips would take most of the time."""

_REMEDY = (
    "Pass some clips [T, ...] of your videos, as the network takes them; for files, "
    "calibration=mpvn.calibration_clips(network, paths)."
)


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """What int8 is calibrated on, and how much it may change.

    Attributes:
        clips: clips `[T, ...]`, or batches of them `[B, T, ...]`, in the structure of the frame
            model's inputs. A sequence is read several times; anything else once, into memory. If it
            has a method `beginning(index, steps)`, that is called for the first steps of a clip.
        max_error: the most relative error (rms) that int8 may cause in what a unit makes. Of a unit
            with more, layers stay in higher precision, or all of it.
        steps: the number of steps of clips that are enough. Of many clips, some are streamed, in
            random order; of long ones, the beginning.

    Raises:
        TypeError: `clips` are not clips.
        ValueError: a number out of range.
    """

    clips: Any
    max_error: float = 0.1
    steps: int = 512

    def __post_init__(self) -> None:
        if self.clips is None:
            raise ValueError(
                "precision='int8' measures the ranges of values on your videos. Expected "
                f"calibration=clips. Received: None. {_REMEDY}"
            )
        if isinstance(self.clips, (str, os.PathLike, Mapping)) or not (
            isinstance(self.clips, Iterable)
        ):
            raise TypeError(
                "Invalid calibration. Expected an iterable of clips. Received: "
                f"{self.clips if isinstance(self.clips, (str, os.PathLike)) else type(self.clips)}."
                f" {_REMEDY}"
            )
        if not self.max_error >= 0:
            raise ValueError(
                f"Invalid max_error. Expected a number, 0 or more. Received: {self.max_error}."
            )
        if self.steps < 1:
            raise ValueError(f"Invalid steps. Expected at least 1. Received: {self.steps}.")

    @classmethod
    def of(cls, value: Any) -> "Calibration":
        """Return `value`, which may be clips, as a calibration."""
        return value if isinstance(value, cls) else cls(value)


Clip = list[np.ndarray]
"""A clip `[B, T, ...]` for each input of the frame model."""


class Clips:
    """The clips that are streamed, cut to length.

    Args:
        calibration: the calibration.
        graph: the frame model.
        first: the first step after which every unit has run on informed values.

    Attributes:
        count: number of clips; a batch is one.
        skipped: number of clips that were too short.
        steps: number of their steps, all together.
        held_out: number of those on which nothing is calibrated.
        digest: a hash of the frames.

    Raises:
        ValueError: no clip is long enough, or one does not fit the frame model.
    """

    def __init__(self, calibration: Calibration, graph: Graph, first: int) -> None:
        self._graph = graph
        self._clips = _sequence(calibration.clips, graph)
        self._shortest = shortest(first)
        share = calibration.steps // len(self._clips)
        self._longest = max(self._shortest, STEPS_OF_CLIP, share)
        self._used: list[int] = []
        self.steps = self.held_out = self.skipped = 0
        self.digest = content_key(self._scan(calibration.steps))
        if not self._used:
            raise ValueError(
                f"Invalid calibration. Expected clips of at least {self._shortest} frames, because "
                f"the last subnetwork of {graph.model.name!r} sees frames alone at step {first}, "
                f"and {HELD_OUT:.0%} of the steps are held out. Received: "
                f"{len(self._clips)} clips, all shorter. {_REMEDY}"
            )

    @property
    def count(self) -> int:
        return len(self._used)

    def __iter__(self) -> Iterator[Clip]:
        return map(self._clip, self._used)

    def _scan(self, enough: int) -> Iterator[bytes | str]:
        """Choose clips; yield what they consist of."""
        for index in np.random.default_rng(0).permutation(len(self._clips)).tolist():
            clip = self._clip(index)
            steps = clip[0].shape[1]
            if steps < self._shortest:
                self.skipped += 1
                continue
            self._used.append(index)
            self.steps += steps
            self.held_out += held_out(steps)
            for frames in clip:
                yield from (repr((frames.shape, frames.dtype)), frames.tobytes())
            if self.steps >= enough:
                break

    def _read(self, index: int) -> Any:
        begin = getattr(self._clips, "beginning", None)
        return begin(index, self._longest) if begin else self._clips[index]

    def _clip(self, index: int) -> Clip:
        graph = self._graph
        try:
            values = [np.asarray(value) for value in graph.pack_inputs(self._read(index))]
            if values[0].ndim == len(graph.tensors[graph.inputs[0]].shape) + 1:
                values = [value[None] for value in values]  # [T, ...] -> [1, T, ...]
            if values[0].ndim > 1 and not values[0].shape[1]:
                return values  # too short
            for value, tensor in zip(values, graph.inputs, strict=True):
                _refuse_integers(value.dtype, graph.tensors[tensor].dtype)
            structure = keras.tree.pack_sequence_as(graph.input_structure, values)
            clip = convert_inputs(graph, structure, "clip", graph.model.name, _array)
        except ValueError as error:
            raise ValueError(f"Invalid calibration, clip {index}. {error} {_REMEDY}") from error
        clip = [frames[:, : self._longest] for frames in clip]
        if not all(np.isfinite(frames.astype(np.float32)).all() for frames in clip):
            raise ValueError(
                f"Invalid calibration, clip {index}. Expected finite numbers. Received: infinite "
                "ones, or NaN."
            )
        return clip


def held_out(steps: int) -> int:
    """Return the number of steps at the end of a clip that are held out."""
    return max(1, int(HELD_OUT * steps))


def shortest(first: int) -> int:
    """Return the number of frames of the shortest clip that shows every unit informed values.

    Args:
        first: the first step after which every unit has run on them.
    """
    steps = first + 2
    while steps - held_out(steps) <= first:
        steps += 1
    return steps


def _sequence(clips: Any, graph: Graph) -> Sequence[Any]:
    """Return clips as a sequence."""
    rank = len(graph.tensors[graph.inputs[0]].shape)
    if isinstance(clips, (np.ndarray, tf.Tensor)) and len(clips.shape) == rank + 1:
        raise ValueError(
            "Invalid calibration. Expected several clips. Received: one clip of shape "
            f"{tuple(clips.shape)}. Pass [clip]."
        )
    is_sequence = hasattr(clips, "__getitem__") and hasattr(clips, "__len__")
    found = clips if is_sequence else list(clips)
    if not len(found):
        raise ValueError(f"Invalid calibration. Expected clips. Received: none. {_REMEDY}")
    return found


def _refuse_integers(dtype: np.dtype, expected: str) -> None:
    """Raise ValueError for pixels that nobody has scaled: int8 would fit their range, too."""
    if np.issubdtype(dtype, np.integer) and tf.as_dtype(expected).is_floating:
        raise ValueError(
            f"Expected {expected}, scaled as the network takes it. Received: {dtype}. If the "
            "network takes these very numbers, use clip.astype('float32')."
        )


def _array(value: Any, dtype: str) -> np.ndarray:
    return np.asarray(value).astype(tf.as_dtype(dtype).as_numpy_dtype)
