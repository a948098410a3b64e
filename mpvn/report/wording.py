"""Numbers, names and clocks as text, the same in all figures and in the summary."""

from mpvn.plan.clock import Clock


def percent(share: float) -> str:
    """Return `share` in percent, without the percent sign."""
    return "<1" if 0 < share < 0.005 else f"{100 * share:.0f}"


def count(number: int, noun: str) -> str:
    """Return `number` and `noun`, in the plural unless the number is 1."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def milliseconds(value: float) -> str:
    """Return `value` milliseconds with at least three significant digits."""
    decimals = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{decimals}f} ms"


def shortened(text: str, length: int) -> str:
    """Return `text`, cut to `length` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def clock_phrases(clock: Clock) -> list[str]:
    """Return descriptions of a clock, from the longest to the shortest."""
    if clock.rate == 1:
        return ["every step", "each"]
    every = f"every {_ordinal(clock.rate)}"
    start = f"from {clock.phase}"
    return [f"{every} step, {start}", f"{every}, {start}", every, _ordinal(clock.rate)]


def _ordinal(number: int) -> str:
    endings = {1: "st", 2: "nd", 3: "rd"}
    is_teen = number % 100 in (11, 12, 13)
    return f"{number}{'th' if is_teen else endings.get(number % 10, 'th')}"
