"""Nodes are tried out: which keep the streams of a batch apart, and which mix them."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers, ops
from regrouping_models import partition, reverse, wrapped

from keras_layers.pure_call import without_values
from mpvn.graph.by_sample import by_sample
from mpvn.graph.reading import read_graph
from mpvn.graph.regions import Region


def layer(call: Callable, **weights: object) -> layers.Layer:
    """Return a layer `odd` that computes `call(layer, x)`; `weights` are `add_weight`'s."""

    class Odd(layers.Layer):
        def build(self, input_shape):
            self.weight = self.add_weight(**{"shape": (), **weights})

        def call(self, x):
            return call(self, x)

    return Odd(name="odd")


def number_rows(x):
    return x + ops.cast(ops.reshape(ops.arange(ops.shape(x)[0]), (-1, 1, 1, 1)), x.dtype)


MIXING = {
    "flip": lambda x: ops.flip(x, axis=0),
    "roll": lambda x: ops.roll(x, 1, axis=0),
    "sort": lambda x: ops.sort(x, axis=0),
    "cumsum": lambda x: ops.cumsum(x, axis=0),
    "softmax": lambda x: layers.Softmax(axis=0, name="softmax")(x),
    "mean": lambda x: x - ops.mean(x, axis=0),
    "max": lambda x: x / ops.max(x),
    "argmax": lambda x: ops.argmax(x, axis=0),
    "concatenate": lambda x: layers.Concatenate(axis=0, name="concatenate")([x, x]),
    "stack": lambda x: ops.stack([x, x], axis=0),
    "get_item": lambda x: x[0],
    "transpose": lambda x: ops.transpose(x, (1, 0, 2, 3)),
    "matmul": lambda x: ops.matmul(*_rows_and_columns(x)),
    "lambda": layers.Lambda(lambda x: x - ops.mean(x, axis=0), name="lambda"),
    "dense": lambda x: layers.Dense(2, activation=lambda y: y - ops.min(y), name="dense")(x),
    "reshape": partition,
    "windows in wrong order": lambda x: reverse(ops.flip(partition(x), axis=0)),
    "number of the row": layer(lambda self, x: number_rows(x)),
    "size of the batch": layer(lambda self, x: x * ops.cast(ops.shape(x)[0], x.dtype)),
    "mean behind a gate of zero": layer(
        lambda self, x: x + self.weight * ops.mean(x), initializer="zeros"
    ),
    "sum of logarithms": layer(lambda self, x: x + ops.sum(ops.log(x))),
}


def _rows_and_columns(x):
    rows = ops.reshape(x, (-1, 32))
    return rows, ops.transpose(rows)


def model_of(function: Callable, shape: tuple = (4, 4, 2), **keywords) -> keras.Model:
    frame = keras.Input(shape, name="frame", **keywords)
    return keras.Model(frame, function(frame), name="model")


@pytest.mark.parametrize("name", MIXING)
def test_mixing_streams_is_refused_by_name(name: str) -> None:
    function = MIXING[name]
    shape = (4, 4, 4) if "windows" in name or name == "reshape" else (4, 4, 2)
    culprit = getattr(function, "name", name.split()[0] if " " not in name else "reshape")
    with pytest.raises(ValueError, match=rf"'model', where '{culprit}\w*' .* \(axis 0\)"):
        read_graph(model_of(function, shape))


KEEPING = {
    "channel shuffle": lambda x: ops.reshape(
        ops.transpose(ops.reshape(x, (-1, 4, 4, 2, 1)), (0, 1, 2, 4, 3)), (-1, 4, 4, 2)
    ),
    "pixel shuffle": lambda x: ops.reshape(
        ops.transpose(ops.reshape(x, (-1, 4, 4, 1, 2, 1)), (0, 1, 3, 2, 4, 5)), (-1, 4, 8, 1)
    ),
    "other axes": lambda x: ops.einsum("bhwc,bhwd->bcd", ops.cumsum(x, 1), ops.flip(x, 1)),
    "indices": lambda x: ops.take_along_axis(x, ops.argsort(x, axis=1), axis=1),
    "stack and sum": lambda x: ops.sum(ops.stack([x, 2 * x], axis=1), axis=1),
    "mixing in training": layer(lambda self, x, training=None: ops.flip(x, 0) if training else x),
    "random": layer(lambda self, x: x + keras.random.normal(ops.shape(x))),
    "an error on random numbers": layer(
        lambda self, x: ops.cholesky(ops.einsum("bijc,bikc->bijk", x, x) - 100 * ops.eye(4))
    ),
    "rounding": layer(lambda self, x: ops.round(8 * ops.matmul(x, self.weight)) / 8, shape=(2, 5)),
    "square root": layer(lambda self, x: ops.sqrt(x - ops.min(x, axis=1, keepdims=True))),
    "half": lambda x: layers.Dense(3, dtype="mixed_bfloat16")(x),
    "tokens": lambda x: ops.take(np.eye(5, dtype="float32"), ops.cast(x > 0, "int32"), axis=0),
}


