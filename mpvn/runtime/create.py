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
    check_positive("clip", clip, "or None")
    if parallel is None and plan.several_devices:
        settings = settings._replace(parallel=True)
    by_pattern = runtime == "tensorflow" and not (settings.parallel or clip)
    division = units or ("pattern" if by_pattern else "block")
    workers, at_once = count_workers(plan, start, division, settings)
    library = create_runtime(plan, runtime, precision, threads, batch, at_once, clip or 1)
    return CompiledNetwork(plan, start, library, division, clip=clip or 1, workers=workers)


def count_workers(
    plan: Plan, start: str, division: str, settings: Settings
) -> tuple[int, int | None]:
    """Return how many units may run at once, and how many always do.

    Args:
        plan, start, division: as in `CompiledNetwork`.
        settings: how to compile the network.

    Returns:
        The number of workers, two for each of several devices; and how many of them have work in a
        clip, or else in the step with the least. None if that is not known; 1 and None if units run
        one after the other.
    """
    check_positive("threads", settings.threads, "or None")
    if not (settings.parallel or settings.clip):
        return 1, None
    if plan.several_devices:
        return 2 * len({*plan.devices}), None
    workers = settings.threads or usable_cores()
    return workers, min(workers, *widths(plan, start, division, settings.clip))


def create_runtime(
    plan: Plan,
    runtime: str = "tensorflow",
    precision: str = "float32",
    threads: int | None = None,
    batch: int = 1,
    at_once: int | None = None,
    clip: int = 1,
) -> Runtime:
    """Return what compiles the units of a plan; see `VideoNetwork.compile_inference`."""
    check_choice("runtime", runtime, RUNTIMES)
    check_choice("precision", precision, PRECISIONS)
    check_positive("threads", threads, "or None")
    check_positive("batch", batch)
    if runtime == "tensorflow":
        return TensorFlowRuntime(precision, threads)
    return OpenVINORuntime(plan, precision, threads, batch, at_once=at_once, clip=clip)


def check_choice(name: str, value: object, known: tuple) -> None:
    """Raise ValueError if the setting `name` is not one of the `known` values."""
    if value not in known:
        raise ValueError(f"Invalid {name}. Expected one of {known}. Received: {value!r}.")


def check_positive(name: str, value: object, also: str = "") -> None:
    """Raise ValueError if the setting `name` is not a positive int, or None if that is `also`."""
    if value is None and also:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        expected = f"a positive int {also}".rstrip()
        raise ValueError(f"Invalid {name}. Expected {expected}. Received: {value!r}.")
