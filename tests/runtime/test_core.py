"""OpenVINO's core: one for the process, because several can make Ctrl-C crash it."""

import importlib.util
from typing import Any

import numpy as np
import pytest
from small_models import chain

from mpvn import Plan, VideoNetwork
from mpvn.runtime.openvino_models import import_openvino, openvino_core


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="needs openvino")
def test_networks_share_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    openvino_core()

    def another() -> Any:
        raise AssertionError("a second core")

    monkeypatch.setattr(import_openvino(), "Core", another)
    model = chain(2, 3, channels=3)
    network = VideoNetwork(model, Plan(model))
    for threads in (1, 2):
        compiled = network.compile_inference("openvino", threads=threads)
        (tensor,) = (compiled.graph.tensors[index] for index in compiled.graph.inputs)
        frame = np.ones((1, *tensor.shape), "float32")
        outputs, _ = compiled.step(frame, compiled.initial_state(1))
        np.testing.assert_allclose(outputs, model(frame), rtol=1e-5, atol=1e-6)
