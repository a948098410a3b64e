"""An exported network streams without our packages as it did here."""

import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from random_weights import randomize

import keras_layers
import mpvn

CLIENT = """
import json, sys
import numpy as np
import tensorflow as tf

loader, folder = sys.argv[1:]
clip = np.load(folder + "/clip.npy")

def stream(init_states, step):
    states, outputs = init_states(len(clip)), []
    for frame in clip.swapaxes(0, 1):
        states = step({"video": frame, **states})
        outputs.append({name: states.pop(name) for name in list(states) if "_past" not in name
                        and name != "step"})
    assert (np.asarray(states["step"]) == clip.shape[1]).all(), states["step"]
    return {name: np.stack([np.asarray(o[name]) for o in outputs], 1) for name in outputs[0]}

if loader == "v2":
    loaded = tf.saved_model.load(folder + "/model")
    names = sorted(loaded.signatures)
    call = lambda key: lambda values: loaded.signatures[key](
        **{name: tf.constant(value) for name, value in values.items()})
    outputs = stream(lambda n: dict(call("init_states")({"batch_size": np.int32(n)})),
                   lambda values: dict(call("step")(values)))
    clip_outputs = call("clip")({"video": clip})
else:
    v1 = tf.compat.v1
    with v1.Session(graph=v1.Graph()) as session:
        signatures = v1.saved_model.loader.load(session, ["serve"], folder + "/model").signature_def
        names = sorted(n for n in signatures if not n.startswith("__"))
        call = lambda key: lambda values: session.run(
            {name: t.name for name, t in signatures[key].outputs.items()},
            {t.name: values[name] for name, t in signatures[key].inputs.items()})
        outputs = stream(lambda n: call("init_states")({"batch_size": n}), call("step"))
        clip_outputs = call("clip")({"video": clip})

clip_outputs = {"clip_" + name: np.asarray(value) for name, value in clip_outputs.items()}
np.savez(folder + f"/{loader}.npz", **outputs, **clip_outputs)
ours = [name for name in sys.modules if name.split(".")[0] in ("mpvn", "keras_layers")]
print(json.dumps({"signatures": names, "ours": ours}))
"""


@pytest.fixture(scope="module")
def network() -> mpvn.VideoNetwork:
    """A network with temporal layers, strides, skips, clocks, feedback and two outputs."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((8, 8, 3), name="video")
    back = keras_layers.Feedback("scores", (5,), name="back")(inputs)
    x = keras_layers.TemporalConv3D(6, (2, 3, 3), activation="relu", name="first")(inputs)
    y = keras_layers.TemporalMaxPooling3D((2, 2, 2), (2, 2, 2), name="pool")(x)
    y = keras.layers.Conv2D(6, 3, padding="same", name="second")(y)
    y = keras.layers.BatchNormalization(name="norm")(y)
    up = keras.layers.UpSampling2D(2, name="up")(y)
    merged = keras.layers.Add(name="merge")([x, up])
    pooled = keras.layers.GlobalAveragePooling2D(name="mean")(merged)
    scores = keras.layers.Dense(5, name="scores")(keras.layers.Concatenate()([pooled, back]))
    model = keras.Model(inputs, {"scores": scores, "map": merged})
    randomize(model, np.random.default_rng(5))
    plan = mpvn.Plan(model, boundaries=["pool", "up", "merge"], clocks="auto")
    return mpvn.VideoNetwork(model, plan)


@pytest.fixture(scope="module")
def exported(network: mpvn.VideoNetwork, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with the exported network."""
    folder = tmp_path_factory.mktemp("exported")
    network.export(folder / "model")
    return folder


@pytest.mark.parametrize("loader", ["v2", "v1"])
def test_exported_network_streams_without_our_packages(
    loader: str, network: mpvn.VideoNetwork, exported: pathlib.Path
) -> None:
    clip = np.random.default_rng(0).normal(size=(3, 7, 8, 8, 3)).astype("float32")
    expected = network(clip)
    assert np.abs(expected["scores"]).max() > 0.1
    np.save(exported / "clip.npy", clip)
    (exported / "client.py").write_text(CLIENT)
    result = subprocess.run(
        [sys.executable, "client.py", loader, str(exported)],
        cwd=exported,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    printed = json.loads(result.stdout.splitlines()[-1])
    assert printed["ours"] == []
    assert {"init_states", "step", "clip"} <= set(printed["signatures"])
    outputs = np.load(exported / f"{loader}.npz")
    for name in ("scores", "map"):
        np.testing.assert_allclose(outputs[name], expected[name], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(outputs["clip_" + name], expected[name], rtol=1e-4, atol=1e-5)


def test_idle_subnetworks_are_skipped_in_the_exported_step(exported: pathlib.Path) -> None:
    """Every convolution on a slow clock is inside a branch of a conditional."""
    step = tf.saved_model.load(exported / "model").signatures["step"]
    functions = step.graph.as_graph_def().library.function
    ops_of = {f.signature.name: [node.op for node in f.node_def] for f in functions}
    conditional = [ops for ops in ops_of.values() if "If" in ops or "StatelessIf" in ops]
    branches = [ops for name, ops in ops_of.items() if "_true_" in name]
    assert [ops.count("Conv2D") for ops in conditional] == [1]  # The first layer, at rate 1.
    assert sum(ops.count("Conv2D") for ops in branches) == 1  # The second layer, at rate 2.
