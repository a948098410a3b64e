"""Boundaries, and networks that train by Sideways, against an independent NumPy implementation."""

import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import reference_sideways as reference
import tensorflow as tf
from keras import layers
from random_weights import randomize
from sideways_networks import SHORTCUTS, WIDTH, dense_layer, dense_modules, network, set_modules

import keras_layers
from keras_layers import Boundary
from keras_layers.boundary import sent_sideways
from mpvn import Plan, VideoNetwork
from mpvn.sideways.rules import SidewaysRules


def gradients(model: Any, clip: Any, targets: Any, weights: list) -> list[np.ndarray]:
    """Those of `mean((output - target)^2)` over all steps, as `fit` with "mse" takes it."""
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(clip, training=True) - targets) ** 2)
    return [np.asarray(g) for g in tape.gradient(loss, [weight.value for weight in weights])]


def by_module(model: Any, depth: int) -> list:
    """Kernel and bias of each module in turn."""
    return [v for i in range(depth) for v in model.get_layer(f"module{i}").trainable_variables]


@pytest.fixture
def moving(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(2, 15, WIDTH)), rng.normal(size=(2, 15, WIDTH))


# --- the layer ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_the_gradient_goes_earlier_or_later(dtype: str, rng: np.random.Generator) -> None:
    clip = tf.constant(rng.normal(size=(2, 5, 3)), dtype)
    upstream = tf.constant(rng.normal(size=(2, 5, 3)), dtype)
    none = tf.zeros_like(clip[:, :1])
    found = {}
    for name in ("exact", "sideways"):
        with tf.GradientTape() as tape:
            tape.watch(clip)
            later = Boundary(name, dtype=dtype)(clip)
        np.testing.assert_array_equal(later, tf.concat([none, clip[:, :-1]], 1))
        found[name] = tape.gradient(later, clip, upstream)
        assert found[name].dtype == dtype
    np.testing.assert_array_equal(found["exact"], tf.concat([upstream[:, 1:], none], 1))
    np.testing.assert_array_equal(found["sideways"], tf.concat([none, upstream[:, :-1]], 1))


