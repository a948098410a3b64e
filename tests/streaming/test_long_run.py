"""A compiled network over many steps: flat memory. `make soak` also tells whether steps slow down.

`MPVN_FRAMES` steps, and otherwise few: enough to see an array that each step leaves behind.
"""

import gc
import importlib.util
import os
import time

import keras
import numpy as np
import psutil
import pytest
from random_weights import randomize

import mpvn

STEPS = int(os.environ.get("MPVN_FRAMES", 600))


@pytest.mark.parametrize("runtime", ["tensorflow", "openvino"])
def test_memory_stays_flat_over_many_steps(runtime: str, capsys: pytest.CaptureFixture) -> None:
    if runtime == "openvino" and not importlib.util.find_spec("openvino"):
        pytest.skip("no OpenVINO")
    x = frame = keras.Input((32, 32, 3))
    for index in range(4):
        x = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name=f"c{index}")(x)
    model = keras.Model(frame, keras.layers.GlobalAveragePooling2D()(x))
    randomize(model, np.random.default_rng(0))
    network = mpvn.VideoNetwork(model, mpvn.Plan(model, 4, clocks=[1, 2, 4, 4]))
    compiled = network.compile_inference(runtime)
    frames = np.random.default_rng(1).normal(size=(8, 1, 32, 32, 3)).astype("float32")
    state, process = compiled.initial_state(1), psutil.Process()
    resident, medians = [], []
    for _ in range(10):
        seconds = np.empty(STEPS // 10)
        for step in range(len(seconds)):
            start = time.perf_counter()
            outputs, state = compiled.step(frames[step % 8], state)
            seconds[step] = time.perf_counter() - start
        gc.collect()
        resident.append(process.memory_info().rss / 2**20)
        medians.append(1000 * float(np.median(seconds)))
    assert np.isfinite(outputs).all() and np.asarray(outputs).std() > 0
    assert int(state["step"][0]) == 10 * (STEPS // 10)
    if "MPVN_FRAMES" in os.environ:
        with capsys.disabled():
            print(f"\n{runtime}: {STEPS} steps, of which each tenth had a median of", end=" ")
            print(", ".join(f"{median:.3f}" for median in medians), "ms")
            print(f"and ended with {', '.join(f'{each:.0f}' for each in resident)} MiB")
    # Left behind by each step, the states of the second half of 600 steps would be 17 MiB.
    assert max(resident[5:]) - resident[4] < 8, resident
