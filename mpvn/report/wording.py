"""Numbers and names as the figures and the summary write them, so that all write them alike."""


def percent(share: float) -> str:
    """`share` in percent, without the sign."""
    return "<1" if 0 < share < 0.005 else f"{100 * share:.0f}"


def count(number: int, noun: str) -> str:
    """`number` of what `noun` names."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def milliseconds(value: float) -> str:
    """`value`, which is in milliseconds, with three digits at least."""
    decimals = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{decimals}f} ms"


def size(number: float) -> str:
    """`number` of bytes, with three digits."""
    for unit in ("bytes", "kB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:,.3g} GB"


def shortened(text: str, most: int) -> str:
    """`text`, cut to `most` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"
