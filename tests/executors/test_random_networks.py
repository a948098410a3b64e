"""Random networks with random subnetworks, clocks, phases, and heads follow the NumPy reference.

The environment variable MPVN_EXAMPLES sets the number of random networks for each law.
"""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from network_data import to_keras
from random_networks import lowest_rate, networks, settings_for
from subject_gradients import assert_gradients_follow_reference
from subject_resets import (
    assert_joining_streams_follow_reference,
    expected_with_resets,
    run_with_resets,
)
from video_subject import Subject, assert_follows_reference, assert_same, build_subject

import mpvn

pytestmark = pytest.mark.usefixtures("double_precision")

random_examples = settings(
    max_examples=int(os.environ.get("MPVN_EXAMPLES", "8")),
    deadline=None,  # the first example compiles
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def random_subject(data: st.DataObject) -> Subject:
    """Draw a network with a random plan."""
    network = data.draw(networks())
    order = mpvn.Plan(to_keras(network)).nodes
    return build_subject(network, data.draw(settings_for(network, order)))


@random_examples
@given(st.data())
def test_random_network_follows_reference(data: st.DataObject) -> None:
    subject = random_subject(data)
    steps = data.draw(st.integers(1, 9), label="steps")
    phase = data.draw(st.sampled_from([0, 0, *range(1, subject.plan.period)]), label="phase")
    cuts = data.draw(st.sets(st.integers(1, steps - 1), max_size=2)) if steps > 1 else set()
    batch_size = data.draw(st.integers(1, 3), label="batch size")
    assert_follows_reference(subject, batch_size, steps, phase, tuple(sorted(cuts)))


@random_examples
@given(st.data())
def test_plan_is_as_requested(data: st.DataObject) -> None:
    """The reference takes subnetworks and clocks from the plan, so the plan must be right."""
    network = data.draw(networks())
    model = to_keras(network)
    order = mpvn.Plan(model).nodes
    arguments = data.draw(settings_for(network, order))
    plan = mpvn.Plan(model, **arguments.plan_arguments())
    nodes = {node.name: node for node in network.flat}
    assert tuple(plan.nodes) == tuple(order)
    in_head = order.index(arguments.head) if arguments.head else len(order)
    index = 0
    for position, name in enumerate(order):
        index += name in (arguments.boundaries or ())
        if position < in_head and name in nodes:
            expected = arguments.assignment[name] if arguments.assignment else index
            assert plan.subnetwork_of[name] == expected, name
    named = arguments.clocks if isinstance(arguments.clocks, dict) else {}
    rates: dict[str, int] = {}
    for node in network.flat:
        clock = plan.clock_of[node.name]
        if order.index(node.name) >= in_head:
            assert (clock.rate, clock.phase) == (1, 0), node.name
            rates[node.name] = 1
            continue
        lowest, _ = lowest_rate(nodes, rates, node)
        rates[node.name] = named.get(node.name, lowest * node.temporal_stride)
        assert clock.rate == rates[node.name], node.name
        if arguments.phases == "aligned":
            assert clock.phase == 0, node.name
        elif isinstance(arguments.phases, dict):
            assert clock.phase == arguments.phases[node.name], node.name


@random_examples
@given(st.data())
def test_gradients_of_random_network_follow_reference(data: st.DataObject) -> None:
    subject = random_subject(data)
    steps = data.draw(st.integers(1, 7), label="steps")
    assert_gradients_follow_reference(subject, 2, steps)


@random_examples
@given(st.data())
def test_streams_of_any_age_equal_each_stream_alone(data: st.DataObject) -> None:
    """Streams of a batch start at different steps and are reset at different times."""
    subject = random_subject(data)
    batch_size, steps = 3, data.draw(st.integers(2, 9), label="steps")
    phases = [data.draw(st.integers(0, subject.plan.period - 1), label="phase") for _ in range(3)]
    resets = data.draw(
        st.dictionaries(
            st.integers(0, steps - 1),
            st.lists(st.booleans(), min_size=batch_size, max_size=batch_size),
            min_size=1,
            max_size=3,
        ),
        label="streams that are reset before a step",
    )
    clips = subject.network.clips(batch_size, steps, seed=steps)
    assert_same(
        run_with_resets(subject, clips, resets, phases, data.draw(st.booleans())),
        expected_with_resets(subject, clips, resets, phases),
        f"phases {phases}, resets {resets}",
    )


@random_examples
@given(st.data())
def test_streams_that_join_a_batch_equal_each_stream_alone(data: st.DataObject) -> None:
    subject = random_subject(data)
    steps = data.draw(st.integers(1, 6), label="steps")
    joins = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=4), label="joins")
    stays = [(join, join + data.draw(st.integers(1, steps), label="stay")) for join in joins]
    clips = subject.network.clips(len(stays), steps, seed=steps)
    assert_joining_streams_follow_reference(subject, clips, stays)