@pytest.mark.parametrize("start", [1, 2, 4, 5, 7])
def test_no_gradient_is_sent_before_the_start(start: int, rng: np.random.Generator) -> None:
    upstream = rng.normal(size=(2, 5, 3))
    clip = tf.ones((2, 5, 3), tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(clip)
        later = Boundary("sideways", start=start, dtype="float64")(clip)
    sent = tape.gradient(later, clip, tf.constant(upstream))
    for step in range(5):
        expected = upstream[:, step - 1] if step >= start else np.zeros((2, 3))
        np.testing.assert_array_equal(sent[:, step], expected)


def test_what_is_received_without_delay_is_masked_and_scaled(rng: np.random.Generator) -> None:
    upstream = rng.normal(size=(2, 5, 3))
    clip = tf.ones((2, 5, 3), tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(clip)
        seen = sent_sideways(clip, clip, delay=0, start=2, factor=tf.constant(3.0))
    sent = tape.gradient(seen, clip, tf.constant(upstream))
    np.testing.assert_array_equal(sent[:, :2], 0)
    np.testing.assert_array_equal(sent[:, 2:], 3 * upstream[:, 2:])


def test_whole_numbers_are_delayed_as_they_are() -> None:
    later = Boundary("sideways")(tf.constant([[[1], [2], [3]]], tf.uint8))
    assert later.dtype == tf.uint8
    np.testing.assert_array_equal(later, [[[0], [1], [2]]])


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_chain_of_layers_is_the_reference(
    depth: int, moving: tuple, rng: np.random.Generator
) -> None:
    """With the loss left out where no frame has come to, sums are those of the index rules."""
    clip, targets = moving
    modules = dense_modules(depth, rng)
    x = start = keras.Input((None, WIDTH), dtype="float64")
    for index in range(depth):
        if index:
            x = Boundary("sideways", dtype="float64")(x)
        x = dense_layer(index)(x)
    model = keras.Model(start, x)
    set_modules(model, modules)
    weights = np.arange(15) >= depth - 1
    with tf.GradientTape() as tape:
        errors = tf.reduce_mean((model(clip) - targets) ** 2, axis=(0, 2))
        loss = tf.reduce_sum(errors * weights)
    found = tape.gradient(loss, [v.value for v in by_module(model, depth)])
    expected = reference.sideways(modules, clip, targets)
    for index in range(depth):
        steps = [products for products in expected.steps[index] if products]
        for n in (0, 1):
            total = sum(products[n] for products in steps)
            np.testing.assert_allclose(found[2 * index + n], total, rtol=1e-10)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Boundary("later"), "Invalid gradient. Expected one of"),
        (lambda: Boundary("sideways", start=0), "start as an int of at least 1"),
        (lambda: Boundary()(tf.ones(3)), "expected clips"),
    ],
)
def test_refusals_of_the_layer(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


# --- networks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shortcuts", SHORTCUTS, ids=str)
@pytest.mark.parametrize("depth", range(1, 7))
def test_on_a_clip_of_equal_frames_it_is_back_propagation(
    depth: int, shortcuts: tuple, rng: np.random.Generator
) -> None:
    modules = dense_modules(depth, rng)
    frame, target = rng.normal(size=(2, 2, WIDTH))
    one = network(modules, shortcuts, gradient="sideways")
    steps = 2 * depth + 2
    clip, targets = (np.repeat(x[:, None], steps, axis=1) for x in (frame, target))
    found = gradients(one, clip, targets, by_module(one.frame_model, depth))
    expected = reference.back_propagation(modules, frame, target, shortcuts)
    for ours, theirs in zip(found, sum(expected, ()), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("rematerialize", [False, True])
@pytest.mark.parametrize("shortcuts", SHORTCUTS, ids=str)
@pytest.mark.parametrize("depth", [2, 5])
def test_on_a_moving_clip_it_is_the_reference(
    depth: int, shortcuts: tuple, rematerialize: bool, moving: tuple, rng: np.random.Generator
) -> None:
    clip, targets = moving
    modules = dense_modules(depth, rng)
    one = network(modules, shortcuts, gradient="sideways", rematerialize=rematerialize)
    expected = reference.sideways(modules, clip, targets, shortcuts)
    np.testing.assert_allclose(one(clip), expected.outputs, rtol=1e-10, atol=1e-14)
    found = gradients(one, clip, targets, by_module(one.frame_model, depth))
    for index in range(depth):
        for n in (0, 1):
            np.testing.assert_allclose(
                found[2 * index + n], expected.mean(index)[n], rtol=1e-10, atol=1e-14
            )


def test_a_mask_a_step_late_would_show(moving: tuple, rng: np.random.Generator) -> None:
    """The comparison above is sharp: another mask moves every module's gradient."""
    modules = dense_modules(4, rng)
    right, late = (reference.sideways(modules, *moving, (3,), late=late) for late in (0, 1))
    for index in range(4):
        change = np.abs(right.mean(index)[0] - late.mean(index)[0]).max()
        assert change > 1e-3 * np.abs(right.mean(index)[0]).max()


@pytest.mark.parametrize("depth", [1, 3, 6])
def test_subnetworks_learn_from_the_papers_step_on(depth: int, rng: np.random.Generator) -> None:
    one = network(dense_modules(depth, rng), (2, 3))
    starts = SidewaysRules(one.plan).first_steps[:depth]
    assert starts == tuple(2 * depth - i - 1 for i in range(1, depth + 1))  # from step 0


def test_a_head_learns_with_what_it_reads(rng: np.random.Generator) -> None:
    """It reads the last subnetwork, and one before it, without delay."""
    frame = keras.Input((WIDTH,), dtype="float64")
    made = [frame]
    for index in range(3):
        made.append(dense_layer(index)(made[-1]))
    both = layers.Add(dtype="float64", name="head")([made[1], made[3]])
    model = keras.Model(frame, layers.Dense(2, "tanh", dtype="float64", name="scores")(both))
    randomize(model, rng)
    one = VideoNetwork(
        model,
        Plan(model, boundaries=["module1", "module2"], head="head"),
        gradient="sideways",
        dtype="float64",
    )
    assert one._sideways.first_steps == (4, 3, 2, 2)
    x, y = rng.normal(size=(2, 1, WIDTH)), rng.normal(size=(2, 1, 2))
    clip, targets = np.repeat(x, 8, axis=1), np.repeat(y, 8, axis=1)
    found = gradients(one, clip, targets, model.trainable_variables)
    for ours, theirs in zip(
        found, gradients(model, x[:, 0], y[:, 0], model.trainable_variables), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-14)


def test_a_head_sends_back_without_delay(moving: tuple, rng: np.random.Generator) -> None:
    """The head adds what module 1 makes of the last frame, and what module 0 makes of this one."""
    clip, targets = moving
    modules = dense_modules(2, rng)
    frame = keras.Input((WIDTH,), dtype="float64")
    first = dense_layer(0)(frame)
    both = layers.Add(dtype="float64", name="head")([first, dense_layer(1)(first)])
    model = keras.Model(frame, both)
    set_modules(model, modules)
    plan = Plan(model, boundaries=["module1"], head="head")
    one = VideoNetwork(model, plan, gradient="sideways", dtype="float64")
    found = gradients(one, clip, targets, by_module(model, 2))
    before, sent = np.zeros((2, WIDTH)), np.zeros((2, WIDTH))
    of_modules: list[list] = [[], []]
    for step in range(15):
        now = modules[0].forward(clip[:, step])
        error = 2 * (now + modules[1].forward(before) - targets[:, step]) / now.size
        if step >= 2:
            of_modules[0].append(modules[0].vjp(clip[:, step], error + sent))
        if step >= 1:
            of_modules[1].append(modules[1].vjp(before, error))
            sent = of_modules[1][-1][2]
        before = now
    for index, products in enumerate(of_modules):
        for n in (0, 1):
            mean = np.mean([product[n] for product in products], axis=0)
            np.testing.assert_allclose(found[2 * index + n], mean, rtol=1e-10, atol=1e-14)


Wiring = tuple[dict[int, list[int]], list[int], tuple[int, ...]]

WIRINGS: dict[str, Wiring] = {  # what each module reads; whose outputs are the model's; starts
    "an output on the way": ({1: [0], 2: [1]}, [0, 2], (4, 3, 2)),
    "an output beside the chain": ({1: [0], 2: [0], 3: [2]}, [1, 3], (4, 2, 3, 2)),
    "a short branch first": ({1: [0], 2: [0], 3: [2], 4: [1, 3]}, [4], (6, 4, 5, 4, 3)),
    "a long branch first": ({1: [0], 2: [1], 3: [0], 4: [2, 3]}, [4], (6, 5, 4, 4, 3)),
    "a branch with no past": ({1: [0], 2: [1], 3: [], 4: [2, 3]}, [4], (6, 5, 4, 4, 3)),
}


@pytest.mark.parametrize("wiring", WIRINGS.values(), ids=WIRINGS)
def test_masks_are_by_the_slowest_path(wiring: Wiring, rng: np.random.Generator) -> None:
    """On a clip of equal frames any wiring gets the gradient of one frame."""
    reads, ends, starts = wiring
    frame = keras.Input((WIDTH,), dtype="float64")
    made: dict[int, Any] = {}
    for index in range(max(reads) + 1):
        read = [made[source] for source in reads.get(index, [])] or [frame]
        x = layers.Add(dtype="float64", name=f"merge{index}")(read) if len(read) > 1 else read[0]
        made[index] = dense_layer(index)(x)
    model = keras.Model(frame, [made[index] for index in ends])
    randomize(model, rng)
    names = ["merge4" if len(reads[i]) > 1 else f"module{i}" for i in sorted(reads)]
    network = VideoNetwork(
        model, Plan(model, boundaries=names), gradient="sideways", dtype="float64"
    )
    assert network._sideways.first_steps[:-1] == starts
    one = rng.normal(size=(2, 1, WIDTH))
    found = []
    for run, clip in ((model, one[:, 0]), (network, np.repeat(one, 10, axis=1))):
        with tf.GradientTape() as tape:
            outputs = keras.tree.flatten(run(clip))  # the loss looks at all of them together
            loss = tf.reduce_mean((outputs[0] * outputs[-1] + outputs[0]) ** 2)
        found.append(tape.gradient(loss, [v.value for v in model.trainable_variables]))
    for theirs, ours in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-14)


def test_fit_takes_the_step_of_the_reference(moving: tuple, rng: np.random.Generator) -> None:
    clip, targets = moving
    modules = dense_modules(3, rng)
    one = network(modules, gradient="sideways")
    one.compile(keras.optimizers.SGD(0.5), "mse")
    one.fit(clip, targets, batch_size=2, epochs=1, verbose=0)
    expected = reference.sideways(modules, clip, targets)
    for index, module in enumerate(modules):
        kernel, bias = one.frame_model.get_layer(f"module{index}").get_weights()
        np.testing.assert_allclose(module.kernel - kernel, 0.5 * expected.mean(index)[0], 1e-4)
        np.testing.assert_allclose(module.bias - bias, 0.5 * expected.mean(index)[1], 1e-4)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_for_clips_of_any_length(
    jit_compile: bool, moving: tuple, rng: np.random.Generator
) -> None:
    clip, targets = moving
    one = network(dense_modules(3, rng), (2,), gradient="sideways")
    weights = by_module(one.frame_model, 3)
    spec = tf.TensorSpec((None, None, WIDTH), tf.float64)

    @tf.function(jit_compile=jit_compile, input_signature=[spec, spec], autograph=False)
    def compiled(clip, targets):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((one(clip, training=True) - targets) ** 2)
        return tape.gradient(loss, [v.value for v in weights])

    for steps in (5, 15):
        found = compiled(tf.constant(clip[:, :steps]), tf.constant(targets[:, :steps]))
        expected = gradients(one, clip[:, :steps], targets[:, :steps], weights)
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-14)
    if not jit_compile:  # XLA leaves assertions out
        with pytest.raises(tf.errors.InvalidArgumentError, match="at least 5 frames"):
            compiled(tf.constant(clip[:, :4]), tf.constant(targets[:, :4]))


