"""Writes a network for LiteRT: one file with a signature for each static graph.

    model.tflite    signatures step_0, step_1, ... (see `mpvn.export.static`), which share weights

What the converter makes of each graph is compared with TensorFlow, and outputs in int8 with those
in float32, before anything is written.
"""

import contextlib
import dataclasses
import importlib
import pathlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpvn.export.description import NAME, Description, as_text
from mpvn.export.layers import refuse_infinite, where
from mpvn.export.quantized import Streamed
from mpvn.export.runner import TOLERANCE, Run, check_files
from mpvn.export.schedule import BATCH, describe_static, static_network
from mpvn.export.static import StaticGraph, StaticNetwork, inline
from mpvn.export.wide_constants import widen_constants

QUANTIZATIONS = (None, "dynamic", "int8")
FILE = "model.tflite"

_DYNAMIC = 0.3
"""Error up to which a graph is right, with dynamic ranges: what converts wrongly has about 1."""


def write_litert(
    network: keras.Model,
    clips: list[tf.TensorSpec],
    folder: pathlib.Path,
    *,
    batch: int | None = BATCH,
    quantization: str | None = None,
    calibration: Any = None,
    select_tf_ops: bool = False,
) -> Description:
    """Write a LiteRT model.

    Args:
        network: a causal `VideoNetwork`.
        clips: the spec `[B, T, ...]` of each input.
        folder: the folder to create.
        batch: number of streams, which start together; None leaves it open.
        quantization: None for the network's own precision. `"dynamic"`: weights in int8, and values
            while they are multiplied. `"int8"`: weights and values in int8, by ranges that were
            measured on `calibration`; graphs that only start streams are `"dynamic"`. Frames,
            states and outputs stay as they are in the network: a state that is held is never
            rounded again, and graphs need no common scale.
        calibration: for `quantization`: clips, as `VideoNetwork.compile_inference` takes them. They
            are streamed, so that ranges are those of a stream; the outputs of their last steps
            must be right within `max_error` of `mpvn.runtime.Calibration`. Required for `"int8"`.
        select_tf_ops: whether operations that LiteRT does not have run in TensorFlow's kernels,
            which the device must have. Such an export cannot be compared with the network here: a
            warning says so, and `checked` in the description is false.

    Returns:
        The description of the export.

    Raises:
        TypeError: `calibration` is something else than clips.
        ValueError: an option is invalid, the converter fails, or quantization changes outputs too
            much.
    """
    _check_options(quantization, calibration, select_tf_ops)
    static = static_network(network, clips, batch)
    if not any(graph.makes for graph in static.graphs):
        raise ValueError(
            f"Cannot export {network.name!r} to LiteRT. Expected one that computes. Received: "
            "one that only passes frames on."
        )
    streamed = None if calibration is None else Streamed(static, calibration)
    joined = _joined(static, quantization, streamed, select_tf_ops)
    run = _open(joined.pack())
    is_checked = quantization == "int8" or _is_checked(static, run, quantization, select_tf_ops)
    measured = None if streamed is None else streamed.measure(run)
    if measured is not None:
        measured.check()
    description = describe_static(
        static,
        "litert",
        dict.fromkeys((graph.name for graph in static.graphs if graph.makes), FILE),
        quantization=quantization,
        checked=is_checked,
        measured=measured and dataclasses.asdict(measured),
    )
    joined.attach(NAME, as_text(description).encode())
    folder.mkdir()
    (folder / FILE).write_bytes(joined.pack())
    return description


def _check_options(quantization: str | None, calibration: Any, select_tf_ops: bool) -> None:
    if select_tf_ops and quantization is not None:
        raise ValueError(
            "Invalid quantization. Expected None with select_tf_ops, because errors cannot be "
            f"measured here. Received: {quantization!r}."
        )
    if quantization not in QUANTIZATIONS:
        raise ValueError(
            f"Invalid quantization. Expected one of {QUANTIZATIONS}. Received: {quantization!r}."
        )
    if quantization is None and calibration is not None:
        raise ValueError(
            "Invalid calibration. Expected None without quantization. Received: clips. Use "
            "quantization='int8'."
        )
    if quantization == "int8" and calibration is None:
        raise ValueError(
            "quantization='int8' measures the ranges of values on your videos. Expected "
            "calibration=clips. Received: None. Pass some clips [T, ...], as the network takes "
            "them; for files, calibration=mpvn.calibration_clips(network, paths)."
        )


