"""The OpenVINO runtime: one compiled model for each unit and batch size, on the CPU.

Values are arrays of `mpvn.runtime.buffers`, which OpenVINO reads and writes in place. A unit runs
on any number of streams: in pieces of the compiled batch sizes, without a copy, because the rows of
a piece are contiguous.
"""

import math
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from mpvn.machine import usable_cores
from mpvn.plan import Plan
from mpvn.runtime.buffers import Buffer, Pool
from mpvn.runtime.freeze import Frozen
from mpvn.runtime.openvino_models import (
    PRECISIONS,
    ModelCompiler,
    Transform,
    computes_in_bfloat16,
    convert,
    import_openvino,
)
from mpvn.runtime.runtime import NO_BFLOAT16, Run, Runtime
from mpvn.runtime.specs import Specs

_EXACT = ("float32", "bfloat16", "float16", "int32", "int16", "int8", "uint8", "bool")
"""Dtypes of values that OpenVINO hands over as they are."""


class OpenVINORuntime(Runtime):
    """Compiles units with OpenVINO.

    Args:
        plan: the plan.
        precision: one of `PRECISIONS`.
        threads: number of threads; None for all cores.
        batch: the largest number of streams that a unit computes at once.
        transform: changes the models of units before they are compiled; None for no change.
        at_once: number of units that run at once, at least: each has its share of the threads.
            None: units run one after the other.
        clip: number of steps that are computed at once.

    Raises:
        ImportError: OpenVINO is not installed.
        ValueError: the CPU does not compute in that precision, or a value between units has a dtype
            that OpenVINO does not have.
    """

    masks = False  # Keras would attach them by the ids of arrays, which Python uses again

    def __init__(
        self,
        plan: Plan,
        precision: str,
        threads: int | None,
        batch: int,
        transform: Transform | None = None,
        at_once: int | None = None,
        clip: int = 1,
    ) -> None:
        self._ov = import_openvino()
        if precision == "bfloat16" and not computes_in_bfloat16():
            raise ValueError(NO_BFLOAT16.format(runtime="OpenVINO"))
        self.handover = "bfloat16" if precision == "bfloat16" else None
        check_dtypes(plan)
        # A model runs as often at once as it has streams: for frames of a clip, which share a unit.
        streams = at_once if at_once and clip > 1 else 1
        config: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": streams,
            "ENABLE_CPU_PINNING": at_once is None,  # or models that run at once might share a core
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
        }
        if at_once is not None:
            threads = streams * math.ceil((threads or usable_cores()) / at_once)
        if threads is not None:
            config["INFERENCE_NUM_THREADS"] = threads
        self._compiler = ModelCompiler(config, transform)
        fixed = plan.graph.batch_size
        self._sizes = [fixed] if fixed else batch_sizes(batch)
        deepest = max((history.depth for history in plan.histories.all), default=0)
        # The ticks of a history, the outputs of each step, and a state before them
        self._limit = deepest + 3 + clip
        self._shared_limit = self._limit + len(plan.histories.specs)  # all slots may be alike
        self._owned: dict[int, Buffer] = {}
        self._pools: dict[tuple, Pool] = {}

    def compile(self, frozen: Frozen, specs: Specs) -> Run:
        models = self._compiler.compile(frozen, specs, self._sizes)
        for model in models.values():  # known once there is a model; the default is OpenVINO's
            self.threads = model.get_property("INFERENCE_NUM_THREADS")
        return _CompiledUnit(self, models, [specs[place] for place in frozen.leaving])

    def model(self, frozen: Frozen) -> Any:
        """Return OpenVINO's model of a unit, before it is transformed, for any batch size."""
        return convert(frozen.function)

    def array(self, value: Any, dtype: str) -> np.ndarray:
        array, wanted = np.asarray(value), tf.as_dtype(dtype).as_numpy_dtype
        return array if array.dtype == wanted else array.astype(wanted)

    def hold(self, value: Any, spec: tf.TensorSpec) -> Buffer:
        buffer = self._owned.get(id(value))
        if buffer is not None and buffer.view is value:
            return buffer
        array = np.asarray(value)
        buffer = self._new("held", array.shape, spec.dtype.as_numpy_dtype)
        np.copyto(buffer.array, array, casting="same_kind")
        return buffer

    def borrow(self, value: Any, spec: tf.TensorSpec) -> "Buffer | _Borrowed":
        flags, dtype = value.flags, spec.dtype.as_numpy_dtype
        if value.dtype != dtype or not (flags.c_contiguous and flags.aligned):
            return self.hold(value, spec)
        return _Borrowed(value, self.tensor(value))

    def show(self, value: "Buffer | _Borrowed") -> np.ndarray:
        if isinstance(value, _Borrowed):  # the user may write to it after the call
            buffer = self._new("shown", value.array.shape, value.array.dtype)
            np.copyto(buffer.array, value.array)
            return buffer.view
        return value.view

    def stack(self, steps: list[np.ndarray]) -> np.ndarray:
        return np.stack(steps, axis=1)

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

    def pool(self, rows: int, spec: tf.TensorSpec) -> Pool:
        """Return a new pool of buffers for values `[rows, ...]`."""
        dtype = np.dtype(spec.dtype.as_numpy_dtype)
        return Pool((rows, *spec.shape[1:]), dtype, self.tensor, self._owned, self._limit)

    def tensor(self, array: np.ndarray) -> Any:
        """Return OpenVINO's view of a contiguous array."""
        return self._compiler.tensor(array)

    def pieces(self, rows: int) -> list[tuple[int, int]]:
        """Return the first row and the size of each piece that `rows` streams are divided into."""
        pieces, start = [], 0
        for size in reversed(self._sizes):
            while rows - start >= size:
                pieces.append((start, size))
                start += size
        return pieces

    def _new(self, use: str, shape: tuple[int, ...], dtype: Any) -> Buffer:
        key = (use, shape, dtype)
        if key not in self._pools:
            limit = self._shared_limit
            self._pools[key] = Pool(shape, np.dtype(dtype), self.tensor, self._owned, limit)
        return self._pools[key].take()


