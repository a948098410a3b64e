"""What the benchmarks share: taking turns, the machine in words, tables, and where they go."""

import os
import pathlib
import platform
import time
from collections.abc import Callable
from typing import Any


def take_turns(
    runners: dict[str, Callable[[], Any]], steps: int, rounds: int
) -> dict[str, list[float]]:
    """Seconds of `steps` calls of each runner, in turns, after one turn that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    for turn in range(rounds + 1):
        for name, run in runners.items():
            taken = timed(run, steps)
            if turn:
                seconds[name].append(taken)
    return seconds


def timed(call: Callable[[], Any], times: int) -> float:
    """Seconds of `times` calls."""
    start = time.perf_counter()
    for _ in range(times):
        call()
    return time.perf_counter() - start


def environment(started: float, **about: Any) -> dict[str, Any]:
    """In what something was measured; `started` by `time.time()`."""
    import keras
    import tensorflow as tf

    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime(started)),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        **about,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "seconds": round(time.time() - started),
    }


def cpu_name() -> str:
    """Model name of the processor."""
    info = pathlib.Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def markdown(rows: list[dict[str, Any]]) -> str:
    """`rows` as a Markdown table."""
    head = "| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0])
    return "\n".join([head, *("| " + " | ".join(map(str, r.values())) + " |" for r in rows)])


def insert_table(readme: pathlib.Path, name: str, result: dict[str, Any]) -> None:
    """Puts rows and environment of `result` between the markers of `name` in a README."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, rest = readme.read_text().split(begin)
    after = rest.split(end)[1]
    about = ", ".join(
        f"{key} {value}"
        if not isinstance(value, dict)
        else ", ".join(f"{inner} {number}" for inner, number in value.items())
        for key, value in result["environment"].items()
    )
    table = f"\n\n{markdown(result['rows'])}\n\n{about}\n\n"
    readme.write_text(f"{before}{begin}{table}{end}{after}")
