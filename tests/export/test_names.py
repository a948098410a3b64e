"""Names in exported files: dict keys as they are, and no tensor lost to another of its name."""

import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_layers
import mpvn
from mpvn.export.description import read_description
from mpvn.export.names import input_names, network_names, output_names
from mpvn.graph.reading import read_graph


def named(inputs: object, outputs: object, taken: tuple[str, ...] = ("step",)) -> tuple[list, list]:
    """Return the names of the inputs and of the outputs of a model."""
    graph = read_graph(keras.Model(inputs, outputs))
    return list(input_names(graph, taken)), list(output_names(graph, taken))


def dense(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return keras.layers.Dense(2, name=name)(x)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["video", "args", "kwargs", "name"], ["video", "args", "kwargs", "name"]),
        (["self", "class", "None"], ["self_", "class_", "None_"]),
        (["self", "self_"], ["self__1", "self_"]),
        (["left eye", "left-eye", "left_eye"], ["left_eye_1", "left_eye_2", "left_eye"]),
        (["Frame", "frame", "frame_1"], ["Frame", "frame_2", "frame_1"]),
        (["_x", "__y__", "2d"], ["x", "y__", "input_2d"]),
        (["видео", "画像", "é"], ["input", "input_1", "input_2"]),
        (["step", "Step"], ["step_1", "Step_2"]),
    ],
)
def test_names_of_inputs(names: list[str], expected: list[str]) -> None:
    """Each of the changed names made TensorFlow fail to export, or could not be passed to it."""
    inputs = [keras.Input((2,), name=name) for name in names]
    outputs = keras.layers.Concatenate(name="all")([*inputs, inputs[0]])
    assert named(inputs, outputs)[0] == expected


def test_names_of_outputs_are_the_keys_of_dicts() -> None:
    inputs = keras.Input((2,), name="video")
    keys = ["cls", "box", "class", "self", "видео", "A", "a"]
    heads = {key: dense(inputs, f"head{i}") for i, key in enumerate(keys)}
    assert set(named(inputs, heads)[1]) == set(keys)
    nested = {"head": {"cls": heads["cls"], "box": heads["box"]}, "head_cls": heads["self"]}
    assert set(named(inputs, nested)[1]) == {"head_cls_1", "head_box", "head_cls"}
    lists = {"maps": [heads["cls"], heads["box"]], "": heads["A"]}
    assert set(named(inputs, lists)[1]) == {"maps", "maps_1", "output"}
    assert named(inputs, [{"cls": heads["cls"]}, {"cls": heads["box"]}])[1] == ["cls", "cls_1"]


def test_names_of_outputs_without_keys_are_those_of_the_nodes() -> None:
    inputs = keras.Input((2,), name="video")
    shared = keras.layers.Dense(2, name="shared")
    first, second = shared(inputs), dense(inputs, "shared_1")
    again = shared(first)
    assert named(inputs, first)[1] == ["shared"]
    assert named(inputs, [again, second])[1] == ["shared_1_1", "shared_1"]
    assert named(inputs, [first, first, second, inputs])[1] == [
        "shared",
        "shared_2",
        "shared_1",
        "video",
    ]
    assert named(inputs, {"step": first, "t1_x_past1": second}, ("step", "t1_x_past1"))[1] == [
        "step_1",
        "t1_x_past1_1",
    ]


def test_an_output_does_not_look_like_a_state() -> None:
    """Clients take `next_x` for the state `x`: of a network that predicts the next frame, too."""
    inputs = keras.Input((2,), name="frame")
    outputs = {"next_frame": dense(inputs, "a"), "next_frames": dense(inputs, "b")}
    names = network_names(mpvn.VideoNetwork(keras.Model(inputs, outputs)))
    assert list(names.outputs) == ["next_frame_1", "next_frames"]


def test_no_tensor_of_a_signature_is_lost(tmp_path: pathlib.Path, rng: np.random.Generator) -> None:
    """Outputs that are one tensor, or are called like states, inputs or each other: all arrive."""
    names = ["self", "видео", "Step", "step", "class"]
    inputs = {name: keras.Input((2,), name=name) for name in names}
    total = keras.layers.Add(name="a_b")([*inputs.values()])
    held = keras.layers.Dense(2, name="held")(total)
    slot = "t5_a_b_past1"
    outputs = {"step": total, slot: total, "a/b": held, "a_b": total, "self": inputs["self"]}
    model = keras.Model(inputs, outputs)
    network = mpvn.VideoNetwork(model, mpvn.Plan(model, boundaries=["held"]))
    assert slot in network.initial_state(1), "a key is called like a state"
    clip = {name: rng.normal(size=(1, 3, 2)).astype("float32") for name in names}
    network.export(tmp_path / "model", verbose=False)
    step = read_description(tmp_path / "model")["signatures"]["step"]
    inputs, results_of = originals(step["inputs"]), originals(step["outputs"])
    assert inputs == {
        "self": "self_",
        "видео": "input",
        "Step": "Step_1",
        "step": "step_2",
        "class": "class_",
    }
    signatures = tf.saved_model.load(tmp_path / "model").signatures
    states = signatures["init_states"](batch_size=tf.constant(1))
    assert set(states) == step["inputs"].keys() - inputs.values() == set(network.initial_state(1))
    assert not step["inputs"].keys() & step["outputs"].keys(), "one name is one tensor"
    expected = network(clip)
    for time in range(3):
        frames = {new: tf.constant(clip[old][:, time]) for old, new in inputs.items()}
        results = signatures["step"](**frames, **states)
        assert len(results) == len(outputs) + len(states)
        states = {name: results.pop(f"next_{name}") for name in states}
        for key, name in results_of.items():
            np.testing.assert_allclose(results[name], expected[key][:, time], rtol=1e-5)


def originals(tensors: dict[str, dict]) -> dict[str, str]:
    """Return the names of the tensors that belong to the network, by their original names."""
    return {each["original"]: name for name, each in tensors.items() if "original" in each}


def test_readers_of_one_tensor_have_states_of_their_own(rng: np.random.Generator) -> None:
    """The second call of `shift` and the layer `shift_1` shared one slot."""
    inputs = keras.Input((4, 4, 8), name="video")
    shift = keras_layers.TemporalShift("causal", 8, name="shift")
    once = shift(inputs)
    other = keras_layers.TemporalShift("causal", 4, name="shift_1")(inputs)
    network = mpvn.VideoNetwork(keras.Model(inputs, [once, shift(inputs), other]))
    clip = rng.normal(size=(1, 3, 4, 4, 8)).astype("float32")
    state, expected = network.initial_state(1), network(clip)
    for time in range(3):
        outputs, state = network.step(clip[:, time], state)
        for output, values in zip(outputs, expected, strict=True):
            np.testing.assert_array_equal(output, values[:, time])
