"""OpenVINO models of units: converted, compiled, and kept on disk.

OpenVINO reports its use to its maker by the package `openvino-telemetry`. Here it cannot: that
package is hidden from OpenVINO before it is imported, and models are read by OpenVINO's core, not
by its converter.
"""

import functools
import importlib
import io
import pathlib
import sys
import tempfile
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from absl import logging

from mpvn.executors.run import Place
from mpvn.runtime.cache import content_key, read_cached, write_cached
from mpvn.runtime.freeze import Frozen
from mpvn.runtime.layouts import keep_channels_last
from mpvn.runtime.specs import Specs
from mpvn.runtime.verify import TOLERANCES, is_equal, random_values

PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}
"""OpenVINO's names of the precisions in which it computes."""

CONVERSION = 3
"""Version of how graphs become models: part of what names them in the cache."""

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


@functools.cache
def openvino_core() -> Any:
    """Return OpenVINO's core, one for the process.

    Each core gives the thread a stack for signals and takes it back at its end. If two do so in
    another order, the thread keeps a stack that is gone, and the next Ctrl-C ends the process.

    Raises:
        ImportError: OpenVINO is not installed.
    """
    return import_openvino().Core()


@functools.cache
def computes_in_bfloat16() -> bool:
    """Return whether OpenVINO uses bfloat16 on this CPU."""
    core = openvino_core()
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class Transform(Protocol):
    """Changes the model of a unit before it is compiled, for example by quantization."""

    def key(self, frozen: Frozen) -> str:
        """Return what the changed model depends on, besides the model: a part of its cache key."""

    def __call__(self, frozen: Frozen, model: Any) -> Any:
        """Return the changed model, with the same inputs and outputs in the same order."""


class ModelCompiler:
    """Compiles units for the CPU.

    The inputs and outputs of a compiled model are those of the frozen unit, in its order.

    Args:
        config: OpenVINO's settings.
        transform: changes models before they are compiled; None for no change.
    """

    def __init__(self, config: dict[str, Any], transform: Transform | None = None) -> None:
        self._ov = import_openvino()
        self._core = openvino_core()
        self._config = config
        self._transform = transform

    def compile(self, frozen: Frozen, specs: Specs, sizes: Sequence[int]) -> dict[int, Any]:
        """Return a compiled model of a unit for each of some batch sizes.

        Args:
            frozen: the unit.
            specs: the specs in which values are handed over.
            sizes: the batch sizes.
        """
        entering = [specs[place] for place in frozen.entering]
        leaving = [specs[place] for place in frozen.leaving]
        keys = {size: self._key(frozen, [*entering, *leaving], size) for size in sizes}
        compiled = {size: self._load(key) for size, key in keys.items()}
        missing = [size for size, model in compiled.items() if model is None]
        try:
            if missing:
                model = convert(frozen.function)
                model = self._transform(frozen, model) if self._transform else model
                sized = {size: self._sized(model, entering, leaving, size) for size in missing}
                compile_ = self._core.compile_model
                compiled |= {n: compile_(m, "CPU", self._config) for n, m in sized.items()}
                self._check_values(frozen, compiled[missing[0]], entering, leaving, missing[0])
        except RuntimeError as error:
            raise ValueError(_cannot_compile(frozen, error)) from error
        for size in missing:
            self._save(keys[size], compiled[size])
        return compiled

    def _check_values(
        self,
        frozen: Frozen,
        model: Any,
        entering: list[tf.TensorSpec],
        leaving: list[tf.TensorSpec],
        size: int,
    ) -> None:
        """Raise ValueError if a compiled model does not compute what its unit computes."""
        if self._transform is not None:
            return  # it is to compute something else; who transforms, tells the difference
        given = random_values(entering, size)
        native = zip(given, frozen.function.inputs, strict=True)
        expected = frozen.function(*(tf.cast(value, x.dtype) for value, x in native))
        results = [np.empty((size, *s.shape[1:]), s.dtype.as_numpy_dtype) for s in leaving]
        request = model.create_infer_request()
        for index, value in enumerate(given):
            request.set_input_tensor(index, self.tensor(value))
        for index, value in enumerate(results):
            request.set_output_tensor(index, self.tensor(value))
        request.infer()
        names = {name: precision for precision, name in PRECISIONS.items()}
        tolerance = TOLERANCES[names[self._config["INFERENCE_PRECISION_HINT"]]]
        for place, value, right in zip(frozen.leaving, results, expected, strict=True):
            if not is_equal(value, right.numpy(), tolerance):
                raise ValueError(_computes_else(frozen, place))

    def tensor(self, array: np.ndarray) -> Any:
        """Return OpenVINO's view of a contiguous array."""
        kind = self.type(array.dtype)
        return self._ov.Tensor(array.reshape(-1).view(np.uint8), self._ov.Shape(array.shape), kind)

    def type(self, dtype: np.dtype) -> Any:
        """Return OpenVINO's name of a dtype."""
        return self._ov.Type.bf16 if dtype.name == "bfloat16" else self._ov.Type(dtype)

    def _sized(
        self, model: Any, entering: list[tf.TensorSpec], leaving: list[tf.TensorSpec], size: int
    ) -> Any:
        """Return a model for one batch size, with inputs and outputs of the dtypes of the specs."""
        model = model.clone()
        model.reshape({i: [size, *spec.shape[1:]] for i, spec in enumerate(entering)})
        typed = self._ov.preprocess.PrePostProcessor(model)
        for index, spec in enumerate(entering):
            typed.input(index).tensor().set_element_type(self._spec_type(spec))
        for index, spec in enumerate(leaving):
            typed.output(index).tensor().set_element_type(self._spec_type(spec))
        return typed.build()

    def _spec_type(self, spec: tf.TensorSpec) -> Any:
        return self.type(np.dtype(spec.dtype.as_numpy_dtype))

    def _key(self, frozen: Frozen, specs: list[tf.TensorSpec], size: int) -> str:
        device = ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")
        settings = (
            CONVERSION,
            self._ov.__version__,
            tf.__version__,
            [self._core.get_property("CPU", name) for name in device],
            sorted(self._config.items()),
            [(list(spec.shape[1:]), spec.dtype.name) for spec in specs],
            size,
            self._transform.key(frozen) if self._transform else "",
        )
        return content_key([frozen.fingerprint, repr(settings)])

    def _load(self, key: str) -> Any:
        """Return a compiled model from the cache, or None."""
        content = read_cached(key)
        try:
            return content and self._core.import_model(content, "CPU", self._config)
        except RuntimeError as error:
            logging.info("A compiled model of the cache cannot be used: %s", error)
            return None

    def _save(self, key: str, compiled: Any) -> None:
        stream = io.BytesIO()
        compiled.export_model(stream)
        write_cached(key, stream.getvalue())