@pytest.mark.parametrize("name", KEEPING)
def test_nodes_that_keep_streams_apart_stay_nodes(name: str) -> None:
    graph = read_graph(model_of(KEEPING[name]))
    assert not any(isinstance(node, Region) for node in graph.nodes)
    assert graph.batch_size is None


def test_random_nodes_in_a_region_are_judged_by_shapes() -> None:
    noise = KEEPING["random"]
    graph = read_graph(
        model_of(lambda x: ops.reshape(noise(ops.reshape(x, (-1, 2, 2))), (-1, 4, 4, 2)))
    )
    assert [type(node) for node in graph.nodes] == [Region]


def test_a_mean_that_takes_part_in_training_alone_is_allowed() -> None:
    graph = read_graph(model_of(lambda x: layers.BatchNormalization()(x, training=True)))
    assert len(graph.nodes) == 1


def test_trying_out_changes_nothing() -> None:
    counting = layer(lambda self, x: (self.weight.assign(self.weight + 1), x)[1])
    model = model_of(lambda x: layers.GaussianNoise(1.0)(counting(x)))
    before = [np.array(variable) for variable in model.variables]
    read_graph(model)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    assert model.losses == []


def test_models_without_values_have_the_same_regions() -> None:
    with without_values():
        model = wrapped(lambda x: reverse(layers.MultiHeadAttention(1, 2)(*2 * [partition(x)])))
        assert sum(isinstance(node, Region) for node in read_graph(model).nodes) == 1


def test_a_layer_is_tried_out_once_for_each_kind_of_call() -> None:
    calls: list[int] = []

    class Mean(layers.Layer):
        def call(self, x, axis=1):
            calls.append(axis)
            return ops.mean(x, axis=axis, keepdims=True) * ops.ones_like(x)

    shared = Mean(name="shared")
    twice = model_of(lambda x: shared(shared(x)))
    mixing = model_of(lambda x: shared(shared(x), axis=0))
    calls.clear()
    read_graph(twice)
    assert len(calls) == 4, "one call for each batch of the probe"
    with pytest.raises(ValueError, match="where 'shared:1' combines"):
        read_graph(mixing)


@pytest.mark.parametrize(
    ("size", "function"),
    [
        (2, lambda x: ops.reshape(x, (2, 16, 2))),
        (6, lambda x: ops.reshape(ops.reshape(x, (6, -1)), (-1, 4, 4, 2))),
        (1, lambda x: x + layers.GlobalAveragePooling2D()(x)),
    ],
)
def test_the_only_batch_size_of_a_model_is_found(size: int, function: Callable) -> None:
    assert read_graph(model_of(function)).batch_size == size


def test_inputs_of_several_batch_sizes_are_refused() -> None:
    inputs = [keras.Input(batch_shape=(size, 3)) for size in (2, 4)]
    with pytest.raises(ValueError, match=r"inputs have one batch size\. .* sizes \[2, 4\]"):
        read_graph(keras.Model(inputs, [layers.Dense(1)(x) for x in inputs]))


def test_known_layers_are_not_tried_out() -> None:
    with without_values():
        model = keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3))
        graph = read_graph(model)
    assert all(by_sample(graph, node) for node in graph.nodes)


def test_fixed_batches_are_tried_out_at_their_size() -> None:
    frame = keras.Input(batch_shape=(4, 4, 4, 4))
    assert read_graph(keras.Model(frame, reverse(2 * partition(frame)))).batch_size == 4
    with pytest.raises(ValueError, match="where 'transpose"):  # axis 0 has the right size
        read_graph(keras.Model(frame, ops.transpose(frame, (1, 0, 2, 3))))


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool"])
def test_integers_of_several_streams_are_told_apart(dtype: str) -> None:
    def function(x):
        return x + ops.max(x) if dtype != "bool" else ops.logical_xor(x, ops.any(x))

    with pytest.raises(ValueError, match="rows of a batch"):
        read_graph(model_of(function, (), dtype=dtype))
