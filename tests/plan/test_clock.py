"""Clocks against hand counts."""

from mpvn import Clock


def test_clocks_tick_at_their_phase() -> None:
    clock = Clock(3, 1)
    assert [t for t in range(8) if clock.ticks(t)] == [1, 4, 7]
    assert [clock.last(t) for t in (1, 2, 3, 4)] == [1, 1, 1, 4]
    assert [clock.count(n) for n in range(6)] == [0, 0, 1, 1, 1, 2]


def test_a_clock_is_within_another_that_ticks_whenever_it_does() -> None:
    assert Clock(6, 4).within(Clock(3, 1))
    assert not Clock(6, 3).within(Clock(3, 1))


def test_a_clock_can_count_from_a_later_step() -> None:
    assert [t for t in range(6) if Clock(3, 1).starting_at(2).ticks(t)] == [2, 5]
