"""Writes a network for ONNX: a model for each static graph, and one file of weights for all.

    step_0.onnx  step_1.onnx  ...    the models (see `mpvn.export.static`)
    weights.bin                      their large weights, as external data

tf2onnx writes wrong models of some graphs and raises no error. So each is run once, in ONNX Runtime
or OpenVINO, and compared with TensorFlow.
"""

import contextlib
import functools
import importlib
import logging
import pathlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mpvn.export.description import NAME, Description, as_text
from mpvn.export.layers import where
from mpvn.export.openvino_files import load_in_openvino
from mpvn.export.runner import Run, check_files
from mpvn.export.schedule import BATCH, describe_static, static_network
from mpvn.export.shared_weights import NAME as WEIGHTS
from mpvn.export.shared_weights import SharedWeights
from mpvn.export.static import StaticGraph
from mpvn.runtime.openvino_models import openvino_core

OPSET = 17
OPSETS = range(13, 19)
"""The opsets that tf2onnx writes, and runtimes of today read."""

_INLINE = 1024  # bytes: smaller values stay in the model, where runtimes read shapes and axes


def write_onnx(
    network: keras.Model,
    clips: list[tf.TensorSpec],
    folder: pathlib.Path,
    *,
    batch: int | None = BATCH,
    opset: int = OPSET,
) -> Description:
    """Write ONNX models.

    Args:
        network: a causal `VideoNetwork`.
        clips: the spec `[B, T, ...]` of each input.
        folder: the folder to create.
        batch: number of streams, which start together; None leaves it open.
        opset: version of ONNX's operators.

    Returns:
        The description of the export.

    Raises:
        ImportError: tf2onnx, or what runs its models, is not installed.
        ValueError: an option is invalid, or the converter fails.
    """
    if opset not in OPSETS:
        raise ValueError(
            f"Invalid opset. Expected {OPSETS[0]} to {OPSETS[-1]}. Received: {opset!r}."
        )
    _import("tf2onnx"), _loader()  # before anything that takes time
    static = static_network(network, clips, batch)
    folder.mkdir()
    graphs = [graph for graph in static.graphs if graph.makes]
    files = {graph.name: f"{graph.name}.onnx" for graph in graphs}
    description = describe_static(static, "onnx", files, opset=opset)
    text = as_text(description)
    with SharedWeights(folder) as weights:
        for graph in graphs:
            model = _convert(network, graph, opset)
            model.metadata_props.add(key=NAME, value=text)
            _move_weights(model, weights)
            (folder / files[graph.name]).write_bytes(model.SerializeToString())
    check_files(static, _open(folder), "onnx")
    return description


def _convert(network: keras.Model, graph: StaticGraph, opset: int) -> Any:
    """Return ONNX's model of a graph."""
    function = graph.function
    inputs = [x.name for x in function.inputs]
    outputs = [x.name for x in function.outputs]
    renamed = dict(zip((*inputs, *outputs), (*graph.reads, *graph.makes), strict=True))
    try:
        with _quiet():
            model, _ = _import("tf2onnx").convert.from_graph_def(
                function.graph.as_graph_def(),
                input_names=inputs,
                output_names=outputs,
                opset=opset,
                tensors_to_rename=renamed,
                custom_op_handlers={name: (_select, []) for name in ("Select", "SelectV2")},
            )
        _refuse_unknown(model, opset)
    except Exception as error:  # tf2onnx has no common class of errors
        raise ValueError(
            f"ONNX cannot express {graph.name!r} of {network.name!r}. Expected operations that "
            f"tf2onnx converts to opset {opset}. Received: {where(network, function, str(error))}. "
            "Use another format, or layers of other operations."
        ) from error
    return model


def _refuse_unknown(model: Any, opset: int) -> None:
    """Raise ValueError if an operation is still one of TensorFlow's, which tf2onnx only logs."""
    schemas = _import("onnx").defs
    for node in model.graph.node:
        if not node.domain and not schemas.has(node.op_type, opset, ""):
            raise ValueError(f"op {node.op_type} is unknown")


def _select(context: Any, node: Any, *_: Any) -> None:
    """Convert a choice between two values to one, too.

    tf2onnx makes a sum of products of it, in which the value that was not chosen may be NaN.
    """
    node.set_attr("handles_nan", True)
    _import("tf2onnx.onnx_opset.controlflow").Select.version_9(context, node)
    del node.attr["handles_nan"]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep tf2onnx and what it calls from reporting each step."""
    loggers = [logging.getLogger(name) for name in ("tf2onnx", "tensorflow")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _move_weights(model: Any, weights: SharedWeights) -> None:
    """Move large weights out of a model."""
    onnx = _import("onnx")
    for tensor in model.graph.initializer:
        value = onnx.numpy_helper.to_array(tensor)
        if value.nbytes < _INLINE:
            continue
        content = onnx.numpy_helper.from_array(value).raw_data
        name, kind, sizes = tensor.name, tensor.data_type, [*tensor.dims]
        tensor.Clear()
        tensor.name, tensor.data_type = name, kind
        tensor.dims.extend(sizes)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        at = {"location": WEIGHTS, "offset": weights.add(content), "length": len(content)}
        for key, entry in at.items():
            tensor.external_data.add(key=key, value=str(entry))


def _open(folder: pathlib.Path) -> Run:
    """Return what runs the written models."""
    load = functools.cache(_loader())

    def run(graph: StaticGraph, values: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        return load(folder / f"{graph.name}.onnx")(graph, values)

    return run


def _loader() -> Callable[[pathlib.Path], Run]:
    """Return a function that loads a file: with ONNX Runtime, or else OpenVINO.

    Raises:
        ImportError: neither is installed.
    """
    with contextlib.suppress(ImportError):
        onnxruntime = importlib.import_module("onnxruntime")

        def load(path: pathlib.Path) -> Run:
            try:
                session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            except Exception as error:  # it has several classes of errors
                raise ValueError(_not_loaded("ONNX Runtime", path.name, error)) from error
            return lambda graph, values: session.run(
                [*graph.makes], dict(zip(graph.reads, values, strict=True))
            )

        return load
    with contextlib.suppress(ImportError):
        openvino_core()
        return load_in_openvino
    raise ImportError(_MISSING.format(package="onnxruntime", error="neither it nor openvino"))


def _not_loaded(runtime: str, name: str, error: Exception) -> str:
    return (
        f"{runtime} cannot run {name}. Expected operations and dtypes that it has. Received: "
        f"{' '.join(str(error).split())[:300]}. Use another format, or layers of other operations."
    )


_MISSING = (
    "The format 'onnx' needs the package {package}. Expected {package} to be installed. Received: "
    "{error}. Install it with pip install 'mpvn[onnx]'."
)


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(_MISSING.format(package=name, error=error)) from error
