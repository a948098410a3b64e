"""Brings what users send as a frame to the inputs of a signature, without changing its meaning.

A server would cast or refuse in its own words, and some casts are silent errors: bytes 0..255 as
floats of a network that takes -1..1. So dtypes change only where no value changes its meaning.
"""

from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

from mpvn.serving.model_signature import Spec, Specs
from mpvn.serving.string_arrays import map_strings

_KINDS = {
    "float": (np.floating, ml_dtypes.bfloat16),
    "integer": (np.integer,),
    "bool": (np.bool_,),
}


def pack_frame(frame: Any, specs: Specs) -> dict[str, np.ndarray]:
    """Return one frame as the inputs of a signature, with a batch axis of 1.

    Args:
        frame: an array or bytes, or a dict of them by the name of the input.
        specs: the inputs, without the batch axis.

    Raises:
        TypeError: a dtype is of another kind.
        ValueError: a name, a shape or a value does not fit.
    """
    if not isinstance(frame, Mapping):
        if len(specs) != 1:
            raise ValueError(
                f"Invalid frame. Expected a dict with {', '.join(specs)}. Received: one value."
            )
        frame = {next(iter(specs)): frame}
    if frame.keys() != specs.keys():
        raise ValueError(
            f"Invalid frame. Expected the inputs {', '.join(specs)}. Received: "
            f"{', '.join(map(str, frame)) or 'none'}."
        )
    return {name: _pack(name, frame[name], spec)[np.newaxis] for name, spec in specs.items()}


def _pack(name: str, value: Any, spec: Spec) -> np.ndarray:
    array = _strings(name, value) if spec.dtype == object else _numbers(name, value, spec)
    sizes = zip(array.shape, spec.shape, strict=False)
    if array.ndim != len(spec.shape) or any(want not in (got, None) for got, want in sizes):
        raise ValueError(
            f"Invalid frame. Expected {spec} for the input {name!r}, without a batch axis. "
            f"Received: shape {list(array.shape)}."
        )
    return array


def _strings(name: str, value: Any) -> np.ndarray:
    array = np.array(value, dtype=object)
    if not all(isinstance(each, bytes | str) for each in array.flat):
        kind = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else type(value)
        raise TypeError(
            f"Invalid frame. Expected bytes, such as those of a JPEG file, for the input {name!r}. "
            f"Received: {kind}."
        )
    return map_strings(lambda each: each.encode() if isinstance(each, str) else each, array)


def _numbers(name: str, value: Any, spec: Spec) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype == spec.dtype:
        return array
    if _kind(array.dtype) != _kind(spec.dtype):
        remedy = ""
        if array.dtype == np.uint8:
            remedy = (
                " Bring the pixels to the range that the network takes, or export it with "
                "images='uint8'."
            )
        raise TypeError(
            f"Invalid frame. Expected {spec} for the input {name!r}. Received: "
            f"{array.dtype}.{remedy}"
        )
    with np.errstate(over="ignore"):  # found below
        cast = array.astype(spec.dtype)
    is_lost = np.any(np.isfinite(array) & ~np.isfinite(cast))
    if is_lost or (_kind(spec.dtype) == "integer" and (cast != array).any()):
        raise ValueError(
            f"Invalid frame. Expected values of {spec.dtype} for the input {name!r}. Received: "
            f"{array.dtype} with {array.min()} to {array.max()}."
        )
    return cast


def _kind(dtype: np.dtype) -> str:
    kinds = (
        kind for kind, types in _KINDS.items() if any(np.issubdtype(dtype, each) for each in types)
    )
    return next(kinds, dtype.name)
