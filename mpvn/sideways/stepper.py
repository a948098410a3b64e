"""Sideways, step after step: every step takes frames, a loss, and all pseudo-gradients at once.

    at step t, all at once        subnetwork s reads   what those before it made at step t - 1
                                  subnetwork s takes   the gradients that its readers sent then
                                  subnetwork s sends   what it makes up, and down the product of
                                                       what it took with its Jacobian right now

*Sideways* (CVPR 2020), section 3, and its shortcuts (*Skip-Sideways*, CVPR 2021), as they run on
parallel devices. Of the past nothing is kept but what crosses a boundary: memory does not grow with
the clip, nothing is computed twice, and weights may change at any step. Gradients of clips are
those of `layerwise` with `SidewaysRules`.

Each subnetwork has a gradient tape of its own, under its device: what crosses to another device is
what crosses a boundary.

What it does not do well: batch norm takes its statistics over the batch at each step.
"""

import dataclasses
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from keras_layers.sideways import time_swapped
from mpvn.executors.remat import Place
from mpvn.executors.step import StepRun
from mpvn.plan.graph import Node
from mpvn.sideways.rules import SidewaysRules

if TYPE_CHECKING:
    from mpvn.plan import Plan

StepperState = dict[str, Any]
"""What streams carry from step to step, `"slots"` and `"sent"` by slot: activations, and the
gradients sent to who made them; `"counted"` float32 `[B, n]`, which of the last losses counted, the
newest last; `"age"` int32 `[B]`, steps since a stream began."""

