"""Triton's Python backend: the states of streams by sequence, and OpenVINO, as in `mpvn serve`."""

import json
import os
import sys

# The interpreter in the backend does not read it. Its own packages stay first: NumPy 1 alone.
sys.path += os.environ["PYTHONPATH"].split(os.pathsep)

import numpy as np  # noqa: E402
import triton_python_backend_utils as triton  # noqa: E402


class TritonPythonModel:
    """A compiled network whose streams are sequences."""

    def initialize(self, arguments: dict[str, str]) -> None:
        import keras

        import mpvn  # noqa: F401  # its classes are in the file
        from mpvn.streaming.choice import RuntimeChoice

        parameters = json.loads(arguments["model_config"])["parameters"]
        network = keras.models.load_model(parameters["network"]["string_value"])
        self._network = RuntimeChoice(runtime="openvino").run(network, 1).network
        self._states: dict[int, dict] = {}

    def execute(self, requests: list) -> list:
        return [self._step(request) for request in requests]

    def _step(self, request: object) -> object:
        frame, start, sequence = (
            triton.get_input_tensor_by_name(request, name).as_numpy()
            for name in ("frame", "START", "CORRID")
        )
        key = int(sequence.item())
        state = self._network.initial_state(1) if start.item() else self._states[key]
        outputs, self._states[key] = self._network.step(frame, state)
        return triton.InferenceResponse([triton.Tensor("output", np.asarray(outputs))])
