"""Writes a network for OpenVINO: a model for each static graph, and one file of weights for all.

    step_0.xml  step_1.xml  ...    the models (see `mpvn.export.static`)
    weights.bin                    their weights: `core.read_model("step_0.xml", "weights.bin")`

Each model is run once and compared with TensorFlow.
"""

import functools
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

import keras
import numpy as np
import tensorflow as tf

from mpvn.export.description import Description, as_text
from mpvn.export.layers import where
from mpvn.export.runner import TOLERANCE, Run, check_files
from mpvn.export.schedule import BATCH, describe_static, static_network
from mpvn.export.shared_weights import NAME as WEIGHTS
from mpvn.export.shared_weights import SharedWeights
from mpvn.export.static import StaticGraph
from mpvn.runtime.on_openvino import check_dtypes
from mpvn.runtime.openvino_models import convert, import_openvino, openvino_core

PRECISIONS = {"float32": TOLERANCE, "float16": 1e-2}
"""Of weights in the file; with the error up to which a graph is right."""


def write_openvino(
    network: keras.Model,
    clips: list[tf.TensorSpec],
    folder: pathlib.Path,
    *,
    batch: int | None = BATCH,
    precision: str = "float32",
) -> Description:
    """Write OpenVINO models.

    Args:
        network: a causal `VideoNetwork`.
        clips: the spec `[B, T, ...]` of each input.
        folder: the folder to create.
        batch: number of streams, which start together; None leaves it open.
        precision: of the weights in the file, `"float32"` or `"float16"`; frames, states and
            outputs are as in the network.

    Returns:
        The description of the export.

    Raises:
        ImportError: OpenVINO is not installed.
        ValueError: an option is invalid, or the converter fails.
    """
    if precision not in PRECISIONS:
        raise ValueError(
            f"Invalid precision. Expected one of {[*PRECISIONS]}. Received: {precision!r}."
        )
    import_openvino()  # before anything that takes time
    static = static_network(network, clips, batch)
    check_dtypes(network.plan, "format='onnx' or 'litert'")
    folder.mkdir()
    graphs = [graph for graph in static.graphs if graph.makes]
    files = {graph.name: f"{graph.name}.xml" for graph in graphs}
    description = describe_static(static, "openvino", files, precision=precision)
    text = as_text(description)
    with SharedWeights(folder) as weights:
        for graph in graphs:
            model = _convert(network, graph)
            model.set_rt_info(text, ["mpvn", "description"])
            _write(model, folder / files[graph.name], weights, precision == "float16")
    check_files(static, _open(folder), "openvino", PRECISIONS[precision])
    return description


def _convert(network: keras.Model, graph: StaticGraph) -> Any:
    """Return OpenVINO's model of a graph."""
    try:
        model = convert(graph.function)
    except RuntimeError as error:
        raise ValueError(
            f"OpenVINO cannot express {graph.name!r} of {network.name!r}. Expected operations that "
            f"it has. Received: {where(network, graph.function, str(error))}. Use another format, "
            "or layers of other operations."
        ) from error
    for ports, names in ((model.inputs, graph.reads), (model.outputs, graph.makes)):
        for port in ports:
            port.get_tensor().set_names(set())
        for port, name in zip(ports, names, strict=True):
            port.get_tensor().add_names({name})
    return model


def _write(model: Any, path: pathlib.Path, weights: SharedWeights, half: bool) -> None:
    """Write a model, whose weights go to the file that all models share."""
    with tempfile.TemporaryDirectory() as folder:
        own = pathlib.Path(folder) / path.name
        import_openvino().save_model(model, own, compress_to_fp16=half)
        content = memoryview(own.with_suffix(".bin").read_bytes())
        tree = ElementTree.parse(own)
    for data in tree.iter("data"):
        if "offset" in data.attrib and "size" in data.attrib:
            offset, size = int(data.attrib["offset"]), int(data.attrib["size"])
            data.set("offset", str(weights.add(content[offset : offset + size])))
    tree.write(path, encoding="utf-8", xml_declaration=True)


def _open(folder: pathlib.Path) -> Run:
    """Return what runs the written models."""
    load = functools.cache(load_in_openvino)

    def run(graph: StaticGraph, values: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        return load(folder / f"{graph.name}.xml", folder / WEIGHTS)(graph, values)

    return run


def load_in_openvino(path: pathlib.Path, weights: pathlib.Path | None = None) -> Run:
    """Return what runs a model of a graph, in float32.

    Args:
        path: its file.
        weights: the file of its weights, if the other one does not name it.
    """
    core = openvino_core()
    model = core.read_model(path, weights) if weights else core.read_model(path)
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(graph: StaticGraph, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        results = compiled([*values])
        return [results[index] for index in range(len(graph.makes))]

    return run
