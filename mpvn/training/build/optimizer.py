"""The optimizer and its learning-rate schedule."""

from typing import Any

import keras
from ml_collections import ConfigDict

from mpvn.training.build.length import Length
from mpvn.training.optimizers import SGD, Adam
from mpvn.training.options import unknown


def build_optimizer(
    config: ConfigDict, length: Length, updates: int = 1
) -> keras.optimizers.Optimizer:
    """Return the optimizer with its schedule.

    Args:
        config: the config.
        length: how long to train.
        updates: times per batch that the optimizer gets gradients: more than one for trainers that
            update within clips.

    Raises:
        ValueError: there is no such optimizer or schedule.
    """
    optimizer, accumulate = config.optimizer, config.training.accumulate
    common = {
        "learning_rate": _schedule(config, length, updates),
        "decay": optimizer.weight_decay,
        "decay_exclude": optimizer.decay_exclude,
        "rates": optimizer.rates,
        "global_clipnorm": optimizer.clip_norm,
        "gradient_accumulation_steps": accumulate if accumulate > 1 else None,
    }
    if optimizer.name == "sgd":
        return SGD(momentum=optimizer.momentum, **common)
    if optimizer.name == "adam":
        return Adam(**common)
    raise unknown("config.optimizer.name", optimizer.name, ("sgd", "adam"))


def _schedule(config: ConfigDict, length: Length, updates: int) -> Any:
    """Return the learning rate: a number or a Keras schedule.

    Keras asks a schedule by the number of gradients so far, also if it accumulates several for a
    change of the weights.
    """
    optimizer = config.optimizer
    rate = optimizer.learning_rate
    warm_up = updates * length.batches(optimizer.warm_up)
    if optimizer.schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(
            0.0 if warm_up else rate,
            max(1, updates * length.steps - warm_up),
            warmup_target=rate if warm_up else None,
            warmup_steps=warm_up,
        )
    if warm_up:
        raise ValueError(
            "config.optimizer.warm_up: expected config.optimizer.schedule=cosine. Received: "
            f"{optimizer.schedule!r}"
        )
    if optimizer.schedule == "steps":
        if not optimizer.boundaries:
            raise ValueError(
                "config.optimizer.boundaries: expected when the rate falls, because "
                "config.optimizer.schedule is 'steps'. Received: (). Add "
                "--config.optimizer.boundaries='(100,200)', or choose another schedule"
            )
        boundaries = [updates * length.batches(each) for each in optimizer.boundaries]
        rates = [rate * optimizer.factor**n for n in range(len(boundaries) + 1)]
        return keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, rates)
    if optimizer.schedule == "constant":
        return rate
    schedules = ("constant", "steps", "cosine")
    raise unknown("config.optimizer.schedule", optimizer.schedule, schedules)
