"""The bytes between devices are those that TensorFlow sends.

TensorFlow cuts the graph of a step into one for each device, with a `_Recv` where a value arrives.
Logical devices must exist before TensorFlow starts, so this runs in another process, once.
"""

import json
import os
import subprocess
import sys
from typing import Any

import keras
import pytest

from mpvn import Plan
from mpvn.plan.traffic import backward_traffic, forward_traffic
from mpvn.report.summary import summary

PROGRAM = """
import collections, json, re
import keras, numpy as np, tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from mpvn.cluster.devices import start_devices

start_devices("/CPU:2")

import keras_layers
from keras import layers
from mpvn import Plan, VideoNetwork, executors
from mpvn.plan.traffic import forward_traffic
from mpvn.runtime.graphs import place_constants

v1 = tf.compat.v1
DEVICES = ["/CPU:0", "/CPU:1", "/CPU:2"]
frame = keras.Input((6, 6, 2))
a = layers.Conv2D(4, 3, padding="same", name="a")(frame)
b = keras_layers.TemporalConv3D(3, (3, 1, 1), name="b")(a)
c = layers.Conv2D(2, 1, name="c")(b)
d = layers.Concatenate(name="d")([c, a])
model = keras.Model(frame, layers.Dense(2, name="e")(layers.Flatten(name="flat")(d)))

def sent(plan, step):
    def run(frame, state):
        return executors.step(plan, [frame], state, step, False)

    slots = plan.histories.specs
    specs = {n: tf.TensorSpec((1, *s.shape[1:]), s.dtype, name=n) for n, s in slots.items()}
    frames = tf.TensorSpec((1, 6, 6, 2), name="frame")
    traced = tf.function(run, autograph=False).get_concrete_function(frames, specs)
    constant = convert_variables_to_constants_v2(traced)
    definition = constant.graph.as_graph_def()
    place_constants(definition)
    config = v1.ConfigProto(device_count={"CPU": 3})
    with tf.Graph().as_default() as graph, v1.Session(config=config) as session:
        given = {}
        for x in constant.inputs:
            with tf.device(plan.histories.devices.get(x.op.name) or DEVICES[0]):
                given[x.op.name] = tf.random.uniform(x.shape, dtype=x.dtype)
        outputs = tf.import_graph_def(definition, given, [x.name for x in constant.outputs])
        metadata = v1.RunMetadata()
        options = v1.RunOptions(output_partition_graphs=True)
        # What a function returns passes through an identity, which is on no device here.
        made = [x.op.inputs[0].op if x.op.type == "Identity" else x.op for x in outputs]
        session.run(made, options=options, run_metadata=metadata)
        found = collections.Counter()
        for part in metadata.partition_graphs:
            for node in part.node:
                if node.op == "_Recv":
                    name = re.fullmatch(r"edge_[0-9]+_(.*)", node.attr["tensor_name"].s.decode())[1]
                    tensor = graph.get_tensor_by_name(f"{name}:0")
                    ends = [node.attr[end].s.decode()[-1] for end in ("send_device", "recv_device")]
                    found[" ".join(ends)] += tensor.shape.num_elements() * tensor.dtype.size
        return found

def compared(**arguments):
    plan = Plan(model, boundaries=["b", "d"], devices=DEVICES, **arguments)
    plan = VideoNetwork(model, plan).plan
    total = sum((sent(plan, step) for step in range(plan.period)), collections.Counter())
    told = {f"{a} {b}": size for (a, b), size in forward_traffic(plan).items()}
    return {"sent": {ends: size / plan.period for ends, size in total.items()}, "told": told}

print(json.dumps([compared(), compared(clocks=[1, 2, 2]), compared(clocks=[1, 1, 4], head="flat")]))
"""


@pytest.fixture(scope="module")
def compared() -> list[dict[str, Any]]:
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return json.loads(process.stdout.splitlines()[-1])


@pytest.mark.parametrize("case", [0, 1, 2])
def test_the_plan_tells_what_tensorflow_sends(compared: list[dict], case: int) -> None:
    assert compared[case]["told"] == compared[case]["sent"]
    assert set(compared[case]["told"]) >= {"0 1", "0 2"}


def chain() -> keras.Model:
    frame = keras.Input((4, 4, 2))
    x = keras.layers.Conv2D(8, 1, name="a")(frame)  # 4 * 4 * 8 floats: 512 bytes
    y = keras.layers.Conv2D(2, 1, name="b")(x)  # 128 bytes
    z = keras.layers.Concatenate(name="c")([x, y])
    return keras.Model(frame, keras.layers.Conv2D(1, 1, name="d")(z))


def test_each_value_arrives_once_at_a_device_and_its_gradient_returns() -> None:
    plan = Plan(chain(), boundaries=["b", "c"])
    assert forward_traffic(plan) == {(0, 1): 512, (0, 2): 512, (1, 2): 128}
    assert backward_traffic(plan) == {(1, 0): 512, (2, 0): 512, (2, 1): 128}


def test_subnetworks_of_one_device_share_what_arrives() -> None:
    plan = Plan(chain(), boundaries=["b", "c"], devices=["/CPU:0", "/CPU:1", "/CPU:1"])
    assert forward_traffic(plan) == {(0, 1): 512}
    assert forward_traffic(plan.with_devices(["/CPU:0"] * 3)) == {}


def test_slow_readers_receive_at_their_ticks_alone() -> None:
    plan = Plan(chain(), boundaries=["b", "c"], clocks=[1, 2, 4])
    assert forward_traffic(plan) == {(0, 1): 256, (0, 2): 128, (1, 2): 32}


def test_the_summary_tells_it_where_there_are_several_subnetworks() -> None:
    plan = Plan(chain(), boundaries=["b", "c"])
    assert summary(plan)["sent between devices, if each subnetwork had its own"] == (
        "1.2 kB per step and stream (0 to 1: 0.5, 0 to 2: 0.5, 1 to 2: 0.1)"
    )
    assert summary(plan)["sent back by Sideways"].startswith("1.2 kB")
    assert "sent back by Sideways" not in summary(Plan(chain(), 3, clocks=[1, 2, 2]))
    assert not any("sent" in name for name in summary(Plan(chain())))
