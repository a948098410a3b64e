"""Sideways step by step: each step takes frames, computes a loss, and sends all pseudo-gradients.

    at step t, for all subnetworks s at once, from what was sent at step t - 1:
        x     =  outputs of the subnetworks that s reads, or the frame
        h[s] <-  subnetwork_s(x)
        dw   +=  g[s] * dh[s]/dw     if the loss counted that g[s] came from
        g[r] <-  g[s] * dh[s]/dx     to each subnetwork r that s reads

*Sideways* (CVPR 2020), section 3.4, and its shortcuts (*Skip-Sideways*, CVPR 2021), as they run on
parallel devices. From one step to the next, only values at boundaries are kept: memory does not
grow with the clip, nothing is computed twice, and weights may change at any step. Gradients of
clips are those of `layerwise` with `SidewaysRules`.

Each subnetwork has its own gradient tape, under its device, so only what crosses a boundary crosses
devices: activations, and the gradients sent back; frames, targets and outputs besides. With several
devices, steps are laid out in the graph (`mpvn.executors.repeat`). Then a subnetwork may begin a
step as soon as it has finished its own last one: it keeps the activations of one step.

What it does not do well: batch norm takes its statistics over the batch at each step, also at the
first steps, which no frame has reached, unless the start is primed.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_layers.folding import swap_time
from keras_layers.pure_call import refuse_losses
from mpvn import replicas
from mpvn.executors.prime import prime_new
from mpvn.executors.repeat import repeat, steps_at_once
from mpvn.executors.run import Place, Time, after, now
from mpvn.executors.step_run import StepRun
from mpvn.graph.data import Node
from mpvn.plan import Plan
from mpvn.sideways.rules import SidewaysRules
from mpvn.state import zero_slots

StepperState = dict[str, Any]
"""What streams carry from step to step: `"slots"` and `"sent"`, activations and the gradients sent
to their producers, `[B, ...]` by slot; `"counted"` float32 `[B, n]`, which of the last losses
counted, the newest last; `"age"` int32 `[B]`, steps since a stream began."""

Loss = Callable[[tf.Tensor, list[tf.Tensor], tf.Tensor], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Part:
    """A subnetwork, or the head.

    Attributes:
        nodes: in plan order.
        variables: its trainable variables, without those of earlier parts.
        device: where it runs, None for TensorFlow's choice.
        lag: steps from a loss until the part learns from it, by the slowest path.
    """

    nodes: tuple[Node, ...]
    variables: tuple[keras.Variable, ...]
    device: str | None
    lag: int


@dataclasses.dataclass(frozen=True)
class ScanResult:
    """The result of a piece of a clip.

    Attributes:
        outputs: `[B, n, ...]` for each output of the frame model.
        loss: scalar, the mean over the counted steps of all streams.
        gradients: for the variables of each part, the mean over the steps at which it learned.
        learned: float32 `[parts]`, at how many steps each part learned, a mean over the streams, of
            all replicas.
        state: the state after the piece.
    """

    outputs: list[tf.Tensor]
    loss: tf.Tensor
    gradients: list[list[tf.Tensor]]
    learned: tf.Tensor
    state: StepperState


class SidewaysStepper:
    """Runs Sideways over a plan, one step at a time.

    At each step a subnetwork receives the gradient of an earlier loss, which one the slowest path
    decides. It learns if that loss counted. So on a clip of identical frames each subnetwork gets
    the gradient that back-propagation gives for one frame, whatever the shortcuts.

    Args:
        plan: the plan to train.
        start: what memories hold before the first step; see `VideoNetwork`. No gradient flows
            through what they start from, and pseudo-gradients start as zeros.

    Attributes:
        rules: when each subnetwork learns.
        parts: the subnetworks, and the head if there is one.

    Raises:
        ValueError: as in `SidewaysRules`.
    """

    def __init__(self, plan: Plan, start: str = "zeros") -> None:
        self.rules = SidewaysRules(plan, start)
        self._plan = plan
        self.parts: list[Part] = []
        assigned: set[int] = set()
        for nodes in plan.parts:
            variables = [v for v in _trainable(nodes) if id(v) not in assigned]
            assigned |= {id(variable) for variable in variables}
            lag = self.rules.lags[plan.subnetwork(nodes[0])]
            self.parts.append(Part(nodes, tuple(variables), plan.device(nodes[0]), lag))

    def initial(self, batch: int | tf.Tensor) -> StepperState:
        """Return the state of `batch` new streams: zeros, also if their first step primes it."""
        return {
            "slots": zero_slots(self._plan, batch),
            "sent": _floating(zero_slots(self._plan, batch)),
            "counted": tf.zeros((batch, max(part.lag for part in self.parts) + 1)),
            "age": tf.zeros((batch,), tf.int32),
        }

    def scan(
        self, clip: list[tf.Tensor], counts: tf.Tensor, state: StepperState, loss: Loss
    ) -> ScanResult:
        """Run a piece of a clip.

        Args:
            clip: `[B, n, ...]` for each input of the frame model.
            counts: float32 `[B, n]`, 1 for each step whose loss counts, else 0.
            state: the state before the piece.
            loss: the loss of a step, a mean over the batch, as a function of its number in the
                piece, the outputs `[B, ...]`, and how much it counts `[B]`: 0 also before a frame
                has reached the outputs.
        """
        length, at_once = clip[0].shape[1], steps_at_once(self._plan)
        steps = tf.shape(clip[0])[1] if length is None else length
        outputs, sums = self._output_arrays(clip), self._zero_sums()

        def step(time, state, outputs, sums, learned, total, counted_steps):
            frames = [frames[:, time] for frames in clip]
            informed = state["age"] >= self.rules.first_output
            counted = counts[:, time] * tf.cast(informed, tf.float32)
            number = state["age"] if self.rules.start == "zeros" else self._plan.after_cuts(0)
            run = _Step(self._plan, self.parts, frames, counted, state, number, sums)
            gradients, value = run.learn(lambda outputs: loss(time, outputs, counted))
            outputs = [a.write(time, x) for a, x in zip(outputs, run.outputs, strict=True)]
            sums = self.added(sums, gradients)
            total += tf.where(tf.reduce_any(counted > 0), tf.cast(value, tf.float32), 0.0)
            counted_steps += tf.reduce_mean(counted)
            learned += run.gates_open
            return run.state_after(), outputs, sums, learned, total, counted_steps

        none = tf.constant(0.0)
        variables = self._started(clip, state), outputs, sums, tf.zeros(len(self.parts)), none, none
        # With parallel iterations, the activations of several steps would be alive at once.
        state, outputs, sums, learned, total, counted_steps = repeat(
            steps, step, variables, at_once, parallel_iterations=1
        )
        learned, counted_steps = replicas.mean((learned, counted_steps))
        return ScanResult(
            [swap_time(array.stack()) for array in outputs],
            tf.math.divide_no_nan(total, counted_steps),
            self._means(sums, learned),
            learned,
            state,
        )

    def _started(self, clip: list[tf.Tensor], state: StepperState) -> StepperState:
        """Return the state before a piece, with new streams primed if need be."""
        if self.rules.start == "zeros":
            return state
        frames, new = [frames[:, 0] for frames in clip], state["age"] == 0
        slots = prime_new(self._plan, frames, state["slots"], new, training=True)
        return {**state, "slots": slots}

    def _output_arrays(self, clip: list[tf.Tensor]) -> list[tf.TensorArray]:
        batch, steps = clip[0].shape[0], tf.shape(clip[0])[1]
        tensors = [self._plan.graph.tensors[index] for index in self._plan.graph.outputs]
        return [
            tf.TensorArray(tensor.dtype, steps, element_shape=(batch, *tensor.shape))
            for tensor in tensors
        ]

    def _zero_sums(self) -> list[list[tf.Tensor]]:
        sums = []
        for part in self.parts:
            with tf.device(part.device):
                sums.append([tf.zeros(v.shape, v.dtype) for v in _trainable(part.nodes)])
        return sums

    def added(
        self, sums: list[list[tf.Tensor]], gradients: list[list[tf.Tensor]]
    ) -> list[list[tf.Tensor]]:
        """Return the sums of two lists of gradients for each part, computed on its device."""
        added = []
        for part, before, new in zip(self.parts, sums, gradients, strict=True):
            with tf.device(part.device):
                added.append([x + y for x, y in zip(before, new, strict=True)])
        return added

    def _means(self, sums: list[list[tf.Tensor]], learned: tf.Tensor) -> list[list[tf.Tensor]]:
        """Return the gradients of each part's variables; those of shared variables add up."""
        totals: dict[int, tf.Tensor] = {}
        for index, part in enumerate(self.parts):
            with tf.device(part.device):
                for variable, total in zip(_trainable(part.nodes), sums[index], strict=True):
                    mean = tf.math.divide_no_nan(total, tf.cast(learned[index], total.dtype))
                    totals[id(variable)] = totals.get(id(variable), 0) + mean
        return [[totals[id(variable)] for variable in part.variables] for part in self.parts]


