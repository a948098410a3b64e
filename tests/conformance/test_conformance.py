"""Everything that Keras users do with a layer, for every public layer and model."""

import importlib
import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from conformance.registry import (
    CASES,
    FRAME,
    NETWORKS,
    REGISTRY,
    SPARED,
    Case,
    cases_of,
    network_cell,
)
from random_weights import randomize

PACKAGES = ("keras_layers", "mpvn")


def parametrize(cases: dict[str, Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases.values(), ids=cases)


every_case = parametrize(CASES)


@pytest.fixture(scope="module")
def kept() -> dict[tuple[str, int], Any]:
    """Models and traced functions that tests of one case share, by the identity of the case."""
    return {}


@pytest.fixture
def built(case: Case, kept: dict[tuple[str, int], Any]) -> keras.Model:
    """Return the model of the case, shared by tests that do not change its weights."""
    if ("model", id(case)) not in kept:
        kept["model", id(case)] = as_model(case, np.random.default_rng(20))
    return kept["model", id(case)]


@pytest.fixture
def traced(case: Case, built: keras.Model, kept: dict[tuple[str, int], Any]) -> Any:
    """Return the model as a graph for any batch and any time, shared in the same way."""
    if ("graph", id(case)) not in kept:
        kept["graph", id(case)] = tf.function(
            lambda values: built(values, training=False), input_signature=[case.specs()]
        )
    return kept["graph", id(case)]


def as_model(case: Case, rng: np.random.Generator) -> keras.Model:
    """Build a functional Keras model around the layer, with random weights."""
    symbols = case.symbols()
    model = keras.Model(symbols, case.make()(symbols))
    randomize(model, rng)
    return model


def assert_same(ours: Any, theirs: Any, tolerance: float = 2e-5) -> None:
    """Check that both have the same structure and equal tensors."""
    keras.tree.assert_same_structure(ours, theirs)
    for our, their in zip(keras.tree.flatten(ours), keras.tree.flatten(theirs), strict=True):
        np.testing.assert_allclose(our, their, rtol=tolerance, atol=tolerance)


def as_json(config: dict) -> Any:
    """Return a config as JSON stores it, with lists for tuples."""
    return json.loads(json.dumps(config))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_export_is_registered_or_excused(package: str) -> None:
    exports = {f"{package}.{name}" for name in importlib.import_module(package).__all__}
    registered = {name for name in REGISTRY if name.startswith(f"{package}.")}
    assert exports == registered, "add a case or an excuse to registry.py for each export"


@pytest.mark.parametrize(("laws", "names", "other"), SPARED)
def test_a_law_that_cases_are_spared_runs_another_one(
    laws: set[str], names: list[str], other: str
) -> None:
    assert {*names} <= CASES.keys()
    assert all(other in cases_of(law) for law in laws)


@every_case
def test_symbolic_shapes_and_dtypes_equal_those_of_values(
    case: Case, built: keras.Model, rng: np.random.Generator
) -> None:
    outputs = built(case.inputs(rng))
    for symbol, value in zip(built.outputs, keras.tree.flatten(outputs), strict=True):
        assert tf.TensorShape(symbol.shape).is_compatible_with(value.shape)
        assert symbol.shape[2:] == value.shape[2:]
        assert symbol.dtype == keras.backend.standardize_dtype(value.dtype)
        assert np.all(np.isfinite(value))


@parametrize(cases_of("xla"))
def test_a_call_compiled_by_xla_equals_the_eager_one(
    case: Case, built: keras.Model, rng: np.random.Generator
) -> None:
    inputs = case.inputs(rng)
    compiled = tf.function(lambda values: built(values, training=False), jit_compile=True)
    assert_same(compiled(inputs), built(inputs))


@parametrize(cases_of("predict"))
def test_run_eagerly_equals_the_traced_prediction(
    case: Case, built: keras.Model, rng: np.random.Generator
) -> None:
    inputs = case.inputs(rng)
    model = keras.Model(built.input, built.output)  # `built` must not get an optimizer
    model.compile(run_eagerly=True)
    eager = model.predict(inputs, verbose=0)
    model.compile(run_eagerly=False)
    assert_same(model.predict(inputs, verbose=0), eager)


@every_case
def test_one_graph_serves_any_batch_and_any_time(
    case: Case, built: keras.Model, traced: Any, rng: np.random.Generator
) -> None:
    for batch, steps in ((2, 6), (1, 1), (3, 9)):
        inputs = case.inputs(rng, batch, steps)
        assert_same(traced(inputs), built(inputs))


@parametrize(cases_of("mixed precision"))
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_is_close_and_keeps_weights_in_float32(
    case: Case,
    policy: str,
    built: keras.Model,
    rng: np.random.Generator,
    restore_dtype_policy: None,
) -> None:
    keras.config.set_dtype_policy(policy)
    half = as_model(case, rng)
    half.set_weights(built.get_weights())
    assert {weight.dtype for weight in half.trainable_weights} <= {"float32"}
    inputs = case.inputs(rng)
    outputs = half(inputs)
    for value in keras.tree.flatten(outputs):
        assert keras.backend.standardize_dtype(value.dtype) == policy.removeprefix("mixed_")
    as_float = keras.tree.map_structure(lambda value: tf.cast(value, "float32"), outputs)
    assert_same(as_float, built(inputs), tolerance=0.1)


@every_case
def test_a_saved_keras_file_loads_as_the_same_model(
    case: Case, built: keras.Model, rng: np.random.Generator, tmp_path: pathlib.Path
) -> None:
    inputs = case.inputs(rng)
    built.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert_same(again(inputs), built(inputs), tolerance=0)
    assert as_json(again.get_config()) == as_json(built.get_config())


@every_case
def test_a_layer_made_from_its_config_has_the_same_config(case: Case) -> None:
    layer = case.make()
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


@parametrize(cases_of("checkpoint", trained=True))
def test_a_checkpoint_restores_the_values(
    case: Case, built: keras.Model, rng: np.random.Generator, tmp_path: pathlib.Path
) -> None:
    inputs = case.inputs(rng)
    built.save_weights(tmp_path / "model.weights.h5")
    again = as_model(case, rng)  # with other random weights
    assert not np.allclose(*(keras.tree.flatten(model(inputs))[0] for model in (again, built)))
    again.load_weights(tmp_path / "model.weights.h5")
    assert_same(again(inputs), built(inputs), tolerance=0)


@parametrize(cases_of("saved model"))
def test_a_saved_model_runs_without_the_class(
    case: Case,
    built: keras.Model,
    traced: Any,
    rng: np.random.Generator,
    tmp_path: pathlib.Path,
) -> None:
    module = tf.Module()
    module.model, module.call = built, traced
    tf.saved_model.save(module, str(tmp_path / "saved"))
    again = tf.saved_model.load(str(tmp_path / "saved"))
    for batch, steps in ((2, 6), (3, 5)):
        inputs = case.inputs(rng, batch, steps)
        tensors = keras.tree.map_structure(tf.constant, inputs)
        assert_same(again.call(tensors), built(inputs))


def sum_of_squares(outputs: Any) -> tf.Tensor:
    return sum(tf.reduce_sum(tf.square(value)) for value in keras.tree.flatten(outputs))


@parametrize(cases_of("gradients", trained=True))
@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
def test_every_trainable_weight_gets_a_finite_gradient(
    case: Case, training: bool, built: keras.Model, rng: np.random.Generator
) -> None:
    inputs = case.inputs(rng)
    with tf.GradientTape() as tape:
        loss = sum_of_squares(built(inputs, training=training))
    gradients = tape.gradient(loss, [weight.value for weight in built.trainable_weights])
    for weight, gradient in zip(built.trainable_weights, gradients, strict=True):
        assert gradient is not None, weight.path
        assert np.all(np.isfinite(gradient)), weight.path
        assert np.any(gradient), weight.path


@parametrize(cases_of("fit", trained=True))
def test_fit_lowers_the_loss(case: Case, rng: np.random.Generator) -> None:
    built, inputs = as_model(case, rng), case.inputs(rng, batch=4, steps=6)
    targets = keras.tree.map_structure(np.zeros_like, built(inputs))
    losses = keras.tree.map_structure(lambda _: "mse", targets)
    built.compile(keras.optimizers.SGD(0.1), loss=losses, jit_compile=False)
    history = built.fit(inputs, targets, batch_size=2, epochs=4, verbose=0).history["loss"]
    assert history[-1] < history[0]


# --- networks as models, not as layers of a functional model ------------------------------------

networks = {name: CASES[name] for name in NETWORKS if name != "VideoNetwork, as a cell"}


@parametrize(networks)
def test_a_network_saves_and_loads_as_a_model(
    case: Case, rng: np.random.Generator, tmp_path: pathlib.Path
) -> None:
    network, inputs = case.make(), case.inputs(rng)
    randomize(network, rng)
    network.save(tmp_path / "network.keras")
    again = keras.models.load_model(tmp_path / "network.keras")
    assert (again.plan, again.executor) == (network.plan, network.executor)
    assert as_json(again.get_config()) == as_json(network.get_config())
    assert_same(again(inputs), network(inputs), tolerance=0)


@pytest.mark.parametrize("label", ["temporal unrolled", "two ends"])
def test_a_network_fits_under_xla(label: str, rng: np.random.Generator) -> None:
    case = networks[f"VideoNetwork, {label}"]
    network, inputs = case.make(), case.inputs(rng, batch=4, steps=3)
    randomize(network, rng)
    targets = keras.tree.map_structure(np.zeros_like, network(inputs))
    losses = keras.tree.map_structure(lambda _: "mse", targets)
    network.compile(keras.optimizers.SGD(1e-3), loss=losses, jit_compile=True)
    history = network.fit(inputs, targets, batch_size=2, epochs=2, verbose=0).history["loss"]
    assert np.all(np.isfinite(history))


def test_a_saved_network_loads_in_a_fresh_process(tmp_path: pathlib.Path) -> None:
    """Lazy imports of `mpvn` once registered no class with Keras.

    `import mpvn` and `keras.models.load_model` in a new process found no class VideoNetwork. Here
    the file has a network in a cell, so both classes are needed.
    """
    model = keras.Sequential([keras.Input((5, *FRAME)), network_cell()])
    model.save(tmp_path / "model.keras")
    program = (
        "import sys, keras, mpvn; cell = keras.models.load_model(sys.argv[1]).layers[-1].cell; "
        "print(type(cell).__name__, type(cell.network).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "model.keras")],
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )
    assert done.stdout.strip() == "NetworkCell VideoNetwork", done.stderr[-500:]
