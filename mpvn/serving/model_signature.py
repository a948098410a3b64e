"""What a model server says about a model: the signatures, and where the states of a stream are.

Servers describe signatures as TensorFlow Serving does, in the protocol buffer `SignatureDef` or the
same as JSON. Two forms of `step` are streams (`mpvn.export` writes both):

- State in and out: a state that goes in as `x` goes out as `next_x`; `step` is one of them.
- State on the server: `stream_id` goes in, and `step`, the number of the step, goes out.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

from mpvn.serving.client_errors import RequestError, ServerError

STEP, STREAM_ID, NEXT = "step", "stream_id", "next_"

_DTYPES: Mapping[str, np.dtype] = {
    "DT_FLOAT": np.dtype("float32"),
    "DT_DOUBLE": np.dtype("float64"),
    "DT_HALF": np.dtype("float16"),
    "DT_BFLOAT16": np.dtype(ml_dtypes.bfloat16),
    "DT_BOOL": np.dtype("bool"),
    "DT_STRING": np.dtype("object"),
    **{
        f"DT_{sign}INT{bits}": np.dtype(f"{sign.lower()}int{bits}")
        for sign in ("", "U")
        for bits in (8, 16, 32, 64)
    },
}


@dataclasses.dataclass(frozen=True)
class Spec:
    """A tensor of a signature.

    Attributes:
        dtype: of the array; `object` for strings.
        shape: without the batch axis; None for sizes that are open.
        code: name of the dtype in TensorFlow's protocol, such as `"DT_FLOAT"`.
    """

    dtype: np.dtype
    shape: tuple[int | None, ...]
    code: str

    def __str__(self) -> str:
        name = "string" if self.dtype == object else self.dtype.name
        return f"{name} {list(self.shape)}".replace("None", "any")


Specs = Mapping[str, Spec]


@dataclasses.dataclass(frozen=True)
class StreamSignature:
    """The signature of one step of a stream.

    Attributes:
        name: its name.
        inputs: what the user sends.
        outputs: what the user gets.
        states: the states that the client keeps, by the name with which they go in; empty if the
            server keeps them.
    """

    name: str
    inputs: Specs
    outputs: Specs
    states: Specs

    @property
    def on_server(self) -> bool:
        """Whether the server keeps the state."""
        return not self.states


def read_signature(signatures: Mapping[str, Any], name: str) -> StreamSignature:
    """Return a signature of a model.

    Args:
        signatures: every `SignatureDef` as JSON, by name.
        name: of the signature to read.

    Raises:
        RequestError: there is no such signature, or it is not one of a stream.
    """
    if name not in signatures:
        known = sorted(each for each in signatures if not each.startswith("__"))
        raise RequestError(
            f"Unknown signature. Expected one of {', '.join(known)}. Received: {name!r}."
        )
    inputs, outputs = (_specs(signatures[name].get(key, {})) for key in ("inputs", "outputs"))
    states = {key: spec for key, spec in inputs.items() if f"{NEXT}{key}" in outputs}
    if STEP in states:
        sent = {key: spec for key, spec in inputs.items() if key not in states}
        next_names = {f"{NEXT}{key}" for key in states}
        got = {key: spec for key, spec in outputs.items() if key not in next_names}
        _check_closed(states)
        return StreamSignature(name, sent, got, states)
    if STREAM_ID in inputs and STEP in outputs:
        sent = {key: spec for key, spec in inputs.items() if key != STREAM_ID}
        got = {key: spec for key, spec in outputs.items() if key != STEP}
        return StreamSignature(name, sent, got, {})
    raise RequestError(
        f"The signature {name!r} is not a step of a stream. Expected the input {STEP!r} and the "
        f"output '{NEXT}{STEP}' (state in and out), or the input {STREAM_ID!r} and the output "
        f"{STEP!r} (state on the server). Received: inputs {', '.join(sorted(inputs))}; outputs "
        f"{', '.join(sorted(outputs))}. Export the network with network.export, or choose another "
        "signature."
    )


def _specs(tensors: Mapping[str, Any]) -> dict[str, Spec]:
    return {name: _spec(name, tensor) for name, tensor in sorted(tensors.items())}


def _spec(name: str, tensor: Mapping[str, Any]) -> Spec:
    code, shape = tensor.get("dtype", ""), tensor.get("tensor_shape", {})
    # A size that is 0 is left out of the JSON.
    sizes = [int(dim.get("size", 0)) for dim in shape.get("dim", [])]
    if code not in _DTYPES or shape.get("unknown_rank") or not sizes:
        raise ServerError(
            f"The client cannot send or read the tensor {name!r}. Expected a batch axis, a known "
            f"rank, and one of the dtypes {', '.join(_DTYPES)}. Received: {dict(tensor)}."
        )
    return Spec(_DTYPES[code], tuple(None if size < 0 else size for size in sizes[1:]), code)


def _check_closed(states: Specs) -> None:
    """Raise ServerError unless the shapes of all states are known."""
    for name, spec in states.items():
        if None in spec.shape:
            raise ServerError(
                f"The client cannot create the state {name!r}. Expected a fixed shape. Received: "
                f"{spec}. Export the network again."
            )
