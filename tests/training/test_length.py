"""The length of training, in batches or in epochs."""

import itertools
import pathlib

import keras
import pytest
import tensorflow as tf
from ml_collections import ConfigDict
from small_runs import small_config

from mpvn.training import build, override, train
from mpvn.training.build.length import Length, training_length
from mpvn.training.build.optimizer import build_optimizer


def rates(config: ConfigDict, length: Length, updates: int, per_batch: int = 1) -> list[float]:
    """Return the learning rate at each of the first updates."""
    schedule = build_optimizer(config, length, per_batch)._learning_rate
    return [float(schedule(number)) for number in range(updates)]


def changes(config: ConfigDict, length: Length, batches: int) -> list[float]:
    """Return how far each of the first batches moves a weight whose gradients are 1."""
    optimizer, weight = build_optimizer(config, length), keras.Variable(0.0)
    optimizer.build([weight])
    positions = [0.0]
    for _ in range(batches):
        optimizer.apply([tf.constant(1.0)], [weight])
        positions.append(float(weight))
    return [before - after for before, after in itertools.pairwise(positions)]


def test_steps_are_batches() -> None:
    length = training_length(small_config(training__steps=7), videos=12)
    assert (length.steps, length.batches(3)) == (7, 3)


def test_epochs_are_batches_of_the_training_videos() -> None:
    """12 videos in batches of 5 are 2.4 batches; the last epoch is rounded up."""
    config = small_config(training__steps=None, training__epochs=3, training__batch_size=5)
    length = training_length(config, videos=12)
    assert length.steps == 8
    assert [length.batches(epochs) for epochs in (1, 2, 3)] == [2, 5, 7]
    config.clip.montage = 2
    assert training_length(config, videos=12).steps == 4


def test_schedules_are_in_the_unit_of_the_length() -> None:
    config = small_config(
        training__steps=None,
        training__epochs=4,
        optimizer__schedule="steps",
        optimizer__boundaries=(1, 2.5),
        optimizer__learning_rate=1.0,
    )
    length = training_length(config, videos=4)  # two batches an epoch
    expected = pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01])
    assert rates(config, length, 8) == expected
    twice = rates(config, length, 16, per_batch=2)
    assert twice[4:6] == pytest.approx([1, 0.1])
    config.training.accumulate, config.optimizer.momentum = 2, 0.0
    assert changes(config, length, 8) == pytest.approx([0, 1, 0, 0.1, 0, 0.1, 0, 0.01])
    config.optimizer.schedule, config.optimizer.warm_up = "cosine", 2
    config.training.accumulate = 1
    assert rates(config, length, 9)[0:9:4] == pytest.approx([0, 1, 0])


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0, 0.25, 0.5, 0.75, 1, 1, 1, 1]),
        ("steps", [0, 0.25, 0.5, 0.75, 1, 1, 1, 0.1]),
        ("cosine", [0, 0.25, 0.5, 0.75, 1, 0.853553, 0.5, 0.146447]),
    ],
)
def test_every_schedule_has_a_warm_up(schedule: str, expected: list[float]) -> None:
    config = small_config(
        training__steps=8,
        optimizer__schedule=schedule,
        optimizer__boundaries=(6,),
        optimizer__warm_up=4,
        optimizer__learning_rate=1.0,
    )
    length = training_length(config, videos=4)
    optimizer = build_optimizer(config, length)
    copy = type(optimizer).from_config(optimizer.get_config())  # as SidewaysTrainer makes them
    for each in (optimizer, copy):
        found = [float(each._learning_rate(number)) for number in range(8)]
        assert found == pytest.approx(expected, abs=1e-6)


def test_the_rate_grows_with_the_clips_of_an_update() -> None:
    """16 joined clips, twice 4 of 2, where the rate is for 4: four times the rate."""
    config = small_config(
        training__batch_size=4,
        training__accumulate=2,
        clip__montage=2,
        optimizer__learning_rate=0.1,
        optimizer__schedule="steps",
        optimizer__boundaries=(1,),
    )
    length = training_length(config, videos=4)
    assert rates(config, length, 3) == pytest.approx([0.1, 0.1, 0.01])
    config.optimizer.base_batch = 4
    assert rates(config, length, 3) == pytest.approx([0.4, 0.4, 0.04])


def test_a_run_of_epochs_evaluates_by_epochs(tmp_path: pathlib.Path) -> None:
    config = small_config(
        training__steps=None, training__epochs=2, training__evaluate_every=1, training__batch_size=6
    )
    rows = list(train(config, tmp_path / "run").rows())
    assert [row["step"] for row in rows if row["split"] == "evaluation"] == [2, 4]


def test_a_length_is_given_once() -> None:
    both = override(small_config(), ["--config.training.epochs=2"])
    with pytest.raises(ValueError, match="either steps or epochs. Received: steps 6, epochs 2"):
        build(both)
    neither = override(small_config(), ["--config.training.steps=None"])
    with pytest.raises(ValueError, match="Received: steps None, epochs None"):
        build(neither)
