"""Each subnetwork on a device of its own: variables, operations, and the same values as without.

Logical devices are set up before TensorFlow starts, so all runs in a process of its own, once; the
tests read what it found.
"""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = """
import json, keras, numpy as np, tensorflow as tf
from keras import layers
import keras_layers
from mpvn import Plan, VideoNetwork

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
keras.utils.set_random_seed(1)

inner = keras.Sequential([keras.Input((6, 6, 4)), layers.Conv2D(4, 1, name="a")], name="inner")
frame = keras.Input((6, 6, 2), name="frame")
x = layers.Conv2D(4, 3, padding="same", name="first")(frame)
x = layers.BatchNormalization(name="norm")(x)
x = keras_layers.TemporalConv3D(4, (2, 3, 3), name="second")(x)
x = inner(layers.Dropout(0.5, name="drop")(x))
model = keras.Model(frame, layers.Dense(3, name="last")(layers.Flatten(name="flat")(x)))
for weight in model.weights:
    if "float" in weight.dtype:
        weight.assign(np.random.uniform(0.2, 1.0, weight.shape) - ("kernel" in weight.path) * 0.6)

cuts = dict(boundaries=["second"], clocks=[1, 2])
plain = VideoNetwork(model, Plan(model, **cuts), executor="layerwise")
placed = VideoNetwork(
    model, Plan(model, **cuts, devices=["/CPU:0", "/CPU:1"]), executor="layerwise"
)
clip = np.random.normal(size=(2, 7, 6, 6, 2)).astype("float32")

def stream(network):
    state, found = network.initial_state(2), []
    for time in range(7):
        outputs, state = network.step(clip[:, time], state)
        found.append(outputs)
    return np.stack(found, axis=1)

def run(network, executor):
    network.executor = executor
    return np.asarray(network(clip))

def worst(ours, theirs):
    return float(np.abs(ours - theirs).max() / np.std(theirs))

expected = run(plain, "layerwise")
placed.executor = "layerwise"
signature = [tf.TensorSpec((2, 7, 6, 6, 2))]
graph = tf.function(placed, input_signature=signature).get_concrete_function().graph
before = [np.array(weight) for weight in model.weights]
placed.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
print(json.dumps({
    "variables": {w.path: w.value.device for w in placed.frame_model.weights},
    "operations": [[op.type, op.name, op.device] for op in graph.get_operations()],
    "differences": {
        "layerwise": worst(run(placed, "layerwise"), expected),
        "unroll": worst(run(placed, "unroll"), expected),
        "stream": worst(stream(placed), expected),
    },
    "scale": float(np.std(expected)),
    "devices": placed.plan.devices,
    "loss": placed.fit(clip, np.zeros_like(expected), verbose=0).history["loss"],
    "shares": [id(w) for w in placed.weights] == [id(w) for w in model.weights],
    "untouched": all(np.array_equal(a, w) for a, w in zip(before, model.weights)),
}))
"""

SUBNETWORKS = {"first": 0, "norm": 0, "second": 1, "drop": 1, "a": 1, "last": 1}


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_variables_lie_on_their_subnetworks_device(found: dict) -> None:
    assert len(found["variables"]) == 12
    for path, device in found["variables"].items():
        (number,) = {n for layer, n in SUBNETWORKS.items() if f"/{layer}/" in f"/{path}"}
        assert device.endswith(f"CPU:{number}"), (path, device)


def test_operations_run_on_their_subnetworks_device(found: dict) -> None:
    convolutions = [op for op in found["operations"] if op[0] in ("Conv2D", "MatMul")]
    assert len(convolutions) == 4
    for _, name, device in convolutions:
        (number,) = {n for layer, n in SUBNETWORKS.items() if f"/{layer}_" in f"/{name}"} or {
            n for layer, n in SUBNETWORKS.items() if f"/{layer}/" in f"/{name}"
        }
        assert device.endswith(f"CPU:{number}"), (name, device)


@pytest.mark.parametrize("executor", ["layerwise", "unroll", "stream"])
def test_values_are_those_without_devices(executor: str, found: dict) -> None:
    assert found["scale"] > 0.1
    assert found["differences"][executor] < 1e-4


def test_a_placed_network_trains_and_leaves_the_given_model_alone(found: dict) -> None:
    assert found["loss"][0] > 0
    assert not found["shares"]
    assert found["untouched"]


# --- trainers -----------------------------------------------------------------------------------

TRAINING_PROGRAM = """
import json, keras, numpy as np, tensorflow as tf
from keras import layers
from mpvn import Plan, VideoNetwork
from mpvn.training import GPipeTrainer, SidewaysTrainer

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

def network(devices):
    keras.utils.set_random_seed(1)
    frame = keras.Input((6, 6, 2))
    x = layers.Conv2D(3, 3, activation="tanh", name="first")(frame)
    x = layers.Conv2D(3, 3, activation="tanh", name="second")(x)
    model = keras.Model(frame, layers.GlobalAveragePooling2D(name="last")(x))
    return VideoNetwork(model, Plan(model, boundaries=["second"], devices=devices))

rng = np.random.default_rng(0)
clip = tf.constant(rng.normal(size=(2, 6, 6, 6, 2)), tf.float32)
targets = tf.constant(rng.normal(size=(2, 6, 3)), tf.float32)

def trained(trainer, devices):
    made = trainer(network(devices))
    made.compile(keras.optimizers.Adam(0.1), "mse")
    made.fit(tf.data.Dataset.from_tensors((clip, targets)), verbose=0, shuffle=False)
    return made

found = {}
for trainer in (SidewaysTrainer, GPipeTrainer):
    plain, placed = (trained(trainer, d) for d in (None, ["/CPU:0", "/CPU:1"]))
    weights = zip(plain.network.get_weights(), placed.network.get_weights(), strict=True)
    step = tf.function(placed.train_step).get_concrete_function((clip, targets))
    definition = step.graph.as_graph_def()
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    found[trainer.__name__] = {
        "difference": max(float(np.abs(a - b).max()) for a, b in weights),
        "moments": {v.path: v.value.device for o in placed.optimizers for v in o.variables},
        "gradients": [n.device for n in nodes if n.op == "Conv2DBackpropFilter"],
    }
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def trained() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", TRAINING_PROGRAM],
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("trainer", ["SidewaysTrainer", "GPipeTrainer"])
def test_placed_networks_learn_the_same(trainer: str, trained: dict) -> None:
    assert trained[trainer]["difference"] < 1e-5


@pytest.mark.parametrize("trainer", ["SidewaysTrainer", "GPipeTrainer"])
def test_gradients_are_taken_on_their_subnetworks_device(trainer: str, trained: dict) -> None:
    devices = trained[trainer]["gradients"]
    assert {device[-5:] for device in devices} == {"CPU:0", "CPU:1"}
    assert len(devices) == (2 if trainer == "SidewaysTrainer" else 2 * 6)


def test_each_subnetwork_s_optimizer_lies_on_its_device(trained: dict) -> None:
    moments = trained["SidewaysTrainer"]["moments"]
    for name, number in (("first", 0), ("second", 1)):
        of_layer = [device for path, device in moments.items() if f"{name}_" in path]
        assert len(of_layer) == 4 and all(d.endswith(f"CPU:{number}") for d in of_layer)
