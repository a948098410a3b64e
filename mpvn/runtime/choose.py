"""Compiles a network for what runs it fastest on this machine, found by trying.

A choice is kept in the cache (`mpvn.runtime.cache`), under all that it depends on: the nodes and
their sizes, the plan, the settings, the machine and the versions. What was measured while other
processes used the cores is not kept.
"""

import json
import time
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpvn.machine import QUIET, OtherProcesses, environment, usable_cores
from mpvn.plan import Plan
from mpvn.runtime.cache import content_key, read_cached, write_cached
from mpvn.runtime.calibration import Calibration
from mpvn.runtime.compiled import CompiledNetwork
from mpvn.runtime.create import (
    PARALLEL,
    PRECISIONS,
    RUNTIMES,
    Settings,
    check_choice,
    check_positive,
    create_network,
)
from mpvn.runtime.int8 import compile_int8
from mpvn.runtime.measure import time_period
from mpvn.runtime.openvino_models import import_openvino
from mpvn.runtime.profile import structure
from mpvn.runtime.program import widths
from mpvn.runtime.unit import divide

SECONDS = 2.0
"""How long to measure, after all candidates are compiled."""

_CANDIDATES = (
    ("openvino", "block", False),
    ("openvino", "pattern", False),
    ("tensorflow", "pattern", False),
    ("openvino", "block", True),
    ("tensorflow", "block", True),
)
"""Runtimes, units, and whether units run in parallel."""

_MOST_PATTERNS = 32  # each is compiled
_ROUNDS = 3  # at least
_MOST_STEPS = 64  # of a period


def compile_network(
    plan: Plan, start: str, settings: Settings, calibration: Any = None
) -> CompiledNetwork:
    """Compile the network of a plan.

    Args:
        plan: the plan.
        start: what memories hold before the first step, `"zeros"` or `"primed"`.
        settings, calibration: as in `VideoNetwork.compile_inference`.
    """
    check_choice("runtime", settings.runtime, ("auto", *RUNTIMES))
    check_choice("precision", settings.precision, (*PRECISIONS, "int8"))
    check_choice("parallel", settings.parallel, PARALLEL)
    check_positive("clip", settings.clip, "or None")
    if settings.precision == "int8":
        check_choice("runtime for precision='int8'", settings.runtime, ("auto", "openvino"))
        return compile_int8(plan, start, settings, Calibration.of(calibration))
    if calibration is not None:
        raise ValueError(
            "Calibration measures ranges for int8. Expected precision='int8' beside it. Received: "
            f"precision={settings.precision!r}. Leave calibration out."
        )
    if settings.runtime != "auto":
        return create_network(plan, start, settings)
    given, settings = settings, settings._replace(clip=None)  # steps are measured
    kept = kept_choice(plan, start, settings)
    if kept:
        return create_network(plan, start, _chosen(kept, given))
    others = OtherProcesses()
    compiled = _compiled(plan, start, settings)
    single = len(compiled) == 1
    speeds = dict.fromkeys(compiled, 0.0) if single else measure_speeds(compiled, settings.batch)
    fastest = max(speeds, key=lambda candidate: speeds[candidate])
    if not single and keras.config.is_interactive_logging_enabled():
        print(_description(plan, speeds))
    if others.share() <= QUIET:
        keep_choice(plan, start, settings, fastest)
    if given.clip:
        return create_network(plan, start, _chosen(fastest, given))
    return compiled[fastest]


def _chosen(fastest: Settings, given: Settings) -> Settings:
    """Return what is fastest; for clips, its runtime, because units matter in another way there."""
    return given._replace(runtime=fastest.runtime) if given.clip else fastest


def kept_choice(plan: Plan, start: str, settings: Settings) -> Settings | None:
    """Return what was fastest when it was measured; None if it was not, or not on this machine.

    Args:
        plan: the plan of a network.
        start: what its memories hold before the first step.
        settings: how it is to be compiled, with the runtime `"auto"`.
    """
    kept = json.loads(read_cached(_key(plan, start, settings)) or "null")
    return settings._replace(**kept) if kept else None


