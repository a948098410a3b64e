"""Implicit Keras masks travel with tensors: through layers, boundaries, clocks and executors.

The masks of the clips differ from frame to frame, so a mask that is not delayed shows.
"""

import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from per_frame import EXECUTORS, as_arrays, assert_as_keras, per_frame, run_clip
from random_weights import randomize

from mpvn import Plan, VideoNetwork
from mpvn.sideways.back_propagation import BackPropagationTrainer, GPipeTrainer
from mpvn.sideways.sideways_trainer import SidewaysTrainer

WORDS = 6


@pytest.fixture(scope="module")
def words() -> np.ndarray:
    """Clips of sentences, `[2, 5, 6]`, of other lengths in each frame; 0 is padding."""
    clip = np.random.default_rng(3).integers(1, 5, size=(2, 5, WORDS))
    lengths = np.array([[6, 2, 4, 1, 3], [1, 5, 2, 6, 4]])
    return np.where(np.arange(WORDS) < lengths[..., None], clip, 0).astype("int32")


def embedded(**kwargs: Any) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    sentence = keras.Input((WORDS,), dtype="int32", name="words")
    return sentence, layers.Embedding(5, 4, mask_zero=True, name="e", **kwargs)(sentence)


def attention() -> keras.Model:
    sentence, e = embedded()
    return keras.Model(sentence, layers.Attention()([e, e]))


def recurrent() -> keras.Model:
    sentence, e = embedded()
    x = layers.GRU(2, return_sequences=True, unroll=True)(layers.Dropout(0.2)(e))
    return keras.Model(sentence, layers.Bidirectional(layers.SimpleRNN(3, unroll=True))(x))


def transformer() -> keras.Model:
    sentence, e = embedded()
    x = layers.LayerNormalization()(layers.Add()([e, layers.MultiHeadAttention(2, 2)(e, e)]))
    return keras.Model(sentence, [layers.GlobalAveragePooling1D()(x), layers.Dense(2)(x)])


def joined() -> keras.Model:
    sentence, e = embedded()
    other = layers.Masking(2.0)(ops.cast(sentence, "float32")[..., None] * ops.ones((1, 1, 4)))
    x = layers.Concatenate(axis=1)([other, e])
    pool = layers.GlobalAveragePooling1D()
    return keras.Model(sentence, [pool(x), pool(layers.Multiply()([e, other]))])


