"""Quantized exports: what graphs read in streams, and how much their outputs change."""

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mpvn.export.runner import Run, Runner, Values, run_in_tensorflow
from mpvn.export.static import StaticGraph, StaticNetwork
from mpvn.runtime.calibration import Calibration, Clips, held_out
from mpvn.runtime.int8 import first_steps
from mpvn.runtime.quantization import Change, OutputChange
from mpvn.runtime.samples import FEWEST_SAMPLES, MOST_SAMPLES, SAMPLED_BYTES, progress

Sample = list[np.ndarray]
"""The values that a graph reads in one step."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """How quantization changes a network, on steps on which nothing was calibrated.

    Attributes:
        max_error: the bound of the errors of outputs.
        clips: number of clips on which ranges were measured.
        steps: number of their steps.
        held_out: number of steps on which outputs were compared.
        outputs: the change of each output.
    """

    max_error: float
    clips: int
    steps: int
    held_out: int
    outputs: tuple[OutputChange, ...]

    def check(self) -> None:
        """Raise ValueError if an output changes too much."""
        worst = max(self.outputs, key=lambda output: output.error)
        if not worst.error <= self.max_error:
            raise ValueError(
                f"Quantization changes {worst.name!r} by {worst.error:.2%} (relative rms) in "
                f"{self.held_out} steps that were held out. Expected at most {self.max_error:.2%}. "
                f"Received: {'; '.join(map(str, self.outputs))}. Use quantization='dynamic' or "
                "None, or allow more with calibration=mpvn.runtime.Calibration(clips, max_error)."
            )


class Streamed:
    """Clips, streamed through a network.

    Args:
        static: the network.
        calibration: clips, or a `Calibration`.

    Raises:
        TypeError: `calibration` is something else than clips.
        ValueError: the clips do not fit.
    """

    def __init__(self, static: StaticNetwork, calibration: Any) -> None:
        self._static = static
        self._calibration = Calibration.of(calibration)
        network = static.network
        self._informed, last = first_steps(network.plan, network.start, "pattern")
        self._clips = Clips(self._calibration, network.graph, last)

    def samples(self, graph: StaticGraph) -> list[Sample]:
        """Return what a graph reads in some steps, chosen at random."""
        return self._samples[graph.name]

    def measure(self, run: Run) -> Measured:
        """Return how much the outputs change if `run` runs the graphs."""
        changes = {name: Change(name) for name in self._static.names.outputs}
        with progress(self._clips.steps, "comparing", "step") as bar:
            for clip, rows in self._streams():
                runners = [Runner(self._static, each, rows) for each in (run_in_tensorflow, run)]
                for step, frames in enumerate(clip):
                    actual, expected = (runner.step(frames) for runner in reversed(runners))
                    if step >= len(clip) - held_out(len(clip)):
                        for name, change in changes.items():
                            change.add(expected[name][:1, None], actual[name][:1, None])
                    bar.update()
        clips, compared = self._clips, self._clips.held_out
        outputs = tuple(change.result() for change in changes.values())
        bound = self._calibration.max_error
        return Measured(bound, clips.count, clips.steps - compared, compared, outputs)

    @functools.cached_property
    def _samples(self) -> dict[str, list[Sample]]:
        specs = [spec for graph in self._static.graphs for spec in graph.reads.values()]
        size = sum(math.prod(spec.shape[1:]) * spec.dtype.size for spec in specs)
        most = min(MOST_SAMPLES, max(FEWEST_SAMPLES, SAMPLED_BYTES // max(1, size)))
        found: dict[str, list[Sample]] = {graph.name: [] for graph in self._static.graphs}
        seen, rng = dict.fromkeys(found, 0), np.random.default_rng(0)
        number = 0

        def observe(graph: StaticGraph, values: Sequence[np.ndarray]) -> list[np.ndarray]:
            if number >= self._informed.get(graph.units[-1], 0):
                index, seen[graph.name] = seen[graph.name], seen[graph.name] + 1
                index = index if index < most else int(rng.integers(index + 1))
                if index < most:  # each step is kept with the same probability
                    found[graph.name][index : index + 1] = [[*values]]
            return run_in_tensorflow(graph, values)

        with progress(self._clips.steps - self._clips.held_out, "calibrating", "step") as bar:
            for clip, rows in self._streams():
                runner = Runner(self._static, observe, rows)
                for number, frames in enumerate(clip[: len(clip) - held_out(len(clip))]):  # noqa: B007
                    runner.step(frames)
                    bar.update()
        return found

    def _streams(self) -> Iterator[tuple[list[Values], int]]:
        """Yield the frames of each stream, in as many equal rows as the graphs take."""
        frames = self._static.frames
        rows = next(iter(frames.values())).shape[0] or 1
        for clips in self._clips:
            for row in range(len(clips[0])):
                streams = [
                    np.repeat(clip[row : row + 1].astype(spec.dtype.as_numpy_dtype), rows, axis=0)
                    for clip, spec in zip(clips, frames.values(), strict=True)
                ]
                steps = range(streams[0].shape[1])
                yield (
                    [dict(zip(frames, (x[:, t] for x in streams), strict=True)) for t in steps],
                    rows,
                )