def keep_choice(plan: Plan, start: str, settings: Settings, fastest: Settings) -> None:
    """Keep the settings that were the fastest of all `candidates`; see `kept_choice`."""
    choice = {key: getattr(fastest, key) for key in ("runtime", "units", "parallel")}
    write_cached(_key(plan, start, settings), json.dumps(choice).encode())


def _key(plan: Plan, start: str, settings: Settings) -> str:
    _has_openvino()  # whose version is a part of the environment once it is imported
    context = plan.get_config(), start, settings, environment()
    return content_key(["choice", *structure(plan.graph), json.dumps(context, sort_keys=True)])


def measure_speeds(
    compiled: Mapping[Settings, CompiledNetwork], streams: int, seconds: float = SECONDS
) -> dict[Settings, float]:
    """Return the frames per second of each compiled network.

    The networks run in turns, a period each. The best time of each step of a period counts, because
    others can only make it longer.
    """
    best: dict[Settings, np.ndarray] = {}
    begin, rounds = time.perf_counter(), 0
    while rounds < _ROUNDS or time.perf_counter() < begin + seconds:
        for settings, network in compiled.items():
            times = time_period(network, streams, _MOST_STEPS)
            best[settings] = np.minimum(best.get(settings, times), times)
        rounds += 1
    return {settings: streams * len(times) / times.sum() for settings, times in best.items()}


def _has_openvino() -> bool:
    try:
        import_openvino()
    except ImportError:
        return False
    return True


def candidates(plan: Plan, start: str, settings: Settings) -> list[Settings]:
    """Return the ways to compile a network that are worth to be measured.

    Args:
        plan, start, settings: as in `kept_choice`.
    """
    steps = range(plan.settled_step + 1 + plan.period)
    patterns = {unit for step in steps for unit in divide(plan, start, "pattern")(step)}
    wanted = settings.parallel
    if plan.several_devices:
        return [
            settings._replace(runtime="tensorflow", units="block", parallel=wanted is not False)
        ]
    ways = [
        (runtime, units, parallel if wanted is None else wanted)
        for runtime, units, parallel in _CANDIDATES
        if not parallel or (wanted is None and _is_parallel(plan, start, settings.threads))
    ]
    return [
        settings._replace(runtime=runtime, units=units, parallel=parallel)
        for runtime, units, parallel in ways
        if (runtime != "openvino" or runs_on_openvino(plan))
        and settings.units in (None, units)
        and not (units == "pattern" and runtime == "openvino" and len(patterns) > _MOST_PATTERNS)
    ]


def _is_parallel(plan: Plan, start: str, threads: int | None) -> bool:
    """Return whether blocks can run at once: there are cores, and some block needs no other."""
    cores = min(threads or usable_cores(), usable_cores())
    return cores > 1 and max(widths(plan, start, "block")) > 1


def runs_on_openvino(plan: Plan) -> bool:
    """Return whether OpenVINO is installed and the network may stay on the CPU."""
    has_devices = any(plan.devices) or bool(tf.config.list_physical_devices("GPU"))
    return not has_devices and _has_openvino()


def _compiled(plan: Plan, start: str, settings: Settings) -> dict[Settings, CompiledNetwork]:
    """Return the network compiled in each way that is possible.

    Raises:
        ValueError: none is.
    """
    compiled, refused = {}, []
    for candidate in candidates(plan, start, settings):
        try:
            compiled[candidate] = create_network(plan, start, candidate)
        except ValueError as error:
            refused.append(str(error))
    if not compiled:
        reasons = " ".join(dict.fromkeys(refused)) or f"Received: units={settings.units!r}."
        raise ValueError(f"No runtime of {RUNTIMES} can run the network. {reasons}")
    return compiled


def _description(plan: Plan, speeds: Mapping[Settings, float]) -> str:
    """Return what was measured as text, the fastest first."""
    fastest, *others = sorted(speeds, key=lambda candidate: -speeds[candidate])
    rest = "; ".join(f"{_name(s)}: {speeds[s]:.1f}" for s in others)
    return (
        f"{plan.graph.model.name} runs on {_name(fastest)}: {speeds[fastest]:.1f} frames/s ({rest})"
    )


def _name(settings: Settings) -> str:
    at_once = ", in parallel" if settings.parallel else ""
    return f"{settings.runtime}, one unit for each {settings.units}{at_once}"
