"""OpenVINO models in int8, by NNCF.

NNCF reports its use by the package `openvino-telemetry`, too: it is imported without that. What it
logs and its progress bars do not reach the terminal.
"""

import contextlib
import importlib
import importlib.metadata
import io
import logging
import sys
from collections.abc import Collection, Iterator, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from mpvn.runtime.openvino_models import import_openvino, openvino_core

_TELEMETRY = "openvino_telemetry"

_WEIGHTED = ("Convolution", "GroupConvolution", "MatMul")
"""OpenVINO's names of convolutions and dense layers."""

_MISSING = (
    "precision='int8' needs the package nncf. Expected nncf to be installed. Received: {error}. "
    "Install it with pip install 'mpvn[int8]', or use precision='bfloat16'."
)


def nncf_version() -> str:
    """Return the version of NNCF.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return importlib.metadata.version("nncf")
    except importlib.metadata.PackageNotFoundError as error:
        raise ImportError(_MISSING.format(error=error)) from error


def import_nncf() -> ModuleType:
    """Import NNCF without its telemetry.

    Raises:
        ImportError: it is not installed.
    """
    import_openvino()
    if "nncf" in sys.modules:
        return sys.modules["nncf"]
    telemetry = {name: sys.modules[name] for name in (_TELEMETRY,) if name in sys.modules}
    loggers = logging.getLoggerClass()
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    try:
        nncf = importlib.import_module("nncf")
        nncf.set_log_level(logging.ERROR)
        return nncf
    except ImportError as error:
        raise ImportError(_MISSING.format(error=error)) from error
    finally:
        logging.setLoggerClass(loggers)  # NNCF sets its own, for all packages
        sys.modules.pop(_TELEMETRY)
        sys.modules.update(telemetry)


def weighted_operations(model: Any) -> list[Any]:
    """Return the convolutions and dense layers of a model whose weights are constants, in order."""
    return [
        operation
        for operation in model.get_ordered_ops()
        if operation.get_type_name() in _WEIGHTED and weights_of(operation) is not None
    ]


def weights_of(operation: Any) -> np.ndarray | None:
    """Return the weights of a convolution or dense layer; None if they are computed."""
    for value in operation.input_values()[::-1]:
        node = value.get_node()
        while node.get_type_name() in ("Convert", "Reshape", "Transpose"):
            node = node.input_value(0).get_node()
        if node.get_type_name() == "Constant":
            return np.asarray(node.get_data(), np.float32)
    return None


def quantize(model: Any, samples: Sequence[list[np.ndarray]], kept: Collection[str] = ()) -> Any:
    """Return a model in int8.

    Args:
        model: OpenVINO's model; it is not changed.
        samples: what its inputs were, in some steps.
        kept: names of operations to keep in the model's precision.
    """
    nncf = import_nncf()
    # NNCF's own choice, the mean of the extremes of each step, cuts off what a unit reads at few
    # steps: values that are late or held differ more from each other than those of one frame.
    extremes = nncf.quantization.range_estimator.RangeEstimatorParametersSet.MINMAX
    options = nncf.AdvancedQuantizationParameters(activations_range_estimator_params=extremes)
    with _quiet():
        return nncf.quantize(
            model,
            nncf.Dataset(samples),
            preset=nncf.QuantizationPreset.MIXED,
            target_device=nncf.TargetDevice.CPU,
            subset_size=len(samples),
            ignored_scope=nncf.IgnoredScope(names=[*kept], validate=False),
            advanced_parameters=options,
        )


def run(model: Any, samples: Sequence[list[np.ndarray]]) -> list[list[np.ndarray]]:
    """Return what a model makes of each sample, with float32 for what is not in int8."""
    sized = model.clone()
    sized.reshape({index: list(x.shape) for index, x in enumerate(samples[0])})
    config = {"INFERENCE_PRECISION_HINT": "f32"}
    request = openvino_core().compile_model(sized, "CPU", config).create_infer_request()
    count = len(sized.outputs)
    results = []
    for sample in samples:
        request.infer(sample, share_inputs=True)
        results.append([request.get_output_tensor(i).data.copy() for i in range(count)])
    return results


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep from the terminal what NNCF prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
