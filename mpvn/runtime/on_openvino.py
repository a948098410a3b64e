"""The OpenVINO runtime: one compiled model for each unit and batch size, on the CPU.

Values are arrays of `mpvn.runtime.buffers`, which OpenVINO reads and writes in place. A unit runs
on any number of streams: in pieces of the compiled batch sizes, without a copy, because the rows of
a piece are contiguous.

OpenVINO reports its use to its maker by the package `openvino-telemetry`. Here it cannot: that
package is hidden from OpenVINO before it is imported, and models are read by OpenVINO's core, not
by its converter.
"""

import importlib
import pathlib
import sys
import tempfile
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import tensorflow as tf

from mpvn.plan import Plan
from mpvn.runtime.buffers import Buffer, Pool
from mpvn.runtime.freeze import Frozen
from mpvn.runtime.runtime import Run, Runtime
from mpvn.runtime.specs import place_specs

PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}
"""OpenVINO's names of the precisions in which it computes."""

_MISSING = (
    "The runtime 'openvino' needs the package openvino. Expected openvino to be installed. "
    "Received: {error}. Install it with pip install 'mpvn[openvino]', or use "
    "runtime='tensorflow'."
)


def import_openvino() -> ModuleType:
    """Import OpenVINO without its telemetry.

    Raises:
        ImportError: it is not installed.
    """
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        return importlib.import_module("openvino")
    except ImportError as error:
        raise ImportError(_MISSING.format(error=error)) from error


class OpenVINORuntime(Runtime):
    """Compiles units with OpenVINO.

    Args:
        plan: the plan.
        precision: one of `PRECISIONS`.
        threads: number of threads; None for all cores.
        batch: the largest number of streams that a unit computes at once.
    """

    def __init__(self, plan: Plan, precision: str, threads: int | None, batch: int) -> None:
        self._ov = import_openvino()
        self._core = self._ov.Core()
        self.handover = "bfloat16" if precision == "bfloat16" else None
        self._specs = place_specs(plan, self.handover)
        fixed = plan.graph.batch_size
        self._sizes = [fixed] if fixed else batch_sizes(batch)
        deepest = max((history.depth for history in plan.histories.all), default=0)
        self._limit = deepest + 4  # the ticks of a history, the outputs, and a state before them
        self._owned: dict[int, Buffer] = {}
        self._pools: dict[tuple, Pool] = {}
        self._config: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": True,
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
        }
        if threads is not None:
            self._config["INFERENCE_NUM_THREADS"] = threads

    def compile(self, frozen: Frozen) -> Run:
        model, reads, makes = self._convert(frozen)
        requests = {}
        for size in self._sizes:
            sized = model.clone()
            entering = zip(reads, frozen.entering, strict=True)
            sized.reshape({i: [size, *self._specs[place].shape[1:]] for i, place in entering})
            compiled = self._core.compile_model(
                self._typed(sized, frozen, reads, makes), "CPU", self._config
            )
            requests[size] = compiled.create_infer_request()
        return _CompiledUnit(self, requests, reads, list(zip(makes, frozen.leaving, strict=True)))

    def hold(self, value: Any, spec: tf.TensorSpec) -> Buffer:
        buffer = self._owned.get(id(value))
        if buffer is not None and buffer.view is value:
            return buffer
        array = np.asarray(value)
        buffer = self._new(("held", spec.name), array.shape, spec.dtype.as_numpy_dtype)
        np.copyto(buffer.array, array, casting="unsafe")
        return buffer

    def show(self, value: Buffer) -> np.ndarray:
        return value.view

    def gather(self, value: Buffer, rows: list[int]) -> Buffer:
        array = value.array
        buffer = self._new("gathered", (len(rows), *array.shape[1:]), array.dtype)
        np.take(array, rows, axis=0, out=buffer.array)
        return buffer

    def scatter(self, value: Buffer, rows: list[int], new: Buffer) -> Buffer:
        buffer = self._new("scattered", value.array.shape, value.array.dtype)
        np.copyto(buffer.array, value.array)
        buffer.array[rows] = new.array
        return buffer

    def zeros(self, rows: int, spec: tf.TensorSpec) -> Buffer:
        buffer = self._new("zeros", (rows, *spec.shape[1:]), spec.dtype.as_numpy_dtype)
        buffer.array[...] = 0
        return buffer

    def place_buffer(self, unit: object, place: Any, rows: int) -> Buffer:
        """Return a buffer for what `unit` makes at `place`, for some streams."""
        spec = self._specs[place]
        return self._new((unit, place), (rows, *spec.shape[1:]), spec.dtype.as_numpy_dtype)

    def tensor(self, array: np.ndarray) -> Any:
        """Return OpenVINO's view of a contiguous array."""
        kind = self._type(array.dtype)
        return self._ov.Tensor(array.reshape(-1).view(np.uint8), self._ov.Shape(array.shape), kind)

    def pieces(self, rows: int) -> list[tuple[int, int]]:
        """Return the first row and the size of each piece that `rows` streams are divided into."""
        pieces, start = [], 0
        for size in reversed(self._sizes):
            while rows - start >= size:
                pieces.append((start, size))
                start += size
        return pieces

    def _new(self, key: Any, shape: tuple[int, ...], dtype: Any) -> Buffer:
        key = (key, shape, dtype)
        if key not in self._pools:
            self._pools[key] = Pool(shape, np.dtype(dtype), self.tensor, self._owned, self._limit)
        return self._pools[key].take()

    def _type(self, dtype: np.dtype) -> Any:
        return self._ov.Type.bf16 if dtype.name == "bfloat16" else self._ov.Type(dtype)

    def _convert(self, frozen: Frozen) -> tuple[Any, list[int], list[int]]:
        """Return OpenVINO's model of a unit, and which of its inputs and outputs are whose."""
        function = frozen.function
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "unit.pb"
            path.write_bytes(function.graph.as_graph_def().SerializeToString(deterministic=True))
            try:
                model = self._core.read_model(path)
            except RuntimeError as error:
                raise ValueError(_cannot_compile(frozen, error)) from error
        reads = [_port(model.inputs, tensor.name) for tensor in function.inputs]
        makes = [_port(model.outputs, tensor.name) for tensor in function.outputs]
        return model, reads, makes

    def _typed(self, model: Any, frozen: Frozen, reads: list[int], makes: list[int]) -> Any:
        """Return a model whose inputs and outputs have the dtypes of the places."""
        prepared = self._ov.preprocess.PrePostProcessor(model)
        for index, place in zip(reads, frozen.entering, strict=True):
            prepared.input(index).tensor().set_element_type(self._place_type(place))
        for index, place in zip(makes, frozen.leaving, strict=True):
            prepared.output(index).tensor().set_element_type(self._place_type(place))
        return prepared.build()

    def _place_type(self, place: Any) -> Any:
        return self._type(np.dtype(self._specs[place].dtype.as_numpy_dtype))


