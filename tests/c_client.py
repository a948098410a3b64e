"""Serves an exported network through the C++ loader, which TensorFlow Serving uses, too.

The process has TensorFlow's library alone: its Python is not imported, so nothing that an export
may have left there is found. Run as a program, it serves the clips of a folder.
"""

import contextlib
import ctypes
import json
import pathlib
import sys
from typing import Any

import numpy as np
from rounds import Values, serve, serve_ids

DTYPES = {1: np.dtype("float32"), 3: np.dtype("int32"), 9: np.dtype("int64"), 10: np.dtype("bool")}
"""Of TF_DataType."""

POINTERS = "NewStatus NewGraph NewSessionOptions GraphOperationByName AllocateTensor TensorData"
ONE_THREAD = b"\x10\x01\x28\x01"  # ConfigProto: within and between operations


class Output(ctypes.Structure):
    """TF_Output."""

    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


class Loader:
    """A SavedModel in a session of C++.

    Args:
        library: the path of libtensorflow_cc.
        model: the folder of the SavedModel.
        signatures: the names of the tensors, by signature, "inputs" or "outputs", and name.
    """

    def __init__(self, library: str, model: str, signatures: dict) -> None:
        self._c: Any = ctypes.CDLL(library)
        for name in (*POINTERS.split(), "LoadSessionFromSavedModel"):
            getattr(self._c, f"TF_{name}").restype = ctypes.c_void_p
        self._c.TF_Message.restype = ctypes.c_char_p
        self._c.TF_TensorByteSize.restype = ctypes.c_size_t
        self._c.TF_Dim.restype = ctypes.c_int64
        self._signatures = signatures
        self._status = ctypes.c_void_p(self._c.TF_NewStatus())
        self._graph = ctypes.c_void_p(self._c.TF_NewGraph())
        options = ctypes.c_void_p(self._c.TF_NewSessionOptions())
        self._c.TF_SetConfig(options, ONE_THREAD, ctypes.c_size_t(len(ONE_THREAD)), self._status)
        tags = (ctypes.c_char_p * 1)(b"serve")
        folder = model.encode()
        session = self._c.TF_LoadSessionFromSavedModel(
            options, None, folder, tags, 1, self._graph, None, self._status
        )
        self._check()
        self._session = ctypes.c_void_p(session)

    def __call__(self, key: str, inputs: dict) -> Values:
        """Run a signature."""
        signature = self._signatures[key]
        feeds, fetches = signature["inputs"], signature["outputs"]
        fed = (ctypes.c_void_p * len(feeds))(*(self._tensor(inputs[name]) for name in feeds))
        fetched = (ctypes.c_void_p * len(fetches))()
        given = self._outputs(feeds), fed, len(feeds), self._outputs(fetches), fetched, len(fetches)
        self._c.TF_SessionRun(self._session, None, *given, None, 0, None, self._status)
        self._check()
        values = {name: self._value(tensor) for name, tensor in zip(fetches, fetched, strict=True)}
        for tensor in (*fed, *fetched):
            self._c.TF_DeleteTensor(ctypes.c_void_p(tensor))
        return values

    def _check(self) -> None:
        if self._c.TF_GetCode(self._status):
            raise RuntimeError(self._c.TF_Message(self._status).decode())

    def _outputs(self, tensors: dict[str, str]) -> ctypes.Array:
        places = [name.split(":") for name in tensors.values()]
        found = [
            Output(self._c.TF_GraphOperationByName(self._graph, name.encode()), int(index))
            for name, index in places
        ]
        return (Output * len(found))(*found)

    def _tensor(self, value: Any) -> int:
        array = np.ascontiguousarray(value)
        array = array.astype("int32") if np.isscalar(value) else array
        (dtype,) = (number for number, known in DTYPES.items() if known == array.dtype)
        shape = (ctypes.c_int64 * np.ndim(value))(*np.shape(value))
        size = ctypes.c_size_t(array.nbytes)
        tensor = self._c.TF_AllocateTensor(dtype, shape, np.ndim(value), size)
        data = self._c.TF_TensorData(ctypes.c_void_p(tensor))
        ctypes.memmove(data, array.tobytes(), array.nbytes)
        return tensor

    def _value(self, pointer: int) -> np.ndarray:
        tensor = ctypes.c_void_p(pointer)
        shape = [self._c.TF_Dim(tensor, axis) for axis in range(self._c.TF_NumDims(tensor))]
        data = self._c.TF_TensorData(tensor)
        content = ctypes.string_at(data, self._c.TF_TensorByteSize(tensor))
        return np.frombuffer(content, DTYPES[self._c.TF_TensorType(tensor)]).reshape(shape)


def main(folder: pathlib.Path, library: str) -> None:
    forms = {
        form: Loader(library, str(folder / form), json.loads((folder / f"{form}.json").read_text()))
        for form in ("model", "server")
    }
    rounds = json.loads((folder / "rounds.json").read_text())
    clips = np.load(folder / "clips.npy")
    np.savez(folder / "c.npz", **serve(forms["model"], clips, rounds))
    server = forms["server"]
    np.savez(folder / "c_server.npz", **serve_ids(server, clips, rounds))
    with contextlib.suppress(RuntimeError):
        server("step", {"stream_id": np.array([1, 1]), "video": clips[:2, 0]})
        raise AssertionError("accepted: a stream twice")
    with contextlib.suppress(RuntimeError):
        server("step", {"stream_id": np.array([1]), "video": clips[:1, 0, :3]})
        raise AssertionError("accepted: frames of another size")
    assert server("step", {"stream_id": np.array([1]), "video": clips[:1, 0]})["step"] == [0]
    assert not {"tensorflow", "keras", "mpvn", "keras_layers"} & set(sys.modules)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2])
