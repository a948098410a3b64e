"""What GPipe and Sideways execute is what their schedules draw."""

from typing import Any

import keras
import pytest
import tensorflow as tf
from keras import layers

from mpvn import Plan
from mpvn.sideways import schedule
from mpvn.sideways.gpipe import gpipe
from mpvn.sideways.schedule import Pass
from mpvn.sideways.stepper import SidewaysStepper


class Recorder(layers.Layer):
    """Returns its input, a frame whose only value is its number, and logs the call."""

    def __init__(self, subnetwork: int, log: list, name: str) -> None:
        super().__init__(name=name)
        self.record = lambda frame: log.append((subnetwork, frame))

    def call(self, inputs: Any) -> Any:
        if tf.executing_eagerly() and not isinstance(inputs, keras.KerasTensor):
            self.record(int(inputs[0, 0]))
        return inputs * 1.0


@pytest.mark.parametrize("head", [False, True])
@pytest.mark.parametrize("subnetworks, frames", [(1, 3), (3, 4), (4, 2)])
def test_gpipe(subnetworks: int, frames: int, head: bool) -> None:
    """Forward passes run in the drawn order; backward, all drawn passes, after those they need."""
    log: list[tuple[int, int]] = []
    x = frame = keras.Input((1,))
    for index in range(subnetworks):
        x = Recorder(index, log, f"s{index}")(x)
    if head:  # the head runs with the last subnetwork
        x = layers.ReLU(name="head")(x)
    model = keras.Model(frame, x)
    boundaries = [f"s{index}" for index in range(1, subnetworks)]
    plan = Plan(model, boundaries=boundaries, head="head" if head else None)
    clip = tf.reshape(tf.range(1.0, frames + 1), (1, frames, 1))
    log.clear()
    with tf.GradientTape() as tape:
        tape.watch(clip)
        (outputs,) = gpipe(plan, [clip], training=True)
    forward = log.copy()
    log.clear()
    tape.gradient(outputs, clip)
    drawn = schedule.gpipe(subnetworks, frames)
    assert forward == [(s, task.frame) for s, task in drawn.passes() if not task.backward]
    backward = [(s, task.frame) for s, task in drawn.passes() if task.backward]
    assert sorted(log) == sorted(backward)
    for s, number in log:
        if s < subnetworks - 1:
            assert log.index((s + 1, number)) < log.index((s, number))


@pytest.mark.parametrize("subnetworks, frames", [(1, 2), (2, 4), (3, 7)])
def test_sideways(subnetworks: int, frames: int) -> None:
    """Frame t is the number t, and so is the gradient of its loss: they tell which one is where."""
    x = frame = keras.Input((1,))
    for index in range(subnetworks):
        x = layers.Dense(1, use_bias=False, kernel_initializer="ones", name=f"s{index}")(x)
    model = keras.Model(frame, x)
    plan = Plan(model, boundaries=[f"s{index}" for index in range(1, subnetworks)])
    stepper = SidewaysStepper(plan)

    @tf.function(autograph=False)
    def run(frame, state):
        loss = lambda time, outputs, counted: tf.reduce_sum(outputs[0] ** 2 / 2)  # noqa: E731
        result = stepper.scan([frame], tf.ones((1, 1)), state, loss)
        return result.gradients, result.learned, result.state

    state = stepper.initial(1)
    executed: list[list[Pass | None]] = [[] for _ in range(subnetworks)]
    for step in range(1, frames + 1):
        inputs = [step, *(int(slot[0, 0]) for slot in state["slots"].values())]
        gradients, learned, state = run(tf.fill((1, 1, 1), float(step)), state)
        for s, row in enumerate(executed):
            row.append(Pass(inputs[s], backward=False) if inputs[s] else None)
            # The kernel's gradient is that of the output times the input.
            gradient = int(gradients[s][0][0, 0]) // max(inputs[s], 1)
            row.append(Pass(gradient, backward=True) if learned[s] else None)
    drawn = schedule.sideways(subnetworks, frames)
    assert executed == [list(row[: 2 * frames]) for row in drawn.cells]