def convert(function: Any) -> Any:
    """Return OpenVINO's model of a function without variables, for any batch size.

    Its inputs and outputs are those of the function, in its order.
    """
    ov = import_openvino()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "unit.pb"
        path.write_bytes(function.graph.as_graph_def().SerializeToString())
        model = openvino_core().read_model(path)
    inputs = {x.name: _port(model.inputs, x.name).node for x in function.inputs}
    outputs = []
    for tensor in function.outputs:
        source = _source(tensor).name
        if source in inputs:  # an input handed over in another dtype: OpenVINO drops its name
            outputs.append(ov.opset13.result(inputs[source]))
        else:
            outputs.append(_port(model.outputs, tensor.name).node)
    model = ov.Model(outputs, [*inputs.values()])
    keep_channels_last(ov, model)
    return model


def _source(tensor: tf.Tensor) -> tf.Tensor:
    """Return the tensor that `tensor` is a copy of."""
    while tensor.op.type == "Identity":
        (tensor,) = tensor.op.inputs
    return tensor


def _port(ports: Sequence[Any], name: str) -> Any:
    """Return the input or output of a model that has this name."""
    return next(port for port in ports if name in port.get_names())


def _computes_else(frozen: Frozen, place: Place) -> str:
    graph = frozen.unit.plan.graph
    tensor = f" {graph.tensors[place.key].name!r}" if isinstance(place.key, int) else ""
    return (
        f"OpenVINO computes {frozen.unit.name!r} of {graph.model.name!r} wrongly. Expected the "
        f"values of TensorFlow. Received: others{tensor and ' for' + tensor}. Use "
        "runtime='tensorflow'."
    )


def _cannot_compile(frozen: Frozen, error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    known = (line for line in lines if "No conversion rule" in line)
    reason = next(known, " ".join(lines)[:300])
    return (
        f"OpenVINO cannot compile {frozen.unit.name!r} of {frozen.unit.plan.graph.model.name!r}. "
        f"Expected operations that it has. Received: {reason}. Use runtime='tensorflow'."
    )