class _Borrowed(NamedTuple):
    """A user's array for the time of a call, and OpenVINO's view of it."""

    array: np.ndarray
    tensor: Any


class _CompiledUnit:
    """Runs a unit, for any number of threads at once.

    Args:
        runtime: the runtime, which has the buffers.
        models: a compiled model for each batch size.
        makes: the specs of the values that the unit makes.
    """

    def __init__(
        self, runtime: OpenVINORuntime, models: dict[int, Any], makes: list[tf.TensorSpec]
    ) -> None:
        self._runtime = runtime
        self._models = {size: _Model(model) for size, model in models.items()}
        self._makes = makes
        self._pools: dict[int, list[Pool]] = {}
        self._lock = threading.Lock()

    def __call__(self, values: Sequence[Buffer]) -> list[Buffer]:
        rows = len(values[0].array) if values else min(self._models)
        with self._lock:  # until `results` holds what the pools have found free
            if rows not in self._pools:
                self._pools[rows] = [self._runtime.pool(rows, spec) for spec in self._makes]
            results = [pool.take() for pool in self._pools[rows]]
        model = self._models.get(rows)
        if model is not None:
            model.infer([x.tensor for x in values], [x.tensor for x in results])
            return results
        for start, size in self._runtime.pieces(rows):
            piece = slice(start, start + size)
            reads, makes = (
                [self._runtime.tensor(buffer.array[piece]) for buffer in buffers]
                for buffers in (values, results)
            )
            self._models[size].infer(reads, makes)
        return results


class _Model:
    """A compiled model, with as many requests as threads have run it at once.

    Args:
        model: the compiled model.
    """

    def __init__(self, model: Any) -> None:
        self._create = model.create_infer_request
        self._free: list[Any] = [self._create()]

    def infer(self, reads: list[Any], makes: list[Any]) -> None:
        """Read OpenVINO's tensors, and fill others."""
        try:
            request = self._free.pop()
        except IndexError:  # other threads have them all
            request = self._create()
        for index, tensor in enumerate(reads):
            request.set_input_tensor(index, tensor)
        for index, tensor in enumerate(makes):
            request.set_output_tensor(index, tensor)
        request.infer()
        self._free.append(request)


def batch_sizes(batch: int) -> list[int]:
    """Return 1, 2, 4, ... and `batch`: any number of streams is a sum of a few of them."""
    return sorted({1 << power for power in range(batch.bit_length())} | {batch})


def check_dtypes(plan: Plan, remedy: str = "runtime='tensorflow'") -> None:
    """Raise ValueError if a value of the frame model has a dtype that OpenVINO does not have."""
    tensors = [tensor for tensor in plan.graph.tensors if tensor.dtype not in _EXACT]
    if tensors:
        raise ValueError(
            f"OpenVINO cannot compile {plan.graph.model.name!r}: it has no "
            f"{', '.join(sorted({tensor.dtype for tensor in tensors}))}. Expected values of "
            f"{', '.join(_EXACT)}. Received: {tensors[0].name!r}, {tensors[0].dtype}. Use "
            f"{remedy}."
        )