class _Step:
    """One step, forward when it is constructed, and backward in `learn`.

    Args:
        plan: the plan to train.
        parts: its parts.
        frames: `[B, ...]` for each input of the frame model.
        counted: float32 `[B]`, how much the loss of this step counts.
        state: the state before the step.
        number: number of the step, which says what calls are cut: an int, or int `[B]`.
        ready: for each part, tensors that it computes before it begins: those of its last step.

    Attributes:
        outputs: `[B, ...]` for each output of the frame model.
    """

    def __init__(
        self,
        plan: Plan,
        parts: list[Part],
        frames: list[tf.Tensor],
        counted: tf.Tensor,
        state: StepperState,
        number: int | tf.Tensor,
        ready: list[list[tf.Tensor]],
    ) -> None:
        self._plan, self._parts = plan, parts
        self._before = state
        self._counted = tf.concat([state["counted"][:, 1:], counted[:, None]], axis=1)
        newest = self._counted.shape[1] - 1
        self._gates = [self._counted[:, newest - part.lag] for part in parts]
        self._run = StepRun(plan, state["slots"], training=True, number=number)
        for tensor, frame in zip(plan.graph.inputs, frames, strict=True):
            self._run.put(tensor, frame)
        self._calls = [self._call(*each) for each in zip(parts, ready, strict=True)]
        self._sent: dict[str, tf.Tensor] = {}
        self.outputs = self._run.outputs()

    @property
    def gates_open(self) -> tf.Tensor:
        """Float32 `[parts]`: the share of the streams from which each part learns."""
        return tf.reduce_mean(tf.stack(self._gates), axis=1)

    def learn(
        self, loss: Callable[[list[tf.Tensor]], tf.Tensor]
    ) -> tuple[list[list[tf.Tensor]], tf.Tensor]:
        """Return gradients of the trainable variables of each part, and the loss of the outputs."""
        refuse_losses(self._plan.graph.pop_losses())
        tensors = self._plan.graph.outputs
        arrived = {after(slot): gradient for slot, gradient in self._before["sent"].items()}
        with tf.device(self._parts[-1].device):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                outputs = [tf.identity(x) for x in self.outputs]  # one tensor may be two outputs
                floating = [
                    (t, x) for t, x in zip(tensors, outputs, strict=True) if x.dtype.is_floating
                ]
                tape.watch([x for _, x in floating])
                value = loss(outputs)
            upstream = tape.gradient(value, [x for _, x in floating])
            for (tensor, _), gradient in zip(floating, upstream, strict=True):
                _add(arrived, now(tensor), gradient)
        gradients: list[list[tf.Tensor]] = []
        for index in reversed(range(len(self._parts))):
            gradients.insert(0, self._backward(index, arrived))
        return gradients, value

    def state_after(self) -> StepperState:
        """Return the state after the step."""
        slots, sent = dict(self._run.state_after()), dict[str, tf.Tensor]()
        for name, device in self._plan.histories.devices.items():
            with tf.device(device):
                slots[name] = _shaped(slots[name], self._before["slots"][name])
                if name in self._before["sent"]:
                    zeros = self._before["sent"][name]
                    gradient = self._sent[name] if name in self._sent else tf.zeros_like(zeros)
                    sent[name] = _shaped(gradient, zeros)
        counted = _shaped(self._counted, self._before["counted"])
        return {"slots": slots, "sent": sent, "counted": counted, "age": self._before["age"] + 1}

    def _call(self, part: Part, ready: list[tf.Tensor]) -> "_Call":
        """Run `part` under a tape that watches its inputs, once `ready` is computed."""
        run, nodes = self._run, list(part.nodes)
        wait = tf.control_dependencies(ready)
        with tf.device(part.device), wait, tf.GradientTape() as tape:
            # Copies made in this step: the tape does not see tensors from outside of the loop.
            entering = {place: tf.identity(run.values[place]) for place in run.entering(nodes)}
            tape.watch([x for x in entering.values() if x.dtype.is_floating])
            run.values.update(entering)
            run.run(nodes)
        leaving = {place: run.values[place] for place in run.leaving(nodes)}
        return _Call(tape, _floating(entering), _floating(leaving))

    def _backward(self, index: int, arrived: dict[Place, tf.Tensor]) -> list[tf.Tensor]:
        """Return gradients of a part's variables; pass those of its inputs on.

        Gradients of tensors of this step are added to `arrived`, those of slots are sent.
        """
        part, call = self._parts[index], self._calls[index]
        variables = _trainable(part.nodes)
        with tf.device(part.device):
            places = [place for place in call.leaving if arrived.get(place) is not None]
            gate = self._gates[index]
            upstream = [_gated(arrived[place], gate) for place in places]
            of_entering, of_variables = call.tape.gradient(
                [call.leaving[place] for place in places],
                [list(call.entering.values()), [v.value for v in variables]],
                upstream,
                tf.UnconnectedGradients.ZERO,
            )
            for place, gradient in zip(call.entering, of_entering, strict=True):
                if place.time is Time.BEFORE:
                    _add(self._sent, place.key, gradient)
                else:
                    _add(arrived, place, gradient)
            return [tf.convert_to_tensor(gradient) for gradient in of_variables]


