"""Optimizers whose learning rate and weight decay depend on the weight."""

import keras
import numpy as np
import pytest
from small_runs import small_config

from mpvn.training import build
from mpvn.training.optimizers import SGD, Adam, check_patterns

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


@pytest.mark.parametrize(
    "rates", [("*/bias",), (("*/bias", -1.0),), (("*/bias", "2"),), ((2.0, 2.0),)]
)
def test_rates_are_pairs_of_a_pattern_and_a_factor(model: keras.Model, rates: tuple) -> None:
    with pytest.raises(
        ValueError, match="rates: expected pairs of a pattern and a factor, 0 or more"
    ):
        check_patterns(model, (), rates, "")
