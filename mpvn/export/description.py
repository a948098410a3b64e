"""`mpvn.json`: everything about an export, for clients, whatever they are written in.

    version          of this form
    format           "tf_saved_model", ...; "keras" for a network that has not been exported
    form             where the states are: "state in and out", "state on the server", ...
    network          its name
    signatures       the functions: for inputs and outputs, by name, the dtype, the shape (null: any
                     size) and, for those of the network, the original name
    states           for each state, by the name with which it goes in: the name with which it goes
                     out (null if it does not), the dtype, the shape, and the bytes of one stream;
                     all begin as zeros
    bytes_per_stream of all states
    latency          steps from a frame to the output that has seen it, on the slowest path
    first_informed_step  the first step of a stream whose outputs have all seen a frame
    start            "zeros" or "primed"
    ages             for each output: the ages in steps of what it tells, at each step of a period,
                     along the fastest ("newest") and the slowest path ("oldest")
    plan             subnetworks with their clocks, period, and figures
    metadata         `mpvn.Metadata`, or null: class names, frame rate, range of the pixels
    versions         of the packages that wrote the export
    files            size in bytes and SHA-256 of each file of the export

A SavedModel also has `default_signature`, and, where they apply, `streams` and `idle_seconds` (how
many streams the server keeps, and when one may lose its place; null: never), `images` (how frames
arrive) and `answers` (for each output of classes, the outputs with their names and scores). Other
formats may add other keys. The file is beside the export (a SavedModel has it in `assets.extra`)
and, without `files`, inside.
"""

import collections
import hashlib
import json
import math
import os
import pathlib
import platform
from collections.abc import Collection, Mapping
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from mpvn.export.names import Names, network_names
from mpvn.machine import versions
from mpvn.plan import Plan
from mpvn.state import STEP

VERSION = 1
"""Version of the form. A reader refuses later ones."""

NAME = "mpvn.json"

EXTRA = "assets.extra"
"""Folder of a SavedModel that loaders leave alone."""

PLACES = (NAME, f"{EXTRA}/{NAME}")
"""Where the file may be in the folder of an export."""

Specs: TypeAlias = Mapping[str, tf.TensorSpec]
Description: TypeAlias = dict[str, Any]


def describe(
    network: keras.Model,
    format: str,
    form: str,
    signatures: Mapping[str, tuple[Specs, Specs]],
    **own: Any,
) -> Description:
    """Return the content of `mpvn.json`, without `files`.

    Args:
        network: a `VideoNetwork`.
        format: the format.
        form: where the states are.
        signatures: the inputs and the outputs of each function, by name.
        **own: keys of the format.
    """
    names = network_names(network)
    going_out = {name for _, outputs in signatures.values() for name in outputs}
    states = _states(network, names, going_out)
    return {
        "version": VERSION,
        "format": format,
        "form": form,
        **own,
        "network": network.name,
        "signatures": {
            key: {
                "inputs": _tensors(inputs, names.inputs),
                "outputs": _tensors(outputs, names.outputs),
            }
            for key, (inputs, outputs) in signatures.items()
        },
        "states": states,
        "bytes_per_stream": sum(state["bytes"] for state in states.values()),
        "latency": network.plan.information_latency[1],
        "first_informed_step": network.first_informed_step,
        "start": network.start,
        "ages": _ages(network, names),
        "plan": describe_plan(network.plan),
        "metadata": network.metadata and network.metadata.to_json(),
        "versions": {**versions(), "python": platform.python_version()},
    }


def describe_network(network: keras.Model) -> Description:
    """Return what there is to say of a network that has not been exported."""
    graph, names = network.graph, network_names(network)
    inputs = dict(zip(names.inputs, graph.inputs, strict=True))
    outputs = dict(zip(names.outputs, graph.model_outputs, strict=True))

    def specs(tensors: Mapping[str, int], *leading: None) -> Specs:
        found = {name: graph.tensors[index] for name, index in tensors.items()}
        return {n: tf.TensorSpec((*leading, *x.shape), x.dtype) for n, x in found.items()}

    signatures = {"clip": (specs(inputs, None, None), specs(outputs, None, None))}
    if names.states:
        signatures = {"step": (specs(inputs, None), specs(outputs, None)), **signatures}
    form = "not exported" if names.states else "whole clips only: it looks into the future"
    return describe(network, "keras", form, signatures)


