"""What a run says before its first batch."""

from small_runs import small_config

from mpvn.training.build.length import training_length
from mpvn.training.first_words import first_words


def words(**changes: object) -> list[str]:
    config = small_config(**changes)
    return first_words(config, training_length(config, videos=12))


def test_random_weights_are_announced() -> None:
    (line,) = words()
    assert line.startswith("simple_cnn starts from random weights (config.model.weights")
    for changes in ({"model__initial": "runs/a"}, {"model__name": "a.keras"}):
        assert not words(**changes)


def test_the_learning_rate_that_follows_is_announced() -> None:
    _, line = words(
        training__steps=None,
        training__epochs=3,
        training__batch_size=4,
        training__accumulate=8,
        optimizer__learning_rate=0.01,
        optimizer__base_batch=64,
        optimizer__warm_up=2,
    )
    assert line == (
        "learning rate 0.005 for 32 clips an update, because 0.01 is for 64 "
        "(config.optimizer.base_batch), after a warm-up of 6 batches"
    )
