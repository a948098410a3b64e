"""Unpickler for PyTorch files that executes nothing and imports nothing.

A pickle is a program: it names functions and classes, calls them, and sets the state of what they
return. Training checkpoints hold much besides weights: optimizer states, NumPy scalars, and objects
of any package. Here each name in a pickle becomes an `Inert` class. A call of one builds a tensor
or a container if its path is in `_BUILDERS`, and otherwise does nothing. No object of this process
gets into the hands of the pickle, so it has nothing to change either.
"""

import collections
import dataclasses
import pickle
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np
import tensorflow as tf

_DTYPES = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "BFloat16Storage": tf.bfloat16.as_numpy_dtype,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
    "ComplexFloatStorage": np.complex64,
    "ComplexDoubleStorage": np.complex128,
    "UntypedStorage": np.uint8,
}
"""PyTorch's storage classes, and the dtypes of their elements."""


class Inert(type):
    """A class or function that a pickle names, its instances, and its results: all the same object.

    It accepts whatever a pickle can do to an object. It is a class itself, because the opcode
    NEWOBJ makes instances of classes only.

    Attributes:
        path: Module and name in the pickle, such as `"argparse.Namespace"`.
    """

    path: str

    def __new__(mcs, path: str) -> "Inert":
        def __new__(cls: Inert, *arguments: Any, **options: Any) -> Any:  # NEWOBJ, INST, OBJ
            return Inert.__call__(cls, *arguments, **options)

        return super().__new__(mcs, "inert", (), {"path": path, "__new__": __new__})

    def __init__(cls, path: str) -> None:
        super().__init__("inert", (), {})

    def __call__(cls, *arguments: Any, **options: Any) -> Any:  # REDUCE
        build = _BUILDERS.get(cls.path)
        return build(*arguments, **options) if build else cls

    def __setstate__(cls, state: Any) -> None:  # BUILD
        """Ignore a state."""

    def __setitem__(cls, key: Any, value: Any) -> None:  # SETITEM, SETITEMS
        """Ignore an entry."""

    def append(cls, value: Any) -> None:  # APPEND
        """Ignore an element."""

    extend = add = append  # APPENDS, ADDITEMS


@dataclasses.dataclass(frozen=True, slots=True)
class Storage:
    """The values of tensors: a part of the file.

    Attributes:
        key: Name of the part.
        dtype: Dtype of the elements; None if it is unknown.
        elements: The elements of the part that belong to it; None for all.
    """

    key: str
    dtype: Any
    elements: slice | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Tensor:
    """The place of a tensor in a storage, in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def read(self, part: bytes) -> np.ndarray:
        """Return the values, given the bytes of the storage's part of the file.

        Raises:
            ValueError: The tensor lies outside its storage.
        """
        values: np.ndarray = np.frombuffer(part, self.storage.dtype)
        values = values[self.storage.elements or slice(None)][self.offset :]
        last = sum((size - 1) * step for size, step in zip(self.shape, self.strides, strict=True))
        valid = min(self.offset, *self.shape, *self.strides, 0) >= 0
        if not valid or (0 not in self.shape and last >= len(values)):
            raise ValueError(f"A tensor of shape {self.shape} lies outside its storage")
        strides = [step * values.itemsize for step in self.strides]
        return np.lib.stride_tricks.as_strided(values, self.shape, strides).copy()


def _build_tensor(storage: Any, offset: int, shape: tuple, strides: tuple, *_: Any) -> Tensor:
    if not isinstance(storage, Storage):
        raise TypeError(f"a tensor of {storage!r}")
    return Tensor(storage, offset, tuple(shape), tuple(strides))


def _first(tensor: Any, *_: Any) -> Any:
    return tensor


_BUILDERS: Mapping[str, Callable[..., Any]] = {
    "collections.OrderedDict": collections.OrderedDict,
    "torch.Size": tuple,
    "torch._utils._rebuild_tensor": _build_tensor,
    "torch._utils._rebuild_tensor_v2": _build_tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch.nn.parameter.Parameter": _first,
    # A tensor with attributes: the function that builds the tensor, its class, and its arguments.
    "torch._tensor._rebuild_from_type_v2": lambda build, kind, given, state: build(*given),
}


class Unpickler(pickle.Unpickler):
    """Loads an object of tensors, containers, plain values, and `Inert` for all others.

    Attributes:
        dtypes: Dtype of the elements of each storage so far, by key; None if it is unknown.
    """

    def __init__(self, file: BinaryIO) -> None:
        # Python 2 wrote bytes as text: NumPy arrays, which need no decoding, must not stop it.
        super().__init__(file, encoding="utf-8", errors="surrogateescape")
        self.dtypes: dict[str, Any] = {}

    def find_class(self, module: str, name: str) -> Inert:
        return Inert(f"{module}.{name}")

    def persistent_load(self, saved: Any) -> Any:
        match saved:
            case ("storage", Inert() as kind, str() as key, _, _):
                view = None
            case ("storage", Inert() as kind, str() as key, _, _, view):
                pass
            case (_, Inert() as module, *_):  # old files: the class of a module, with its source
                return module
            case _:
                return Inert("a persistent id")
        dtype = self.dtypes[key] = _DTYPES.get(kind.path.rpartition(".")[2])
        if view is None:
            return Storage(key, dtype)
        _, first, count = view
        return Storage(key, dtype, slice(first, first + count))
