"""The optimizer and its learning-rate schedule."""

from typing import Any

import keras
from ml_collections import ConfigDict

from mpvn.network import VideoNetwork
from mpvn.training.build.length import Length
from mpvn.training.optimizers import SGD, Adam, check_patterns
from mpvn.training.options import unknown
from mpvn.training.policies import NO_POLICY, POLICIES, Policy


def build_optimizer(
    config: ConfigDict, length: Length, updates: int = 1, policy: Policy = NO_POLICY
) -> keras.optimizers.Optimizer:
    """Return the optimizer with its schedule.

    Args:
        config: the config.
        length: how long to train.
        updates: times per batch that the optimizer gets gradients: more than one for trainers that
            update within clips.
        policy: rates and decay by weight; see `build_policy`.

    Raises:
        ValueError: there is no such optimizer or schedule.
    """
    optimizer, accumulate = config.optimizer, config.training.accumulate
    common = {
        "learning_rate": _schedule(config, length, updates),
        "decay": optimizer.weight_decay,
        "decay_exclude": policy.decay_exclude,
        "rates": policy.rates,
        "global_clipnorm": optimizer.clip_norm,
        "gradient_accumulation_steps": accumulate if accumulate > 1 else None,
    }
    if optimizer.name == "sgd":
        return SGD(momentum=optimizer.momentum, **common)
    if optimizer.name == "adam":
        return Adam(**common)
    raise unknown("config.optimizer.name", optimizer.name, ("sgd", "adam"))


def build_policy(config: ConfigDict, network: VideoNetwork) -> Policy:
    """Return the rates and the decay of the weights of `network`: of the policy and the config.

    Raises:
        ValueError: there is no such policy, or a pattern of the config matches no weight.
    """
    optimizer, context = config.optimizer, "config.optimizer."
    check_patterns(network, optimizer.decay_exclude, optimizer.rates, context)
    if optimizer.policy is None:
        return Policy(optimizer.decay_exclude, optimizer.rates)
    if optimizer.policy not in POLICIES:
        raise unknown(f"{context}policy", optimizer.policy, POLICIES)
    policy = POLICIES[optimizer.policy](network)
    return Policy(
        (*policy.decay_exclude, *optimizer.decay_exclude), (*policy.rates, *optimizer.rates)
    )


def scaled_rate(config: ConfigDict) -> float:
    """Return the learning rate for the clips of an update; see `config.optimizer.base_batch`."""
    optimizer = config.optimizer
    if optimizer.base_batch is None:
        return optimizer.learning_rate
    return optimizer.learning_rate * clips_of_update(config) / optimizer.base_batch


def clips_of_update(config: ConfigDict) -> int:
    """Return the number of clips whose gradients make an update; joined clips count singly."""
    return config.training.batch_size * config.training.accumulate * config.clip.montage


@keras.saving.register_keras_serializable(package="mpvn")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises linearly from 0 to that of another schedule.

    Args:
        rate: the learning rate, or its schedule.
        steps: length of the rise, in updates.
    """

    def __init__(self, rate: Any, steps: int) -> None:
        is_config = isinstance(rate, dict)
        self.rate = keras.saving.deserialize_keras_object(rate) if is_config else rate
        self.steps = steps

    def __call__(self, step: Any) -> Any:
        rate = self.rate(step) if callable(self.rate) else self.rate
        return rate * keras.ops.minimum(keras.ops.cast(step, "float32") / self.steps, 1.0)

    def get_config(self) -> dict[str, Any]:
        return {"rate": keras.saving.serialize_keras_object(self.rate), "steps": self.steps}


def _schedule(config: ConfigDict, length: Length, updates: int) -> Any:
    """Return the learning rate: a number or a Keras schedule.

    Keras asks a schedule by the number of gradients so far, also if it accumulates several for a
    change of the weights.
    """
    optimizer, rate = config.optimizer, scaled_rate(config)
    warm_up = updates * length.batches(optimizer.warm_up)
    if optimizer.schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(
            0.0 if warm_up else rate,
            max(1, updates * length.steps - warm_up),
            warmup_target=rate if warm_up else None,
            warmup_steps=warm_up,
        )
    constant_or_steps = _by_steps(config, length, updates, rate)
    return WarmUp(constant_or_steps, warm_up) if warm_up else constant_or_steps


def _by_steps(config: ConfigDict, length: Length, updates: int, rate: float) -> Any:
    """Return a rate that is constant, or falls by a factor at the boundaries."""
    optimizer = config.optimizer
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
