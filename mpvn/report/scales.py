"""Round numbers for axes."""

import math


def round_numbers(high: float, max_count: int) -> list[float]:
    """Return at most about `max_count` round numbers from 0 to `high`."""
    if high <= 0:
        return [0.0]
    power = 10.0 ** math.floor(math.log10(high / max_count))
    unit = next(power * m for m in (1, 2, 5, 10) if high / (power * m) <= max_count)
    return [unit * number for number in range(int(high / unit + 1e-9) + 1)]
