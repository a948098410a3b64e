"""Each subnetwork on its own device: variables, operations, and the same values as without.

Logical devices must exist before TensorFlow starts, so everything runs in another process, once;
the tests check its results.
"""

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = """
import json, warnings, keras, numpy as np, tensorflow as tf
from keras import layers
import keras_layers
from mpvn import Plan, VideoNetwork
from mpvn.sideways.back_propagation import GPipeTrainer
from mpvn.sideways.sideways_trainer import SidewaysTrainer

from mpvn.cluster.devices import start_devices
from mpvn.models import simple_cnn
from mpvn.training import Distillation

DEVICES = ["/CPU:0", "/CPU:1"]
start_devices(DEVICES)

def clocked_model():
    inner = keras.Sequential([keras.Input((6, 6, 4)), layers.Conv2D(4, 1, name="a")], name="inner")
    frame = keras.Input((6, 6, 2), name="frame")
    x = layers.Conv2D(4, 3, padding="same", name="first")(frame)
    x = layers.BatchNormalization(name="norm")(x)
    x = keras_layers.TemporalConv3D(4, (2, 3, 3), name="second")(x)
    x = inner(layers.Dropout(0.5, name="drop")(x))
    model = keras.Model(frame, layers.Dense(3, name="last")(layers.Flatten(name="flat")(x)))
    for weight in model.weights:
        if "float" in weight.dtype:
            low = 0.2 - ("kernel" in weight.path) * 0.6
            weight.assign(np.random.uniform(low, low + 0.8, weight.shape))
    return model

def stream(network):
    state, outputs = network.initial_state(2), []
    for time in range(5):
        output, state = network.step(clip[:, time], state)
        outputs.append(output)
    return np.stack(outputs, axis=1)

def run(network, executor):
    network.executor = executor
    return np.asarray(network(clip))

def largest_difference(ours, theirs):
    return float(np.abs(ours - theirs).max() / np.std(theirs))

keras.utils.set_random_seed(1)
clip = np.random.normal(size=(2, 5, 6, 6, 2)).astype("float32")
model = clocked_model()
options = dict(boundaries=["second"], clocks=[1, 2])
plain = VideoNetwork(model, Plan(model, **options), executor="layerwise")
placed = VideoNetwork(model, Plan(model, **options, devices=DEVICES), executor="layerwise")
expected = run(plain, "layerwise")
signature = [tf.TensorSpec((2, 5, 6, 6, 2))]
graph = tf.function(placed, input_signature=signature).get_concrete_function().graph
before = [np.array(weight) for weight in model.weights]
placed.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
results = {
    "variables": {w.path: w.value.device for w in placed.frame_model.weights},
    "operations": [[op.type, op.name, op.device] for op in graph.get_operations()],
    "differences": {
        "layerwise": largest_difference(run(placed, "layerwise"), expected),
        "unroll": largest_difference(run(placed, "unroll"), expected),
        "stream": largest_difference(stream(placed), expected),
    },
    "scale": float(np.std(expected)),
    "loss": placed.fit(clip, np.zeros_like(expected), verbose=0).history["loss"],
    "shares": [id(w) for w in placed.weights] == [id(w) for w in model.weights],
    "unchanged": all(np.array_equal(a, w) for a, w in zip(before, model.weights)),
}

step = tf.function(placed.train_step).get_concrete_function((clip, tf.zeros_like(expected)))
definition = step.graph.as_graph_def()
nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
results["gradients"] = [
    [n.name, n.device] for n in nodes if "gradient_tape" in n.name and n.op not in ("Const", "NoOp")
]

@keras.saving.register_keras_serializable("test_devices")
class Unnamed(layers.Conv2D):
    def __init__(self):
        super().__init__(3, 1)
    def get_config(self):
        return {}

row = keras.Sequential([keras.Input((6, 6, 2)), Unnamed(), layers.Conv2D(2, 1)])
placed_row = VideoNetwork(row, Plan(row, 2, devices=DEVICES))
results["row"] = [w.value.device[-5:] for w in placed_row.frame_model.weights]
results["row difference"] = largest_difference(
    np.asarray(placed_row(clip)), np.asarray(VideoNetwork(row, Plan(row, 2))(clip))
)

class Halved(keras.Model):
    def call(self, x, training=None, mask=None):
        return super().call(x / 2, training=training)

frame = keras.Input((6, 6, 2))
halved = Halved(frame, layers.Conv2D(2, 1)(frame), name="halved")
with warnings.catch_warnings(record=True):  # it is one node
    placed_whole = VideoNetwork(halved, Plan(halved, devices=["/CPU:1"]))
    results["whole"] = [w.value.device[-5:] for w in placed_whole.frame_model.weights]
    results["whole difference"] = largest_difference(
        np.asarray(placed_whole(clip))[:, 2], np.asarray(halved(clip[:, 2]))
    )

    call = halved.call
    halved.call = lambda x, training=None, mask=None: call(x) - 7
    try:
        VideoNetwork(halved, Plan(halved, devices=["/CPU:1"]))
    except ValueError as error:
        results["replaced"] = str(error)

def trained(trainer, devices):
    keras.utils.set_random_seed(1)
    frame = keras.Input((6, 6, 2))
    x = layers.Conv2D(3, 3, activation="tanh", name="first")(frame)
    x = layers.Conv2D(3, 3, activation="tanh", name="second")(x)
    model = keras.Model(frame, layers.GlobalAveragePooling2D(name="last")(x))
    plan = Plan(model, boundaries=["second"], devices=devices)
    model = trainer(VideoNetwork(model, plan))
    model.compile(keras.optimizers.Adam(0.1), "mse")
    model.fit(tf.data.Dataset.from_tensors((batch, targets)), verbose=0, shuffle=False)
    return model

batch, targets = tf.constant(clip[:, :4]), tf.constant(clip[:, :4, 0, 0, :1]) * tf.ones(3)
for trainer in (SidewaysTrainer, GPipeTrainer):
    plain, placed = (trained(trainer, devices) for devices in (None, DEVICES))
    weights = zip(plain.network.get_weights(), placed.network.get_weights(), strict=True)
    step = tf.function(placed.train_step).get_concrete_function((batch, targets))
    definition = step.graph.as_graph_def()
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    results[trainer.__name__] = {
        "difference": max(float(np.abs(a - b).max()) for a, b in weights),
        "moments": {v.path: v.value.device for o in placed.optimizers for v in o.variables},
        "gradients": [n.device for n in nodes if n.op == "Conv2DBackpropFilter"],
    }

def of_layers(variables, values):
    owners = {v.path.replace("/", "_"): v.value.device for v in variables}
    return [[owners[name], x.value.device] for x in values for name in owners if name in x.path]

placed = VideoNetwork(model := clocked_model(), Plan(model, **options, devices=DEVICES))
placed.compile(keras.optimizers.Adam(0.1), "mse", jit_compile=False)
placed.fit(clip, np.zeros_like(expected), verbose=0)
results["slots of fit"] = of_layers(placed.trainable_variables, placed.optimizer.variables)

def of_state(state):
    return {name: getattr(x, "device", "")[-5:] for name, x in state.items() if name != "step"}

results["states"] = {"expected": {n: d[1:] for n, d in placed.plan.histories.devices.items() if d}}
for name, each in {"network": placed, "compiled": placed.compile_inference(units="block")}.items():
    results["states"][name] = of_state(each.initial_state(1))
    if name == "compiled":
        functions = [x.frozen.function for x in each._compiled.values() if x.frozen.function]
results["constants"] = [
    [op.device, reader.device]
    for function in functions
    for op in function.graph.get_operations()
    if op.type == "Const" and op.outputs[0].shape.rank
    for reader in op.outputs[0].consumers()[0].outputs[0].consumers()
]

def student(devices):
    keras.utils.set_random_seed(2)
    models = [simple_cnn((8, 8, 3), classes=3, width=0.25) for _ in range(2)]
    plan = Plan(models[0], 2, partition="units", devices=devices)
    network = VideoNetwork(models[0], plan)
    distillation = Distillation(network, VideoNetwork(models[1]), lag=1)
    distillation.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=False)
    loss = distillation.fit(frames, np.zeros((2, 5, 3), "float32"), verbose=0).history["loss"]
    return network, distillation, loss

frames = np.random.normal(size=(2, 5, 8, 8, 3)).astype("float32")
(plain, _, expected), (network, distillation, loss) = student(None), student(DEVICES)
wider = distillation._student_outputs
results["distillation"] = {
    "loss": [expected, loss],
    "difference": max(
        float(np.abs(a - b).max())
        for a, b in zip(plain.get_weights(), network.get_weights(), strict=True)
    ),
    "shares": all(a is b for a, b in zip(wider.weights, network.weights, strict=True)),
    "devices": sorted({w.value.device[-5:] for w in wider.weights}),
    "slots": of_layers(network.trainable_variables, distillation.optimizer.variables),
}
print(json.dumps(results))
"""