class _CompiledUnit:
    """Runs a unit.

    Args:
        runtime: the runtime, which has the buffers.
        requests: an inference request for each batch size.
        reads: the model's input of each value that the unit reads.
        makes: the model's output and the place of each value that it makes.
    """

    def __init__(
        self,
        runtime: OpenVINORuntime,
        requests: dict[int, Any],
        reads: list[int],
        makes: list[tuple[int, Any]],
    ) -> None:
        self._runtime = runtime
        self._requests = requests
        self._reads = reads
        self._makes = makes

    def __call__(self, values: Sequence[Buffer]) -> list[Buffer]:
        rows = len(values[0].array)
        results = [self._runtime.place_buffer(id(self), place, rows) for _, place in self._makes]
        request = self._requests.get(rows)
        if request is not None:
            for index, value in zip(self._reads, values, strict=True):
                request.set_input_tensor(index, value.tensor)
            for (index, _), result in zip(self._makes, results, strict=True):
                request.set_output_tensor(index, result.tensor)
            request.infer()
            return results
        tensor = self._runtime.tensor
        for start, size in self._runtime.pieces(rows):
            request, piece = self._requests[size], slice(start, start + size)
            for index, value in zip(self._reads, values, strict=True):
                request.set_input_tensor(index, tensor(value.array[piece]))
            for (index, _), result in zip(self._makes, results, strict=True):
                request.set_output_tensor(index, tensor(result.array[piece]))
            request.infer()
        return results


def batch_sizes(batch: int) -> list[int]:
    """Return 1, 2, 4, ... and `batch`: any number of streams is a sum of a few of them."""
    return sorted({1 << power for power in range(batch.bit_length())} | {batch})


def _port(ports: Sequence[Any], name: str) -> int:
    """Return the position of the model's input or output of this name."""
    return next(index for index, port in enumerate(ports) if name in port.get_names())


def _cannot_compile(frozen: Frozen, error: Exception) -> str:
    reason = " ".join(line.strip() for line in str(error).splitlines() if line.strip())
    return (
        f"OpenVINO cannot compile {frozen.unit.name!r} of {frozen.unit.plan.graph.model.name!r}. "
        f"Expected operations that it has. Received: {reason[:300]}. Use runtime='tensorflow'."
    )
