"""Layers that remember earlier frames in variables: each stream has its own past, so none may."""

import keras
import pytest
from keras import layers, ops

from mpvn.graph.reading import read_graph


class Counting(layers.Layer):
    """Counts its calls, like a metric."""

    def build(self, input_shape):
        self.count = self.add_weight(initializer="zeros", trainable=False, dtype="int32")

    def call(self, x):
        self.count.assign(self.count + 1)
        return x


class Numbering(Counting):
    def call(self, x):
        return super().call(x) * ops.cast(self.count, x.dtype)


class Smoothing(layers.Layer):
    """Keeps a running mean of all that it has seen."""

    def build(self, input_shape):
        self.mean = self.add_weight(shape=input_shape[1:], initializer="zeros", trainable=False)

    def call(self, x, training=None):
        mean = 0.9 * self.mean + 0.1 * ops.mean(x, axis=0)
        if not training:
            self.mean.assign(mean)
        return x - self.mean


class Own(keras.Model):
    def __init__(self, layer):
        super().__init__(name="own")
        self.layer = layer

    def call(self, x):
        return self.layer(x)


def functional(layer: layers.Layer, shape: tuple = (None, 5, 3)) -> keras.Model:
    frame = keras.Input(batch_shape=shape)
    return keras.Model(frame, layer(frame), name="mine")


def own(layer: layers.Layer) -> keras.Model:
    model = Own(layer)
    model(ops.zeros((1, 5, 3)))
    return model


@pytest.mark.parametrize(
    ("build", "variable"),
    {
        "counter": (lambda: functional(Numbering(name="layer")), "layer/variable"),
        "mean": (lambda: functional(Smoothing(name="layer")), "layer/variable"),
        "nested": (lambda: functional(own(Smoothing(name="layer"))), "layer/variable"),
        "rnn": (lambda: functional(layers.GRU(2, stateful=True), (2, 5, 3)), "gru"),
        "inside": (
            lambda: functional(layers.Bidirectional(layers.GRU(2, stateful=True)), (2, 5, 3)),
            "gru",
        ),
    }.values(),
)
def test_a_layer_whose_outputs_depend_on_earlier_frames_is_refused(build, variable) -> None:
    with pytest.raises(ValueError, match=f"own past. Received: 'mine', .*changes.*: .*{variable}"):
        read_graph(build())


@pytest.mark.filterwarnings("ignore:Own 'own' has a call of its own")
def test_a_whole_model_with_a_memory_is_refused() -> None:
    with pytest.raises(ValueError, match="Received: 'own', where 'own' changes at inference"):
        read_graph(own(Numbering()))


@pytest.mark.parametrize(
    "layer",
    [Counting(), layers.GRU(2), layers.GaussianNoise(0.5), layers.RandomFlip()],
    ids=["counting", "rnn", "noise", "flip"],
)
def test_variables_on_which_no_output_depends_are_allowed(layer: layers.Layer) -> None:
    shape = (None, 4, 4, 3) if isinstance(layer, layers.RandomFlip) else (None, 5, 3)
    assert len(read_graph(functional(layer, shape)).nodes) == 1
