"""`runtime="auto"` takes what is fastest here, says so, and remembers it."""

import pathlib
import sys
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from mpvn import Plan, VideoNetwork
from mpvn.runtime import choose
from mpvn.runtime.on_openvino import OpenVINORuntime
from mpvn.runtime.on_tensorflow import TensorFlowRuntime


def build(**plan: Any) -> VideoNetwork:
    """Build two inputs by name, the later name first, and two subnetworks."""
    inputs = {name: keras.Input((3,), name=name) for name in ("last", "first")}
    x = layers.Dense(2, name="one")(layers.Add()([*inputs.values()]))
    model = keras.Model(inputs, layers.Dense(2, name="two")(x))
    return VideoNetwork(model, Plan(model, boundaries=["two"], clocks=[1, 2], **plan))


@pytest.fixture
def speeds(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> dict[tuple, float]:
    """Let a test say how fast everything is, on a quiet machine."""
    told: dict[tuple, float] = {}

    def measure(compiled: Any, streams: int) -> dict:
        return {settings: told[settings.runtime, settings.units] for settings in compiled}

    monkeypatch.setattr(choose, "measure_speeds", measure)
    monkeypatch.setattr(choose.OtherProcesses, "share", lambda self: 0.0)
    monkeypatch.setenv("MPVN_CACHE", str(tmp_path))
    return told


def test_the_fastest_is_taken_and_kept(
    speeds: dict[tuple, float], capsys: pytest.CaptureFixture
) -> None:
    network = build()
    speeds |= {("openvino", "block"): 3.0, ("openvino", "pattern"): 2.0}
    speeds |= {("tensorflow", "pattern"): 9.0, ("tensorflow", "block"): 1.0}
    compiled = network.compile_inference(runtime="auto")
    assert isinstance(compiled._runtime, TensorFlowRuntime)
    assert "runs on tensorflow, one unit for each pattern: 9.0 frames/s" in capsys.readouterr().out
    speeds[("openvino", "block")] = 20.0
    again = network.compile_inference(runtime="auto")
    assert isinstance(again._runtime, TensorFlowRuntime), "the choice was not kept"
    assert not capsys.readouterr().out
    other = build(phases="aligned").compile_inference(runtime="auto")
    assert isinstance(other._runtime, OpenVINORuntime), "the choice of another plan was taken"


def test_without_openvino_there_is_tensorflow(
    speeds: dict[tuple, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    speeds |= {("tensorflow", "pattern"): 2.0, ("tensorflow", "block"): 1.0}
    compiled = build().compile_inference(runtime="auto")
    assert isinstance(compiled._runtime, TensorFlowRuntime)


def test_speeds_are_measured_in_turns() -> None:
    network = build()
    settings = {units: choose.Settings("openvino", units=units) for units in ("block", "pattern")}
    compiled = {
        each: network.compile_inference("openvino", units=units) for units, each in settings.items()
    }
    speeds = choose.measure_speeds(compiled, streams=1, seconds=0.0)
    assert speeds.keys() == compiled.keys()
    assert all(np.isfinite(speed) and speed > 0 for speed in speeds.values())
