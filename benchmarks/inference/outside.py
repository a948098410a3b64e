"""References from outside: the plain network in OpenVINO, ONNX Runtime and PyTorch."""

import abc
import importlib
import pathlib
import tempfile
from typing import Any

import keras
import numpy as np

from mpvn.runtime.openvino_models import openvino_core
from mpvn.streaming import TimedStream

PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "int8": "bf16"}
"""OpenVINO's precision of what is not quantized."""


class Outside(TimedStream):
    """A network without memory; a step is one call."""

    def forget(self) -> None:
        """Do nothing: there is no memory."""

    @abc.abstractmethod
    def run_step(self, frame: np.ndarray) -> Any:
        """Run the network on one frame."""


class OpenVINO(Outside):
    """The model as OpenVINO reads and compiles it from Keras's own export.

    Args:
        model: the network in plain Keras.
        precision: one of `PRECISIONS`.
        threads: number of threads.
        clip: what int8 is calibrated on, by NNCF: a clip `[T, H, W, 3]`.
    """

    def __init__(self, model: keras.Model, precision: str, threads: int, clip: np.ndarray) -> None:
        super().__init__()
        core = openvino_core()
        with tempfile.TemporaryDirectory() as folder:
            model.export(folder, verbose=False)
            read = core.read_model(folder)
            read.reshape([1, *model.input_shape[1:]])
            if precision == "int8":
                read = _quantized(read, clip)
            options = {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
                "INFERENCE_NUM_THREADS": threads,
                "ENABLE_CPU_PINNING": True,
            }
            self._request = core.compile_model(read, "CPU", options).create_infer_request()
        self.restart()

    def run_step(self, frame: np.ndarray) -> Any:
        results = self._request.infer([frame], share_inputs=True, share_outputs=True)
        return [np.array(value) for value in results.values()]


def _quantized(model: Any, clip: np.ndarray) -> Any:
    nncf = importlib.import_module("nncf")
    frames = [frame[None] for frame in clip]
    return nncf.quantize(model, nncf.Dataset(frames), subset_size=len(frames))


class ONNXRuntime(Outside):
    """The model as ONNX Runtime runs Keras's own export.

    Args:
        model: the network in plain Keras.
        threads: number of threads.
    """

    def __init__(self, model: keras.Model, threads: int) -> None:
        super().__init__()
        importlib.import_module("tf2onnx")  # Keras needs it, and would say so less clearly
        onnx = importlib.import_module("onnxruntime")
        with tempfile.TemporaryDirectory() as folder:
            path = str(pathlib.Path(folder) / "model.onnx")
            model.export(path, format="onnx", verbose=False)
            options = onnx.SessionOptions()
            options.intra_op_num_threads = threads
            self._session = onnx.InferenceSession(path, options, ["CPUExecutionProvider"])
        self._name = self._session.get_inputs()[0].name
        self.restart()

    def run_step(self, frame: np.ndarray) -> Any:
        return self._session.run(None, {self._name: frame})


class PyTorch(Outside):
    """The network of the same name in torchvision.

    Args:
        name: its name in torchvision.
        size: height and width of the frames.
        threads: number of threads.
        compiled: whether `torch.compile` compiles it.
    """

    def __init__(self, name: str, size: tuple[int, int], threads: int, compiled: bool) -> None:
        super().__init__()
        self._torch = importlib.import_module("torch")
        self._torch.set_num_threads(threads)
        model = getattr(importlib.import_module("torchvision.models"), name)(weights=None).eval()
        model = model.to(memory_format=self._torch.channels_last)
        self._model = self._torch.compile(model) if compiled else model
        self.run_step(np.zeros((1, *size, 3), "float32"))  # compiles
        self.restart()

    def run_step(self, frame: np.ndarray) -> Any:
        with self._torch.inference_mode():
            channels_first = self._torch.from_numpy(frame).permute(0, 3, 1, 2)
            return self._model(channels_first).numpy()
