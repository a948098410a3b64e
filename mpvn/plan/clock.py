"""Clocks: the steps at which a node computes."""

import math
from collections.abc import Iterable
from typing import NamedTuple


class Clock(NamedTuple):
    """Ticks at every step `t` with `t % rate == phase`. A node holds its value between ticks."""

    rate: int
    phase: int = 0

    def ticks(self, step):
        """Return whether the clock ticks at `step` (an int, or an integer tensor)."""
        return step % self.rate == self.phase

    def last(self, step: int) -> int:
        """Return the last tick at or before `step`."""
        return step - (step - self.phase) % self.rate

    def within(self, other: "Clock") -> bool:
        """Return whether `other` ticks whenever this clock does."""
        return self.rate % other.rate == 0 and self.phase % other.rate == other.phase

    def starting_at(self, step: int) -> "Clock":
        """Return the same clock with steps counted from `step`."""
        return Clock(self.rate, (self.phase - step) % self.rate)

    def count(self, steps):
        """Return the number of ticks in the first `steps` steps (an int, or an integer tensor)."""
        return (steps - self.phase + self.rate - 1) // self.rate


EVERY_STEP = Clock(1, 0)


def period(clocks: Iterable[Clock]) -> int:
    """Return the number of steps after which all `clocks` repeat."""
    return math.lcm(1, *(clock.rate for clock in clocks))
