"""A network survives saving, cloning, copying and pickling, also where its layers get new names.

A model whose class builds its graph has new names in each process, and so do operations whose class
takes no name. Each test makes other layers first, so that automatic names are not the same.
"""

import copy
import pathlib
import pickle
from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers, ops
from random_weights import randomize
from regrouping_models import windows, wrapped

import keras_layers
from mpvn import Plan, PlanError, VideoNetwork
from mpvn.outputs import with_outputs


@keras.saving.register_keras_serializable(package="test_saving")
class Backbone(keras.Model):
    """Builds its graph from layers without names, as the backbones of keras-hub do."""

    def __init__(self, **kwargs: object) -> None:
        frame = keras.Input((4, 4, 2))
        x = layers.BatchNormalization()(layers.Conv2D(3, 2)(frame))
        super().__init__(frame, layers.Conv2D(2, 2, padding="same")(ops.tanh(x)), **kwargs)

    def get_config(self) -> dict:
        return {"name": self.name}


@keras.saving.register_keras_serializable(package="test_saving")
class Squash(keras.Operation):
    """Takes no name, so that a copy has another one."""

    def __init__(self) -> None:
        super().__init__()

    def call(self, x: object) -> object:
        return ops.tanh(x)

    def compute_output_spec(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor(x.shape, x.dtype)


def backbone() -> VideoNetwork:
    model = Backbone(name="backbone")
    return VideoNetwork(model, Plan(model, 3, clocks=[1, 2, 2], phases=[0, 1, 0]))


def operations() -> VideoNetwork:
    """Operations, a feedback from one of two whose names are not saved, and a head."""
    frame = keras.Input((4, 4, 2))
    loop = keras_layers.Feedback("later", (4, 4, 2))
    x = layers.Conv2D(2, 1)(frame) * 2.0
    later = Squash()(Squash()(x) + loop(frame))
    model = keras.Model(frame, ops.mean(later, axis=(1, 2)) - 1.0)
    loop.source = later._keras_history.operation.name
    names = [operation.name for operation in model.operations]
    plan = Plan(model, boundaries=[names[2], loop.source], clocks=[1, 2, 2], head=names[-2])
    return VideoNetwork(model, plan, executor="unroll", rematerialize=True)


def nested() -> VideoNetwork:
    """A shared model within a model, a shared layer, and devices."""
    frame = keras.Input((4, 4, 2), name="frame")
    inner, shared = Backbone(), layers.Conv2D(2, 1)
    x = shared(layers.ZeroPadding2D(((0, 1), (0, 1)))(inner(shared(frame))))
    x = layers.GlobalMaxPooling2D(name="pool")(inner(x))
    model = keras.Model(frame, x, name="nested")
    return VideoNetwork(model, Plan(model, 4, clocks="auto", devices=["/CPU:0"] * 4))


@keras.saving.register_keras_serializable(package="test_saving")
class Halved(Backbone):
    """Has a call of its own, so that it is one node."""

    def call(self, x: object, training: bool | None = None, mask: object = None) -> object:
        return super().call(x / 2, training=training)


def whole() -> VideoNetwork:
    model = Halved()
    return VideoNetwork(model, Plan(model, devices=["/CPU:0"]))


def two_inputs() -> VideoNetwork:
    a, b = keras.Input((4, 4, 2), name="a"), keras.Input((4, 4, 2), name="b")
    x = keras_layers.TemporalConv3D(2, (2, 1, 1), (2, 1, 1))(a - b)
    outputs = {"x": layers.Dense(2)(x), "ab": layers.Conv2D(1, 1)(ops.concatenate([b, a], -1))}
    model = keras.Model({"a": a, "b": b}, outputs)
    return VideoNetwork(model, Plan(model, 2))


def sequential() -> VideoNetwork:
    rows = [layers.Conv2D(2, 2), layers.BatchNormalization(), layers.Conv2D(1, 1)]
    model = keras.Sequential([keras.Input((4, 4, 2)), *rows])
    return VideoNetwork(model, Plan(model, 2, phases="aligned"))


def regions() -> VideoNetwork:
    """Windows in the batch axis, which are one node."""
    model = wrapped(windows)
    return VideoNetwork(model, Plan(model, 3, clocks=[1, 2, 2]))


BUILDERS = [backbone, operations, nested, whole, two_inputs, sequential, regions]


pytestmark = pytest.mark.filterwarnings("ignore:Halved .* has a call of its own")


@pytest.fixture(scope="module", params=BUILDERS, ids=lambda builder: builder.__name__)
def network(request: pytest.FixtureRequest) -> VideoNetwork:
    built = request.param()
    randomize(built, np.random.default_rng(0))
    rename()
    return built


def rename() -> None:
    """Make automatic names other than before."""
    frame = keras.Input((2, 2, 1))
    x = layers.BatchNormalization()(layers.Conv2D(1, 1)(frame))
    Squash()(ops.mean(x + x) * 2.0) - 1.0


def clip_of(network: VideoNetwork, steps: int = 6) -> object:
    rng = np.random.default_rng(1)

    def frames() -> np.ndarray:
        return rng.normal(size=(2, steps, 4, 4, 2)).astype("float32")

    if len(network.graph.inputs) == 2:
        return {"a": frames(), "b": frames()}
    return frames()


def assert_same(actual: VideoNetwork, expected: VideoNetwork) -> None:
    """Assert that two networks have the same plan and the same outputs for a clip."""
    assert actual.plan == expected.plan
    assert hash(actual.plan) == hash(expected.plan)
    assert actual.plan.costs == expected.plan.costs
    assert actual.plan.feedback == expected.plan.feedback
    clip = clip_of(expected)
    keras.tree.map_structure(np.testing.assert_array_equal, actual(clip), expected(clip))


# --- a network ----------------------------------------------------------------------------------


def test_a_saved_network_computes_the_same(network: VideoNetwork, tmp_path: pathlib.Path) -> None:
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    assert_same(loaded, network)
    assert loaded.get_config()["executor"] == network.executor
    assert loaded.rematerialize == network.rematerialize
    states = [net.initial_state(2) for net in (loaded, network)]
    for time in range(3):
        frame = keras.tree.map_structure(lambda clip, t=time: clip[:, t], clip_of(network))
        (actual, states[0]), (expected, states[1]) = (
            net.step(frame, state) for net, state in zip((loaded, network), states, strict=True)
        )
        keras.tree.map_structure(np.testing.assert_array_equal, actual, expected)


def test_a_loaded_network_can_be_saved_and_planned_again(network: VideoNetwork) -> None:
    """The feedback layer knows the new name of its source."""
    once = copy.deepcopy(network)
    rename()
    assert_same(pickle.loads(pickle.dumps(once)), network)
    again = Plan(once.frame_model)
    assert again.feedback == network.plan.feedback


def from_config(network: VideoNetwork) -> VideoNetwork:
    return VideoNetwork.from_config(network.get_config())


@pytest.mark.parametrize("duplicate", [from_config, keras.models.clone_model])
def test_a_copy_without_weights_takes_the_weights(
    network: VideoNetwork, duplicate: Callable, tmp_path: pathlib.Path
) -> None:
    copied = duplicate(network)
    assert copied.plan == network.plan
    network.save_weights(tmp_path / "x.weights.h5")
    copied.load_weights(tmp_path / "x.weights.h5")
    assert_same(copied, network)


def test_a_plan_applies_to_a_clone_of_the_frame_model(network: VideoNetwork) -> None:
    clone = keras.models.clone_model(network.frame_model)
    clone.set_weights(network.frame_model.get_weights())
    if isinstance(network.frame_model, Halved):  # Keras clones its layers, without its own call
        with pytest.raises(PlanError, match=r"expected Halved\(input 0\). Received: Conv2D"):
            VideoNetwork(clone, network.plan)
        return
    assert_same(VideoNetwork(clone, network.plan, executor=network.executor), network)


def test_plans_can_be_copied_and_pickled(network: VideoNetwork) -> None:
    plan = network.plan
    assert copy.copy(plan) == plan
    assert copy.copy(plan).graph.model is plan.graph.model
    model, copied = copy.deepcopy((network.frame_model, plan))
    assert copied == plan
    assert copied.graph.model is model is not network.frame_model
    assert pickle.loads(pickle.dumps(plan)) == plan


def test_a_network_within_a_model_survives_saving(
    network: VideoNetwork, tmp_path: pathlib.Path
) -> None:
    clip = clip_of(network)
    shape = (6, 4, 4, 2)
    inputs = keras.Input(shape)
    if isinstance(clip, dict):
        inputs = {name: keras.Input(shape, name=name) for name in clip}
    outputs = keras.tree.flatten(network(inputs))
    outer = keras.Model(inputs, layers.Rescaling(0.5)(outputs[0]))
    outer.save(tmp_path / "outer.keras")
    loaded = keras.models.load_model(tmp_path / "outer.keras")
    np.testing.assert_array_equal(loaded(clip), outer(clip))


@pytest.mark.parametrize("build", [backbone, sequential])
def test_more_outputs_keep_the_plan(build: Callable) -> None:
    network = build()
    wider = with_outputs(network, network.plan.nodes[1:3])
    assert wider.plan == network.plan
    clip = clip_of(network)
    np.testing.assert_array_equal(wider(clip)[0], network(clip))


def test_layers_of_nested_models_cannot_be_outputs() -> None:
    network = nested()
    inner = network.plan.nodes[1]
    with pytest.raises(ValueError, match=f"Received: '{inner}', inside nested models"):
        with_outputs(network, [inner])
    network = whole()
    with pytest.raises(ValueError, match="'halved.*', which has a call of its own and so is one"):
        with_outputs(network, network.plan.nodes)


def test_training_goes_on_after_loading(tmp_path: pathlib.Path) -> None:
    """Momentum, statistics of batch norm, the dtype policy and what is frozen."""
    frame = keras.Input((4, 4, 2))
    x = layers.BatchNormalization()(layers.Conv2D(2, 1)(frame))
    model = keras.Model(frame, layers.Dense(2, dtype="float32")(layers.Flatten()(ops.relu(x))))
    network = VideoNetwork(model, Plan(model, 2), dtype="mixed_float16")
    model.layers[1].trainable = False
    network.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    clip, targets = clip_of(network), np.random.default_rng(2).normal(size=(2, 6, 2))
    network.fit(clip, targets, epochs=2, verbose=0)
    network.save(tmp_path / "network.keras")
    rename()
    loaded = keras.models.load_model(tmp_path / "network.keras")
    assert len(loaded.trainable_variables) == len(network.trainable_variables) == 4
    assert loaded.dtype_policy == network.dtype_policy
    for net in (network, loaded):
        net.fit(clip, targets, verbose=0)
    for actual, expected in zip(loaded.variables, network.variables, strict=True):
        np.testing.assert_array_equal(actual, expected)
    assert int(loaded.optimizer.iterations) == 3


# --- other models are refused -------------------------------------------------------------------


def branches(order: int) -> keras.Model:
    frame = keras.Input((4, 4, 2))
    first = layers.Conv2D(2, 1)(frame)
    second = layers.Conv2D(2, 1)(first)
    return keras.Model(frame, layers.Subtract()([first, second][::order]))


def test_a_plan_for_another_structure_is_refused() -> None:
    """The nodes are the same, but the difference is taken the other way round."""
    plan = Plan(branches(1), 2)
    expected = r"node 2, 'subtract_\d+': expected Subtract\(0, 1\). Received: Subtract\(1, 0\)"
    with pytest.raises(PlanError, match=expected):
        plan.over(branches(-1))
    with pytest.raises(PlanError, match="Create a plan of this model"):
        VideoNetwork(branches(-1), plan)


def test_a_config_of_something_else_is_refused() -> None:
    model = branches(1)
    config = Plan(model, 2).get_config()
    with pytest.raises(PlanError, match="with the keys subnetworks, .*Received: the keys clocks"):
        Plan.from_config(model, {"clocks": {"conv": 1}})
    with pytest.raises(PlanError, match="positions from 0 to 2. Received: 7"):
        Plan.from_config(model, {**config, "head": 7})
    with pytest.raises(PlanError, match="3 subnetworks, rates and phases.*Received: 1"):
        Plan.from_config(model, {**config, "rates": [1]})
    with pytest.raises(PlanError, match="below the rate 2"):
        Plan.from_config(model, {**Plan(model).get_config(), "rates": [2, 1, 2]})


# --- files that cannot be loaded ----------------------------------------------------------------


@pytest.mark.parametrize("ending", [".h5", ".hdf5"])
def test_legacy_files_are_refused_before_they_appear(ending: str, tmp_path: pathlib.Path) -> None:
    network = backbone()
    with pytest.raises(ValueError, match=r"Expected a path that ends in \.keras"):
        network.save(tmp_path / f"network{ending}")
    assert not list(tmp_path.iterdir())


def test_keras_refuses_to_save_a_network_as_a_legacy_file(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"Expected a path that ends in \.keras"):
        keras.saving.save_model(backbone(), tmp_path / "network.h5")
