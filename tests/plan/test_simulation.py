"""Simulated streams: schedules by hand, what free messages reach, and what costs only delay."""

from typing import Any

import pytest
from small_models import chain, looping, skipping

from mpvn import Plan
from mpvn.models import PUBLISHED
from mpvn.plan.simulation import (
    FREE,
    Link,
    Message,
    Reading,
    Stream,
    Work,
    place,
    ring_all_reduce_time,
    simulate,
    stream,
    stream_rate,
    stream_works,
)

TWO = Stream(((3.0, 2.0),), (Message(0, 1, 1, (10.0,)),))
"""Subnetwork 0 takes 3, subnetwork 1 takes 2 and reads ten bytes of the step before."""


def starts(source: Stream, devices: list[int], link: Link = FREE, **options: Any) -> list[tuple]:
    """Return the starts of the subnetworks of four steps, by step."""
    works = stream_works(source, devices, 4, **options)
    timeline = simulate(works, link)
    caller = max(devices) + 1
    pairs = zip(works, timeline.starts, strict=True)
    own = [start for work, start in pairs if work.device != caller]
    columns = (own[lane :: source.subnetworks] for lane in range(source.subnetworks))
    return list(zip(*columns, strict=True))


def test_a_work_waits_for_its_device_and_for_what_travels() -> None:
    works = [Work(0, 4.0), Work(1, 1.0), Work(1, 2.0, (Reading(0, 6.0),)), Work(0, 1.0)]
    timeline = simulate(works, Link(latency=2.0, per_byte=0.5))
    assert timeline.starts == (0.0, 0.0, 4.0 + 2.0 + 3.0, 4.0)
    assert timeline.finishes == (4.0, 1.0, 11.0, 5.0)
    assert (timeline.length, timeline.busy) == (11.0, {0: 5.0, 1: 3.0})


def test_nothing_travels_within_a_device() -> None:
    works = [Work(0, 4.0), Work(0, 2.0, (Reading(0, 6.0),))]
    assert simulate(works, Link(latency=2.0, per_byte=0.5)).starts == (0.0, 4.0)


def test_a_work_cannot_read_what_comes_later() -> None:
    with pytest.raises(ValueError, match="Expected an index below 0. Received: 0"):
        simulate([Work(0, 1.0, (Reading(0),))])


def test_without_waiting_subnetwork_0_runs_ahead() -> None:
    assert starts(TWO, [0, 1]) == [(0, 0), (3, 3), (6, 6), (9, 9)]
    assert starts(TWO, [0, 1], Link(0.5, 0.1)) == [(0.5, 0.5), (3.5, 5), (6.5, 8), (9.5, 11)]


def test_a_step_in_each_chunk_waits_for_all_subnetworks_and_for_the_call() -> None:
    assert starts(TWO, [0, 1], chunk=1) == [(0, 0), (3, 3), (6, 6), (9, 9)]
    # To the caller 0.5, its work 1, and back 0.5: each step takes 3 + 2. What subnetwork 1 reads
    # arrives 1.5 after the step, before it begins.
    steps = starts(TWO, [0, 1], Link(0.5, 0.1), chunk=1, call=1.0)
    assert steps == [(1.5, 1.5), (6.5, 6.5), (11.5, 11.5), (16.5, 16.5)]


def test_chunks_wait_at_their_ends_alone() -> None:
    steps = starts(TWO, [0, 1], Link(0.5), chunk=2)
    assert steps == [(0.5, 0.5), (3.5, 4.0), (7.5, 7.5), (10.5, 11.0)]


def test_subnetworks_on_one_device_take_turns() -> None:
    assert starts(TWO, [0, 0], Link(100.0), chunk=4) == [
        (100, 103),
        (105, 108),
        (110, 113),
        (115, 118),
    ]


def test_clocks_and_bytes_of_a_plan_by_hand() -> None:
    plan = Plan(chain(2, 4, 4), 3, clocks=[1, 2, 4], phases="aligned")
    simulated = stream(plan, batch=3)
    assert simulated.costs == tuple(tuple(3 * c for c in row) for row in plan.costs)
    pixels = 3 * 8 * 8 * 4  # batch, height, width, bytes of a float32
    assert simulated.messages == (
        Message(0, 1, 1, (2 * pixels, 0, 2 * pixels, 0)),
        Message(1, 2, 1, (4 * pixels, 0, 0, 0)),
    )


def test_a_value_that_several_nodes_read_is_received_once() -> None:
    plan = Plan(skipping(), assignment={"c0": 0, "c1": 1, "c2": 2, "sum": 1})
    sizes = {message[:3]: message.sizes for message in stream(plan).messages}
    assert sizes == {(0, 1, 1): (512,), (1, 2, 1): (512,), (2, 1, 1): (512,)}


def test_feedback_travels_back() -> None:
    plan = Plan(looping(), boundaries=["opinion"])
    assert {message[:3] for message in stream(plan).messages} == {(0, 1, 1), (1, 0, 1)}


