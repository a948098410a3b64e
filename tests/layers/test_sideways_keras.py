"""The Sideways layer as a Keras layer: fit, state, precision, XLA, files, memory, errors."""

import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import reference_sideways as reference
import tensorflow as tf
from keras import layers
from random_weights import randomize
from sideways_networks import WIDTH, assert_close, dense_modules, fit, sideways_layer

from keras_layers import Boundary, Sideways


@pytest.fixture
def moving(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A clip and targets that change at every step."""
    return rng.normal(size=(2, 9, WIDTH)), rng.normal(size=(2, 9, WIDTH))


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_fit_takes_the_step_of_the_reference(
    run_eagerly: bool, moving: tuple, rng: np.random.Generator
) -> None:
    modules = dense_modules(3, rng)
    layer = sideways_layer(modules, (2,))
    clip = keras.Input((None, WIDTH), dtype="float64")
    model = keras.Model(clip, layer(clip))
    model.compile(keras.optimizers.SGD(0.5), "mse", run_eagerly=run_eagerly)
    fit(model, *moving)
    expected = reference.sideways(modules, *moving, (2,))
    for index, (keras_module, module) in enumerate(zip(layer.modules, modules, strict=True)):
        kernel, bias = keras_module.get_weights()
        steps = [0.5 * gradient for gradient in expected.mean(index)]
        assert_close([module.kernel - kernel, module.bias - bias], steps, rtol=1e-4)


def noisy() -> Sideways:
    def module() -> keras.Model:
        return keras.Sequential(
            [
                layers.Dense(8, dtype="float64"),
                layers.Dropout(0.5, seed=3, dtype="float64"),
                layers.BatchNormalization(momentum=0.5, dtype="float64"),
                layers.Dense(WIDTH, "tanh", dtype="float64"),
            ]
        )

    layer = Sideways([module(), module(), module()], dtype="float64")
    layer.build((4, 7, WIDTH))
    randomize(layer, np.random.default_rng(1))
    return layer


def test_dropout_repeats_its_masks_and_batch_norm_counts_once(rng: np.random.Generator) -> None:
    """Compare with the same steps, taken one by one with Keras's own calls and a plain tape."""
    clip, targets = rng.normal(size=(2, 4, 7, WIDTH))
    layer, plain = noisy(), noisy()
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((layer(clip, training=True) - targets) ** 2)
    gradients = tape.gradient(loss, [v.value for v in layer.trainable_variables])
    learned: list[list] = [[], [], []]
    h = [tf.zeros((4, WIDTH), tf.float64)] * 3
    g = [tf.zeros((4, WIDTH), tf.float64)] * 3
    for t in range(7):
        inputs, outputs, sent = [tf.constant(clip[:, t]), *h[:2]], [], []
        for index, module in enumerate(plain.modules):
            weights = [v.value for v in module.trainable_variables]
            with tf.GradientTape() as tape:
                tape.watch(inputs[index])
                outputs.append(module(inputs[index], training=True))
            if index == 2:
                g[2] = 2 * (outputs[2] - targets[:, t]) / targets.size
            *of_weights, down = tape.gradient(outputs[index], [*weights, inputs[index]], g[index])
            learns = t + 1 >= 2 * 3 - (index + 1)
            if learns:
                learned[index].append(of_weights)
            sent.append(down if learns else tf.zeros_like(down))
        h, g = outputs, [sent[1], sent[2], None]
    expected = [
        sum(part) * 7 / len(steps) for steps in learned for part in zip(*steps, strict=True)
    ]
    assert_close(gradients, expected, rtol=1e-8, atol=1e-12)
    assert_close([*layer.variables], [*plain.variables])


def test_inference_changes_nothing(rng: np.random.Generator) -> None:
    layer = noisy()
    clip = rng.normal(size=(4, 7, WIDTH))
    before = [np.asarray(variable) for variable in layer.variables]
    np.testing.assert_array_equal(layer(clip), layer(clip))
    for variable, value in zip(layer.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_for_clips_of_any_length(jit_compile: bool, rng: np.random.Generator) -> None:
    clip, targets = rng.normal(size=(2, 2, 8, WIDTH))
    modules = dense_modules(3, rng)
    layer = sideways_layer(modules, (2,))
    spec = tf.TensorSpec((None, None, WIDTH), tf.float64)

    @tf.function(jit_compile=jit_compile, input_signature=[spec, spec], autograph=False)
    def compiled(clip, targets):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((layer(clip, training=True) - targets) ** 2)
        return tape.gradient(loss, [v.value for v in layer.trainable_variables])

    for steps in [8] if jit_compile else [5, 8]:  # XLA compiles each length
        results = compiled(clip[:, :steps], targets[:, :steps])
        expected = reference.sideways(modules, clip[:, :steps], targets[:, :steps], (2,))
        assert_close(results, sum((expected.mean(index) for index in range(3)), ()))
    if not jit_compile:  # XLA leaves assertions out
        with pytest.raises(tf.errors.InvalidArgumentError, match="at least 5 frames"):
            compiled(clip[:, :4], targets[:, :4])


@pytest.mark.usefixtures("restore_dtype_policy")
@pytest.mark.parametrize("jit_compile", [False, True])
def test_fit_in_mixed_precision(jit_compile: bool, rng: np.random.Generator) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    modules = [layers.Dense(4, "tanh", dtype="float32"), layers.Dense(2)]
    clip = keras.Input((5, WIDTH))
    outputs = layers.Activation("linear", dtype="float32")(Sideways(modules)(clip))
    model = keras.Model(clip, outputs)
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit_compile)
    clips = rng.normal(size=(2, 5, WIDTH)).astype("float32")
    before = [np.asarray(variable) for variable in model.trainable_variables]
    losses = fit(model, clips, np.ones((2, 5, 2), "float32"), epochs=5)["loss"]
    assert losses[-1] < losses[0]
    for variable, value in zip(model.trainable_variables, before, strict=True):
        assert variable.dtype == "float32"
        assert not np.array_equal(variable, value), variable.path


def test_integer_frames_are_cast_to_the_compute_dtype(rng: np.random.Generator) -> None:
    clip = rng.integers(0, 255, (2, 5, WIDTH)).astype("uint8")
    layer = Sideways([layers.Dense(2), layers.Dense(2)])
    np.testing.assert_array_equal(layer(clip), layer(clip.astype("float32")))


def test_weights_survive_a_file(rng: np.random.Generator, tmp_path: pathlib.Path) -> None:
    modules = [
        layers.Conv2D(3, 3, 2, padding="same", activation="tanh"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(2),
    ]
    clip = keras.Input((None, 6, 6, 2))
    model = keras.Model(clip, Sideways(modules, [2], "project")(clip))
    randomize(model, rng)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    clips = rng.normal(size=(2, 5, 6, 6, 2)).astype("float32")
    np.testing.assert_array_equal(loaded(clips), model(clips))


# --- memory -------------------------------------------------------------------------------------


def tensors_of_all_steps(layer: Any) -> int:
    """Count tensors of a traced training step with 31 steps of 48 values, and stacks.

    The clip, the outputs and their gradients have steps of 3 values.
    """

    @tf.function(autograph=False)
    def compiled(clip):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(layer(clip, training=True) ** 2)
        return tape.gradient(loss, [v.value for v in layer.trainable_variables])

    graph = compiled.get_concrete_function(tf.TensorSpec((2, 31, WIDTH))).graph
    definition = graph.as_graph_def(add_shapes=True)
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    count = 0
    for node in nodes:
        count += node.op == "TensorListPushBack"  # what a loop keeps for its own gradient
        for shape in node.attr["_output_shapes"].list.shape:
            sizes = [dim.size for dim in shape.dim]
            count += 31 in sizes and 48 in sizes
    return count


def test_memory_does_not_grow_with_the_clip() -> None:
    modules = [layers.Dense(48, "tanh"), layers.Dense(48, "tanh"), layers.Dense(WIDTH)]
    layer = Sideways(modules)
    layer.build((2, 31, WIDTH))
    assert tensors_of_all_steps(layer) == 0
    with_boundaries = keras.Sequential([modules[0], Boundary("sideways"), *modules[1:]])
    recurrent = keras.layers.RNN([keras.layers.SimpleRNNCell(48)], return_sequences=True)
    assert tensors_of_all_steps(with_boundaries) > 0
    assert tensors_of_all_steps(recurrent) > 0


# --- errors -------------------------------------------------------------------------------------


class Noise(layers.Dropout):
    """Drops values in inference, too."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        return super().call(inputs, training=True)


def adding_maps_of_other_widths() -> None:
    modules = [layers.Conv2D(n, 1, name=name) for n, name in ((4, "a"), (5, "b"), (6, "c"))]
    Sideways(modules, [2], "add").build((1, 9, 7, 7, 2))


def merging_maps_of_larger_size() -> None:
    modules = [layers.ReLU(), layers.UpSampling2D(2), layers.ReLU()]
    Sideways(modules, [2], "project").build((1, 9, 4, 4, 2))


@pytest.mark.parametrize(
    "use, message",
    [
        (lambda: Sideways([]), "at least one module"),
        (lambda: Sideways([layers.ReLU()] * 2), "only once"),
        (lambda: Sideways([layers.ReLU()], [1]), "ints of at least 2"),
        (lambda: Sideways([layers.ReLU()], merge="sum"), "Expected one of"),
        (lambda: Sideways([layers.ReLU()])(tf.ones((2, 3))), "expected clips"),
        (lambda: Sideways([layers.ReLU()])(keras.Input((None, None, 2))), "of known size"),
        (adding_maps_of_other_widths, "Inputs of module 'c': .*'project'"),
        (merging_maps_of_larger_size, "Inputs of module"),
        (
            lambda: Sideways([layers.Dense(2, activity_regularizer="l2")])(tf.ones((1, 3, 2))),
            "add losses",
        ),
        (lambda: Sideways([Noise(0.5, seed=1)])(tf.ones((1, 3, 2))), "Random layers need"),
    ],
)
def test_errors(use: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        use()


def test_clips_too_short_to_learn_from_are_refused(rng: np.random.Generator) -> None:
    model = keras.Sequential([sideways_layer(dense_modules(4, rng))])
    model.compile("sgd", "mse")
    clip = np.zeros((2, 6, WIDTH))
    with pytest.raises(ValueError, match="at least 7 frames.*Received: clips of 6 frames"):
        model.fit(clip, clip, verbose=0)
    assert model.predict(clip, verbose=0).shape == clip.shape
