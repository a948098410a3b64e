"""What users of Keras expect of every model: shapes, sizes, layers, and clear refusals."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from small_models import clocked_network

from mpvn import VideoNetwork


@pytest.fixture(scope="module")
def network() -> VideoNetwork:
    network = clocked_network()
    network.compile("sgd", "mse")
    return network


def test_a_network_describes_itself(network: VideoNetwork) -> None:
    lines: list[str] = []
    network.summary(print_fn=lines.append, expand_nested=True)
    assert all(name in lines[0] for name in ("small", "c0", "t2", "Total params: 58"))
    assert network.count_params() == network.frame_model.count_params() == 58
    assert network.layers == [network.frame_model]
    assert network.get_layer("small") is network.frame_model


@pytest.mark.parametrize("shape", [tuple, list, tf.TensorShape])
def test_output_shapes_have_the_structure_of_the_outputs(shape: type) -> None:
    a, b = keras.Input((4,), name="a"), keras.Input((6,), name="b")
    by_name = keras.Model({"a": a, "b": b}, {"p": layers.Dense(2)(a), "q": [layers.Dense(3)(b)]})
    network = VideoNetwork(by_name)
    shapes = {"a": shape((2, 5, 4)), "b": shape((2, 5, 6))}
    assert network.compute_output_shape(shapes) == {"p": (2, 5, 2), "q": [(2, 5, 3)]}
    clip = {"a": np.zeros((2, 5, 4)), "b": np.zeros((2, 5, 6))}
    actual = keras.tree.map_structure(lambda output: tuple(output.shape), network(clip))
    assert actual == network.compute_output_shape(shapes)

    listed = VideoNetwork(keras.Model([a, b], [layers.Dense(2)(a), layers.Dense(3)(b)]))
    shapes = [shape((None, 5, 4)), shape((None, 5, 6))]
    assert listed.compute_output_shape(shapes) == [(None, 5, 2), (None, 5, 3)]
    single = VideoNetwork(keras.Model(a, layers.Dense(2)(a)))
    assert single.compute_output_shape(shape((None, None, 4))) == (None, None, 2)


def test_clips_of_different_lengths_are_refused(network: VideoNetwork) -> None:
    clips = tf.ragged.stack([tf.ones((length, 6, 6, 2)) for length in (5, 3)])
    targets = np.zeros((2, 2))
    message = r"a ragged tensor of shape .* Pad clips to one length"
    for attempt in (
        lambda: network.predict(clips, verbose=0),
        lambda: network.fit(clips, targets, verbose=0),
        lambda: network.evaluate(clips, targets, verbose=0),
        lambda: network.predict(tf.data.Dataset.from_tensor_slices(clips).batch(2), verbose=0),
        lambda: network.run(clips, network.initial_state(2)),
    ):
        with pytest.raises(ValueError, match=message):
            attempt()


@pytest.mark.parametrize("by_name", [True, False])
def test_losses_and_metrics_find_outputs_as_they_do_in_the_frame_model(by_name: bool) -> None:
    frame = keras.Input((4,))
    outputs = [layers.Dense(2, name="first")(frame), layers.Dense(3, name="second")(frame)]
    model = keras.Model(frame, outputs)
    rng = np.random.default_rng(0)
    clip = rng.normal(size=(2, 3, 4)).astype("float32")
    targets = [rng.normal(size=(2, 3, size)).astype("float32") for size in (2, 3)]
    losses, metrics = ["mse", "mae"], [["mae"], ["mse"]]
    names = ["first", "second"]
    results = []
    for subject, rank in ((model, 2), (VideoNetwork(model), 3)):
        subject.compile(
            "sgd",
            loss=dict(zip(names, losses, strict=True)) if by_name else losses,
            metrics=dict(zip(names, metrics, strict=True)) if by_name else metrics,
        )
        x, *y = (v if rank == 3 else v.reshape(-1, v.shape[-1]) for v in (clip, *targets))
        results.append(subject.evaluate(x, y, verbose=0, return_dict=True))
    assert results[1].keys() == results[0].keys()
    for name, value in results[0].items():
        assert results[1][name] == pytest.approx(value, rel=1e-5), name
