"""The Sideways layer against an independent NumPy implementation, the boundaries, and itself."""

import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import reference_sideways as reference
import tensorflow as tf
from keras import layers
from random_weights import randomize

from keras_layers import Boundary, Sideways
from mpvn import Plan, VideoNetwork

WIDTH = 3
SHORTCUTS = [(), (2,), (3,), (2, 3)]


def dense_modules(
    depth: int, rng: np.random.Generator, shortcuts: tuple = (), concatenate: bool = False
) -> list[reference.Dense]:
    modules = []
    for index in range(depth):
        count = sum(k <= index for k in (1, *shortcuts)) if concatenate else 1
        shape = (WIDTH * max(count, 1), WIDTH)
        modules.append(reference.Dense(rng.normal(0, 0.6, shape), rng.normal(0, 0.3, WIDTH)))
    return modules


def sideways(modules: list[reference.Dense], shortcuts: tuple = (), merge: str = "add") -> Sideways:
    dense = [layers.Dense(WIDTH, "tanh", dtype="float64") for _ in modules]
    layer = Sideways(dense, shortcuts, merge, dtype="float64")
    layer.build((None, None, WIDTH))
    for own, module in zip(dense, modules, strict=True):
        own.set_weights([module.kernel, module.bias])
    return layer


def gradients(
    layer: Any, clip: np.ndarray, targets: np.ndarray, training: bool = True
) -> tuple[list[np.ndarray], np.ndarray]:
    """Of the weights and of the clip, under the mean of squares over all steps."""
    given = tf.constant(clip)
    weights = [variable.value for variable in layer.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(given)
        loss = tf.reduce_mean((layer(given, training=training) - targets) ** 2)
    *found, of_clip = tape.gradient(loss, [*weights, given])
    return [g.numpy() for g in found], of_clip.numpy()


@pytest.fixture
def moving(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(2, 13, WIDTH)), rng.normal(size=(2, 13, WIDTH))


# --- the index rules ----------------------------------------------------------------------------


@pytest.mark.parametrize("shortcuts", SHORTCUTS, ids=str)
@pytest.mark.parametrize("depth", range(1, 7))
def test_on_a_clip_of_equal_frames_it_is_back_propagation(
    depth: int, shortcuts: tuple, rng: np.random.Generator
) -> None:
    modules = dense_modules(depth, rng)
    frame, target = rng.normal(size=(2, 2, WIDTH))
    clip, targets = (np.repeat(x[:, None], 2 * depth + 2, axis=1) for x in (frame, target))
    found, _ = gradients(sideways(modules, shortcuts), clip, targets)
    expected = reference.back_propagation(modules, frame, target, shortcuts)
    for ours, theirs in zip(found, sum(expected, ()), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("merge", ["add", "concatenate"])
@pytest.mark.parametrize("shortcuts", SHORTCUTS, ids=str)
@pytest.mark.parametrize("depth", [2, 5])
def test_on_a_moving_clip_it_is_the_reference(
    depth: int, shortcuts: tuple, merge: str, moving: tuple, rng: np.random.Generator
) -> None:
    """Outputs and what is sent to the frames at each step, gradients by module."""
    concatenate = merge == "concatenate"
    modules = dense_modules(depth, rng, shortcuts, concatenate)
    layer = sideways(modules, shortcuts, merge)
    expected = reference.sideways(modules, *moving, shortcuts, concatenate)
    np.testing.assert_allclose(layer(moving[0]), expected.outputs, rtol=1e-10, atol=1e-14)
    found, of_clip = gradients(layer, *moving)
    for index in range(depth):
        for n in (0, 1):
            np.testing.assert_allclose(
                found[2 * index + n], expected.mean(index)[n], rtol=1e-10, atol=1e-14
            )
    counted = sum(sent is not None for sent in expected.inputs)
    for step, sent in enumerate(expected.inputs):
        mean = np.zeros((2, WIDTH)) if sent is None else sent / counted
        np.testing.assert_allclose(of_clip[:, step], mean, rtol=1e-10, atol=1e-14)


def test_the_shortest_clip_gives_the_first_module_one_step(rng: np.random.Generator) -> None:
    modules = dense_modules(3, rng)
    clip, targets = rng.normal(size=(2, 2, 6, WIDTH))
    found, _ = gradients(sideways(modules), clip[:, :5], targets[:, :5])
    expected = reference.sideways(modules, clip[:, :5], targets[:, :5])
    assert [products is not None for products in expected.steps[0]] == [False] * 4 + [True]
    np.testing.assert_allclose(found[0], expected.mean(0)[0], rtol=1e-10)


def image_modules() -> list[keras.layers.Layer]:
    return [
        layers.Conv2D(2, 3, padding="same", activation="tanh", dtype="float64"),
        keras.Sequential(
            [
                keras.Input((4, 4, 2), dtype="float64"),
                layers.Conv2D(2, 3, padding="same", dtype="float64"),
                layers.LayerNormalization(dtype="float64"),
                layers.Activation("tanh", dtype="float64"),
            ]
        ),
        layers.Conv2D(2, 1, dtype="float64"),
    ]


def test_layer_network_and_boundaries_are_the_same(rng: np.random.Generator) -> None:
    """Over images. Boundaries alone give sums, if the loss leaves out what no frame has reached."""
    clip, targets = rng.normal(size=(2, 2, 9, 4, 4, 2))
    modules = image_modules()
    layer = Sideways(modules, dtype="float64")
    layer.build((2, 9, 4, 4, 2))
    randomize(layer, rng)
    frame = keras.Input((4, 4, 2), dtype="float64")
    model = keras.Model(frame, modules[2](modules[1](modules[0](frame))))
    nodes = Plan(model).nodes
    plan = Plan(model, boundaries=[nodes[1], nodes[4]])
    network = VideoNetwork(model, plan, gradient="sideways", dtype="float64")
    with tf.GradientTape() as tape:
        x = tf.constant(clip)
        for index, module in enumerate(modules):
            x = Boundary("sideways", dtype="float64")(x) if index else x
            x = layers.TimeDistributed(module, dtype="float64")(x)
        loss = tf.reduce_sum(tf.reduce_mean((x - targets)[:, 2:] ** 2, axis=(0, 2, 3, 4)))
    sums = tape.gradient(loss, [[v.value for v in m.trainable_variables] for m in modules])
    means = [
        total / (9 - (2 * 3 - 2 - index))
        for index, of_module in enumerate(sums)
        for total in of_module
    ]
    for other in (layer, network):
        np.testing.assert_allclose(other(clip), x, rtol=1e-10, atol=1e-14)
        found, of_clip = gradients(other, clip, targets)
        for ours, theirs in zip(found, means, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(of_clip, gradients(layer, clip, targets)[1], atol=1e-14)


# --- two clips that take turns ------------------------------------------------------------------


def of_one_clip(x: np.ndarray, parity: int) -> np.ndarray:
    """The steps of `x`, from where all has come to, that are of the frames of one clip."""
    return x[:, 12:][:, (parity - 12) % 2 :: 2]


@pytest.mark.parametrize("shortcuts, leaks", [((3,), False), ((5, 3), False), ((2,), True)])
def test_two_interleaved_clips(shortcuts: tuple, leaks: bool, rng: np.random.Generator) -> None:
    """Offset 3 takes them apart: a change in one does not reach the other, forward or backward."""
    depth, steps = 6, 24
    layer = sideways(dense_modules(depth, rng), shortcuts)
    clip, targets = rng.normal(size=(2, 1, steps, WIDTH))
    changed = clip.copy()
    changed[:, 1::2] += 1.0
    upstream = rng.normal(size=(1, steps, WIDTH))

    def run(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        given = tf.constant(frames)
        with tf.GradientTape() as tape:
            tape.watch(given)
            outputs = layer(given)
        return outputs.numpy(), tape.gradient(outputs, given, tf.constant(upstream)).numpy()

    (outputs, sent), (others, others_sent) = run(clip), run(changed)
    # The output at step s is of frame s - (D - 1); what is sent to a frame at step s came from it.
    own = (depth - 1) % 2
    for before, after, parity in ((outputs, others, own), (sent, others_sent, 0)):
        moved = np.abs(of_one_clip(before, parity) - of_one_clip(after, parity)).max()
        assert (moved > 1e-6) == leaks
        other = 1 - parity
        assert np.abs(of_one_clip(before, other) - of_one_clip(after, other)).max() > 1e-6


# --- merges -------------------------------------------------------------------------------------


def shrinking() -> list[keras.layers.Layer]:
    """7x7 -> 4x4 (same) -> 2x2 (same) -> a vector."""
    return [
        layers.Conv2D(4, 3, padding="same", activation="tanh", name="a"),
        layers.Conv2D(5, 3, 2, padding="same", activation="tanh", name="b"),
        layers.Conv2D(6, 3, 2, padding="same", activation="tanh", name="c"),
        layers.GlobalAveragePooling2D(name="d"),
        layers.Dense(2, name="e"),
    ]


@pytest.mark.parametrize("merge", ["concatenate", "project"])
def test_shortcuts_are_averaged_to_the_size_of_the_chain(
    merge: str, rng: np.random.Generator
) -> None:
    layer = Sideways(shrinking(), [2, 3], merge)
    clip = rng.normal(size=(2, 9, 7, 7, 2)).astype("float32")
    assert layer(clip).shape == (2, 9, 2)
    randomize(layer, rng)
    # On a clip of equal frames the last output is that of the frame, computed by hand.
    frame = clip[:, 0]
    made: list = []
    for index, unit in enumerate(layer.units):
        read = [made[index - k] for k in (1, 2, 3) if k <= index] or [frame]
        chain, *others = read
        for number, other in enumerate(others):
            shape = [chain.shape[0], *chain.shape[1:-1], other.shape[-1]]
            if len(other.shape) > len(chain.shape):
                other = np.mean(other, axis=(1, 2))
            elif other.shape[1:3] != chain.shape[1:3]:
                size = -(-other.shape[1] // chain.shape[1])
                other = layers.AveragePooling2D(size, padding="same")(other)
            assert other.shape == tuple(shape)
            if merge == "project":
                chain = chain + other @ unit.merge.projections[number].kernel.numpy()
            else:
                chain = np.concatenate([chain, other], axis=-1)
        made.append(unit.module(chain).numpy())
    outputs = layer(np.repeat(frame[:, None], 9, axis=1))
    np.testing.assert_allclose(outputs[:, -1], made[-1], rtol=1e-4, atol=1e-5)
    found, _ = gradients(layer, clip, np.zeros((2, 9, 2), "float32"))
    assert all(np.abs(gradient).max() > 0 for gradient in found)


def test_a_projection_learns_as_by_back_propagation(rng: np.random.Generator) -> None:
    dense = [layers.Dense(width, "tanh", dtype="float64") for width in (4, 3, 5, 2)]
    layer = Sideways(dense, [2], "project", dtype="float64")
    frame, target = rng.normal(size=(2, 3)), rng.normal(size=(2, 2))
    clip, targets = (np.repeat(x[:, None], 9, axis=1) for x in (frame, target))
    layer(clip)
    randomize(layer, rng)
    found, _ = gradients(layer, clip, targets)
    with tf.GradientTape() as tape:
        made: list = []
        for index, unit in enumerate(layer.units):
            read = [made[index - k] for k in (1, 2) if k <= index] or [tf.constant(frame)]
            made.append(unit(read))
        loss = tf.reduce_mean((made[-1] - target) ** 2)
    weights = [variable.value for variable in layer.trainable_variables]
    assert len(weights) == 8 + 2
    for ours, theirs in zip(found, tape.gradient(loss, weights), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-14)


# --- Keras --------------------------------------------------------------------------------------


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_fit_takes_the_step_of_the_reference(
    run_eagerly: bool, moving: tuple, rng: np.random.Generator
) -> None:
    modules = dense_modules(3, rng)
    layer = sideways(modules, (2,))
    clip = keras.Input((None, WIDTH), dtype="float64")
    model = keras.Model(clip, layer(clip))
    model.compile(keras.optimizers.SGD(0.5), "mse", run_eagerly=run_eagerly)
    model.fit(*moving, batch_size=2, epochs=1, verbose=0)
    expected = reference.sideways(modules, *moving, (2,))
    for index, (own, module) in enumerate(zip(layer.modules, modules, strict=True)):
        kernel, bias = own.get_weights()
        np.testing.assert_allclose(module.kernel - kernel, 0.5 * expected.mean(index)[0], 1e-4)
        np.testing.assert_allclose(module.bias - bias, 0.5 * expected.mean(index)[1], 1e-4)


def noisy() -> Sideways:
    def module(name: str) -> keras.Model:
        inner = [layers.Dense(8, dtype="float64"), layers.Dropout(0.5, seed=3, dtype="float64")]
        norm = layers.BatchNormalization(momentum=0.5, dtype="float64")
        return keras.Sequential([*inner, norm, layers.Dense(WIDTH, "tanh", dtype="float64")])

    return Sideways([module("a"), module("b"), module("c")], dtype="float64")


def test_dropout_drops_the_same_twice_and_batch_norm_counts_once(rng: np.random.Generator) -> None:
    """Against the same steps taken one by one with Keras's own calls and an ordinary tape."""
    clip, targets = rng.normal(size=(2, 4, 7, WIDTH))
    layer, plain = noisy(), noisy()
    for one in (layer, plain):
        one.build((4, 7, WIDTH))
        randomize(one, np.random.default_rng(1))
    found, _ = gradients(layer, clip, targets)
    steps = []
    h = [tf.zeros((4, WIDTH), tf.float64)] * 3
    g = [tf.zeros((4, WIDTH), tf.float64)] * 3
    for t in range(7):
        read, now, sent = [tf.constant(clip[:, t]), *h[:2]], [], []
        for index, module in enumerate(plain.modules):
            weights = [v.value for v in module.trainable_variables]
            with tf.GradientTape() as tape:
                tape.watch(read[index])
                now.append(module(read[index], training=True))
            if index == 2:
                g[2] = 2 * (now[2] - targets[:, t]) / targets.size
            *of_weights, down = tape.gradient(now[index], [*weights, read[index]], g[index])
            informed = t + 1 >= 2 * 3 - (index + 1)
            steps.append((index, informed, of_weights))
            sent.append(down if informed else tf.zeros_like(down))
        h, g = now, [sent[1], sent[2], None]
    expected = []
    for index in range(3):
        mine = [of_weights for i, informed, of_weights in steps if i == index and informed]
        expected += [sum(part) * 7 / len(mine) for part in zip(*mine, strict=True)]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-12)
    for ours, theirs in zip(layer.variables, plain.variables, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, err_msg=ours.path)


def test_inference_changes_nothing(rng: np.random.Generator) -> None:
    layer = noisy()
    clip = rng.normal(size=(4, 7, WIDTH))
    layer(clip)
    before = [np.asarray(variable) for variable in layer.variables]
    np.testing.assert_array_equal(layer(clip), layer(clip))
    for variable, value in zip(layer.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_for_clips_of_any_length(
    jit_compile: bool, moving: tuple, rng: np.random.Generator
) -> None:
    clip, targets = moving
    layer = sideways(dense_modules(3, rng), (2,))
    spec = tf.TensorSpec((None, None, WIDTH), tf.float64)

    @tf.function(jit_compile=jit_compile, input_signature=[spec, spec], autograph=False)
    def compiled(clip, targets):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((layer(clip, training=True) - targets) ** 2)
        return tape.gradient(loss, [v.value for v in layer.trainable_variables])

    for steps in (5, 13):
        found = compiled(tf.constant(clip[:, :steps]), tf.constant(targets[:, :steps]))
        expected, _ = gradients(layer, clip[:, :steps], targets[:, :steps])
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-14)
    if not jit_compile:  # XLA leaves assertions out
        with pytest.raises(tf.errors.InvalidArgumentError, match="at least 5 frames"):
            compiled(tf.constant(clip[:, :4]), tf.constant(targets[:, :4]))


@pytest.mark.usefixtures("restore_dtype_policy")
@pytest.mark.parametrize("jit_compile", [False, True])
def test_fit_in_mixed_precision(jit_compile: bool, rng: np.random.Generator) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    modules = [layers.Dense(4, "tanh"), layers.Dense(4, "tanh", dtype="float32"), layers.Dense(2)]
    clip = keras.Input((9, WIDTH))
    outputs = layers.Activation("linear", dtype="float32")(Sideways(modules)(clip))
    model = keras.Model(clip, outputs)
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit_compile)
    clips = rng.normal(size=(4, 9, WIDTH)).astype("float32")
    targets = np.ones((4, 9, 2), "float32")
    before = [np.asarray(variable) for variable in model.trainable_variables]
    losses = model.fit(clips, targets, epochs=3, batch_size=2, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    for variable, value in zip(model.trainable_variables, before, strict=True):
        assert variable.dtype == "float32"
        assert not np.array_equal(variable, value), variable.path


def test_frozen_modules_pass_gradients_on(moving: tuple, rng: np.random.Generator) -> None:
    modules = dense_modules(3, rng)
    layer = sideways(modules)
    layer.modules[1].trainable = False
    expected = reference.sideways(modules, *moving)
    found, _ = gradients(layer, *moving)
    assert len(found) == 4
    np.testing.assert_allclose(found[0], expected.mean(0)[0], rtol=1e-10)


def test_weights_survive_a_file(rng: np.random.Generator, tmp_path: pathlib.Path) -> None:
    clip = keras.Input((None, 7, 7, 2))
    model = keras.Model(clip, Sideways(shrinking(), [2, 3], "project")(clip))
    randomize(model, rng)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    clips = rng.normal(size=(2, 6, 7, 7, 2)).astype("float32")
    np.testing.assert_array_equal(again(clips), model(clips))


# --- memory -------------------------------------------------------------------------------------


def tensors_kept(layer: Any) -> int:
    """How many tensors of a traced training step have 31 steps of 48 values, or are stacks.

    The clip, the outputs and their gradients have steps of 3 values.
    """

    @tf.function(autograph=False)
    def compiled(clip):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(layer(clip, training=True) ** 2)
        return tape.gradient(loss, [v.value for v in layer.trainable_variables])

    definition = compiled.get_concrete_function(tf.TensorSpec((2, 31, WIDTH))).graph.as_graph_def(
        add_shapes=True
    )
    nodes = [*definition.node]
    for function in definition.library.function:
        nodes += function.node_def
    kept = 0
    for node in nodes:
        kept += node.op == "TensorListPushBack"  # what a loop keeps for its own gradient
        for shape in node.attr["_output_shapes"].list.shape:
            sizes = [dim.size for dim in shape.dim]
            kept += 31 in sizes and 48 in sizes
    return kept


def test_what_is_kept_does_not_grow_with_the_clip() -> None:
    modules = [layers.Dense(48, "tanh"), layers.Dense(48, "tanh"), layers.Dense(WIDTH)]
    layer = Sideways(modules)
    layer.build((2, 31, WIDTH))
    assert tensors_kept(layer) == 0
    with_boundaries = keras.Sequential([modules[0], Boundary("sideways"), *modules[1:]])
    recurrent = keras.layers.RNN([keras.layers.SimpleRNNCell(48)], return_sequences=True)
    assert tensors_kept(with_boundaries) > 0
    assert tensors_kept(recurrent) > 0


def test_frames_of_whole_numbers_become_the_compute_dtype(rng: np.random.Generator) -> None:
    clip = rng.integers(0, 255, (2, 5, WIDTH)).astype("uint8")
    layer = Sideways([layers.Dense(2), layers.Dense(2)])
    np.testing.assert_array_equal(layer(clip), layer(clip.astype("float32")))


# --- refusals -----------------------------------------------------------------------------------


class Noise(layers.Dropout):
    """Drops in inference too."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        return super().call(inputs, training=True)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Sideways([]), "at least one module"),
        (lambda: Sideways([layers.ReLU()] * 2), "only once"),
        (lambda: Sideways([layers.ReLU()], [1]), "ints of at least 2"),
        (lambda: Sideways([layers.ReLU()], merge="sum"), "Invalid merge"),
        (lambda: Sideways([layers.ReLU()])(tf.ones((2, 3))), "expected clips"),
        (lambda: Sideways([layers.ReLU()])(keras.Input((None, None, 2))), "of known size"),
        (
            lambda: Sideways(shrinking(), [2], "add")(tf.ones((1, 9, 7, 7, 2))),
            "module 'c': Cannot add.*'project'",
        ),
        (
            lambda: Sideways(
                [layers.ReLU(), layers.UpSampling2D(2), layers.ReLU()], [2], "project"
            )(tf.ones((1, 9, 4, 4, 2))),
            "cannot be averaged",
        ),
        (
            lambda: Sideways([layers.Dense(2, activity_regularizer="l2")])(tf.ones((1, 3, 2))),
            "add losses",
        ),
        (lambda: Sideways([Noise(0.5, seed=1)])(tf.ones((1, 3, 2))), "Random layers need"),
    ],
)
def test_refusals(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_clips_too_short_to_learn_from_are_refused(rng: np.random.Generator) -> None:
    model = keras.Sequential([sideways(dense_modules(4, rng))])
    model.compile("sgd", "mse")
    clip = np.zeros((2, 6, WIDTH))
    with pytest.raises(ValueError, match="at least 7 frames.*Received: clips of 6 frames"):
        model.fit(clip, clip, verbose=0)
    assert model.predict(clip, verbose=0).shape == clip.shape
