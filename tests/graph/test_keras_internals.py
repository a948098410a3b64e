"""The Keras internals that `mpvn.graph.reading` and its helpers depend on.

A failure here means that Keras changed and that these files need an update.
"""

import inspect
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from keras.src.backend import get_keras_mask

from keras_layers.pure_call import call_context, restored_context
from mpvn.graph.nesting import reads_through


def call_of(tensor: keras.KerasTensor) -> Any:
    """Return Keras's node of the call that created `tensor`."""
    operation, index, _ = tensor._keras_history
    return operation._inbound_nodes[index]


def test_tensors_know_the_call_that_created_them() -> None:
    image, relu = keras.Input((6, 6, 3)), layers.ReLU(name="relu")
    relu(keras.Input((2,)))
    model = keras.Model(image, relu(image))
    assert hasattr(model, "_nodes_by_depth"), "the attribute that identifies functional models"
    node = call_of(model.outputs[0])
    assert (node.operation.name, node.is_input) == ("relu", False)
    assert node.arguments.keras_tensors[0] is image
    assert node.outputs[0] is model.outputs[0]
    assert call_of(image).is_input


def test_layers_list_their_calls_in_order() -> None:
    image, layer = keras.Input((2,)), layers.ReLU()
    first, second = layer(image), layer(image)
    outputs = [node.outputs[0] for node in layer._inbound_nodes]
    assert outputs[0] is first
    assert outputs[1] is second


def test_arguments_are_filled_by_tensor_id() -> None:
    first, second = keras.Input((2,)), keras.Input((2,))
    model = keras.Model([first, second], layers.Add()([first, second]))
    node = call_of(model.outputs[0])
    args, kwargs = node.arguments.fill_in({id(first): 1, id(second): 2})
    assert keras.tree.flatten(args) == [1, 2]
    assert "training" not in kwargs or kwargs["training"] is None


def test_calls_record_an_explicit_training_argument() -> None:
    image = keras.Input((2,))
    inner = keras.Sequential([keras.Input((2,)), layers.Dropout(0.5)])
    model = keras.Model(image, inner(image, training=False))
    node = call_of(model.outputs[0])
    assert node.arguments.kwargs["training"] is False


def test_layers_know_whether_they_take_a_training_argument() -> None:
    assert layers.Dropout(0.5)._call_has_training_arg is True
    assert layers.ReLU()._call_has_training_arg is False
    operation = ops.mean(keras.Input((2,)))._keras_history.operation
    assert not hasattr(operation, "_call_has_training_arg")


def test_models_keep_the_structure_of_their_outputs() -> None:
    image = keras.Input((2,))
    model = keras.Model(image, {"a": layers.ReLU()(image), "b": image})
    assert set(model._outputs_struct) == {"a", "b"}


def test_a_built_sequential_model_wraps_a_functional_model() -> None:
    model = keras.Sequential([keras.Input((2,)), layers.ReLU()])
    assert hasattr(model._functional, "_nodes_by_depth")
    assert keras.Sequential([layers.ReLU()])._functional is None
    assert "training" in inspect.signature(type(model).call).parameters


def test_calls_record_implicit_masks() -> None:
    words = keras.Input((3,), dtype="int32")
    e = layers.Embedding(4, 2, mask_zero=True)(words)
    node = call_of(layers.GlobalAveragePooling1D()(e))
    assert node.arguments.kwargs["mask"] is get_keras_mask(e)


def test_models_run_their_layers_by_these_methods() -> None:
    image = keras.Input((2,))
    functional = keras.Model(image, layers.ReLU()(image))
    sequential = keras.Sequential([keras.Input((2,)), layers.ReLU()])
    assert reads_through(functional)
    assert reads_through(sequential)
    assert not reads_through(layers.ReLU())
    assert "training" in layers.ReLU()._call_context_args
    assert functional._convert_input_args is False, "it casts inputs by _standardize_inputs alone"


def test_subclassed_models_know_the_shapes_that_they_were_built_with() -> None:
    class Subclassed(keras.Model):
        def call(self, inputs: Any) -> Any:
            return inputs["a"]

    model = Subclassed()
    model({"a": np.zeros((3, 2), "float32")})
    assert list(model._build_shapes_dict.values()) == [{"a": (3, 2)}]


def test_the_autocast_scope_is_global() -> None:
    image = keras.Input((2,))
    model = keras.Model(image, image * keras.Variable(np.ones(2)))
    model.dtype_policy = "mixed_bfloat16"
    assert model(np.ones((1, 2), "float32")).dtype == "float32"
    assert call_context()["autocast_scope"] is None


def test_a_restored_context_has_the_training_mode_and_dtype_of_the_outer_call() -> None:
    """Layers are called again in the backward pass, where Keras has no context."""
    contexts: list[dict[str, Any]] = []

    class Recorder(layers.Layer):
        def call(self, inputs: Any, training: bool | None = None) -> Any:
            contexts.append(call_context())
            return inputs

    recorder, dropout = Recorder(dtype="mixed_float16"), layers.Dropout(0.5)
    ones = ops.ones((8, 64))
    recorder(ones, training=True)
    context = contexts[-1]  # Keras calls a layer twice when it builds it
    assert context["autocast_scope"].dtype == "float16"
    with restored_context(context):
        dropped = dropout(ones)
        assert call_context()["autocast_scope"].dtype == "float16"
    assert np.any(np.asarray(dropped) == 0)
    assert call_context()["autocast_scope"] is None
    with restored_context({}):
        assert not np.any(np.asarray(dropout(ones)) == 0)


def test_operations_of_keras_are_known_by_module_and_config() -> None:
    """Operations of one config are tried out once (`mpvn.graph.batch_axis`)."""
    first, second = (ops.roll(keras.Input((2, 2)), 1, axis=1)._keras_history for _ in range(2))
    assert type(first.operation).__module__.startswith("keras.src.ops.")
    configs = [{**x.operation.get_config(), "name": None} for x in (first, second)]
    assert configs[0] == configs[1] == {"name": None, "shift": 1, "axis": 1}
