"""Trainers other than Keras's `fit` on exact gradients: back-propagation, GPipe, Sideways."""

from ml_collections import ConfigDict

from mpvn.network import VideoNetwork
from mpvn.sideways.back_propagation import BackPropagationTrainer, GPipeTrainer
from mpvn.sideways.sideways_trainer import SidewaysTrainer
from mpvn.sideways.trainer import Trainer
from mpvn.training.options import unknown

TRAINERS = ("bp", "gpipe", "sideways")


def build_trainer(config: ConfigDict, network: VideoNetwork, latency: int) -> Trainer | None:
    """Return the trainer of `network`, or None for Keras's.

    Args:
        config: the config.
        network: the network to train.
        latency: prediction latency of the task.

    Raises:
        ValueError: there is no such trainer, it cannot train the network or follow a teacher, or an
            option belongs to another trainer.
    """
    training = config.training
    name = training.trainer
    if name is None:
        return None
    if name not in TRAINERS:
        raise unknown(
            "config.training.trainer", name, TRAINERS, "None trains by exact gradients along time"
        )
    if config.teacher:
        raise ValueError(
            f"config.training.trainer: {name} cannot follow a teacher. Expected config.teacher "
            f"None. Received: {config.teacher!r}. Leave out one of the two"
        )
    if training.realtime and name != "bp":
        raise ValueError(
            "config.training.realtime: only the trainer bp drops frames. Expected trainer bp. "
            f"Received: trainer {name}"
        )
    if name == "bp":
        return BackPropagationTrainer(network, training.update_every, training.realtime)
    if name == "gpipe":
        return GPipeTrainer(network, training.update_every)
    return SidewaysTrainer(network, training.update_every, latency)
