"""A network compiled for inference: the same streams, run by a runtime.

    step t:  for unit in units of step t:      units of blocks whose clock ticks
                 values of unit.leaving = run(unit, values of unit.entering)

This is the only scheduler; runtimes differ in how they run a unit.
"""

import contextlib
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from mpvn.executors.run import before, now
from mpvn.graph.data import Graph
from mpvn.inputs import convert_inputs
from mpvn.plan import Plan
from mpvn.runtime.freeze import Frozen, freeze
from mpvn.runtime.mixture import Mixture, rows_of_units
from mpvn.runtime.parallel import Workers
from mpvn.runtime.program import Compiled, Observer, Program, output_places
from mpvn.runtime.quantization import Quantization
from mpvn.runtime.runtime import Runtime, Value
from mpvn.runtime.specs import place_specs
from mpvn.runtime.unit import Unit, clip_unit, divide, settled_step
from mpvn.state import STEP, check_names, check_shape, check_streams, common_step, earliest_alike

StepObserver = Callable[[np.ndarray], contextlib.AbstractContextManager]
"""Observes a step: takes the numbers of the streams' steps, and returns a context around it."""


class CompiledNetwork:
    """The streams of a network whose weights are constants; see `VideoNetwork.compile_inference`.

    It has the methods of the network: `initial_state`, `step` and `reset`, for streams of any age.
    States are values: a step changes none, and can be repeated from any state that was kept.
    Threads may share a compiled network; their steps run one after the other.

    Args:
        plan: the plan.
        start: what memories hold before the first step, `"zeros"` or `"primed"`.
        runtime: runs the units.
        division: what a unit is, one of `mpvn.runtime.unit.DIVISIONS`.
        frozen: the units from `freeze_units`, if they are there.
        clip: number of steps that `run` computes at once, whole periods; None for 1.
        workers: number of units to run at once, where they do not need each other.

    Attributes:
        plan: the plan.
        quantization: what int8 has changed; None for other precisions.
        observer: if it is not None, it is called in place of each unit, with the unit, its
            function, and the values that it reads; it returns the function's results. With
            several workers, several threads call it at once.
        step_observer: if it is not None, it is called at the beginning of each step, with the
            numbers of the streams' steps, int64 `[B]`; it returns a context manager for the step.
    """

    def __init__(
        self,
        plan: Plan,
        start: str,
        runtime: Runtime,
        division: str,
        frozen: Mapping[Unit, Frozen] | None = None,
        clip: int | None = None,
        workers: int = 1,
    ) -> None:
        self.plan = plan
        self.observer: Observer | None = None
        self.step_observer: StepObserver | None = None
        self.quantization: Quantization | None = None
        self._runtime = runtime
        self._period = plan.period
        self._settled = settled_step(plan, start)
        self._units_at = divide(plan, start, division)
        self._specs = place_specs(plan, runtime.handover)
        self._inputs = [self._specs[now(tensor)] for tensor in plan.graph.inputs]
        self._slots = {slot: self._specs[before(slot)] for slot in plan.histories.specs}
        self._shapes = {name: tuple(spec.shape[1:]) for name, spec in self._slots.items()}
        self._lock = threading.Lock()
        self._compiled: dict[Any, Compiled] = {}
        for unit, each in (frozen or freeze_units(plan, start, division, runtime.handover)).items():
            run = None if each.function is None else runtime.compile(each, self._specs)
            self._compiled[unit] = Compiled(each, run)
        self._programs: dict[int, Program] = {}
        self._workers = Workers(workers) if workers > 1 else None
        self._clip = None if clip is None else self._compile_clip(start, clip)
        self._mixture = Mixture(plan, runtime, self._specs, self._compiled, self._units_at)

    @property
    def threads(self) -> int:
        """The number of threads that run a step."""
        return max(self._runtime.threads, self._workers.count if self._workers else 1)

    @property
    def graph(self) -> Graph:
        """The frame model's nodes and tensors."""
        return self.plan.graph

    def initial_state(self, batch_size: int, phase: int = 0) -> dict[str, Any]:
        """Return the state of streams that have not started; see `StatefulModel.initial_state`."""
        zeros, show = self._runtime.zeros, self._runtime.show
        with self._lock:
            slots = {name: show(zeros(batch_size, spec)) for name, spec in self._slots.items()}
        return {STEP: np.full(batch_size, phase, np.int64), **slots}

    def step(self, frame: Any, state: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Run one step of each stream. Streams of any age share a batch.

        Args:
            frame: `[B, ...]`, in the structure of the frame model's inputs.
            state: the state before the step, from `initial_state` or `step`.

        Returns:
            The outputs `[B, ...]` of this step, and the state after it: TensorFlow's tensors, or
            NumPy arrays that cannot be written to and have no Keras masks.

        Raises:
            ValueError: the frame or the state does not fit the network.
        """
        frames = self._convert(frame, "frame")
        outputs, after = self._advance(frames, state)
        return self.graph.pack_outputs(outputs), after

    def run(self, clip: Any, state: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Run a piece of a longer clip of each stream: the same values as by steps.

        If the network was compiled for clips, whole periods of streams that tick together are
        computed in one call.

        Args:
            clip: `[B, T, ...]`, in the structure of the frame model's inputs.
            state: the state before the piece, from `initial_state`, `step` or `run`.

        Returns:
            The outputs `[B, T, ...]`, and the state after the piece.

        Raises:
            ValueError: the clip or the state does not fit the network.
        """
        frames, pieces, time = self._convert(clip, "clip"), [], 0
        self._check(state, frames[0].shape[0])
        while time < frames[0].shape[1]:
            if self._clip and self._clip.fits(state[STEP], frames[0].shape[1] - time):
                piece = [x[:, time : time + self._clip.steps] for x in frames]
                outputs, state = self._advance(piece, state, self._clip)
                time += self._clip.steps
            else:
                outputs, state = self._advance([x[:, time] for x in frames], state)
                outputs, time = [y[:, None] for y in outputs], time + 1
            pieces.append(outputs)
        joined = [self._runtime.join([*parts]) for parts in zip(*pieces, strict=True)]
        return self.graph.pack_outputs(joined), state

    def frames_of_call(self, state: dict[str, Any]) -> int:
        """Return how many frames `run` takes best: up to the end of the next clip in one call.

        Args:
            state: that of streams that tick together, from `initial_state`, `step` or `run`.

        Returns:
            The number of frames in a clip, and before it those that are computed step by step
            because whole periods begin later; 1 for networks that were not compiled for clips.
        """
        if self._clip is None:
            return 1
        done = int(np.asarray(state[STEP]).flat[0]) - self._settled
        return self._clip.steps + (-done if done < 0 else -done % self._period)

    def reset(self, state: dict[str, Any], streams: Any) -> dict[str, Any]:
        """Return `state` with some streams restarted, each at its own step 0.

        Args:
            state: from `initial_state`, `step` or `reset`.
            streams: bool `[B]`, True for each stream to restart.

        Raises:
            ValueError: `streams` has another shape or dtype, or the state does not fit the network.
        """
        restarted = check_streams(streams).numpy()
        counter = self._check(state, len(restarted))
        rows = np.flatnonzero(restarted).tolist()
        if not rows:
            return dict(state)
        runtime, after = self._runtime, {}
        with self._lock:
            for name, spec in self._slots.items():
                slot, zeros = runtime.hold(state[name], spec), runtime.zeros(len(rows), spec)
                after[name] = runtime.show(runtime.scatter(slot, rows, zeros))
        return {STEP: np.where(restarted, 0, counter), **after}

    def rows_of_units(self, counter: np.ndarray) -> dict[Unit, list[int]]:
        """Return which streams run each unit of a step, given the numbers `[B]` of their steps."""
        numbers = earliest_alike(counter, self._settled, self._period).tolist()
        return rows_of_units(self._units_at, numbers)

    def _convert(self, structure: Any, kind: str) -> list[Any]:
        """Return one array or tensor per input of the frame model."""
        name, convert = self.graph.model.name, self._runtime.array
        return convert_inputs(self.graph, structure, kind, name, convert)

    def _advance(
        self, frames: list[Any], state: dict[str, Any], clip: "_Clip | None" = None
    ) -> tuple[list[Any], dict[str, Any]]:
        """Run a step, or a clip at once; return its outputs, and the state after it."""
        counter = self._check(state, frames[0].shape[0])
        hold, show = self._runtime.hold, self._runtime.show
        with self._lock, self._observe(counter):
            values = [hold(x, spec) for x, spec in zip(frames, self._inputs, strict=True)]
            values += [hold(state[name], spec) for name, spec in self._slots.items()]
            if clip is None:
                outputs, slots = self._run(values, counter)
            else:
                outputs, slots = clip.program(values, self.observer)
            after = dict(zip(self._slots, map(show, slots), strict=True))
            count = len(outputs if self._runtime.masks else self.graph.model_outputs)
            shown = [*map(show, outputs[:count])]
        return shown, {STEP: counter + (clip.steps if clip else 1), **after}

    def _compile_clip(self, start: str, steps: int) -> "_Clip":
        specs = place_specs(self.plan, self._runtime.handover, steps)
        frozen = freeze(clip_unit(self.plan, start, steps), specs)
        run = None if frozen.function is None else self._runtime.compile(frozen, specs)
        outputs = [*map(now, self.plan.graph.outputs)]
        program = Program(self.plan, [Compiled(frozen, run)], outputs)
        return _Clip(steps, program, self._settled, self._period)

    def _observe(self, counter: np.ndarray) -> contextlib.AbstractContextManager:
        observer = self.step_observer
        return contextlib.nullcontext() if observer is None else observer(counter)

    def _check(self, state: dict[str, Any], batch: int) -> np.ndarray:
        """Return the step counter of a state; raise ValueError if the state does not fit."""
        check_names(state, {STEP, *self._slots})
        counter = np.asarray(state[STEP])
        if not np.issubdtype(counter.dtype, np.integer):
            raise ValueError(
                f"Invalid {STEP!r} in the state. Expected integers. Received: {counter.dtype}."
            )
        check_shape(STEP, counter.shape, tf.TensorShape([None]), batch)
        for name, shape in self._shapes.items():
            if np.shape(state[name]) != (batch, *shape):
                check_shape(name, np.shape(state[name]), self._slots[name].shape, batch)
        return counter

    def _run(self, values: list[Value], counter: np.ndarray) -> tuple[list[Value], list[Value]]:
        number = common_step(counter, self._settled, self._period)
        if number is None:
            numbers = earliest_alike(counter, self._settled, self._period).tolist()
            return self._mixture(values, numbers, self.observer)
        if number not in self._programs:
            units = [self._compiled[unit] for unit in self._units_at(number)]
            self._programs[number] = Program(self.plan, units, output_places(self.plan))
        return self._programs[number](values, self.observer, self._workers)


class _Clip(NamedTuple):
    """Whole periods in one call.

    Attributes:
        steps: number of steps.
        program: runs them.
        settled, period: they begin at step `settled`, or whole periods later.
    """

    steps: int
    program: Program
    settled: int
    period: int

    def fits(self, counter: np.ndarray, frames: int) -> bool:
        """Return whether streams at these steps can run it on their next `frames` frames."""
        number = common_step(np.asarray(counter), self.settled, self.period)
        return frames >= self.steps and number == self.settled


def freeze_units(plan: Plan, start: str, division: str, handover: str | None) -> dict[Unit, Frozen]:
    """Return all units of all steps, frozen.

    Args:
        plan, start, division: as in `CompiledNetwork`.
        handover: as in `Runtime`.
    """
    units_at, specs = divide(plan, start, division), place_specs(plan, handover)
    steps = range(settled_step(plan, start) + plan.period)
    units = dict.fromkeys(unit for number in steps for unit in units_at(number))
    return {unit: freeze(unit, specs) for unit in units}
