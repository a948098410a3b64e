"""What a run says before its first batch: what its config leaves to be noticed otherwise."""

from ml_collections import ConfigDict

from mpvn.models.loading import is_saved_model
from mpvn.training.build.length import Length
from mpvn.training.build.optimizer import clips_of_update, scaled_rate


def first_words(config: ConfigDict, length: Length) -> list[str]:
    """Return lines for the terminal.

    Args:
        config: that of the run.
        length: how long to train.
    """
    return [*_weights(config), *_learning_rate(config, length)]


def _weights(config: ConfigDict) -> list[str]:
    model = config.model
    if model.weights or model.initial or is_saved_model(model.name):
        return []
    return [
        f"{model.name} starts from random weights (config.model.weights and config.model.initial "
        "load others)"
    ]


def _learning_rate(config: ConfigDict, length: Length) -> list[str]:
    optimizer, rate = config.optimizer, scaled_rate(config)
    parts = []
    if optimizer.base_batch is not None:
        parts.append(
            f"for {clips_of_update(config)} clips an update, because {optimizer.learning_rate:g} "
            f"is for {optimizer.base_batch} (config.optimizer.base_batch)"
        )
    if optimizer.warm_up:
        parts.append(f"after a warm-up of {length.batches(optimizer.warm_up)} batches")
    return [f"learning rate {rate:g} {', '.join(parts)}"] if parts else []