def test_a_fresh_head_waits_for_the_step() -> None:
    plan = Plan(chain(2, 2, 2), 2, head="c2")
    simulated = stream(plan)
    assert [message[:3] for message in simulated.messages] == [(0, 1, 1), (1, 2, 0)]
    works = stream_works(simulated, [0, 1, 1], 3)
    ends = simulate(works).finishes
    assert ends[3::3] == (512, 1024, 1536)  # the head after subnetwork 1, each 256


@pytest.mark.parametrize("subnetworks", [2, 3, 5])
def test_free_messages_reach_the_balance_bound(subnetworks: int) -> None:
    plan = Plan(chain(2, 4, 6, 3, 5, 2), subnetworks, partition="balanced")
    simulated = stream(plan)
    for chunk in (None, 1):
        parallel = stream_rate(simulated, range(subnetworks), chunk=chunk)
        gain = parallel / stream_rate(simulated, [0] * subnetworks, chunk=chunk)
        assert gain == pytest.approx(1 / plan.balance_bound)


@pytest.mark.parametrize("phases", ["aligned", "chain"])
def test_with_clocks_waiting_costs_the_worst_of_each_step(phases: str) -> None:
    architecture = PUBLISHED["par_densenet"]
    model = architecture.build((64, 64, 3), joints=5, width=0.125)
    plan = architecture.plan(model, 4, phases=phases)
    simulated, steps = stream(plan), 50 * plan.period
    waiting = steps / stream_rate(simulated, range(4), chunk=1, steps=steps)
    assert waiting == pytest.approx(50 * sum(map(max, plan.costs)))
    running = steps / stream_rate(simulated, range(4), steps=steps)
    assert 50 * max(map(sum, zip(*plan.costs, strict=True))) <= running <= waiting


def test_with_clocks_a_pipeline_evens_out_the_steps() -> None:
    simulated = stream(Plan(chain(2, 8), 2, clocks=[1, 2], phases="aligned"))
    assert simulated.costs == ((256, 1024), (256, 0))
    assert 200 / stream_rate(simulated, [0, 1], chunk=1) == 100 * (1024 + 256)
    assert 200 / stream_rate(simulated, [0, 1]) == 100 * 1024


@pytest.mark.parametrize("chunk", [None, 1, 8])
def test_what_costs_more_is_never_faster(chunk: int | None) -> None:
    plan = Plan(chain(2, 4, 6, 3, 5, 2), 5)
    simulated = stream(plan)
    rates = [
        stream_rate(simulated, range(5), Link(latency, per_byte), chunk, call)
        for latency in (0, 100, 10_000)
        for per_byte in (0, 1, 10)
        for call in (0, 500)
    ]
    assert rates[0] == max(rates)
    assert rates[-1] == min(rates) < rates[0]
    slower = stream_rate(simulated.scaled(2), range(5), chunk=chunk)
    assert slower == pytest.approx(rates[0] / 2)


def test_more_devices_are_never_slower_if_messages_are_free() -> None:
    simulated = stream(Plan(chain(2, 4, 6, 3, 5, 2), 5))
    rates = [stream_rate(simulated, place(simulated.loads, number)) for number in range(1, 8)]
    assert rates == sorted(rates)
    assert rates[4] == rates[6] > rates[0]


def test_latency_is_hidden_in_a_pipeline_and_paid_with_feedback() -> None:
    link = Link(latency=5000)
    straight = stream(Plan(chain(2, 2), 2))
    assert stream_rate(straight, [0, 1], link, steps=1000) == pytest.approx(1 / 256, rel=0.05)
    back = stream(Plan(looping(), boundaries=["opinion"]))
    (costs,) = back.costs
    assert stream_rate(back, [0, 1], link, steps=1000) == pytest.approx(
        1 / (5000 + max(costs)), rel=0.05
    )


def test_a_ring_sends_each_part_twice_around() -> None:
    assert ring_all_reduce_time(100.0, 1, Link(3.0, 2.0)) == 0
    assert ring_all_reduce_time(100.0, 4, Link(3.0, 2.0)) == 6 * (3.0 + 25.0 * 2.0)


@pytest.mark.parametrize(
    ("loads", "devices", "expected"),
    [
        ([3, 1, 1, 1], 2, [0, 1, 1, 1]),
        ([1, 1, 1, 1], 3, [0, 1, 1, 2]),
        ([1, 2], 8, [0, 1]),
        ([5], 1, [0]),
    ],
)
def test_places_of_subnetworks(loads: list, devices: int, expected: list) -> None:
    found = place(loads, devices)
    assert len(set(found)) == len(set(expected))
    busiest = [
        max(
            sum(load for load, d in zip(loads, where, strict=True) if d == device)
            for device in where
        )
        for where in (found, expected)
    ]
    assert busiest[0] == busiest[1]
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"devices": [0]}, "Expected one for each of 2 subnetworks"),
        ({"steps": 0}, "Received: steps=0"),
        ({"chunk": 0}, "chunk=0"),
    ],
)
def test_invalid_streams(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stream_works(**{"stream": TWO, "devices": [0, 1], "steps": 4, **options})