def test_the_choice_can_be_changed_and_is_saved(
    moving: tuple, rng: np.random.Generator, tmp_path: pathlib.Path
) -> None:
    clip, targets = moving
    modules = dense_modules(3, rng)
    one, exact = network(modules, gradient="sideways"), network(modules)
    one.save(tmp_path / "network.keras")
    again = keras.models.load_model(tmp_path / "network.keras")
    assert (one.gradient, again.gradient, exact.gradient) == ("sideways", "sideways", "exact")

    def kernel(trained: VideoNetwork) -> np.ndarray:
        weights = [trained.frame_model.get_layer("module0").kernel]
        return gradients(trained, clip, targets, weights)[0]

    sideways = kernel(again)
    np.testing.assert_array_equal(sideways, kernel(one))
    again.gradient = "exact"
    np.testing.assert_array_equal(kernel(again), kernel(exact))
    assert not np.allclose(kernel(again), sideways)


def test_a_run_from_a_state_has_the_gradient_of_the_choice(
    moving: tuple, rng: np.random.Generator
) -> None:
    """Runs are traced, and a trace is of one choice."""
    clip = tf.constant(moving[0])
    one = network(dense_modules(3, rng))
    weight = one.frame_model.get_layer("module0").kernel.value
    for gradient in ("exact", "sideways", "exact"):
        one.gradient = gradient
        with tf.GradientTape(persistent=True) as tape:
            whole = tf.reduce_mean(one(clip, training=True) ** 2)
            outputs, _ = one.run(clip, one.initial_state(2), training=True)
            run = tf.reduce_mean(outputs**2)
        np.testing.assert_allclose(tape.gradient(run, weight), tape.gradient(whole, weight), 1e-12)


