"""Chooses the runtime of a compiled network and checks its settings."""

from mpvn.plan import Plan
from mpvn.runtime.compiled import CompiledNetwork
from mpvn.runtime.on_openvino import OpenVINORuntime
from mpvn.runtime.on_tensorflow import TensorFlowRuntime
from mpvn.runtime.runtime import Runtime
from mpvn.runtime.unit import DIVISIONS

RUNTIMES = ("tensorflow", "openvino")
PRECISIONS = ("float32", "bfloat16")


def compile_network(
    plan: Plan,
    start: str = "zeros",
    runtime: str = "tensorflow",
    precision: str = "float32",
    threads: int | None = None,
    batch: int = 1,
    units: str | None = None,
) -> CompiledNetwork:
    """Compile the network of a plan; see `VideoNetwork.compile_inference` for the arguments."""
    _check("units", units, (None, *DIVISIONS))
    library = create_runtime(plan, runtime, precision, threads, batch)
    division = units or ("pattern" if runtime == "tensorflow" else "block")
    return CompiledNetwork(plan, start, library, division)


def create_runtime(
    plan: Plan,
    runtime: str = "tensorflow",
    precision: str = "float32",
    threads: int | None = None,
    batch: int = 1,
) -> Runtime:
    """Return what compiles the units of a plan; see `VideoNetwork.compile_inference`."""
    _check("runtime", runtime, RUNTIMES)
    _check("precision", precision, PRECISIONS)
    _check_positive("threads", threads, "or None")
    _check_positive("batch", batch)
    if runtime == "tensorflow":
        return TensorFlowRuntime(precision, threads)
    return OpenVINORuntime(plan, precision, threads, batch)


def _check(name: str, value: object, known: tuple) -> None:
    if value not in known:
        raise ValueError(f"Invalid {name}. Expected one of {known}. Received: {value!r}.")


def _check_positive(name: str, value: object, also: str = "") -> None:
    if value is None and also:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        expected = f"a positive int {also}".rstrip()
        raise ValueError(f"Invalid {name}. Expected {expected}. Received: {value!r}.")