def _tensors(specs: Specs, originals: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    return {
        name: {
            **({"original": originals[name]} if name in originals else {}),
            "dtype": spec.dtype.name,
            "shape": spec.shape.as_list(),
        }
        for name, spec in specs.items()
    }


def _states(
    network: keras.Model, names: Names, outputs: Collection[str]
) -> dict[str, dict[str, Any]]:
    counter = {STEP: tf.TensorSpec((None,), tf.int64)}
    specs = {**counter, **network.plan.histories.specs} if names.states else {}
    return {
        name: {
            "next": names.states[name] if names.states[name] in outputs else None,
            "dtype": spec.dtype.name,
            "shape": spec.shape.as_list(),
            "bytes": math.prod(spec.shape[1:]) * spec.dtype.size,
        }
        for name, spec in specs.items()
    }


def _ages(network: keras.Model, names: Names) -> dict[str, dict[str, list[int]] | None]:
    """Return the ages of each output; None for one that depends on feedback alone."""
    graph, known = network.graph, network.plan.ages
    found = (known.get(graph.tensors[index].name) for index in graph.model_outputs)
    return {
        name: ages and {"newest": list(ages.newest), "oldest": list(ages.oldest)}
        for name, ages in zip(names.outputs, found, strict=True)
    }


def describe_plan(plan: Plan) -> dict[str, Any]:
    """Return what a plan does and costs, for people and clients; not to build it again."""
    return {
        "subnetworks": [_part(plan, number) for number in range(plan.subnetworks)],
        "boundaries": list(plan.boundaries),
        "head": None if plan.head is None else _part(plan, plan.subnetworks),
        "period": plan.period,
        "information_latency": list(plan.information_latency),
        "mean_age": plan.mean_age,
        "receptive_field": plan.receptive_field,
        "cost_unit": plan.cost_unit.name,
        "cost_per_frame_without_clocks": sum(plan.node_costs),
        "costs_of_steps": list(plan.step_costs),
        "worst_step": plan.worst_step,
        "clock_speedup": plan.clock_speedup,
    }


def _part(plan: Plan, number: int) -> dict[str, Any]:
    """Return the first node of a subnetwork, and its clocks as [rate, phase, number of nodes]."""
    nodes = [node for node in plan.graph.nodes if plan.subnetwork(node) == number]
    counts = collections.Counter((plan.clock(n).rate, plan.clock(n).phase) for n in nodes)
    return {
        "first_node": nodes[0].name,
        "clocks": [[*clock, count] for clock, count in counts.items()],
        "device": plan.device(nodes[0]),
    }


def as_text(description: Description) -> str:
    """Return the description as JSON."""
    return json.dumps(description, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_description(description: Description, folder: pathlib.Path, place: str = NAME) -> None:
    """Write a description, with the checksums of all files in `folder`, to `folder / place`."""
    path = folder / place
    files = sorted(each for each in folder.rglob("*") if each.is_file() and each != path)
    sums = {each.relative_to(folder).as_posix(): _file(each) for each in files}
    path.parent.mkdir(exist_ok=True)
    path.write_text(as_text({**description, "files": sums}), encoding="utf-8")


def _file(path: pathlib.Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def is_described(folder: str | os.PathLike[str]) -> bool:
    """Return whether there is an export with a description in a folder."""
    return any((pathlib.Path(folder) / place).is_file() for place in PLACES)


def read_description(folder: str | os.PathLike[str]) -> Description:
    """Return the description of the export in a folder.

    Raises:
        ValueError: there is none, or it cannot be read.
    """
    paths = [pathlib.Path(folder) / place for place in PLACES]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise ValueError(
            f"{folder}: expected an export of mpvn. Received: one without {' and '.join(PLACES)}. "
            "Export the network again."
        )
    try:
        description = json.loads(path.read_text("utf-8"))
        is_ours = isinstance(description, dict) and "signatures" in description
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path}: expected what the export wrote. Received: {error}. Export the network again."
        ) from error
    version = description.get("version") if is_ours else None
    if version != VERSION:
        raise ValueError(
            f"{path}: expected the description of an export, version {VERSION}. Received: "
            f"{f'version {version}' if is_ours else 'another file'}. Read it with the version of "
            "mpvn that wrote it, or export the network again."
        )
    return description


def changed_files(folder: str | os.PathLike[str], description: Description) -> dict[str, str]:
    """Return the files that are no longer what the export wrote: "changed" or "missing"."""
    changed = {}
    for name, written in description.get("files", {}).items():
        path = pathlib.Path(folder) / name
        if not path.is_file():
            changed[name] = "missing"
        elif _file(path) != written:
            changed[name] = "changed"
    return changed