@pytest.mark.usefixtures("restore_dtype_policy")
def test_mixed_precision_is_close(rng: np.random.Generator) -> None:
    clip = rng.normal(size=(2, 9, 6, 6, 2)).astype("float32")
    found = {}
    for policy in ("float32", "mixed_bfloat16"):
        keras.config.set_dtype_policy(policy)
        frame = keras.Input((6, 6, 2))
        x = layers.Conv2D(3, 3, activation="tanh")(frame)
        x = layers.Conv2D(3, 3, activation="tanh", name="second")(x)
        model = keras.Model(frame, layers.Conv2D(2, 1, name="third")(x))
        randomize(model, np.random.default_rng(1))
        one = VideoNetwork(model, Plan(model, boundaries=["second", "third"]), gradient="sideways")
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.cast(one(clip, training=True), "float32") ** 2)
        found[policy] = tape.gradient(loss, [v.value for v in model.trainable_variables])
    for half, whole in zip(found["mixed_bfloat16"], found["float32"], strict=True):
        assert half.dtype == tf.float32
        np.testing.assert_allclose(half, whole, atol=0.05 * np.abs(whole).max())


def clocked() -> tuple:
    frame = keras.Input((WIDTH,))
    model = keras.Model(frame, layers.Dense(2, name="last")(layers.Dense(2)(frame)))
    return model, Plan(model, boundaries=["last"], clocks=[1, 2])


