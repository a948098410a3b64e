"""Named arrays as JSON, in the two formats of TensorFlow Serving's REST API.

    row      {"instances": [{"x": ..., "y": ...}, ...]}      -> {"predictions": [{...}, ...]}
    column   {"inputs": {"x": [...], "y": [...]}}            -> {"outputs": {"z": [...]}}

A signature with one input takes its value without a name in both formats, and one with one output
gives it so. Strings are text, or `{"b64": ...}` for any bytes; outputs whose name ends in `_bytes`
are written so. NaN, Infinity and -Infinity stand as they are. Other keys are ignored.
"""

import base64
import binascii
import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from mpvn.serving.errors import InvalidRequest
from mpvn.serving.server.signatures import Arrays, Signature, find_signature

_MOST_AXES = 16
_B64 = "b64"
_BYTES = "_bytes"


class Request(NamedTuple):
    """A request for a prediction.

    Attributes:
        signature: the signature.
        inputs: arrays by name; strings are arrays of objects.
        by_rows: whether it is in row format.
    """

    signature: Signature
    inputs: Arrays
    by_rows: bool


def read_request(body: bytes, signatures: Mapping[str, Signature]) -> Request:
    """Return the request of a body.

    Raises:
        InvalidRequest: it is none.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(
            f"The body is no JSON. Expected a JSON object. Received: {error}."
        ) from error
    if not isinstance(content, dict):
        raise InvalidRequest(
            f"Expected a JSON object. Received: {_kind(content)} in place of the body."
        )
    name = content.get("signature_name", "")
    if not isinstance(name, str):
        raise InvalidRequest(f"signature_name. Expected a string. Received: {_kind(name)}.")
    signature = find_signature(signatures, name)
    given = [key for key in ("instances", "inputs") if key in content]
    if len(given) != 1:
        raise InvalidRequest(
            "Expected either instances (row format) or inputs (column format). Received: "
            f"{' and '.join(given) or 'neither'}."
        )
    by_rows = given == ["instances"]
    columns = (_of_rows if by_rows else _of_columns)(content[given[0]], signature)
    arrays = {
        each: to_array(each, columns[each], spec.dtype)
        for each, spec in signature.inputs.items()
        if each in columns
    }
    unknown = {each: np.empty(0) for each in columns if each not in arrays}  # told by their names
    return Request(signature, {**arrays, **unknown}, by_rows)


def write_answer(outputs: Arrays, by_rows: bool) -> bytes:
    """Return the body of an answer, in the format of the request."""
    columns = {name: _to_json(name, value) for name, value in outputs.items()}
    single = next(iter(columns.values())) if len(columns) == 1 else None
    if not by_rows:
        return json.dumps({"outputs": columns if single is None else single}).encode()
    if single is None:
        rows = zip(*columns.values(), strict=True)
        single = [dict(zip(columns, row, strict=True)) for row in rows]
    return json.dumps({"predictions": single}).encode()


def to_array(name: str, value: Any, dtype: tf.DType) -> np.ndarray:
    """Return the array of a value of JSON.

    Raises:
        InvalidRequest: it is no value of that dtype, or its lists differ in length.
    """
    shape, flat = _flatten(name, value)
    kinds = {*map(type, flat)}
    if dtype == tf.string:
        array = np.empty(len(flat), object)
        array[:] = [_bytes(name, each) for each in flat]
        return array.reshape(shape)
    wanted = np.dtype(dtype.as_numpy_dtype)
    allowed = {bool} if dtype == tf.bool else ({int, float} if dtype.is_floating else {int})
    if not kinds <= allowed:
        wrong = next(each for each in flat if type(each) not in allowed)
        expected = "true or false" if dtype == tf.bool else f"numbers of {dtype.name}"
        raise InvalidRequest(f"Input {name!r}. Expected {expected}. Received: {_kind(wrong)}.")
    try:
        if dtype.is_integer:
            _check_range(flat, np.iinfo(wanted))
        with np.errstate(over="ignore"):  # what is not finite is refused later
            return (
                np.array(flat, np.float64 if dtype.is_floating else wanted)
                .astype(wanted)
                .reshape(shape)
            )
    except OverflowError as error:
        raise InvalidRequest(
            f"Input {name!r}. Expected numbers of {dtype.name}. Received: {error}."
        ) from error


def _flatten(name: str, value: Any) -> tuple[list[int], list[Any]]:
    """Return the shape of nested lists, and what is in them.

    Nothing is allocated by their shape before all lengths are known: one list tells nothing of
    others.
    """
    shape: list[int] = []
    level = [value]
    while level and type(level[0]) is list and len(shape) < _MOST_AXES:
        lengths = {len(each) if type(each) is list else None for each in level}
        if len(lengths) > 1:
            raise InvalidRequest(
                f"Input {name!r}. Expected lists of equal length. Received: others, "
                f"{len(shape)} lists deep."
            )
        shape.append(len(level[0]))
        level = list(itertools.chain.from_iterable(level))
    return shape, level


def _check_range(numbers: list[int], limits: np.iinfo) -> None:
    for number in (min(numbers, default=0), max(numbers, default=0)):
        if not limits.min <= number <= limits.max:
            raise OverflowError("numbers below" if number < limits.min else "numbers above")


def _of_rows(rows: Any, signature: Signature) -> dict[str, Any]:
    """Return the values of each input in a list, given a list of rows."""
    if not isinstance(rows, list) or not rows:
        raise InvalidRequest(f"instances. Expected a list of rows. Received: {_kind(rows)}.")
    named = [isinstance(row, dict) and row.keys() != {_B64} for row in rows]
    if not any(named) and len(signature.inputs) == 1:
        return {next(iter(signature.inputs)): rows}
    if not all(named):
        wrong = rows[named.index(False)]
        raise InvalidRequest(
            "instances. Expected an object with the values of "
            f"{', '.join(signature.inputs)} for each row. Received: {_kind(wrong)} in row "
            f"{named.index(False)}."
        )
    for number, row in enumerate(rows):
        if row.keys() != rows[0].keys():
            raise InvalidRequest(
                "instances. Expected the same inputs in each row. Received: "
                f"{', '.join(rows[0])} in row 0, {', '.join(row)} in row {number}."
            )
    return {name: [row[name] for row in rows] for name in rows[0]}


def _of_columns(columns: Any, signature: Signature) -> dict[str, Any]:
    if isinstance(columns, dict) and columns.keys() != {_B64}:
        return columns
    if len(signature.inputs) == 1:
        return {next(iter(signature.inputs)): columns}
    raise InvalidRequest(
        f"inputs. Expected an object with the values of {', '.join(signature.inputs)}. Received: "
        f"{_kind(columns)}."
    )


def _bytes(name: str, value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, dict) and value.keys() == {_B64} and isinstance(value[_B64], str):
        try:
            return base64.b64decode(value[_B64], validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidRequest(f"Input {name!r}. Expected base64. Received: {error}.") from error
    raise InvalidRequest(
        f"Input {name!r}. Expected a string, or an object with the key b64. Received: "
        f"{_kind(value)}."
    )


def _to_json(name: str, value: np.ndarray) -> Any:
    if value.dtype == object:
        write = _b64 if name.endswith(_BYTES) else (lambda each: each.decode("utf-8", "replace"))
        return _mapped(value.tolist(), write)
    if value.dtype.kind not in "biuf":
        value = value.astype(np.float32)  # bfloat16
    return value.tolist()


def _b64(value: bytes) -> dict[str, str]:
    return {_B64: base64.b64encode(value).decode()}


def _mapped(value: Any, write: Callable[[bytes], Any]) -> Any:
    return [_mapped(each, write) for each in value] if isinstance(value, list) else write(value)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", type(None): "null"}
    return {bool: "true or false", float: "a number with a fraction", **names}.get(
        type(value), "a whole number"
    )