def _joined(
    static: StaticNetwork, quantization: str | None, streamed: Streamed | None, select_tf_ops: bool
) -> Any:
    """Return all graphs as one model; see `mpvn.export.tflite_files.Joined`."""
    from mpvn.export.tflite_files import Joined  # imports 20,000 lines

    joined = Joined()
    for graph in (graph for graph in static.graphs if graph.makes):
        kind, samples = quantization, None
        if quantization == "int8" and graph not in static.cycle:
            kind = "dynamic"  # it only starts streams, maybe with layers that are not defined there
        elif quantization == "int8" and streamed is not None:
            samples = streamed.samples(graph)
            refuse_infinite(static.network, graph, samples)  # the converter would end the process
        content = _convert(static.network, graph, kind, samples, select_tf_ops)
        joined.add(content, graph.name, [*graph.reads], [*graph.makes])
    return joined


def _convert(
    network: keras.Model,
    graph: StaticGraph,
    quantization: str | None,
    samples: Sequence[Sequence[np.ndarray]] | None,
    select_tf_ops: bool,
) -> bytes:
    """Return LiteRT's model of a graph, with the inputs `i0`, ... and the outputs `o0`, ..."""
    names = [f"i{index}" for index in range(len(graph.reads))]

    def call(**values: tf.Tensor) -> dict[str, tf.Tensor]:
        results = inline(graph.function, [values[name] for name in names], widen_constants)
        return {f"o{index}": value for index, value in enumerate(results)}

    specs = zip(names, graph.reads.values(), strict=True)
    arguments = {name: tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in specs}
    concrete = tf.function(call, autograph=False).get_concrete_function(**arguments)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module())
    kinds = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if quantization == "int8":
        kinds.append(tf.lite.OpsSet.TFLITE_BUILTINS_INT8)
        converter.representative_dataset = lambda: (
            dict(zip(names, sample, strict=True)) for sample in samples or ()
        )
    if select_tf_ops:
        kinds.append(tf.lite.OpsSet.SELECT_TF_OPS)
    converter.target_spec.supported_ops = kinds
    if quantization:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return converter.convert()
    except Exception as error:  # the converter has several classes of errors
        also = "" if select_tf_ops else ", or select_tf_ops=True if the device has them"
        raise ValueError(
            f"LiteRT cannot express {graph.name!r} of {network.name!r}. Expected operations that "
            f"it has. Received: {where(network, graph.function, str(error))}. Use layers of other "
            f"operations{also}."
        ) from error


def _is_checked(
    static: StaticNetwork, run: Run, quantization: str | None, select_tf_ops: bool
) -> bool:
    """Check a model; return whether that was possible."""
    try:
        check_files(static, run, "litert", _DYNAMIC if quantization else TOLERANCE)
    except RuntimeError as error:
        if select_tf_ops and "Select TensorFlow op" in str(error):
            warnings.warn(
                f"The export of {static.network.name!r} was not compared with the network: LiteRT "
                "has no kernels of TensorFlow here. Compare it on the device.",
                stacklevel=2,
            )
            return False
        raise ValueError(
            f"LiteRT cannot run {static.network.name!r}. Expected operations that it has. "
            f"Received: {' '.join(str(error).split())[:300]}. Use another format."
        ) from error
    return True


def _open(content: bytes) -> Run:
    """Return what runs a model's signatures."""
    interpreter = _interpreter()(model_content=content)
    runners: dict[str, Any] = {}

    def run(graph: StaticGraph, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        if graph.name not in runners:
            runners[graph.name] = interpreter.get_signature_runner(graph.name)
        made = runners[graph.name](**dict(zip(graph.reads, values, strict=True)))
        return [made[name] for name in graph.makes]

    return run


def _interpreter() -> Callable[..., Any]:
    """Return the class of LiteRT's interpreter: of its own package, or else TensorFlow's."""
    with contextlib.suppress(ImportError):
        return importlib.import_module("ai_edge_litert.interpreter").Interpreter
    return tf.lite.Interpreter
