"""Optimizers whose learning rate and weight decay depend on the weight."""

import keras
import numpy as np
import pytest
from small_runs import small_config

from mpvn import VideoNetwork
from mpvn.training import build
from mpvn.training.optimizers import SGD, Adam, check_patterns, factor_of, matches
from mpvn.training.policies import POLICIES

DECAY_EXCLUDE = ("*/bias", "*/gamma", "*/beta")
RATES = (("*/bias", 2.0), ("head.*", 5.0))
GROUPS = {  # path: factor of the rate, whether it decays; as in the authors' code of TSM
    "stem.conv/kernel": (1, True),
    "stem.conv/bias": (2, False),
    "stem.bn/gamma": (1, False),
    "stem.bn/beta": (1, False),
    "head.logits/kernel": (5, True),
    "head.logits/bias": (10, False),
}


@pytest.fixture
def model() -> keras.Model:
    layers = keras.layers
    frame = keras.Input((4, 4, 3))
    x = layers.BatchNormalization(name="stem.bn")(layers.Conv2D(2, 3, name="stem.conv")(frame))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(frame, layers.Dense(3, name="head.logits")(x), name="small")


def trained(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, updates: int = 3
) -> dict[str, np.ndarray]:
    """Return the weights by path after updates with gradients from a fixed seed."""
    rng = np.random.default_rng(5)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    for _ in range(updates):
        optimizer.apply(
            [
                keras.ops.convert_to_tensor(rng.normal(size=v.shape), "float32")
                for v in model.trainable_variables
            ],
            model.trainable_variables,
        )
    return {v.path: np.array(v) for v in model.trainable_variables}


def test_weights_of_a_group_have_its_rate_and_decay(model: keras.Model) -> None:
    """Also in the copies that `SidewaysTrainer` makes of an optimizer for its subnetworks."""
    given = SGD(0.1, momentum=0.9, decay=0.3, decay_exclude=DECAY_EXCLUDE, rates=RATES)
    found = trained(model, SGD.from_config(given.get_config()))
    assert found.keys() == GROUPS.keys()
    rng = np.random.default_rng(5)
    weights = {path: rng.normal(size=value.shape) for path, value in found.items()}
    momenta = dict.fromkeys(weights, 0.0)
    for _ in range(3):
        for path, (factor, decays) in GROUPS.items():
            gradient = rng.normal(size=weights[path].shape)
            rate = 0.1 * factor
            weights[path] *= 1 - 0.3 * rate * decays
            momenta[path] = 0.9 * momenta[path] - rate * gradient
            weights[path] += momenta[path]
    for path, expected in weights.items():
        np.testing.assert_allclose(found[path], expected, rtol=1e-5, atol=1e-6, err_msg=path)


@pytest.mark.parametrize(
    ("ours", "theirs"), [(SGD, keras.optimizers.SGD), (Adam, keras.optimizers.Adam)]
)
def test_without_patterns_they_are_those_of_keras(
    model: keras.Model, ours: type, theirs: type
) -> None:
    found = trained(model, ours(0.1, decay=0.3))
    for path, expected in trained(model, theirs(0.1, weight_decay=0.3)).items():
        np.testing.assert_allclose(found[path], expected, rtol=1e-5, atol=1e-6, err_msg=path)


def test_the_first_step_of_adam_is_the_rate_of_the_weight(model: keras.Model) -> None:
    before = trained(model, Adam(0.1), updates=0)
    after = trained(model, Adam(0.1, rates=RATES), updates=1)
    for path, (factor, _) in GROUPS.items():
        np.testing.assert_allclose(np.abs(after[path] - before[path]), 0.1 * factor, rtol=1e-3)


def test_a_run_trains_with_the_rates_of_its_config() -> None:
    config = small_config(
        optimizer__rates=(("linear.*", 3.0),), optimizer__decay_exclude=("*/bias",)
    )
    assert build(config).model.optimizer.rates == (("linear.*", 3.0),)
    config.optimizer.decay_exclude = ("head/*",)
    with pytest.raises(
        ValueError, match=r"config.optimizer.decay_exclude: .*linear.*Received: 'head/"
    ):
        build(config)


def test_the_policy_of_tsm_is_that_of_its_authors() -> None:
    """By `get_optim_policies`. The dense layer before the last convolution is not a classifier."""
    layers = keras.layers
    frame = keras.Input((8, 8, 10))  # optical flow
    x = layers.BatchNormalization(name="stem.norm")(layers.Conv2D(4, 3, name="stem.conv")(frame))
    gate = layers.Dense(4, name="block.gate")(layers.GlobalAveragePooling2D()(x))
    x = layers.Multiply()([x, layers.Reshape((1, 1, 4))(gate)])
    x = layers.DepthwiseConv2D(3, name="block.depthwise")(x)
    x = layers.GlobalAveragePooling2D()(layers.SeparableConv2D(4, 1, name="block.conv")(x))
    x = layers.Dense(4, name="head.[0]", use_bias=False)(x)
    network = VideoNetwork(keras.Model(frame, layers.Dense(3, name="head.logits")(x)))
    policy = POLICIES["tsm"](network)
    expected = {
        "stem.conv/kernel": (5, True),
        "stem.conv/bias": (10, False),
        "stem.norm/gamma": (1, False),
        "stem.norm/beta": (1, False),
        "block.gate/kernel": (1, True),
        "block.gate/bias": (2, False),
        "block.depthwise/kernel": (1, True),
        "block.depthwise/bias": (2, False),
        "block.conv/depthwise_kernel": (1, True),
        "block.conv/pointwise_kernel": (1, True),
        "block.conv/bias": (2, False),
        "head.[0]/kernel": (5, True),
        "head.logits/kernel": (5, True),
        "head.logits/bias": (10, False),
    }
    assert {v.path for v in network.trainable_variables} == expected.keys()
    assert expected == {
        path: (factor_of(path, policy.rates), not matches(path, policy.decay_exclude))
        for path in expected
    }


def test_a_classifier_may_be_a_convolution() -> None:
    frame = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, use_bias=False, name="stem")(frame)
    model = keras.Model(frame, keras.layers.Conv2D(2, 6, use_bias=False, name="logits")(x))
    assert POLICIES["tsm"](VideoNetwork(model)) == ((), (("logits/*", 5.0),))


def test_the_patterns_of_a_config_add_to_its_policy() -> None:
    config = small_config(optimizer__policy="tsm", optimizer__rates=(("conv1.*/kernel", 0.5),))
    optimizer = build(config).model.optimizer
    factors = {
        variable.path: factor
        for variable, factor in zip(optimizer._trainable_variables, optimizer._factors, strict=True)
    }
    expected = {"conv1.conv/kernel": 0.5, "linear.logits/kernel": 5, "linear.logits/bias": 10}
    assert {path: factor for path, factor in factors.items() if factor != 1} == expected
    config.optimizer.policy = "tms"
    with pytest.raises(ValueError, match=r"config.optimizer.policy.*Did you mean 'tsm'"):
        build(config)


@pytest.mark.parametrize(
    "rates", [("*/bias",), (("*/bias", -1.0),), (("*/bias", "2"),), ((2.0, 2.0),)]
)
def test_rates_are_pairs_of_a_pattern_and_a_factor(model: keras.Model, rates: tuple) -> None:
    with pytest.raises(
        ValueError, match="rates: expected pairs of a pattern and a factor, 0 or more"
    ):
        check_patterns(model, (), rates, "")
