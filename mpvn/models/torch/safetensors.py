"""Reader of safetensors: eight bytes with the length of a JSON header, the header, the values.

    {"conv1.weight": {"dtype": "F32", "shape": [64, 3, 7, 7], "data_offsets": [0, 37632]}, ...}

Offsets count from the end of the header. `__metadata__` holds texts by name.
"""

import json
import math
import os
import struct
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
import tensorflow as tf

from mpvn.models.torch.unpickler import Storage, Tensor

_DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": tf.bfloat16.as_numpy_dtype,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


def is_header(head: bytes) -> bool:
    """Return whether a file that begins with `head`, 9 bytes or more, is of this format."""
    return head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < 1 << 32


def open_tensors(file: BinaryIO) -> tuple[dict[str, Any], Callable[[Tensor], np.ndarray]]:
    """Read the header.

    Returns:
        The tensors by name, with the texts by name under `"meta"` if there are any, and the
        function that returns the values of one.

    Raises:
        ValueError, KeyError: The file is damaged.
    """
    (length,) = struct.unpack("<Q", file.read(8))
    header = json.loads(file.read(length))
    begin, end = file.tell(), file.seek(0, os.SEEK_END)
    texts = header.pop("__metadata__", None)
    tensors = {name: _tensor(name, entry) for name, entry in header.items()}
    offsets = {name: entry["data_offsets"] for name, entry in header.items()}
    if any(begin + last > end for _, last in offsets.values()):
        raise ValueError("values beyond the end of the file")

    def read(tensor: Tensor) -> np.ndarray:
        first, last = offsets[tensor.storage.key]
        file.seek(begin + first)
        return tensor.read(file.read(last - first))

    return {"state_dict": tensors, **({"meta": texts} if texts else {})}, read


def _tensor(name: str, entry: dict[str, Any]) -> Tensor:
    shape = tuple(entry["shape"])
    strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))  # row by row
    return Tensor(Storage(name, _DTYPES[entry["dtype"]]), 0, shape, strides)