SUBNETWORKS = {"first": 0, "norm": 0, "second": 1, "drop": 1, "a": 1, "last": 1}


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return json.loads(process.stdout.splitlines()[-1])


def test_variables_are_on_the_device_of_their_subnetwork(results: dict) -> None:
    assert len(results["variables"]) == 12
    for path, device in results["variables"].items():
        (number,) = {n for layer, n in SUBNETWORKS.items() if f"/{layer}/" in f"/{path}"}
        assert device.endswith(f"CPU:{number}"), (path, device)


def test_operations_run_on_the_device_of_their_subnetwork(results: dict) -> None:
    convolutions = [op for op in results["operations"] if op[0] in ("Conv2D", "MatMul")]
    assert len(convolutions) == 4
    for _, name, device in convolutions:
        (number,) = {n for layer, n in SUBNETWORKS.items() if f"/{layer}_" in f"/{name}"} or {
            n for layer, n in SUBNETWORKS.items() if f"/{layer}/" in f"/{name}"
        }
        assert device.endswith(f"CPU:{number}"), (name, device)


@pytest.mark.parametrize("executor", ["layerwise", "unroll", "stream"])
def test_values_are_the_same_as_without_devices(executor: str, results: dict) -> None:
    assert results["scale"] > 0.1
    assert results["differences"][executor] < 1e-4