@dataclasses.dataclass(frozen=True)
class _Call:
    """A part that has run: its tape, and the floating-point values that entered and left it."""

    tape: tf.GradientTape
    entering: dict[Place, tf.Tensor]
    leaving: dict[Place, tf.Tensor]


def _trainable(nodes: tuple[Node, ...]) -> list[keras.Variable]:
    """Return the trainable variables of `nodes`, each once."""
    variables = {id(v): v for node in nodes for v in node.variables if v.trainable}
    return list(variables.values())


def _floating(values: dict[Any, tf.Tensor]) -> dict[Any, tf.Tensor]:
    return {key: value for key, value in values.items() if value.dtype.is_floating}


def _shaped(x: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """Return `x` with the static shape of `like`: loops reject variables whose shape gets lost."""
    return tf.ensure_shape(x, like.shape)


def _add(values: dict[Any, tf.Tensor], place: Any, gradient: tf.Tensor | None) -> None:
    if gradient is not None:
        values[place] = values[place] + gradient if place in values else gradient


def _gated(gradient: tf.Tensor, gate: tf.Tensor) -> tf.Tensor:
    """Return `gradient` `[B, ...]` where `gate` `[B]` is 1, else 0: also for NaN, unlike a product.

    A loss that does not count may have no gradient.
    """
    is_open = tf.reshape(gate > 0, (-1, *[1] * (gradient.shape.rank - 1)))
    return tf.where(is_open, gradient, tf.zeros_like(gradient))
