"""Warm-up records: requests that TensorFlow Serving runs when it has loaded a model.

The first run of each part of a graph is slow, so a server that is not warm is late with the first
frames of its first streams. The records run, of each set of clocks that tick together, one step of
a young stream and one of an old one; state in and out, also one batch of each size that the server
forms, of streams of many ages. State on the server: one stream from its first step on, and then a
reset, so that it leaves its place.

Frames and states are zeros, which a record does not hold: it has their shapes alone.
"""

import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image
from tensorflow.core.framework import tensor_pb2, types_pb2

from mpvn.export.description import Description
from mpvn.serving.grpc_transport import zeros_proto
from mpvn.serving.model_signature import STEP, STREAM_ID

try:
    from tensorflow_serving.apis import prediction_log_pb2
except ImportError as error:
    raise ImportError(
        "Warm-up records need the package tensorflow-serving-api. Expected it to be installed. "
        f"Received: {error}. Install mpvn[grpc]."
    ) from error

NAME = "tf_serving_warmup_requests"
"""Name of the file in `assets.extra`."""

MOST = 1000
"""TensorFlow Serving refuses models with more records."""

_OPEN_SIZE = 64
"""Pixels of each side of a frame, if neither its shape nor the network's metadata tell."""


def warm_up_records(
    description: Description, name: str, batches: Sequence[int] = ()
) -> list[bytes]:
    """Return the records for an exported SavedModel.

    Args:
        description: of the export.
        name: name of the model on the server.
        batches: sizes of the batches that the server forms, if it does.
    """
    key = description["default_signature"]
    inputs = description["signatures"][key]["inputs"]
    size = next(iter(inputs.values()))["shape"][0]  # None: any
    if STREAM_ID in inputs:
        requests = list(_served(description, key, inputs, size or 1))
    else:
        sizes = [size] if size else sorted({1, *batches})
        requests = list(_carried(description, key, inputs, sizes))
    return [_record(name, *request) for request in requests]


def tick_steps(description: Description) -> list[int]:
    """Return the first step of each set of clocks that tick together, in order."""
    plan = description["plan"]
    clocks = {tuple(clock[:2]) for part in plan["subnetworks"] for clock in part["clocks"]}
    first: dict[frozenset, int] = {}
    for step in range(plan["period"]):
        ticking = frozenset((rate, phase) for rate, phase in clocks if step % rate == phase)
        first.setdefault(ticking, step)
    return list(first.values())


Request = tuple[str, dict[str, tensor_pb2.TensorProto]]


def _carried(
    description: Description, key: str, inputs: Mapping[str, Any], sizes: Sequence[int]
) -> Iterator[Request]:
    """Yield requests with the state in them: of one step each, or of streams of many ages."""
    steps = tick_steps(description)
    # An old stream has no part in what happens at the start of a stream only.
    old = [step + 1000 * description["plan"]["period"] for step in steps]
    ages = [*steps, *old]
    first, *larger = sizes
    for age in ages[: MOST - len(larger)]:
        yield key, _frames(description, inputs, first) | {STEP: _whole([age] * first)}
    for size in larger:
        mixed = list(itertools.islice(itertools.cycle(ages), size))
        yield key, _frames(description, inputs, size) | {STEP: _whole(mixed)}


def _served(
    description: Description, key: str, inputs: Mapping[str, Any], size: int
) -> Iterator[Request]:
    """Yield requests of streams with the state on the server, which end with a reset."""
    streams = {STREAM_ID: _whole([-1 - number for number in range(size)])}
    steps = description["plan"]["period"] + tick_steps(description)[-1] + 1
    for _ in range(min(steps, MOST - 1)):
        yield key, _frames(description, inputs, size) | streams
    yield "reset", streams


def _frames(
    description: Description, inputs: Mapping[str, Any], size: int
) -> dict[str, tensor_pb2.TensorProto]:
    """Return zeros for all inputs, states included; black pictures where files are taken."""
    metadata = description["metadata"] or {}
    height, width = metadata.get("size") or (_OPEN_SIZE, _OPEN_SIZE)
    tensors = {}
    for name, spec in inputs.items():
        if spec["dtype"] == "string":
            tensors[name] = tf.make_tensor_proto([_black(height, width)] * size)
        else:
            open_sizes = iter((height, width))
            shape = [next(open_sizes, 1) if n is None else n for n in spec["shape"][1:]]
            code = types_pb2.DataType.Name(tf.as_dtype(spec["dtype"]).as_datatype_enum)
            tensors[name] = zeros_proto(code, (size, *shape))
    return tensors


def _black(height: int, width: int) -> bytes:
    """Return a JPEG file."""
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "JPEG")
    return file.getvalue()


def _whole(numbers: Sequence[int]) -> tensor_pb2.TensorProto:
    return tf.make_tensor_proto(np.array(numbers, "int64"))


def _record(name: str, signature: str, inputs: Mapping[str, tensor_pb2.TensorProto]) -> bytes:
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    for key, tensor in inputs.items():
        request.inputs[key].CopyFrom(tensor)
    return log.SerializeToString(deterministic=True)
