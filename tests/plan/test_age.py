"""Ages, receptive fields and unread ticks, by hand and from what networks compute."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from random_weights import randomize
from small_models import causal, causal_row, chain, looping, skipping

from mpvn import Clock, Plan, VideoNetwork
from mpvn.plan import age
from mpvn.plan.lanes import lane_ages


def test_information_latency_counts_boundaries_on_the_fastest_and_slowest_path() -> None:
    assert Plan(chain(2, 2, 2)).information_latency == (0, 0)
    assert Plan(chain(2, 2, 2), 3).information_latency == (2, 2)
    assert Plan(skipping(), 4).information_latency == (1, 3)


def test_ages_by_hand() -> None:
    """c0 ticks at every step. c1 ticks at odd steps and reads c0 one step late.

    At step 1, c1 computes from frame 0 and still holds it at step 2. c2 reads c1 one step late.
    """
    plan = Plan(chain(2, 2, 2), 3, clocks=[1, 2, 2])
    assert plan.clock_of["c2"] == Clock(2, 0)
    assert plan.age_of("c0").newest == (0, 0)
    assert plan.age_of("c1").newest == (2, 1)
    assert plan.age_of("c2").newest == (2, 3)
    assert plan.ages["c2"].oldest == (2, 3)
    assert (plan.ages["c2"].mean, plan.ages["c2"].worst) == (2.5, 3)
    assert [lane_ages(plan, lane) for lane in range(3)] == [[0, 0], [None, 1], [2, None]]


def test_aligned_clocks_have_older_information() -> None:
    plan = Plan(chain(2, 2, 2), 3, clocks=[1, 2, 2], phases="aligned")
    assert plan.age_of("c1").newest == (1, 2)
    assert plan.age_of("c2").newest == (3, 4)


def test_a_skip_connection_has_newer_information_than_the_path_around_it() -> None:
    ages = Plan(skipping(), 4).ages["sum"]
    assert (ages.newest, ages.oldest) == ((1,), (3,))


def test_ages_equal_the_delay_of_frame_numbers() -> None:
    """With identity layers, each output is the number of a frame, as old as the plan says."""
    model = chain(1, 1, 1, 1, size=1, channels=1)
    for layer in model.layers[1:]:
        layer.set_weights([np.ones((1, 1, 1, 1)), np.zeros(1)])
    plan = Plan(model, 3, clocks=[1, 2, 6], phases="chain")
    numbers = np.arange(36, dtype="float32").reshape(1, 36, 1, 1, 1)
    outputs = np.asarray(VideoNetwork(model, plan)(numbers)).ravel()
    np.testing.assert_array_equal((np.arange(36) - outputs)[-6:], plan.ages["c3"].newest)


@pytest.mark.parametrize(
    "stack",
    [((3, 1),), ((3, 1), (2, 1), (4, 1)), ((3, 2), (2, 2), (3, 1)), ((2, 3), (4, 1)), ((1, 2),)],
)
def test_receptive_field_is_the_sum_of_products_of_strides(stack: tuple) -> None:
    """1 + sum of (kernel - 1) times the strides below, at the steps where everything ticks."""
    expected, jump = 1, 1
    for kernel, stride in stack:
        expected += (kernel - 1) * jump
        jump *= stride
    assert Plan(causal(*stack)).receptive_field == expected


def test_receptive_field_equals_the_range_of_the_gradient(rng: np.random.Generator) -> None:
    model = causal((3, 2), (2, 1), (2, 2))
    network = VideoNetwork(model, Plan(model, 2))
    randomize(network, rng)
    clip = tf.constant(rng.normal(size=(1, 24, 4, 4, 1)), "float32")
    with tf.GradientTape() as tape:
        tape.watch(clip)
        loss = tf.reduce_sum(network(clip)[:, -1] ** 2)
    reached = np.flatnonzero(np.abs(tape.gradient(loss, clip)).sum(axis=(0, 2, 3, 4)))
    assert reached[-1] - reached[0] + 1 == network.plan.receptive_field


def test_receptive_field_with_feedback_has_no_bound() -> None:
    assert Plan(looping()).receptive_field is None


@pytest.mark.parametrize(
    ("build", "subnetworks", "clocks", "unread"),
    [
        (lambda: chain(2, 2, 2), 1, [1], [0, 0, 0]),
        (lambda: chain(2, 2, 2), 1, {"c1": 2, "c2": 4}, [3, 1, 0]),  # of 4, 2, 1 ticks in 4 steps
        (lambda: chain(2, 2, 2), 3, [1, 2, 4], [3, 1, 0]),
        (skipping, 1, {"c1": 2}, [0, 0, 0, 0]),  # the skip reads c0 at every step
        # The window of t1 holds two ticks of t0.
        (lambda: causal_row((1, 1), (2, 2), (1, 2)), 1, None, [2, 1, 0]),
        (lambda: causal_row((1, 1), (2, 2), (2, 2)), 1, None, [0, 0, 0]),
    ],
)
def test_a_plan_counts_ticks_that_are_never_read(
    build: Callable[[], keras.Model], subnetworks: int, clocks: Any, unread: list[int]
) -> None:
    plan = Plan(build(), subnetworks, clocks=clocks)
    ticks = [plan.period // clock.rate for clock in plan.clock_of.values()]
    read = [len(steps) for steps in age.ticks_read(plan)]
    assert [a - b for a, b in zip(ticks, read, strict=True)] == unread
    wasted = sum(n * cost for n, cost in zip(unread, plan.node_costs, strict=True))
    assert plan.unread_share == pytest.approx(wasted / sum(plan.step_costs))