Loss = Callable[[tf.Tensor, list[tf.Tensor], tf.Tensor], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Part:
    """A subnetwork, or the head.

    Attributes:
        nodes: in plan order.
        variables: those that are trained, and that no earlier part has.
        device: where it runs, None for TensorFlow's choice.
        lag: steps from a loss to the step at which it learns from it, by the slowest path.
    """

    nodes: tuple[Node, ...]
    variables: tuple[keras.Variable, ...]
    device: str | None
    lag: int


@dataclasses.dataclass(frozen=True)
class Scanned:
    """What a piece of a clip gives.

    Attributes:
        outputs: `[B, n, ...]` for each output of the frame model.
        loss: scalar, the mean over the steps that count of all streams.
        gradients: of the variables of each part: the mean over the steps at which it learned.
        learned: float32 `[parts]`: at how many steps, a mean over the streams.
        state: after the piece.
    """

    outputs: list[tf.Tensor]
    loss: tf.Tensor
    gradients: list[list[tf.Tensor]]
    learned: tf.Tensor
    state: StepperState


class SidewaysStepper:
    """Sideways over a plan, a step at a time.

    A subnetwork learns at a step if the loss counted whose gradient it is sent then, by the slowest
    path. So a clip of equal frames gives each the gradient that back-propagation gives for one
    frame, whatever the shortcuts.

    Args:
        plan: what is trained.

    Attributes:
        parts: the subnetworks, and the head if there is one.

    Raises:
        ValueError: the plan has feedback, slow clocks, or layers that look back in time.
    """

    def __init__(self, plan: "Plan") -> None:
        starts = SidewaysRules(plan).starts
        self._plan = plan
        self._first = min(starts)  # step, from 0, of the first output that a frame has reached
        self.parts: list[Part] = []
        owned: set[int] = set()
        for subnetwork, group in itertools.groupby(plan.graph.nodes, plan.subnetwork):
            nodes = tuple(group)
            own = [v for v in _trained(nodes) if id(v) not in owned]
            owned |= {id(variable) for variable in own}
            lag = starts[subnetwork] - self._first
            self.parts.append(Part(nodes, tuple(own), plan.device(nodes[0]), lag))
        self._longest = max(part.lag for part in self.parts)

    def initial(self, batch: int | tf.Tensor) -> StepperState:
        """The state of streams that have seen nothing."""
        specs = self._plan.histories.specs
        slots = {
            name: tf.zeros((batch, *spec.shape[1:]), spec.dtype) for name, spec in specs.items()
        }
        return {
            "slots": slots,
            "sent": {name: tf.zeros_like(x) for name, x in slots.items() if x.dtype.is_floating},
            "counted": tf.zeros((batch, self._longest + 1)),
            "age": tf.zeros((batch,), tf.int32),
        }

    def scan(
        self, clip: list[tf.Tensor], counts: tf.Tensor, state: StepperState, loss: Loss
    ) -> Scanned:
        """Runs a piece of a clip.

        Args:
            clip: `[B, n, ...]` for each input of the frame model.
            counts: float32 `[B, n]`, 1 for each step whose loss counts, else 0.
            state: before the piece.
            loss: of a step, a mean over the batch, from its number in the piece, the outputs
                `[B, ...]`, and how much it counts `[B]`: 0 too where no frame has reached them.
        """
        steps = tf.shape(clip[0])[1]
        tensors = [self._plan.graph.tensors[index] for index in self._plan.graph.outputs]
        arrays = [
            tf.TensorArray(tensor.dtype, steps, element_shape=(clip[0].shape[0], *tensor.shape))
            for tensor in tensors
        ]
        sums = []
        for part in self.parts:
            with tf.device(part.device):
                sums.append([tf.zeros(v.shape, v.dtype) for v in _trained(part.nodes)])

        def step(time, state, arrays, sums, learned, total, heard):
            frames = [frames[:, time] for frames in clip]
            counted = counts[:, time] * tf.cast(state["age"] >= self._first, tf.float32)
            run = _Step(self, frames, counted, state)
            added, value = run.learn(lambda outputs: loss(time, outputs, counted))
            arrays = [array.write(time, x) for array, x in zip(arrays, run.outputs, strict=True)]
            sums = tf.nest.map_structure(tf.add, sums, added)
            total, heard = total + tf.cast(value, tf.float32), heard + tf.reduce_mean(counted)
            return time + 1, run.after(), arrays, sums, learned + run.gates_open, total, heard

        loop = (tf.constant(0), state, arrays, sums, tf.zeros(len(self.parts)), 0.0, 0.0)
        # One step at a time: several side by side would hold their insides side by side.
        _, state, arrays, sums, learned, total, heard = tf.while_loop(
            lambda time, *_: time < steps, step, loop, parallel_iterations=1
        )
        outputs = [time_swapped(array.stack()) for array in arrays]
        loss_seen = tf.math.divide_no_nan(total, heard)
        return Scanned(outputs, loss_seen, self._means(sums, learned), learned, state)

    def _means(self, sums: list[list[tf.Tensor]], learned: tf.Tensor) -> list[list[tf.Tensor]]:
        """Gradients of each part's own variables; what several parts share adds up."""
        totals: dict[int, tf.Tensor] = {}
        for index, part in enumerate(self.parts):
            for variable, total in zip(_trained(part.nodes), sums[index], strict=True):
                mean = tf.math.divide_no_nan(total, tf.cast(learned[index], total.dtype))
                totals[id(variable)] = totals.get(id(variable), 0) + mean
        return [[totals[id(variable)] for variable in part.variables] for part in self.parts]


class _Step:
    """One step, forward and backward."""

    def __init__(
        self,
        fused: SidewaysStepper,
        frames: list[tf.Tensor],
        counted: tf.Tensor,
        state: StepperState,
    ) -> None:
        self._plan, self._parts = fused._plan, fused.parts
        self._before = state
        self._counted = tf.concat([state["counted"][:, 1:], counted[:, None]], axis=1)
        newest = self._counted.shape[1] - 1
        self._gates = [self._counted[:, newest - part.lag] for part in self._parts]
        self._run = StepRun(self._plan, state["slots"], training=True)
        for tensor, frame in zip(self._plan.graph.inputs, frames, strict=True):
            self._run.put(tensor, frame)
        self._calls = [self._call(part) for part in self._parts]
        self._sent = {name: tf.zeros_like(g) for name, g in state["sent"].items()}
        self.outputs = self._run.outputs()

    @property
    def gates_open(self) -> tf.Tensor:
        """Float32 `[parts]`: the share of the streams from which each part learns."""
        return tf.reduce_mean(tf.stack(self._gates), axis=1)

    def learn(self, loss: Callable[[list[tf.Tensor]], tf.Tensor]) -> tuple[list, tf.Tensor]:
        """Gradients of what each part is made of, under the loss of the outputs; and the loss."""
        adding = self._plan.graph.pop_losses()
        if adding:
            raise ValueError(
                f"the layers {', '.join(adding)} add losses (an activity regularizer, or add_loss),"
                " one for each step, which Sideways cannot send back in time. Take them out"
            )
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self.outputs)
            value = loss(self.outputs)
        arrived: dict[Place, tf.Tensor] = {("after", s): g for s, g in self._before["sent"].items()}
        upstream = tape.gradient(value, self.outputs)
        for tensor, gradient in zip(self._plan.graph.outputs, upstream, strict=True):
            _add(arrived, ("now", tensor), gradient)
        gradients: list[list[tf.Tensor]] = []
        for index in reversed(range(len(self._parts))):
            gradients.insert(0, self._backward(index, arrived))
        return gradients, value

    def after(self) -> StepperState:
        """The state after the step."""
        after = {
            "slots": self._run.after(),
            "sent": self._sent,
            "counted": self._counted,
            "age": self._before["age"] + 1,
        }
        # Of shapes that a loop may carry, whatever the layers know of the batch.
        return tf.nest.map_structure(lambda x, y: tf.ensure_shape(x, y.shape), after, self._before)

    def _call(self, part: Part) -> "_Call":
        """Runs `part`, under a tape that knows what enters it."""
        run, nodes = self._run, list(part.nodes)
        with tf.device(part.device), tf.GradientTape() as tape:
            # Tensors of this step, or the tape would not see them enter the loop.
            entering = {place: tf.identity(run.values[place]) for place in run.entering(nodes)}
            tape.watch([x for x in entering.values() if x.dtype.is_floating])
            run.values.update(entering)
            run.run(nodes)
        leaving = {place: run.values[place] for place in run.leaving(nodes)}
        return _Call(tape, _floating(entering), _floating(leaving))

    def _backward(self, index: int, arrived: dict[Place, tf.Tensor]) -> list[tf.Tensor]:
        """Gradients of the variables of a part; what goes further is added to what was sent."""
        part, call = self._parts[index], self._calls[index]
        variables = _trained(part.nodes)
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
            for (kind, of), gradient in zip(call.entering, of_entering, strict=True):
                if kind == "before":
                    self._sent[of] += gradient
                else:
                    _add(arrived, (kind, of), gradient)
            return [tf.convert_to_tensor(gradient) for gradient in of_variables]


@dataclasses.dataclass(frozen=True)
class _Call:
    """A part that has run: its tape, and what of floating point entered and left it."""

    tape: tf.GradientTape
    entering: dict[Place, tf.Tensor]
    leaving: dict[Place, tf.Tensor]


def _trained(nodes: tuple[Node, ...]) -> list[keras.Variable]:
    """The variables of `nodes` that are trained, each once."""
    variables = {id(v): v for node in nodes for v in node.variables if v.trainable}
    return list(variables.values())


def _floating(values: dict[Place, tf.Tensor]) -> dict[Place, tf.Tensor]:
    return {place: value for place, value in values.items() if value.dtype.is_floating}


def _add(values: dict[Place, tf.Tensor], place: Place, gradient: tf.Tensor | None) -> None:
    if gradient is not None:
        values[place] = values[place] + gradient if place in values else gradient


def _gated(gradient: tf.Tensor, gate: tf.Tensor) -> tf.Tensor:
    """`gradient` `[B, ...]` of the streams whose gate `[B]` is open, else zero."""
    shape = (-1, *[1] * (gradient.shape.rank - 1))
    return gradient * tf.reshape(tf.cast(gate, gradient.dtype), shape)
