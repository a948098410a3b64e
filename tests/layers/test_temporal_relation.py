"""The temporal relation layer equals TRN-Multiscale in a few lines of NumPy."""

import itertools

import keras
import numpy as np
import pytest
from random_weights import randomize

import mpvn
from keras_layers import TemporalRelation
from keras_layers.temporal_relation import spread_tuples

TUPLES = {
    2: [(0, 2), (1, 2), (2, 3)],
    3: [(0, 1, 2), (0, 2, 3), (1, 2, 3)],
    4: [(0, 1, 2, 3)],
}
"""The tuples of four frames by scale: the middles of three equal parts of all tuples."""

STRETCHED = {1: [0, 0, 0, 0], 2: [0, 0, 1, 1], 3: [0, 0, 1, 2], 4: [0, 1, 2, 3]}
"""The frames that stand for four, by the number of frames seen."""


def related(layer: TemporalRelation, seen: np.ndarray) -> np.ndarray:
    """Return the logits `[B, classes]` after the vectors `seen` `[B, k, C]`, newest last."""
    newest = seen[:, -4:]
    frames = np.maximum(newest[:, STRETCHED[newest.shape[1]]], 0)
    logits = np.zeros((len(seen), layer.classes))
    for (size, tuples), inner, outer in zip(TUPLES.items(), layer.inner, layer.outer, strict=True):
        (weights, bias), (out, out_bias) = inner.get_weights(), outer.get_weights()
        for chosen in tuples:
            joined = np.concatenate([frames[:, frame] for frame in chosen], axis=-1)
            assert joined.shape[-1] == size * seen.shape[-1]
            logits += np.maximum(joined @ weights + bias, 0) @ out + out_bias
    return logits


def test_every_step_relates_the_frames_seen_so_far(rng: np.random.Generator) -> None:
    """In the layer, in every executor, and in a stream: with 1, 2, 3, 4 and more frames seen."""
    frame = keras.Input((3,))
    layer = TemporalRelation(classes=5, frames=4, hidden=6)
    network = mpvn.VideoNetwork(keras.Model(frame, layer(frame)))
    randomize(layer, rng)
    clip = rng.normal(size=(2, 6, 3)).astype("float32")
    expected = np.stack([related(layer, clip[:, : time + 1]) for time in range(6)], axis=1)
    np.testing.assert_allclose(layer(clip), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer(clip[:, 0]), expected[:, 0], rtol=1e-4, atol=1e-5)
    for executor in ("layerwise", "unroll"):
        network.executor = executor
        np.testing.assert_allclose(network(clip), expected, rtol=1e-4, atol=1e-5)
    state = network.initial_state(2)
    for time in range(6):
        outputs, state = network.step(clip[:, time], state)
        np.testing.assert_allclose(outputs, expected[:, time], rtol=1e-4, atol=1e-5)


def test_a_vector_of_zeros_between_others_is_a_frame(rng: np.random.Generator) -> None:
    """Only zeros before all others are frames that have not arrived."""
    layer = TemporalRelation(classes=2, frames=4, hidden=3)
    clip = rng.normal(size=(1, 5, 3)).astype("float32")
    clip[:, 2] = 0
    layer(clip)
    randomize(layer, rng)
    expected = [related(layer, clip[:, : time + 1]) for time in (2, 4)]
    np.testing.assert_allclose(layer(clip)[:, 2::2], np.stack(expected, 1), rtol=1e-4, atol=1e-5)
    late = np.concatenate([np.zeros_like(clip[:, :2]), clip], axis=1)
    np.testing.assert_allclose(layer(late)[:, 2:], layer(clip), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("frames", [2, 3, 5, 8])
def test_tuples_are_spread_over_all_ordered_tuples(frames: int) -> None:
    for size in range(2, frames + 1):
        every = list(itertools.combinations(range(frames), size))
        chosen = spread_tuples(frames, size, 3)
        ranks = [every.index(each) for each in chosen]
        assert len(set(ranks)) == min(3, len(every))
        ends = [-0.5 * len(every) / len(ranks), *ranks, (1 + 0.5 / len(ranks)) * len(every)]
        assert max(abs(gap - len(every) / len(ranks)) for gap in np.diff(ends)) <= 1
    assert spread_tuples(4, 2, 3) == TUPLES[2]
    assert len(spread_tuples(40, 20, 3)) == 3  # of 1.4e11


def test_multiply_adds_count_all_tuples() -> None:
    layer = TemporalRelation(classes=5, frames=4, hidden=6)
    layer.build((None, 3))
    assert layer.multiply_adds((3,), (5,)) == 6 * (3 * (6 + 5) + 3 * (9 + 5) + 12 + 5)


def test_the_number_of_channels_must_be_known() -> None:
    with pytest.raises(ValueError, match=r"'related' reads must be known.*\(None, None\)"):
        TemporalRelation(classes=3, name="related")(keras.Input((None,)))


@pytest.mark.parametrize("arguments", [{"frames": 1}, {"classes": 0}, {"hidden": 0}, {"tuples": 0}])
def test_invalid_arguments_are_refused(arguments: dict) -> None:
    name, value = next(iter(arguments.items()))
    with pytest.raises(ValueError, match=f"at least 2 frames.*Received: .*{name}={value}"):
        TemporalRelation(**{"classes": 3, **arguments})