def test_a_placed_network_trains_and_does_not_change_the_given_model(results: dict) -> None:
    assert results["loss"][0] > 0
    assert not results["shares"]
    assert results["unchanged"]


def test_gradients_of_fit_run_on_the_device_of_their_subnetwork(results: dict) -> None:
    convolutions = [x for x in results["gradients"] if "Conv2DBackprop" in x[0]]
    assert len(convolutions) >= 6
    for name, device in convolutions:
        (number,) = {n for layer, n in SUBNETWORKS.items() if re.search(rf"/{layer}(_\d+)?/", name)}
        assert device.endswith(f"CPU:{number}"), (name, device)


def test_a_sequential_model_is_placed_and_a_layer_whose_copy_has_another_name(
    results: dict,
) -> None:
    assert results["row"] == ["CPU:0", "CPU:0", "CPU:1", "CPU:1"]
    assert results["row difference"] < 1e-6


def test_a_placed_model_keeps_its_own_call(results: dict) -> None:
    assert results["whole"] == ["CPU:1", "CPU:1"]
    assert results["whole difference"] < 1e-6


def test_a_model_whose_call_was_replaced_is_not_placed(results: dict) -> None:
    assert "the call of a layer of 'halved' was replaced" in results["replaced"]


@pytest.mark.parametrize("trainer", ["SidewaysTrainer", "GPipeTrainer"])
def test_trainers_learn_the_same_with_devices(trainer: str, results: dict) -> None:
    assert results[trainer]["difference"] < 1e-5


@pytest.mark.parametrize("trainer", ["SidewaysTrainer", "GPipeTrainer"])
def test_gradients_run_on_the_device_of_their_subnetwork(trainer: str, results: dict) -> None:
    devices = results[trainer]["gradients"]
    assert {device[-5:] for device in devices} == {"CPU:0", "CPU:1"}
    assert len(devices) == 2 * 4  # both lay out the steps of the clip


def test_optimizers_are_on_the_device_of_their_subnetwork(results: dict) -> None:
    moments = results["SidewaysTrainer"]["moments"]
    for name, number in (("first", 0), ("second", 1)):
        of_layer = [device for path, device in moments.items() if f"{name}_" in path]
        assert len(of_layer) == 4 and all(d.endswith(f"CPU:{number}") for d in of_layer)


def test_the_optimizer_of_fit_has_its_slots_on_the_device_of_their_variable(results: dict) -> None:
    pairs = results["slots of fit"]
    assert len(pairs) == 2 * 10
    assert {device[-5:] for device, _ in pairs} == {"CPU:0", "CPU:1"}
    assert all(device == slot for device, slot in pairs)


@pytest.mark.parametrize("network", ["network", "compiled"])
def test_states_begin_on_the_device_of_their_subnetwork(results: dict, network: str) -> None:
    expected = results["states"]["expected"]
    assert set(expected.values()) == {"CPU:0", "CPU:1"}
    assert expected.items() <= results["states"][network].items()


def test_weights_of_a_compiled_network_are_on_the_device_of_what_reads_them(results: dict) -> None:
    """Once, they were on the first device, from where they went to the others at every step."""
    constants = results["constants"]
    assert {device[-5:] for device, _ in constants} == {"CPU:0", "CPU:1"}
    assert all(device == reader for device, reader in constants)


def test_a_placed_student_learns_the_same(results: dict) -> None:
    distilled = results["distillation"]
    assert distilled["loss"][0] == pytest.approx(distilled["loss"][1], rel=1e-5)
    assert distilled["difference"] < 1e-5


def test_a_placed_student_shares_its_weights_where_they_are(results: dict) -> None:
    distilled = results["distillation"]
    assert distilled["shares"] and distilled["devices"] == ["CPU:0", "CPU:1"]
    assert distilled["slots"] and all(device == slot for device, slot in distilled["slots"])
