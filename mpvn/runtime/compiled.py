"""A network compiled for inference: the same streams, run by a runtime.

    step t:  for unit in units of step t:      units of blocks whose clock ticks
                 values of unit.leaving = run(unit, values of unit.entering)

This is the only scheduler; runtimes differ in how they run a unit.
"""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from mpvn.executors.run import before, now
from mpvn.graph.data import Graph
from mpvn.inputs import convert_inputs
from mpvn.plan import Plan
from mpvn.runtime.ahead import StepsAhead, in_order, take, there
from mpvn.runtime.freeze import Frozen, freeze
from mpvn.runtime.mixture import Mixture, rows_of_units
from mpvn.runtime.parallel import Workers
from mpvn.runtime.program import Compiled, Observer, Program, Promised
from mpvn.runtime.quantization import Quantization
from mpvn.runtime.runtime import Runtime, Value
from mpvn.runtime.specs import place_specs
from mpvn.runtime.unit import Unit, divide, settled_step
from mpvn.state import STEP, check_names, check_shape, check_streams, common_step, earliest_alike

_MOST_CLIPS = 32  # programs of clips to keep, besides those of steps

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
        clip: number of steps that `run` computes at once.
        workers: number of units to run at once, where they do not need each other.

    Attributes:
        plan: the plan.
        quantization: what int8 has changed; None for other precisions.
        settled_step: the first step from which on steps of equal phase are computed alike.
        observer: if it is not None, it is called in place of each unit, with the unit, its
            function, the values that it reads, and how many steps of the clip are before its own;
            it returns the function's results. With several workers, several threads call it at
            once.
        step_observer: if it is not None, it is called at the beginning of each step or clip, with
            the numbers of the streams' steps, int64 `[B]`; it returns a context manager for it.
    """

    def __init__(
        self,
        plan: Plan,
        start: str,
        runtime: Runtime,
        division: str,
        frozen: Mapping[Unit, Frozen] | None = None,
        clip: int = 1,
        workers: int = 1,
    ) -> None:
        self.plan = plan
        self.observer: Observer | None = None
        self.step_observer: StepObserver | None = None
        self.quantization: Quantization | None = None
        self._runtime = runtime
        self._period = plan.period
        self.settled_step = settled_step(plan, start)
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
        self._programs: dict[tuple[int, int], Program] = {}
        self._workers = Workers(workers) if workers > 1 else None
        self._clip = clip
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
        zeros, show, slots = self._runtime.zeros, self._runtime.show, {}
        with self._lock:
            for name, spec in self._slots.items():
                with tf.device(self.plan.histories.devices[name]):
                    slots[name] = show(zeros(batch_size, spec))
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
        self._check(state, frames[0].shape[0])
        (outputs,), after = self._advance([frames], state)
        return self.graph.pack_outputs(outputs), after

    def run(self, clip: Any, state: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Run a piece of a longer clip of each stream: the same values as by steps.

        Streams that tick together compute as many steps at once as the network was compiled for,
        each unit as soon as what it reads is there. Others go step by step.

        Args:
            clip: `[B, T, ...]`, in the structure of the frame model's inputs.
            state: the state before the piece, from `initial_state`, `step` or `run`.

        Returns:
            The outputs `[B, T, ...]`, and the state after the piece.

        Raises:
            ValueError: the clip or the state does not fit the network.
        """
        frames, outputs = self._convert(clip, "clip"), list[list[Any]]()
        counter = self._check(state, frames[0].shape[0])
        together = common_step(counter, self.settled_step, self._period) is not None
        size, steps = self._clip if together else 1, frames[0].shape[1]
        for start in range(0, steps, size):
            times = range(start, min(start + size, steps))
            piece, state = self._advance([[x[:, time] for x in frames] for time in times], state)
            outputs += piece
        stacked = [self._runtime.stack([*each]) for each in zip(*outputs, strict=True)]
        return self.graph.pack_outputs(stacked), state

    def stream(
        self, frames: Iterable[Any], state: dict[str, Any], ahead: int = 4
    ) -> Iterator[tuple[Any, dict[str, Any]]]:
        """Yield what `step` returns for each frame, `ahead` steps after the frame was taken.

        Subnetworks of different steps run at once, each on its device as soon as what it reads is
        there. With `ahead=0`, each step ends before the next frame is taken: for cameras, whose
        frames come slower than steps. Streams that do not tick together go step by step. The
        `step_observer` is not called for steps that are sent out.

        Args:
            frames: each `[B, ...]`, in the structure of the frame model's inputs.
            state: the state before the first one, from `initial_state`, `step` or `reset`.
            ahead: number of steps that may begin before the outputs of a step are yielded.

        Raises:
            ValueError: `ahead` is below 0; a frame or the state does not fit the network.
        """
        if isinstance(ahead, bool) or not isinstance(ahead, int) or ahead < 0:
            raise ValueError(f"Invalid ahead. Expected an int of at least 0. Received: {ahead!r}.")
        counter = self._check(state, np.shape(state[STEP])[0])
        if common_step(counter, self.settled_step, self._period) is None:
            return self._one_by_one(frames, state)
        threads = StepsAhead(self.plan)
        sent = self._send(frames, state, threads)
        late = in_order(sent, ahead, contextlib.closing(threads))
        return (self._taken(*each) for each in late)

    def _one_by_one(
        self, frames: Iterable[Any], state: dict[str, Any]
    ) -> Iterator[tuple[Any, dict[str, Any]]]:
        for frame in frames:
            outputs, state = self.step(frame, state)
            yield outputs, state

    def _send(
        self, frames: Iterable[Any], state: dict[str, Any], threads: StepsAhead
    ) -> Iterator[tuple[list[Promised], list[Promised], np.ndarray]]:
        """Send out a step for each frame; yield its outputs, slots and counter to be."""
        hold, counter = self._runtime.hold, np.asarray(state[STEP])
        slots = there(hold(state[name], spec) for name, spec in self._slots.items())
        for frame in frames:
            arrays = self._convert(frame, "frame")
            check_shape(STEP, counter.shape, tf.TensorShape([None]), arrays[0].shape[0])
            values = there(hold(x, s) for x, s in zip(arrays, self._inputs, strict=True))
            number = common_step(counter, self.settled_step, self._period)
            with self._lock:
                program = self._program(int(number or 0), 1)
            outputs, slots = threads.send(program, [*values, *slots], self.observer)
            counter = counter + 1
            yield outputs, slots, counter

    def _taken(
        self, outputs: list[Promised], slots: list[Promised], counter: np.ndarray
    ) -> tuple[Any, dict[str, Any]]:
        """Return the outputs and the state of a step that was sent out, once they are there."""
        show = self._runtime.show
        count = len(outputs if self._runtime.masks else self.graph.model_outputs)
        shown = [show(x) for x in take(outputs)[:count]]
        after = dict(zip(self._slots, map(show, take(slots)), strict=True))
        return self.graph.pack_outputs(shown), {STEP: counter, **after}

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
        numbers = earliest_alike(counter, self.settled_step, self._period).tolist()
        return rows_of_units(self._units_at, numbers)

    def _convert(self, structure: Any, kind: str) -> list[Any]:
        """Return one array or tensor per input of the frame model."""
        name, convert = self.graph.model.name, self._runtime.array
        return convert_inputs(self.graph, structure, kind, name, convert)

    def _advance(
        self, frames: list[list[Any]], state: dict[str, Any]
    ) -> tuple[list[list[Any]], dict[str, Any]]:
        """Run steps at once; return the outputs of each, and the state after them.

        Args:
            frames: those of each step; of a single one, unless the streams tick together.
            state: the state before them, which fits.
        """
        counter = np.asarray(state[STEP])
        borrow, hold, show = self._runtime.borrow, self._runtime.hold, self._runtime.show
        with self._lock, self._observe(counter):
            values = [
                borrow(x, s) for each in frames for x, s in zip(each, self._inputs, strict=True)
            ]
            values += [hold(state[name], spec) for name, spec in self._slots.items()]
            outputs, slots = self._run(values, counter, len(frames))
            after = dict(zip(self._slots, map(show, slots), strict=True))
            count = len(outputs[0] if self._runtime.masks else self.graph.model_outputs)
            shown = [[*map(show, each[:count])] for each in outputs]
        return shown, {STEP: counter + len(frames), **after}

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

    def _run(
        self, values: list[Value], counter: np.ndarray, steps: int
    ) -> tuple[list[list[Value]], list[Value]]:
        number = common_step(counter, self.settled_step, self._period)
        if number is None:
            numbers = earliest_alike(counter, self.settled_step, self._period).tolist()
            outputs, slots = self._mixture(values, numbers, self.observer)
            return [outputs], slots
        return self._program(number, steps)(values, self.observer, self._workers)

    def _program(self, number: int, steps: int) -> Program:
        """Return the program of steps from `number` on, which is made once and kept."""
        key = number, steps
        if key not in self._programs:
            if len(self._programs) > self.settled_step + self._period + _MOST_CLIPS:
                del self._programs[next(iter(self._programs))]  # the oldest
            numbers = earliest_alike(number + np.arange(steps), self.settled_step, self._period)
            units = map(self._units_at, numbers.tolist())
            compiled = [[self._compiled[unit] for unit in each] for each in units]
            self._programs[key] = Program(self.plan, compiled)
        return self._programs[key]


def freeze_units(
    plan: Plan, start: str, division: str, handover: str | None, batch: int | None = None
) -> dict[Unit, Frozen]:
    """Return all units of all steps, frozen.

    Args:
        plan, start, division: as in `CompiledNetwork`.
        handover: as in `Runtime`.
        batch: number of streams; None for any.
    """
    units_at, specs = divide(plan, start, division), place_specs(plan, handover, batch)
    steps = range(settled_step(plan, start) + plan.period)
    units = dict.fromkeys(unit for number in steps for unit in units_at(number))
    return {unit: freeze(unit, specs, batch) for unit in units}
