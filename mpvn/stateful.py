"""A model that runs streams from explicit states: frame by frame, or in pieces of clips."""

import functools
from typing import Any

import keras
import tensorflow as tf

from mpvn import executors
from mpvn.executors.run import State
from mpvn.graph.data import Graph
from mpvn.inputs import convert_inputs
from mpvn.plan import Plan
from mpvn.runtime import CompiledNetwork, Settings, compile_network
from mpvn.state import (
    STEP,
    check_state,
    check_streams,
    common_step,
    reset_streams,
    run_alike,
    zero_slots,
)
from mpvn.tracing import TracedFunctions


class StatefulModel(keras.Model):
    """The base class of `VideoNetwork`: its streams.

    Subclasses set `plan`, `start` and `rematerialize`, and implement `run_clip` and `settings`.
    """

    plan: Plan
    rematerialize: bool

    @property
    def start(self) -> str:
        """What the memories of a stream hold before its first step: `"zeros"` or `"primed"`."""
        raise NotImplementedError

    @property
    def graph(self) -> Graph:
        """The frame model's nodes and tensors."""
        return self.plan.graph

    @property
    def settings(self) -> tuple:
        """What `run_clip` depends on, besides the layers."""
        raise NotImplementedError

    def run_clip(
        self, clip: list[tf.Tensor], slots: State, number: int, training: bool | None
    ) -> tuple[list[tf.Tensor], State]:
        """Run a clip of streams that tick together.

        Args:
            clip: `[B, T, ...]` for each input of the frame model.
            slots: the slots before the clip.
            number: the number of the clip's first step, or of one like it (`settled_step`).
            training: as in Keras.

        Returns:
            `[B, T, ...]` for each output of the frame model, and the slots after the clip.
        """
        raise NotImplementedError

    @functools.cached_property
    def _traced(self) -> TracedFunctions:
        return TracedFunctions(self)

    @property
    def settled_step(self) -> int:
        """The first step from which on steps of equal phase are computed alike."""
        return 1 if self.start == "primed" else self.plan.settled_step

    def initial_state(self, batch_size: int, phase: int = 0) -> State:
        """Return the state of streams that have not started: all zeros.

        Args:
            batch_size: number of streams.
            phase: the number of their first step. Only streams from step 0 can start primed.

        Returns:
            A flat dict of tensors by name: the step counter `"step"` (int64 `[batch_size]`, one for
            each stream), and slots `[batch_size, ...]`.

        Raises:
            ValueError: the network looks into the future, so it cannot stream.
        """
        self.check_streams()
        counter = tf.fill([batch_size], tf.constant(phase, tf.int64))
        return {STEP: counter, **zero_slots(self.plan, batch_size)}

    @tf.autograph.experimental.do_not_convert
    def step(self, frame: Any, state: State, training: bool = False) -> tuple[Any, State]:
        """Run one step of each stream. Streams of any age share a batch.

        An eager call runs one of several traced functions: one per pattern of ticking clocks if all
        streams tick together, and one for all mixtures of ages, where a slow block computes only
        the streams whose clock ticks (see `mpvn.executors.rows`). Inside a `tf.function`, the step
        becomes part of that graph, in the form for mixtures.

        Args:
            frame: `[B, ...]`, in the structure of the frame model's inputs.
            state: the state before the step, from `initial_state`, `step` or `run`.
            training: as in Keras. False, like `predict`: dropout and augmentation are off, and
                batch norm uses its moving statistics.

        Returns:
            The outputs `[B, ...]` of this step, and the state after it.

        Raises:
            ValueError: the frame or the state does not fit the network.
        """
        frames = self.convert_inputs(frame, "frame")
        slots = check_state(self.plan, state, frames[0].shape[0])
        counter = slots.pop(STEP)
        settings = training, self._rematerializes(training), self.start
        if tf.executing_eagerly():
            settled = self.settled_step
            number = common_step(counter.numpy(), settled, self.plan.period)
            traced = self._traced.step(number, settled, settings)
            outputs, after, after[STEP] = traced(frames, slots, counter)
        else:
            outputs, after = executors.step(self.plan, frames, slots, counter, *settings)
            after[STEP] = counter + 1
        return self.graph.pack_outputs(outputs), after

    def run(self, clip: Any, state: State, training: bool = False) -> tuple[Any, State]:
        """Run a piece of a longer clip of each stream.

        Streams whose steps differ modulo the plan's period run after each other.

        Args:
            clip: `[B, T, ...]`, in the structure of the frame model's inputs.
            state: the state before the piece, from `initial_state`, `step` or `run`.
            training: as in Keras.

        Returns:
            The outputs `[B, T, ...]`, and the state after the piece.

        Raises:
            ValueError: the clip or the state does not fit the network, or the step counter of the
                state is not a constant.
        """
        values = self.convert_inputs(clip, "clip")
        state = check_state(self.plan, state, values[0].shape[0])
        if tf.get_static_value(state[STEP]) is None:
            raise ValueError(
                "run must know the phase of each stream. Expected a state whose step counter is a "
                "constant. Received: a symbolic tensor. Call run eagerly, or use step inside a "
                "tf.function."
            )
        run = functools.partial(self._run_piece, training=training)
        outputs, after = run_alike(run, values, state, self.settled_step, self.plan.period)
        return self.graph.pack_outputs(outputs), after

    def _run_piece(
        self, clip: list[tf.Tensor], state: State, number: int, training: bool
    ) -> tuple[list[tf.Tensor], State]:
        """Run a piece of a clip of streams that tick together."""
        slots = {name: value for name, value in state.items() if name != STEP}
        settings = self._rematerializes(training), self.start, *self.settings
        outputs, after = self._traced.clip(self.run_clip, clip, slots, number, training, settings)
        steps = tf.shape(clip[0])[1]
        after[STEP] = state[STEP] + tf.cast(steps, state[STEP].dtype)
        return outputs, after

    def _rematerializes(self, training: bool | None) -> bool:
        """Return whether to rematerialize: inference needs no gradients."""
        return self.rematerialize and bool(training)

    def reset(self, state: State, streams: Any) -> State:
        """Return `state` with some streams restarted, each at its own step 0.

        Args:
            state: from `initial_state`, `step` or `run`.
            streams: bool `[B]`, True for each stream to restart.

        Raises:
            ValueError: `streams` has another shape or dtype, or the state does not fit the network.
        """
        streams = check_streams(streams)
        return reset_streams(check_state(self.plan, state, streams.shape[0]), streams)

    def compile_inference(
        self,
        runtime: str = "tensorflow",
        precision: str = "float32",
        threads: int | None = None,
        batch: int = 1,
        units: str | None = None,
        calibration: Any = None,
        clip: int | None = None,
        parallel: bool | None = None,
    ) -> CompiledNetwork:
        """Compile the network for fast streaming.

        The compiled network has the weights of this moment as constants: later changes of the
        network do not reach it. It computes what `step` computes in inference.

        Args:
            runtime: `"tensorflow"`, or `"openvino"` (on the CPU; `pip install 'mpvn[openvino]'`).
                `"auto"` tries both for about two seconds, prints which is faster, and keeps the
                choice for the next time (see `mpvn.runtime.choose`).
            precision: in which it computes. `"float32"`; `"bfloat16"` where the CPU has it; or
                `"int8"`, with OpenVINO and `pip install 'mpvn[int8]'`: convolutions and dense
                layers whose ranges of values were measured on `calibration`, and the rest as in
                bfloat16 or float32. `quantization` of the compiled network tells what that changed.
            threads: number of threads. None: all cores. TensorFlow's are set for the process.
            batch: the most streams that are computed at once. Steps of fewer or more streams
                are computed in pieces of 1, 2, 4, ..., `batch` streams.
            units: what is compiled as one unit. `"block"`: the nodes of one subnetwork and clock.
                `"pattern"`: everything that ticks in one step. None: what usually is faster.
            calibration: for int8: clips `[T, ...]` or `[B, T, ...]` of your videos, as the network
                takes them; or a `mpvn.runtime.Calibration` of them, with bounds. They are streamed
                in float32, so that ranges are those of a stream, with late and held values.
            clip: number of steps that `run` of the compiled network computes at once: for files,
                because all outputs wait for the last frame. Units of these steps run as with
                `parallel`, which it turns on, so that cores share frames, too. None: step by step.
            parallel: whether units of a step run at once on the cores, each as soon as others have
                made what it reads: subnetworks, which read each other's values of the step before.
                It needs cores that one unit alone does not use well. None: no, but `"auto"` tries;
                and yes if subnetworks are on several devices.

        Raises:
            ImportError: the runtime is not installed.
            TypeError: `calibration` is something else than clips.
            ValueError: an unknown or unsupported setting, a network that looks into the future, one
                that changes variables in inference, or clips that do not fit.
        """
        self.check_streams()
        settings = Settings(runtime, precision, threads, batch, units, clip, parallel)
        return compile_network(self.plan, self.start, settings, calibration)

    def check_streams(self) -> None:
        """Raise ValueError if the network cannot stream."""
        if not self.plan.causal:
            raise ValueError(
                f"{self.name!r} looks into the future (symmetric temporal padding) and cannot "
                'stream. Build it with temporal_padding="causal". A network that was trained '
                "offline must be trained again so, but may start from its weights: "
                "--config.model.initial=RUN --config.model.options.temporal_padding=causal (for "
                "inserted shifts, --config.model.surgery.shift.temporal_padding=causal)."
            )

    @property
    def trace_count(self) -> int:
        """Number of graphs that `step` has traced so far."""
        return self._traced.step_count

    def convert_inputs(self, structure: Any, kind: str) -> list:
        """Return one tensor per input of the frame model; see `mpvn.inputs.convert_inputs`."""
        return convert_inputs(self.graph, structure, kind, self.name)
