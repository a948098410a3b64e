"""The ranges of the numbers in a config.

A number out of range is refused by the name of its key when the config is loaded, and not hours
later, by the code that happens to use it.
"""

import math
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from mpvn.metadata import SAMPLINGS, SHORT
from mpvn.training.options import unknown
from mpvn.training.run_folder import flat


class Range(NamedTuple):
    """The numbers from `low` to `high`.

    Attributes:
        low: the smallest number.
        high: the largest number.
        above: whether the number must be larger than `low`.
        below: whether it must be smaller than `high`.
        ascending: whether a sequence must not fall.
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False
    ascending: bool = False

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int | float) or not math.isfinite(number):
            return False
        from_low = number > self.low if self.above else number >= self.low
        return from_low and (number < self.high if self.below else number <= self.high)

    def __str__(self) -> str:
        low = f"{'above' if self.above else 'at least'} {self.low:.10g}"
        high = f"{'below' if self.below else 'at most'} {self.high:.10g}"
        order = ", in ascending order" if self.ascending else ""
        return (low if math.isinf(self.high) else f"{low} and {high}") + order


def is_weighted(pair: Any) -> bool:
    """Return whether `pair` is a pair of anything and a finite number of at least 0."""
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        return False
    return not isinstance(pair[1], bool) and pair[1] in Range(0)


_COUNT = Range(1)
_NOT_NEGATIVE = Range(0)
_POSITIVE = Range(0, above=True)
_SHARE = Range(0, 1)

RANGES = {
    "seed": Range(0, 2**32, below=True),
    "distillation.weight": _NOT_NEGATIVE,
    "data.flow.stack": _COUNT,
    "data.flow.bound": _POSITIVE,
    "clip.frames": _COUNT,
    "clip.stride": _COUNT,
    "clip.fps": _POSITIVE,
    "clip.window": _COUNT,
    "clip.montage": _COUNT,
    "clip.shorter_side": _COUNT,
    "clip.evaluated": _COUNT,
    "views.clips": _COUNT,
    "views.crops": _COUNT,
    "views.size": _COUNT,
    "views.scale": _COUNT,
    "augmentation.scale": Range(0, 1, above=True, ascending=True),
    "augmentation.brightness": _NOT_NEGATIVE,
    "augmentation.contrast": _SHARE,
    "augmentation.saturation": _SHARE,
    "augmentation.hue": Range(0, 0.5),
    "augmentation.rand_augment": _NOT_NEGATIVE,
    "augmentation.magnitude": _SHARE,
    "augmentation.mixup": _SHARE,
    "augmentation.cutmix": _SHARE,
    "task.latency": _NOT_NEGATIVE,
    "model.size": _COUNT,
    "model.head.dropout": Range(0, 1, below=True),
    "plan.subnetworks": _COUNT,
    "optimizer.learning_rate": _NOT_NEGATIVE,
    "optimizer.base_batch": _COUNT,
    "optimizer.momentum": _SHARE,
    "optimizer.weight_decay": _NOT_NEGATIVE,
    "optimizer.clip_norm": _POSITIVE,
    "optimizer.boundaries": Range(0, ascending=True),
    "optimizer.factor": _POSITIVE,
    "optimizer.warm_up": _NOT_NEGATIVE,
    "training.steps": _COUNT,
    "training.epochs": _COUNT,
    "training.batch_size": _COUNT,
    "training.accumulate": _COUNT,
    "training.checkpoint_every": _COUNT,
    "training.evaluate_every": _COUNT,
    "training.evaluate_first": _COUNT,
    "training.update_every": _COUNT,
    "training.batch_norm_momentum": _SHARE,
    "training.label_smoothing": Range(0, 1, below=True),
    "training.non_finite_patience": _COUNT,
}
"""The range of each key that holds a number, or a sequence of numbers, or None."""


CHOICES = {"clip.sampling": SAMPLINGS, "clip.short": SHORT}
"""The values of keys that become metadata of the network."""


def check_ranges(config: ConfigDict) -> None:
    """Check that every number of `config` is in its range, and every choice exists.

    Raises:
        ValueError: numbers are out of range, are not numbers, or are missing; all are named. Or a
            choice does not exist.
    """
    values = flat(config.to_dict())
    faults = []
    for key, allowed in RANGES.items():
        if key not in values:
            faults.append(
                f"config.{key}: expected a number {allowed}. Received: no such key. Start from "
                "base_config()."
            )
        elif values[key] is not None and not _allows(allowed, values[key]):
            faults.append(f"config.{key}: expected a number {allowed}. Received: {values[key]!r}.")
    if faults:
        raise ValueError("\n".join(faults))
    for key, choices in CHOICES.items():
        if values[key] not in choices:
            raise unknown(f"config.{key}", values[key], choices)


def _allows(allowed: Range, value: Any) -> bool:
    numbers = value if isinstance(value, tuple | list) else (value,)
    in_order = not allowed.ascending or list(numbers) == sorted(numbers)
    return all(number in allowed for number in numbers) and in_order
