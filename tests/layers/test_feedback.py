"""The feedback layer alone, without a network that closes the loop.

The tests of the executors test the loop.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_layers import Feedback


def test_alone_it_returns_zeros_with_the_batch_size_of_its_input(rng: np.random.Generator) -> None:
    layer = Feedback("later", shape=(4, 5, 2))
    for batch_size in (1, 3):
        outputs = layer(rng.normal(size=(batch_size, 8, 8, 3)))
        assert outputs.shape == (batch_size, 4, 5, 2)
        assert not np.any(outputs)


def test_it_reads_an_unknown_batch_size_from_its_input(rng: np.random.Generator) -> None:
    traced = tf.function(Feedback("later", (2,)), input_signature=[tf.TensorSpec((None, 7))])
    assert traced(rng.normal(size=(3, 7)).astype("float32")).shape == (3, 2)


def test_compute_output_shape_is_the_shape_of_the_output() -> None:
    assert Feedback("later", (4, 5, 2)).compute_output_shape((None, 8, 8, 3)) == (None, 4, 5, 2)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_it_returns_the_compute_dtype(policy: str) -> None:
    outputs = Feedback("later", (2,), dtype=policy)(np.ones((1, 3), "float32"))
    assert keras.backend.standardize_dtype(outputs.dtype) == policy.removeprefix("mixed_")


def test_source_and_shape_survive_serialization() -> None:
    layer = Feedback("later", [4, 5, 2], name="loop")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()
    assert (again.source, again.shape) == ("later", (4, 5, 2))


@pytest.mark.parametrize("source", ["", None, 3])
def test_a_source_that_is_not_a_name_is_refused(source: object) -> None:
    with pytest.raises(ValueError, match="source of layer 'loop'.*name of a node.*Received"):
        Feedback(source, (2,), name="loop")


@pytest.mark.parametrize("shape", [(None, 4, 2), (0, 4), 3])
def test_an_invalid_shape_is_refused(shape: object) -> None:
    with pytest.raises(ValueError, match="shape of layer 'loop'.*positive ints.*Received"):
        Feedback("later", shape, name="loop")
