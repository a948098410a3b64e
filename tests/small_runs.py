"""Small runs for the tests of training: a narrow network on a few small rendered videos."""

import json
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from mpvn.training import RunData, RunFolder, base_config, build
from mpvn.training.checkpoint import save_checkpoint


def small_config(**changes: Any) -> ConfigDict:
    """Return the config of six batches of a narrow Simple-CNN on small clips.

    Args:
        changes: values by key, with two underscores for a dot, such as `training__steps=2`.
    """
    config = base_config()
    config.data.train = {"count": 12, "frames": 8}
    config.data.evaluation = {"count": 4, "frames": 8}
    config.clip.frames = 6
    config.task.name = "action"
    config.model.name = "simple_cnn"
    config.model.size = 16
    config.model.options = {"width": 0.125, "norm": "batch"}
    config.training.steps = 6
    config.training.batch_size = 2
    config.training.checkpoint_every = 4
    config.training.evaluate_every = 3
    config.update_from_flattened_dict({k.replace("__", "."): v for k, v in changes.items()})
    return config


def untrained_run(path: Any, config: ConfigDict) -> RunFolder:
    """Write the run of a network that has its initial weights, as if it were trained."""
    folder = RunFolder(path)
    experiment = build(config)
    sets = experiment.training.videos, experiment.evaluation.videos
    data = RunData.of(config, experiment.names, *sets)
    folder.keep(data)
    experiment.network.metadata = data.metadata
    folder.start(config)
    state = {"step": 0, "best": 0.0, "names": experiment.names}
    save_checkpoint(folder.best, experiment.network, experiment.optimizers, state)
    experiment.network.save(folder.network)
    return folder


def weights(folder: RunFolder) -> dict[str, np.ndarray]:
    """Return all arrays of the last checkpoint: weights, seeds, optimizer states."""
    with np.load(folder.last) as stored:
        return {name: stored[name] for name in stored if name not in ("about", "checksum")}


def steps(folder: RunFolder) -> int:
    """Return the number of batches that the last checkpoint was trained on."""
    if not folder.last.exists():
        return 0
    with np.load(folder.last) as stored:
        return json.loads(stored["about"].tobytes())["step"]
