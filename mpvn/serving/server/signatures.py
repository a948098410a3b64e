"""What the server offers, in the names, dtypes and JSON of TensorFlow Serving.

    step, serving_default   stream_id [B], frames [B, ...]  ->  outputs [B, ...], step [B]
    reset                   stream_id [B]                   ->  steps [B]
    clip                    frames [B, T, ...]              ->  outputs [B, T, ...]

They are those of a SavedModel that has its state on the server.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2

from mpvn.export.answers import Answers
from mpvn.export.names import STEPS, STREAM, network_names
from mpvn.network import VideoNetwork
from mpvn.serving.errors import InvalidRequest
from mpvn.state import STEP

DEFAULT = "serving_default"
METHOD = "tensorflow/serving/predict"

IMAGES: dict[str | None, tuple[tuple[int | None, ...], tf.DType] | None] = {
    None: None,
    "uint8": ((None, None, 3), tf.uint8),
    "jpeg": ((), tf.string),
}
"""What a frame is: the numbers that the network takes, pixels of any size, or an image file."""

Arrays = dict[str, np.ndarray]
Specs = Mapping[str, tf.TensorSpec]


@dataclasses.dataclass(frozen=True)
class Signature:
    """A function that the server offers.

    Attributes:
        name: its name.
        inputs, outputs: the specs of its tensors by name, with the batch axis.
    """

    name: str
    inputs: Specs
    outputs: Specs

    def check(self, values: Mapping[str, np.ndarray]) -> int:
        """Return the number of streams of a request.

        Raises:
            InvalidRequest: a name, a dtype or a shape is another one, or a stream comes twice.
        """
        if values.keys() != self.inputs.keys():
            raise InvalidRequest(
                f"Signature {self.name!r}. Expected the inputs {_listed(self.inputs)}. Received: "
                f"{_listed(values)}."
            )
        for name, spec in self.inputs.items():
            value = values[name]
            kind = tf.string if value.dtype == object else tf.as_dtype(value.dtype)
            if kind != spec.dtype or not spec.shape.is_compatible_with(value.shape):
                raise InvalidRequest(
                    f"Input {name!r} of signature {self.name!r}. Expected {spec.dtype.name} "
                    f"{_text(spec.shape)}. Received: {kind.name} {_text(value.shape)}."
                )
        sizes = {name: len(value) for name, value in values.items()}
        if len(set(sizes.values())) != 1 or 0 in sizes.values():
            raise InvalidRequest(
                f"Signature {self.name!r}. Expected one number of streams for all inputs, at least "
                f"1. Received: {sizes}."
            )
        if STREAM in values:
            _refuse_duplicates(values[STREAM].tolist())
        return next(iter(sizes.values()))

    def filtered(self, outputs: Arrays, names: list[str]) -> Arrays:
        """Return the outputs that a client asks for: all, if there are no names."""
        unknown = [name for name in names if name not in self.outputs]
        if unknown:
            raise InvalidRequest(
                f"output_filter. Expected outputs of signature {self.name!r}: "
                f"{_listed(self.outputs)}. Received: {', '.join(unknown)}."
            )
        return {name: outputs[name] for name in names or outputs}

    def to_json(self) -> dict[str, Any]:
        """Return it as TensorFlow Serving writes a `SignatureDef`."""
        return {
            "inputs": {name: _tensor_info(name, spec) for name, spec in self.inputs.items()},
            "outputs": {name: _tensor_info(name, spec) for name, spec in self.outputs.items()},
            "method_name": METHOD,
        }


def signatures_of(
    network: VideoNetwork, images: str | None, answers: Answers | None
) -> dict[str, Signature]:
    """Return the signatures by name.

    Args:
        network: the network.
        images: a key of `IMAGES`.
        answers: what is added to its outputs.
    """
    graph, names = network.graph, network_names(network)
    tensors = [graph.tensors[index] for index in graph.inputs]
    given = IMAGES[images]
    taken = [given or (tensor.shape, tf.as_dtype(tensor.dtype)) for tensor in tensors]
    frames = dict(zip(names.inputs, taken, strict=True))
    made = {
        name: (graph.tensors[index].shape, tf.as_dtype(graph.tensors[index].dtype))
        for name, index in zip(names.outputs, graph.model_outputs, strict=True)
    }
    more = answers.specs() if answers else {}
    made |= {name: (spec.shape, spec.dtype) for name, spec in more.items()}
    counter = tf.TensorSpec((None,), tf.int64)
    step = Signature(
        "step",
        {STREAM: counter, **_batched(frames, None)},
        {**_batched(made, None), STEP: counter},
    )
    reset = Signature("reset", {STREAM: counter}, {STEPS: counter})
    clip = Signature("clip", _batched(frames, None, None), _batched(made, None, None))
    default = dataclasses.replace(step, name=DEFAULT)
    return {each.name: each for each in (default, step, reset, clip)}


def find_signature(signatures: Mapping[str, Signature], name: str) -> Signature:
    """Return a signature by its name; the default one, if there is no name."""
    if (name or DEFAULT) not in signatures:
        raise InvalidRequest(
            f"Unknown signature. Expected one of {_listed(signatures)}. Received: {name!r}."
        )
    return signatures[name or DEFAULT]


def _refuse_duplicates(ids: list[int]) -> None:
    if len(set(ids)) < len(ids):
        twice = next(each for each in ids if ids.count(each) > 1)
        raise InvalidRequest(
            f"Expected each stream_id once in a request. Received: {twice} several times. Send "
            "successive frames of a stream one after the other."
        )


def _batched(frames: Mapping[str, Any], *leading: None) -> dict[str, tf.TensorSpec]:
    return {n: tf.TensorSpec((*leading, *shape), dtype) for n, (shape, dtype) in frames.items()}


def _tensor_info(name: str, spec: tf.TensorSpec) -> dict[str, Any]:
    dims = [{"size": str(-1 if size is None else size), "name": ""} for size in spec.shape]
    return {
        "dtype": types_pb2.DataType.Name(spec.dtype.as_datatype_enum),
        "tensor_shape": {"dim": dims, "unknown_rank": False},
        "name": name,
    }


def _listed(names: Any) -> str:
    return ", ".join(map(str, names)) or "none"


def _text(shape: Any) -> str:
    sizes = ("any" if size is None else str(size) for size in shape)
    return f"[{', '.join(sizes)}]"
