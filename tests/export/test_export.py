"""An exported network streams, in a fresh process and without our packages, as it did here."""

import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_layers
import mpvn

CLIENT = """
import json, sys
import numpy as np
import tensorflow as tf

folder, loader = sys.argv[1:]
clip = np.load(folder + "/clip.npy")

def stream(init_states, step):
    states, outputs = init_states(len(clip)), []
    for frame in clip.swapaxes(0, 1):
        states = step({"video": frame, **states})
        outputs.append({name: states.pop(name) for name in list(states) if "_past" not in name
                        and name != "step"})
    assert int(states["step"]) == clip.shape[1], states["step"]
    return {name: np.stack([np.asarray(o[name]) for o in outputs], 1) for name in outputs[0]}

if loader == "v2":
    loaded = tf.saved_model.load(folder + "/model")
    names = sorted(loaded.signatures)
    call = lambda key: lambda values: loaded.signatures[key](
        **{name: tf.constant(value) for name, value in values.items()})
    found = stream(lambda n: dict(call("init_states")({"batch_size": np.int32(n)})),
                   lambda values: dict(call("step")(values)))
    whole = call("clip")({"video": clip})
else:
    v1 = tf.compat.v1
    with v1.Session(graph=v1.Graph()) as session:
        signatures = v1.saved_model.loader.load(session, ["serve"], folder + "/model").signature_def
        names = sorted(n for n in signatures if not n.startswith("__"))
        call = lambda key: lambda values: session.run(
            {name: t.name for name, t in signatures[key].outputs.items()},
            {t.name: values[name] for name, t in signatures[key].inputs.items()})
        found = stream(lambda n: call("init_states")({"batch_size": n}), call("step"))
        whole = call("clip")({"video": clip})

whole = {"clip_" + name: np.asarray(value) for name, value in whole.items()}
np.savez(folder + f"/{loader}.npz", **found, **whole)
ours = [name for name in sys.modules if name.split(".")[0] in ("mpvn", "keras_layers")]
print(json.dumps({"signatures": names, "ours": ours}))
"""


def network() -> mpvn.VideoNetwork:
    """Everything at once: temporal layers, strides, skips, clocks, feedback, two outputs."""
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
    randomize(model)
    plan = mpvn.Plan(model, boundaries=["pool", "up", "merge"], clocks="auto")
    return mpvn.VideoNetwork(model, plan)


def randomize(model: keras.Model) -> None:
    rng = np.random.default_rng(5)
    model.set_weights(
        [
            rng.uniform(0.2, 1.0, w.shape) * rng.choice([-1, 1], w.shape)
            if "variance" not in name
            else rng.uniform(0.5, 1.5, w.shape)
            for name, w in zip([v.path for v in model.weights], model.get_weights(), strict=True)
        ]
    )


@pytest.mark.parametrize("loader", ["v2", "v1"])
def test_streams_elsewhere_as_here(tmp_path: pathlib.Path, loader: str) -> None:
    net = network()
    clip = np.random.default_rng(0).normal(size=(3, 7, 8, 8, 3)).astype("float32")
    expected = net(clip)
    assert np.abs(expected["scores"]).max() > 0.1
    np.save(tmp_path / "clip.npy", clip)
    net.export(tmp_path / "model")
    (tmp_path / "client.py").write_text(CLIENT)
    ran = subprocess.run(
        [sys.executable, "client.py", str(tmp_path), loader],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout.splitlines()[-1])
    assert said["ours"] == []
    assert {"init_states", "step", "clip"} <= set(said["signatures"])
    found = np.load(tmp_path / f"{loader}.npz")
    for key, name in (("scores", "scores"), ("map", "merge")):
        np.testing.assert_allclose(found[name], expected[key], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found["clip_" + name], expected[key], rtol=1e-4, atol=1e-5)


def test_resting_subnetworks_are_skipped_in_the_exported_step(tmp_path: pathlib.Path) -> None:
    """Every convolution on a slow clock lies inside a branch of a conditional."""
    import tensorflow as tf

    network().export(tmp_path / "model")
    step = tf.saved_model.load(tmp_path / "model").signatures["step"]
    functions = step.graph.as_graph_def().library.function
    kinds = {f.signature.name: [node.op for node in f.node_def] for f in functions}
    conditional = [ops for ops in kinds.values() if "If" in ops or "StatelessIf" in ops]
    branches = [ops for name, ops in kinds.items() if "_true_" in name]
    assert [ops.count("Conv2D") for ops in conditional] == [1]  # the first layer, at rate 1
    assert sum(ops.count("Conv2D") for ops in branches) == 1  # the second, at rate 2


def test_never_overwrites(tmp_path: pathlib.Path) -> None:
    net = network()
    (tmp_path / "model").mkdir()
    with pytest.raises(FileExistsError, match="Remove it or choose another"):
        net.export(tmp_path / "model")


def test_a_network_that_looks_ahead_is_refused_before_anything_is_written(
    tmp_path: pathlib.Path,
) -> None:
    inputs = keras.Input((8, 8, 3))
    outputs = keras_layers.TemporalConv3D(2, 3, temporal_padding="symmetric")(inputs)
    net = mpvn.VideoNetwork(keras.Model(inputs, outputs))
    with pytest.raises(ValueError, match="looks into the future"):
        net.export(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
