"""Simulated training: the schedules' lengths for equal subnetworks, and schedules by hand."""

import itertools

import pytest
from small_models import chain as chain_model
from small_models import skipping

from mpvn import Plan
from mpvn.plan.simulation import Link, Message, Stream, simulate, stream, stream_rate
from mpvn.sideways.schedule import back_propagation, gpipe, sideways
from mpvn.sideways.simulation import (
    Chain,
    back_propagation_works,
    chain,
    gpipe_works,
    sideways_stream,
)

SIZES = list(itertools.product((1, 2, 3, 8), (1, 4, 7)))


def equal(depth: int) -> Chain:
    """A chain whose passes all take one unit of time."""
    return Chain((1.0,) * depth, (1.0,) * depth, (4.0,) * (depth - 1))


@pytest.mark.parametrize(("depth", "frames"), SIZES)
def test_equal_subnetworks_take_as_long_as_the_schedules_say(depth: int, frames: int) -> None:
    devices = range(depth)
    timeline = simulate(back_propagation_works(equal(depth), devices, frames))
    assert timeline.length == back_propagation(depth, frames).length
    assert timeline.busy == dict.fromkeys(devices, 2.0 * frames)
    assert (
        simulate(gpipe_works(equal(depth), devices, frames)).length == gpipe(depth, frames).length
    )
    stepping = sideways_stream(Stream(((1.0,) * depth,)), backward=1.0)
    rate = stream_rate(stepping, devices, chunk=1)
    assert rate == 1 / sideways(depth, frames).units_per_frame


def test_unequal_subnetworks_by_hand() -> None:
    unequal = Chain((1.0, 2.0), (2.0, 4.0), (8.0,))
    # subnetwork 0   f1 f2 .  .  .  .  .  .  .  b2 b2 .  .  b1 b1
    # subnetwork 1      f1 f1 f2 f2 b2 b2 b2 b2 b1 b1 b1 b1
    timeline = simulate(gpipe_works(unequal, [0, 1], 2))
    assert timeline.starts == (0, 1, 1, 3, 5, 9, 9, 13)
    assert timeline.length == 15
    with_link = simulate(gpipe_works(unequal, [0, 1], 2), Link(latency=0.5, per_byte=0.0625))
    assert with_link.length == 15 + 2 * (0.5 + 0.5)  # the first way forward, the last way back
    assert simulate(back_propagation_works(unequal, [0, 1], 2)).length == 2 * (1 + 2 + 4 + 2)
    assert simulate(gpipe_works(unequal.rematerialized, [0, 0], 2)).length == 2 * (3 + 3 + 6)


def test_back_propagation_gains_nothing_by_devices_and_loses_by_messages() -> None:
    four = Chain((1.0, 2.0, 3.0, 1.0), (2.0, 4.0, 6.0, 2.0), (8.0, 4.0, 1.0))
    alone = simulate(back_propagation_works(four, [0] * 4, 5)).length
    assert simulate(back_propagation_works(four, range(4), 5)).length == alone
    slow = simulate(back_propagation_works(four, range(4), 5), Link(1.0, 0.5)).length
    assert slow == alone + 5 * 2 * (3 * 1.0 + 0.5 * (8 + 4 + 1))


@pytest.mark.parametrize("method", [back_propagation_works, gpipe_works])
def test_slower_links_and_passes_take_longer(method) -> None:
    three = Chain((1.0, 2.0, 3.0), (2.0, 4.0, 6.0), (8.0, 8.0))
    lengths = [
        simulate(method(three, range(3), 6), Link(latency, per_byte)).length
        for latency in (0, 1, 5)
        for per_byte in (0, 0.5)
    ]
    assert lengths[0] == min(lengths)
    assert lengths[-1] == max(lengths) > lengths[0]
    assert simulate(method(three.scaled(3), range(3), 6)).length == 3 * lengths[0]
    assert simulate(method(three.rematerialized, range(3), 6)).length > lengths[0]


def test_costs_and_bytes_of_a_plan() -> None:
    found = chain(Plan(chain_model(2, 4, 4), 3), batch=3)
    assert found.forward == (768, 1536, 3072)
    assert found.backward == (1536, 3072, 6144)
    assert found.sizes == (3 * 8 * 8 * 2 * 4, 3 * 8 * 8 * 4 * 4)
    assert chain(Plan(chain_model(2, 4, 4), 1)).sizes == ()


def test_sideways_reaches_the_balance_bound_if_messages_are_free() -> None:
    plan = Plan(chain_model(2, 4, 4), 3)
    source = sideways_stream(stream(plan))
    gain = stream_rate(source, range(3)) / stream_rate(source, [0] * 3)
    assert gain == pytest.approx(1 / plan.balance_bound)


def test_shortcuts_of_skip_sideways_send_in_both_directions() -> None:
    plan = Plan(skipping(), assignment={"c0": 0, "c1": 1, "c2": 2, "sum": 2})
    source = sideways_stream(stream(plan), backward=3.0)
    assert source.costs == ((1024.0, 1024.0, 1024.0),)
    pairs = [(0, 1), (0, 2), (1, 2), (1, 0), (2, 0), (2, 1)]
    assert source.messages == tuple(Message(*pair, 1, (512,)) for pair in pairs)
    # Each of two subnetworks waits for the other's last step, and its answer for the way.
    assert stream_rate(source, range(3), Link(256.0), steps=500) == pytest.approx(
        1 / (1024 + 256), rel=0.01
    )


@pytest.mark.parametrize(
    "plan",
    [
        lambda: Plan(chain_model(2, 4, 4), 3, clocks=[1, 2, 4]),
        lambda: Plan(skipping(), 3),
        lambda: Plan(chain_model(2, 2, 2), 2, head="c2"),
    ],
    ids=["clocks", "skip connection", "fresh head"],
)
def test_chains_alone_can_be_simulated(plan) -> None:
    with pytest.raises(ValueError, match="Expected subnetworks that read the one before them"):
        chain(plan())


def test_an_incomplete_chain_is_refused() -> None:
    with pytest.raises(ValueError, match="Received: 2, 2, and 0"):
        Chain((1.0, 1.0), (1.0, 1.0), ())
