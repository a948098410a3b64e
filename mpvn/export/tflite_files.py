"""Joins LiteRT models into one file, in which each different value is once.

This file uses TensorFlow's own Python classes of the file format (`schema_py_generated`): the
converter writes several signatures, but each with weights of its own.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

_IDENTIFIER = b"TFL3"
_ALIGNMENT = 16  # bytes, as the format wants it


class Joined:
    """Models as one, with a signature for each.

    Attributes:
        model: the model, an object of the format's classes.
    """

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.description = "mpvn"
        self.model.subgraphs, self.model.operatorCodes = [], []
        self.model.signatureDefs, self.model.metadata = [], []
        self.model.buffers = [_Buffer()]  # what has no value refers to the first one
        self._buffers: dict[bytes, int] = {}
        self._codes: dict[tuple, int] = {}

    def add(self, content: bytes, name: str, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Add a model.

        Args:
            content: the model, whose only signature has the inputs `i0`, `i1`, ... and the outputs
                `o0`, `o1`, ...
            name: what its signature is called here.
            inputs, outputs: what its inputs and outputs are called here.
        """
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(content)))
        first = len(self.model.subgraphs)
        buffers = [self._buffer(each.data) for each in model.buffers]
        codes = [self._code(each) for each in model.operatorCodes]
        for subgraph in model.subgraphs:
            for tensor in subgraph.tensors:
                tensor.buffer = buffers[tensor.buffer]
            for operator in subgraph.operators or []:
                operator.opcodeIndex = codes[operator.opcodeIndex]
                for options in (operator.builtinOptions, operator.builtinOptions2):
                    _shift(options, first)
            self.model.subgraphs.append(subgraph)
        (signature,) = model.signatureDefs
        signature.signatureKey = name
        signature.subgraphIndex += first
        _rename(signature.inputs, {f"i{i}": each for i, each in enumerate(inputs)})
        _rename(signature.outputs, {f"o{i}": each for i, each in enumerate(outputs)})
        self.model.signatureDefs.append(signature)

    def attach(self, name: str, content: bytes) -> None:
        """Add metadata."""
        entry = schema.MetadataT()
        entry.name, entry.buffer = name, self._buffer(np.frombuffer(content, np.uint8))
        self.model.metadata.append(entry)

    def pack(self) -> bytes:
        """Return the file."""
        builder = flatbuffers.Builder(2**20)
        builder.Finish(self.model.Pack(builder), file_identifier=_IDENTIFIER)
        return bytes(builder.Output())

    def _buffer(self, data: np.ndarray | None) -> int:
        """Return the index of a value."""
        if data is None or not len(data):
            return 0
        key = data.tobytes()
        if key not in self._buffers:
            self._buffers[key] = len(self.model.buffers)
            self.model.buffers.append(_Buffer(data))
        return self._buffers[key]

    def _code(self, code: Any) -> int:
        """Return the index of an operator."""
        key = (code.builtinCode, code.deprecatedBuiltinCode, code.customCode, code.version)
        if key not in self._codes:
            self._codes[key] = len(self.model.operatorCodes)
            self.model.operatorCodes.append(code)
        return self._codes[key]


class _Buffer(schema.BufferT):
    """A value that is aligned as the format wants it, which the generated class does not do."""

    def Pack(self, builder: Any) -> int:
        vector = None
        if self.data is not None:
            builder.StartVector(1, len(self.data), _ALIGNMENT)
            builder.head -= len(self.data)
            builder.Bytes[builder.head : builder.head + len(self.data)] = self.data.tobytes()
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)


def _shift(options: Any, count: int) -> None:
    """Add `count` to the subgraphs that an operator calls."""
    for name, value in list(vars(options).items()) if options is not None else ():
        if name.endswith("ubgraphIndex"):
            setattr(options, name, value + count)
        elif name.endswith("ubgraphIndices") and value is not None:
            setattr(options, name, [index + count for index in value])


def _rename(tensors: list[Any], names: Mapping[str, str]) -> None:
    for tensor in tensors:
        tensor.name = names[tensor.name.decode()]
    order = list(names.values())
    tensors.sort(key=lambda tensor: order.index(tensor.name))
