"""Clocks: when a node computes."""

import math
from collections.abc import Iterable
from typing import NamedTuple


class Clock(NamedTuple):
    """Ticks at the steps `t` with `t % rate == phase`; between ticks the last value is held."""

    rate: int
    phase: int = 0

    def ticks(self, step):
        """Whether the clock ticks at `step` (an int, or an integer tensor)."""
        return step % self.rate == self.phase

    def last(self, step: int) -> int:
        """The newest tick not after `step`."""
        return step - (step - self.phase) % self.rate

    def within(self, other: "Clock") -> bool:
        """Whether `other` ticks whenever this clock does."""
        return self.rate % other.rate == 0 and self.phase % other.rate == other.phase

    def begun_at(self, phase: int) -> "Clock":
        """The same clock in steps counted from `phase` on."""
        return Clock(self.rate, (self.phase - phase) % self.rate)

    def count(self, steps):
        """Ticks among the first `steps` steps (an int, or an integer tensor)."""
        return (steps - self.phase + self.rate - 1) // self.rate


EVERY_STEP = Clock(1, 0)


def period(clocks: Iterable[Clock]) -> int:
    """Steps after which all `clocks` repeat."""
    return math.lcm(1, *(clock.rate for clock in clocks))
