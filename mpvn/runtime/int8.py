"""Networks in int8, quantized on what their streams see.

    clips --> stream in float32 --> samples --> units in int8 (or as they were) --> network
                      |                                                                |
                      +---------------> outputs of held-out steps <--------------------+

What stays as it was computes in bfloat16 where the CPU has it. Units and report are kept on disk: a
second start streams no clip.
"""

import functools
import itertools
import json
from collections.abc import Mapping

import keras

from mpvn.plan import Plan
from mpvn.runtime.cache import content_key, read_cached, write_cached
from mpvn.runtime.calibration import Calibration, Clips, held_out
from mpvn.runtime.compiled import CompiledNetwork, freeze_units
from mpvn.runtime.create import Settings, check_choice, check_positive, count_workers
from mpvn.runtime.freeze import Frozen
from mpvn.runtime.nncf_models import nncf_version
from mpvn.runtime.on_openvino import OpenVINORuntime
from mpvn.runtime.openvino_models import computes_in_bfloat16, openvino_core
from mpvn.runtime.quantization import Change, OutputChange, Quantization
from mpvn.runtime.quantizer import Quantizer, Samples
from mpvn.runtime.samples import collect, outputs_of, progress
from mpvn.runtime.unit import DIVISIONS, Unit, divide, lasting_units


def compile_int8(
    plan: Plan, start: str, settings: Settings, calibration: Calibration
) -> CompiledNetwork:
    """Compile a network in int8; see `VideoNetwork.compile_inference`.

    Args:
        plan: the plan.
        start: as in `CompiledNetwork`.
        settings: as in `compile_inference`.
        calibration: the clips.

    Raises:
        ImportError: OpenVINO or NNCF is not installed.
        ValueError: the CPU does not compute in int8, or the clips do not fit.
    """
    threads, batch, clip = settings.threads, settings.batch, settings.clip or 1
    check_choice("units", settings.units, (None, *DIVISIONS))
    check_positive("threads", threads, "or None")
    check_positive("batch", batch)
    precision, division = other_precision(), settings.units or "block"
    nncf_version()  # before anything that takes time
    informed, last = first_steps(plan, start, division)
    clips = Clips(calibration, plan.graph, last)
    frozen = freeze_units(plan, start, division, "bfloat16" if precision == "bfloat16" else None)

    @functools.cache
    def reference() -> tuple[OpenVINORuntime, CompiledNetwork]:
        runtime = OpenVINORuntime(plan, "float32", threads, batch=1)
        return runtime, CompiledNetwork(plan, start, runtime, division, frozen)

    @functools.cache
    def samples() -> Samples:
        runtime, network = reference()
        return collect(network, frozen, informed, runtime.show, clips)

    key = content_key([clips.digest, repr((start, division)), _fingerprint(plan, frozen)])
    quantizer = Quantizer(key, [*informed], calibration.max_error, samples)
    workers, at_once = count_workers(plan, start, division, settings)
    with quantizer:
        runtime = OpenVINORuntime(plan, precision, threads, batch, quantizer, at_once, clip)
        network = CompiledNetwork(plan, start, runtime, division, frozen, clip, workers)
        reports = quantizer.reports(frozen, runtime.model)
    key = content_key(["report", quantizer.name, precision])
    found = read_cached(key)
    if found is not None:
        network.quantization = Quantization.from_json(json.loads(found))
        return network
    network.quantization = Quantization(
        precision,
        calibration.max_error,
        clips.count,
        clips.skipped,
        clips.steps - clips.held_out,
        clips.held_out,
        compare(reference()[1], network, clips),
        reports,
    )
    write_cached(key, json.dumps(network.quantization.to_json()).encode())
    return network


def other_precision() -> str:
    """Return the precision of what does not compute in int8.

    Raises:
        ValueError: the CPU does not compute in int8.
    """
    core = openvino_core()
    if "INT8" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise ValueError(
            "OpenVINO does not compute in int8 on this CPU. Expected precision='float32'. "
            "Received: precision='int8'."
        )
    return "bfloat16" if computes_in_bfloat16() else "float32"


def compare(
    reference: CompiledNetwork, network: CompiledNetwork, clips: Clips
) -> tuple[OutputChange, ...]:
    """Return how much the outputs of a network differ from another's in the held-out steps."""
    graph = network.graph
    names = [graph.tensors[index].name for index in graph.model_outputs]
    changes = [Change(name) for name in keras.tree.flatten(graph.pack_outputs(names))]
    with progress(clips.steps, "comparing", "step") as bar:
        for clip in clips:
            steps = clip[0].shape[1]
            both = outputs_of(reference, clip), outputs_of(network, clip)
            for change, expected, actual in zip(changes, *both, strict=True):
                first = steps - held_out(steps)
                change.add(expected[:, first:], actual[:, first:])
            bar.update(steps)
    return tuple(change.result() for change in changes)


def first_steps(plan: Plan, start: str, division: str) -> tuple[dict[Unit, int], int]:
    """Return from which step on each unit reads values made of frames alone.

    Returns:
        The steps, and the first step after which every unit has run on such values.
    """
    full = [0] * len(plan.graph.nodes) if start == "primed" else plan.first_full_steps
    units = lasting_units(plan, start, division)
    informed = {unit: max((full[i] for i in unit.nodes), default=0) for unit in units}
    units_at = divide(plan, start, division)
    runs = (
        next(step for step in itertools.count(first) if unit in units_at(step))
        for unit, first in informed.items()
    )
    return informed, max(runs)


def _fingerprint(plan: Plan, frozen: Mapping[Unit, Frozen]) -> str:
    """Return a hash of what a network computes: its units, and how values go from one to others."""
    parts = [repr(plan.node_clocks)]
    for unit, each in frozen.items():
        places = each.entering, each.leaving, each.same
        computed = each.fingerprint if each.function is not None else ""
        parts += [repr((unit.position, unit.nodes, unit.settled, unit.primes, places)), computed]
    return content_key(parts)
