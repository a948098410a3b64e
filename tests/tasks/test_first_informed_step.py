"""The first step at which an output depends on a frame: the plan's answer, and by experiment."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers
from random_weights import randomize
from small_models import causal_row, chain, looping, skipping

import keras_layers
from mpvn import Plan, VideoNetwork


def quick_feedback() -> keras.Model:
    """Build a chain that adds the previous output of `quick`, a layer that reads the frame."""
    x = frame = keras.Input((4, 4, 2), name="frame")
    for index in range(3):
        x = layers.Conv2D(2, 1, name=f"c{index}")(x)
    feedback = keras_layers.Feedback("quick", (4, 4, 2), name="feedback")(x)
    merged = layers.Add(name="merged")([x, feedback])
    quick = layers.Conv2D(2, 1, name="quick")(frame)
    return keras.Model(frame, [merged, quick])


def looking_ahead() -> keras.Model:
    """Build two convolutions and a temporal convolution that looks one tick ahead."""
    frame = keras.Input((4, 4, 2), name="frame")
    x = layers.Conv2D(2, 1, name="c0")(frame)
    x = layers.Conv2D(2, 1, name="c1")(x)
    x = keras_layers.TemporalConv3D(2, (3, 1, 1), temporal_padding="symmetric", name="t")(x)
    return keras.Model(frame, x)


def late_frame() -> keras.Model:
    """Build a chain whose last layer reads the frame as well."""
    frame = keras.Input((4, 4, 2), name="frame")
    x = layers.Conv2D(2, 1, name="c0")(frame)
    x = layers.Conv2D(2, 1, name="c1")(x)
    return keras.Model(frame, layers.Concatenate(name="both")([x, frame]))


CASES: dict[str, tuple[Callable[[], Plan], int]] = {
    "sequential": (lambda: Plan(chain(2, 2)), 0),
    "chain": (lambda: Plan(chain(2, 2, 2, 2), 4), 3),
    "head": (lambda: Plan(chain(2, 2, 2), boundaries=["c1"], head="c2"), 1),
    "skip": (lambda: Plan(skipping(), boundaries=["c1", "c2", "sum"]), 1),
    "frame read late": (lambda: Plan(late_frame(), boundaries=["c1", "both"]), 0),
    "clocks, chain": (lambda: Plan(chain(2, 2, 2), boundaries=["c1", "c2"], clocks=[1, 2, 4]), 2),
    "clocks, aligned": (
        lambda: Plan(chain(2, 2, 2), boundaries=["c1", "c2"], clocks=[1, 2, 4], phases="aligned"),
        4,
    ),
    "clocks, one subnetwork": (
        lambda: Plan(chain(2, 2), clocks={"c0": 4}, phases={"c0": 3, "c1": 3}),
        3,
    ),
    "a late phase": (
        lambda: Plan(chain(2, 2, 2), boundaries=["c1", "c2"], clocks=[3, 3, 3], phases=[2, 0, 2]),
        5,
    ),
    "temporal strides": (lambda: Plan(causal_row((2, 2), (3, 2)), boundaries=["t1"]), 1),
    "strides, aligned": (
        lambda: Plan(causal_row((2, 2), (3, 2)), boundaries=["t1"], phases="aligned"),
        4,
    ),
    "feedback": (lambda: Plan(looping(), boundaries=["opinion"]), 1),
    "quick feedback": (
        lambda: Plan(quick_feedback(), boundaries=["c1", "c2", "feedback"]),
        1,
    ),
    "look ahead": (
        lambda: Plan(looking_ahead(), clocks={"c0": 4}, phases={"c0": 1, "c1": 1, "t": 3}),
        3,
    ),
}


def test_a_layer_that_looks_ahead_is_informed_before_its_input() -> None:
    """At step 1, layer t reads the tick of step 3, the first tick of its input."""
    plan = Plan(looking_ahead(), clocks={"c0": 4}, phases={"c0": 3, "c1": 3, "t": 1})
    assert plan.first_informed_step == 1


@pytest.mark.parametrize("name", CASES)
def test_outputs_depend_on_frames_from_the_first_informed_step_on(
    name: str, rng: np.random.Generator
) -> None:
    """Until then, a clip of zeros and a clip of noise have the same outputs."""
    make, expected = CASES[name]
    plan = make()
    assert plan.first_informed_step == expected
    randomize(plan.graph.model, rng)
    network = VideoNetwork(plan.graph.model, plan)
    noise = rng.normal(size=(1, 10, *plan.graph.tensors[plan.graph.inputs[0]].shape))
    differs = [
        np.any(np.abs(np.subtract(one, other)) > 1e-6, axis=(0, 2, 3, 4))
        for one, other in zip(
            keras.tree.flatten(network(noise.astype("float32"))),
            keras.tree.flatten(network(np.zeros_like(noise, "float32"))),
            strict=True,
        )
    ]
    assert max(int(np.argmax(steps)) for steps in differs) == expected
    assert all(steps.any() for steps in differs)
