"""What the units of a stream read, sampled for their quantization."""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tqdm

from mpvn.executors.run import Place
from mpvn.runtime.calibration import Clip, Clips, held_out
from mpvn.runtime.compiled import CompiledNetwork
from mpvn.runtime.freeze import Frozen
from mpvn.runtime.runtime import Run, Value
from mpvn.runtime.specs import place_specs
from mpvn.runtime.unit import Unit

Sample = dict[Place, np.ndarray]
"""The values that a unit reads in one step, for one stream (or as many as the model must take)."""

MOST_SAMPLES = 64
"""Most samples of a unit."""

FEWEST_SAMPLES = 8
"""As many are kept, however large they are."""

SAMPLED_BYTES = 512 * 2**20
"""Most bytes of the samples of all units, unless they are the fewest."""


class Sampler:
    """An observer of a network that keeps what units read in some steps, chosen at random.

    A regular choice, such as every other step, might show a unit fresh values alone, and never the
    held ones.

    Args:
        frozen: the units.
        first_steps: for each unit to sample, the first step at which it reads values made of frames
            alone.
        show: makes an array of a value.
        most: most samples of a unit.
        rows: number of streams of a sample.

    Attributes:
        samples: the samples of each unit.
    """

    def __init__(
        self,
        frozen: Mapping[Unit, Frozen],
        first_steps: Mapping[Unit, int],
        show: Callable[[Value], Any],
        most: int,
        rows: int,
    ) -> None:
        self._frozen = frozen
        self._first_steps = first_steps
        self._show = show
        self._most = most
        self._rows = rows
        self._seen = dict.fromkeys(first_steps, 0)
        self._random = {unit: np.random.default_rng(0) for unit in first_steps}
        self.samples: dict[Unit, list[Sample]] = {unit: [] for unit in first_steps}
        self._step = 0

    @contextlib.contextmanager
    def step(self, numbers: np.ndarray) -> Iterator[None]:
        """Observe a step of streams that tick together, given its number for each, int64 `[B]`."""
        self._step = int(numbers[0])
        yield

    def __call__(self, unit: Unit, run: Run, values: Sequence[Value], step: int) -> Sequence[Value]:
        if unit in self._first_steps and self._step + step >= self._first_steps[unit]:
            arrays = [np.asarray(self._show(value)) for value in values]
            for row in range(0, len(arrays[0]), self._rows):
                self._offer(unit, [array[row : row + self._rows] for array in arrays])
        return run(values)

    def _offer(self, unit: Unit, arrays: list[np.ndarray]) -> None:
        """Keep a sample with the probability that it has among all so far."""
        seen = self._seen[unit]
        self._seen[unit] += 1
        index = seen if seen < self._most else int(self._random[unit].integers(seen + 1))
        if index < self._most:
            places = self._frozen[unit].entering
            sample = {place: x.copy() for place, x in zip(places, arrays, strict=True)}
            self.samples[unit][index : index + 1] = [sample]


def collect(
    network: CompiledNetwork,
    frozen: Mapping[Unit, Frozen],
    first_steps: Mapping[Unit, int],
    show: Callable[[Value], Any],
    clips: Clips,
) -> dict[Unit, list[Sample]]:
    """Stream clips, and return what the units read in the steps that are not held out.

    Args:
        network: the network; it computes in float32.
        frozen, first_steps, show: as in `Sampler`.
        clips: the clips.
    """
    specs = place_specs(network.plan)
    places = [place for unit in first_steps for place in frozen[unit].entering]
    size = sum(math.prod(specs[place].shape[1:]) * specs[place].dtype.size for place in places)
    most = min(MOST_SAMPLES, max(FEWEST_SAMPLES, SAMPLED_BYTES // max(1, size)))
    sampler = Sampler(frozen, first_steps, show, most, network.graph.batch_size or 1)
    network.observer, network.step_observer = sampler, sampler.step
    with progress(clips.steps - clips.held_out, "calibrating", "step") as bar:
        for clip in clips:
            steps = clip[0].shape[1] - held_out(clip[0].shape[1])
            outputs_of(network, [frames[:, :steps] for frames in clip])
            bar.update(steps)
    network.observer = network.step_observer = None
    return sampler.samples


def outputs_of(network: CompiledNetwork, clip: Clip) -> list[np.ndarray]:
    """Return each output `[B, T, ...]` of streams that start with a clip."""
    structured = keras.tree.pack_sequence_as(network.graph.input_structure, clip)
    outputs, _ = network.run(structured, network.initial_state(len(clip[0])))
    return [np.asarray(value) for value in keras.tree.flatten(outputs)]


def progress(total: int, what: str, unit: str) -> tqdm.tqdm:
    """Return a progress bar that leaves no line."""
    return tqdm.tqdm(total=total, desc=what, unit=unit, leave=False, dynamic_ncols=True)
