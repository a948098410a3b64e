"""The length of training: in batches, or in epochs of the training videos."""

import dataclasses
import math

from ml_collections import ConfigDict


@dataclasses.dataclass(frozen=True)
class Length:
    """How long to train.

    Attributes:
        steps: number of batches.
        unit: batches per unit of the config: 1 if it gives steps; the batches of an epoch, a
            fraction, if it gives epochs.
    """

    steps: int
    unit: float

    def batches(self, length: float) -> int:
        """Return how many batches a length of the config is, such as `evaluate_every`."""
        return round(length * self.unit)


def training_length(config: ConfigDict, videos: int) -> Length:
    """Return the length of training on `videos` videos.

    Raises:
        ValueError: `config` gives both steps and epochs, or neither.
    """
    training = config.training
    if (training.steps is None) == (training.epochs is None):
        raise ValueError(
            "config.training: expected either steps or epochs. Received: "
            f"steps {training.steps}, epochs {training.epochs}. Set the other to None, such as "
            "--config.training.epochs=None"
        )
    if training.epochs is None:
        return Length(training.steps, 1.0)
    unit = videos / (training.batch_size * config.clip.montage)
    return Length(math.ceil(training.epochs * unit), unit)
