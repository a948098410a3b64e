"""Creates compiled networks and their runtimes from settings, which it checks."""

from typing import NamedTuple

from mpvn.machine import usable_cores
from mpvn.plan import Plan
from mpvn.runtime.compiled import CompiledNetwork
from mpvn.runtime.on_openvino import OpenVINORuntime
from mpvn.runtime.on_tensorflow import TensorFlowRuntime
from mpvn.runtime.program import widths
from mpvn.runtime.runtime import Runtime
from mpvn.runtime.unit import DIVISIONS

RUNTIMES = ("tensorflow", "openvino")
PRECISIONS = ("float32", "bfloat16")
PARALLEL = (None, True, False)


class Settings(NamedTuple):
    """How to compile a network; see `VideoNetwork.compile_inference`."""

    runtime: str
    precision: str = "float32"
    threads: int | None = None
    batch: int = 1
    units: str | None = None
    clip: int | None = None
    parallel: bool | None = None


def create_network(plan: Plan, start: str, settings: Settings) -> CompiledNetwork:
    """Compile a network.

    Args:
        plan: its plan.
        start: what memories hold before the first step, `"zeros"` or `"primed"`.
        settings: how to compile it, with a runtime of `RUNTIMES`.
    """
    runtime, precision, threads, batch, units, clip, parallel = settings
    check_choice("units", units, (None, *DIVISIONS))
    check_choice("parallel", parallel, PARALLEL)
    check_periods("clip", plan, clip)
    by_pattern = runtime == "tensorflow" and not parallel
    division = units or ("pattern" if by_pattern else "block")
    workers, at_once = count_workers(plan, start, division, threads) if parallel else (1, None)
    if at_once and clip:
        at_once = 1  # a clip is one unit, which needs all threads
    library = create_runtime(plan, runtime, precision, threads, batch, at_once)
    return CompiledNetwork(plan, start, library, division, clip=clip, workers=workers)


def count_workers(plan: Plan, start: str, division: str, threads: int | None) -> tuple[int, int]:
    """Return how many units may run at once, and how many do in the step with the fewest.

    Args:
        plan, start, division: as in `CompiledNetwork`.
        threads: number of threads; None for all cores.
    """
    check_positive("threads", threads, "or None")
    workers = threads or usable_cores()
    return workers, min(workers, *widths(plan, start, division))


def create_runtime(
    plan: Plan,
    runtime: str = "tensorflow",
    precision: str = "float32",
    threads: int | None = None,
    batch: int = 1,
    at_once: int | None = None,
) -> Runtime:
    """Return what compiles the units of a plan; see `VideoNetwork.compile_inference`."""
    check_choice("runtime", runtime, RUNTIMES)
    check_choice("precision", precision, PRECISIONS)
    check_positive("threads", threads, "or None")
    check_positive("batch", batch)
    if runtime == "tensorflow":
        return TensorFlowRuntime(precision, threads)
    return OpenVINORuntime(plan, precision, threads, batch, at_once=at_once)


def check_choice(name: str, value: object, known: tuple) -> None:
    """Raise ValueError if the setting `name` is not one of the `known` values."""
    if value not in known:
        raise ValueError(f"Invalid {name}. Expected one of {known}. Received: {value!r}.")


def check_periods(name: str, plan: Plan, steps: int | None) -> None:
    """Raise ValueError if the setting `name` is not None, or the steps of whole periods."""
    check_positive(name, steps, "or None")
    if steps and steps % plan.period:
        below = steps - steps % plan.period
        nearest = f"{below} or {below + plan.period}" if below else str(plan.period)
        raise ValueError(
            f"Invalid {name}. Expected whole periods, a multiple of {plan.period} frames. "
            f"Received: {steps}. Use {nearest}."
        )


def check_positive(name: str, value: object, also: str = "") -> None:
    """Raise ValueError if the setting `name` is not a positive int, or None if that is `also`."""
    if value is None and also:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        expected = f"a positive int {also}".rstrip()
        raise ValueError(f"Invalid {name}. Expected {expected}. Received: {value!r}.")