def remembering() -> tuple:
    frame = keras.Input((6, 6, 2))
    x = keras_layers.TemporalConv3D(2, (2, 1, 1), name="past")(frame)
    model = keras.Model(frame, layers.Conv2D(2, 1, name="last")(x))
    return model, Plan(model, boundaries=["last"])


def feeding_back() -> tuple:
    frame = keras.Input((WIDTH,))
    said = keras_layers.Feedback("last", (2,), name="said")(frame)
    x = layers.Concatenate()([frame, said])
    model = keras.Model(frame, layers.Dense(2, name="last")(x))
    return model, Plan(model, boundaries=["last"])


@pytest.mark.parametrize(
    "make, reason",
    [(clocked, "clock rate 2"), (remembering, "'past'"), (feeding_back, "feedback .'said'.")],
)
def test_plans_that_the_papers_do_not_cover_are_refused(make: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=f'{reason}.*gradient="exact"'):
        VideoNetwork(*make(), gradient="sideways")


def test_refusals_of_the_network(rng: np.random.Generator) -> None:
    modules = dense_modules(3, rng)
    with pytest.raises(ValueError, match="Invalid gradient. Expected one of"):
        network(modules, gradient="later")
    with pytest.raises(ValueError, match='executor="layerwise"'):
        network(modules, gradient="sideways", executor="unroll")
    one = network(modules, gradient="sideways")
    with pytest.raises(ValueError, match='executor="layerwise"'):
        one.executor = "unroll"
    one.compile("sgd", "mse")
    clip = np.zeros((2, 4, WIDTH))
    with pytest.raises(ValueError, match="at least 5 frames.*Received: clips of 4 frames"):
        one.fit(clip, clip, verbose=0)
    assert one.predict(clip, verbose=0).shape == clip.shape