@keras.saving.register_keras_serializable(package="masks")
class Shifted(layers.Layer):
    """A layer with a mask of its own."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        return inputs + 1

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return None if mask is None else ops.roll(mask, 1, axis=1)


def custom() -> keras.Model:
    sentence, e = embedded()
    return keras.Model(sentence, layers.GlobalAveragePooling1D()(Shifted()(e)))


def explicit() -> keras.Model:
    """A mask given by the user is an ordinary input."""
    sentence, e = embedded()
    return keras.Model(sentence, layers.GlobalAveragePooling1D()(e, mask=sentence > 2))


def nested() -> keras.Model:
    """Masks enter and leave nested models."""
    sentence, e = embedded()
    inner = keras.Input((WORDS, 4))
    hidden = layers.SimpleRNN(3, return_sequences=True, unroll=True)(inner)
    block = keras.Model(inner, hidden, name="block")
    encoder = keras.Sequential([keras.Input((WORDS,)), layers.Embedding(5, 3, mask_zero=True)])
    x = layers.Add()([block(e), encoder(sentence)])
    return keras.Model(sentence, layers.GlobalAveragePooling1D()(x))


class Own(keras.Model):
    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        return super().call(inputs * 2, mask=mask)


def own_call() -> keras.Model:
    sentence, e = embedded()
    inner = keras.Input((WORDS, 4))
    hidden = layers.SimpleRNN(3, return_sequences=True, unroll=True)(inner)
    block = Own(inner, hidden, name="block")
    return keras.Model(sentence, layers.GlobalAveragePooling1D()(block(e)))


def operations() -> keras.Model:
    """Operations are not layers: they drop masks."""
    sentence, e = embedded()
    pool = layers.GlobalAveragePooling1D()
    return keras.Model(sentence, [pool(e * 2), pool(layers.Reshape((WORDS, 4))(e))])


MODELS: list[Callable[[], keras.Model]] = [
    attention,
    recurrent,
    transformer,
    joined,
    custom,
    explicit,
    nested,
    own_call,
    operations,
]


@pytest.mark.filterwarnings("ignore:.*does not support masking:UserWarning")
@pytest.mark.parametrize("make", MODELS)
def test_masks_are_those_of_keras(
    make: Callable, words: np.ndarray, rng: np.random.Generator
) -> None:
    assert_as_keras(make(), words, rng)


def test_a_loaded_model_has_the_same_masks(
    words: np.ndarray, tmp_path: pathlib.Path, rng: np.random.Generator
) -> None:
    """Keras saves masks as operations of the model, beside those of its layers."""
    model = transformer()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert assert_as_keras(loaded, words, rng).graph.names == Plan(model).nodes


# --- boundaries and clocks --------------------------------------------------------------------


def delayed(x: np.ndarray, steps: int) -> np.ndarray:
    """Shift `[B, T, ...]` later; copies of the first frame come in, which tests do not compare."""
    return np.concatenate([x[:, :1]] * steps + [x[:, : x.shape[1] - steps]], axis=1)


@pytest.fixture(scope="module")
def text() -> keras.Model:
    """e -> g -> a -> p: a masked chain, and a shortcut from e to p."""
    sentence, e = embedded()
    x = layers.SimpleRNN(4, return_sequences=True, unroll=True, name="g")(e)
    x = layers.Attention(name="a")([x, e])
    model = keras.Model(sentence, layers.GlobalAveragePooling1D(name="p")(x))
    randomize(model, np.random.default_rng(5))
    return model


@pytest.mark.parametrize("how", EXECUTORS)
@pytest.mark.parametrize("rematerialize", [False, True])
def test_a_delayed_tensor_has_its_delayed_mask(
    how: str, rematerialize: bool, text: keras.Model, words: np.ndarray
) -> None:
    network = VideoNetwork(text, Plan(text, boundaries=["g", "p"]), rematerialize=rematerialize)
    outputs = run_clip(network, words, how)
    expected = per_frame(text, delayed(words, 2))[0]
    np.testing.assert_allclose(outputs[:, 2:], expected[:, 2:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("how", EXECUTORS)
def test_a_shortcut_brings_the_mask_of_its_own_frame(
    how: str, text: keras.Model, words: np.ndarray
) -> None:
    """At `a`, values of g come from two frames before, those of e from one frame before."""
    e, g, a, p = (text.get_layer(name) for name in "egap")
    late, later = delayed(words, 1).reshape(-1, WORDS), delayed(words, 2).reshape(-1, WORDS)
    value = e(late)
    expected = p(a([g(e(later)), value]), mask=later != 0)
    network = VideoNetwork(text, Plan(text, boundaries=["g", "a"]))
    outputs = run_clip(network, words, how)
    expected = np.reshape(expected, outputs.shape)
    np.testing.assert_allclose(outputs[:, 2:], expected[:, 2:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("how", EXECUTORS)
def test_a_held_tensor_has_its_held_mask(how: str, text: keras.Model, words: np.ndarray) -> None:
    plan = Plan(text, clocks={"e": 2, "g": 2, "a": 2, "p": 4})
    outputs = run_clip(VideoNetwork(text, plan), words, how)
    held = words[:, [0, 0, 0, 0, 4]]
    np.testing.assert_allclose(outputs, per_frame(text, held)[0], rtol=1e-4, atol=1e-5)


def test_an_export_has_the_masks(
    text: keras.Model, words: np.ndarray, tmp_path: pathlib.Path
) -> None:
    network = VideoNetwork(text, Plan(text, boundaries=["g"]))
    network.export(tmp_path / "exported", verbose=False)
    signatures = tf.saved_model.load(tmp_path / "exported").signatures
    (clip,) = signatures["clip"](words=tf.constant(words)).values()
    np.testing.assert_allclose(clip[:, 1:], network(words)[:, 1:], rtol=1e-5, atol=1e-6)


# --- losses -----------------------------------------------------------------------------------


def tagger(outputs: int = 2) -> keras.Model:
    """A model with a masked output, and maybe one without mask."""
    sentence, e = embedded()
    tags = layers.Dense(2)(e)
    pooled = layers.GlobalAveragePooling1D()(tags)
    model = keras.Model(sentence, tags if outputs == 1 else [tags, pooled])
    randomize(model, np.random.default_rng(7))
    return model


@pytest.mark.parametrize("how", ["unroll", "layerwise"])
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean_with_sample_weight"])
def test_losses_and_metrics_see_the_masks_of_outputs(
    reduction: str, how: str, words: np.ndarray, rng: np.random.Generator
) -> None:
    model = tagger(outputs=1)
    network = VideoNetwork(model, executor=how)
    targets = rng.normal(size=(2, 5, WORDS, 2)).astype("float32")
    results = []
    for trained, fold in ((model, lambda x: x.reshape(-1, *x.shape[2:])), (network, lambda x: x)):
        loss = keras.losses.MeanSquaredError(reduction=reduction)
        trained.compile(loss=loss, metrics=["mae"], weighted_metrics=["mse"], run_eagerly=True)
        results.append(trained.evaluate(fold(words), fold(targets), verbose=0))
    np.testing.assert_allclose(results[1], results[0], rtol=1e-5)


def test_masks_that_keras_loses_do_not_reach_the_loss(words: np.ndarray) -> None:
    """`MultiHeadAttention` removes the mask of its argument, so the sum after it has none."""
    model = transformer()
    kept = [getattr(x, "_keras_mask", None) is not None for x in model(words[:, 0])]
    network = VideoNetwork(model)
    assert [getattr(x, "_keras_mask", None) is not None for x in network(words)] == kept
    assert network.graph.outputs == network.graph.model_outputs


def test_all_trainers_use_the_masks_of_outputs(words: np.ndarray) -> None:
    """Targets of padding are far off: without masks the loss would be a million."""
    model = tagger()
    masked = np.where(words[..., None] != 0, 0.0, 1e3) * np.ones(2)
    targets = [masked.astype("float32"), np.zeros((2, 5, 2), "float32")]
    for trainer in (SidewaysTrainer, BackPropagationTrainer, GPipeTrainer):
        trained = trainer(VideoNetwork(model))
        trained.compile(optimizer=keras.optimizers.SGD(0.0), loss="mse", run_eagerly=True)
        (loss,) = trained.fit(words, targets, verbose=0).history["loss"]
        assert loss < 100, trainer


def test_a_network_called_symbolically_has_masked_outputs() -> None:
    network, clip = VideoNetwork(tagger()), keras.Input((4, WORDS), dtype="int32")
    tagged, last = network(clip)
    assert tagged._keras_mask.shape == (None, 4, WORDS)
    assert getattr(last, "_keras_mask", None) is None
    assert as_arrays(keras.Model(clip, layers.Dense(2)(tagged))(np.ones((1, 4, WORDS), "int32")))
