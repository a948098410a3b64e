"""Batch norm in a run: which layers train, and how fast their statistics move."""

import keras
import numpy as np
import pytest
from keras import layers
from ml_collections import ConfigDict

from keras_layers import Feedback, TemporalMaxPooling3D
from mpvn import Plan, VideoNetwork
from mpvn.training import base_config
from mpvn.training.build.batch_norm import set_batch_norm

FRAMES = 4


def network(feedback: bool = True, executor: str = "auto") -> VideoNetwork:
    """Three batch norms: of every step, inside a layer, and of every second step."""
    x = frame = keras.Input((4, 4, 2))
    if feedback:
        x = layers.Add()([frame, Feedback("third", (4, 4, 2))(frame)])
    x = layers.BatchNormalization(name="first")(x)
    x = keras.Sequential([layers.BatchNormalization(name="second")], name="nested")(x)
    x = TemporalMaxPooling3D((2, 1, 1), name="pool")(x)
    model = keras.Model(frame, layers.BatchNormalization(name="third")(x))
    return VideoNetwork(model, Plan(model), executor=executor)


def config(**training: object) -> ConfigDict:
    settings = base_config()
    settings.clip.frames = FRAMES
    settings.training.update(training)
    return settings


def norms(subject: VideoNetwork) -> list[layers.BatchNormalization]:
    found = subject.frame_model._flatten_layers()
    return [layer for layer in found if isinstance(layer, layers.BatchNormalization)]


@pytest.mark.parametrize(
    ("feedback", "executor"), [(True, "auto"), (False, "unroll"), (False, "layerwise")]
)
def test_a_batch_of_clips_moves_statistics_once_in_every_executor(
    feedback: bool, executor: str
) -> None:
    """Unrolled statistics once moved at every tick: with 0.9 and 16 frames, only the last counted.

    Frames are zeros, so of the variance only the share of its initial value 1 is left.
    """
    subject = network(feedback, executor)
    set_batch_norm(subject, config(batch_norm_momentum=0.9))
    subject(np.zeros((2, FRAMES, 4, 4, 2), "float32"), training=True)
    assert len(norms(subject)) == 3
    for norm in norms(subject):
        np.testing.assert_allclose(norm.moving_variance, 0.9, rtol=1e-5, err_msg=norm.name)


@pytest.mark.parametrize("executor", ["unroll", "layerwise"])
def test_a_batch_norm_that_is_called_twice_moves_as_much(executor: str) -> None:
    frame, norm = keras.Input((4, 4, 2)), layers.BatchNormalization(center=False)
    model = keras.Model(frame, norm(norm(frame)))
    subject = VideoNetwork(model, Plan(model), executor=executor)
    set_batch_norm(subject, config(batch_norm_momentum=0.9))
    subject(np.zeros((2, FRAMES, 4, 4, 2), "float32"), training=True)
    np.testing.assert_allclose(norm.moving_variance, 0.9, rtol=1e-5)


def test_the_momentum_may_be_zero_or_that_of_the_layers() -> None:
    subject = network()
    set_batch_norm(subject, config())
    assert {norm.momentum for norm in norms(subject)} == {0.99}
    set_batch_norm(subject, config(batch_norm_momentum=0.0))
    assert {norm.momentum for norm in norms(subject)} == {0.0}


@pytest.mark.parametrize(
    ("mode", "trained"),
    [
        ("trained", {"first", "second", "third"}),
        ("frozen_but_first", {"first"}),
        ("frozen", set()),
    ],
)
def test_batch_norms_can_be_frozen(mode: str, trained: set[str]) -> None:
    subject = network()
    set_batch_norm(subject, config(batch_norm=mode))
    assert {norm.name for norm in norms(subject) if norm.trainable} == trained


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="config.training.batch_norm.*Did you mean 'frozen'"):
        set_batch_norm(network(), config(batch_norm="freeze"))


@pytest.mark.parametrize("mode", ["frozen", "frozen_but_first"])
def test_a_network_without_batch_norm_to_freeze_is_refused(mode: str) -> None:
    frame = keras.Input((4,))
    x = layers.BatchNormalization()(frame) if mode == "frozen_but_first" else frame
    subject = VideoNetwork(keras.Model(frame, layers.Dense(2)(x), name="small"))
    with pytest.raises(ValueError, match=f"batch norms to freeze. Received: {mode}, and 'small'"):
        set_batch_norm(subject, config(batch_norm=mode))
