"""When the modules of Sideways learn: the index rules, in one place.

*Sideways: Depth-Parallel Training of Video Models* (CVPR 2020), section 3.4. Frames and gradients
cross one module a step. A chain of D modules, modules and steps counted from 0:

    step 0           the first frame enters module 0
    step D - 1       its output leaves module D - 1: the first loss that depends on a frame
    step 2D - 2 - i  the gradient of this loss reaches module i, which learns from now on
    2D - 1 steps     the shortest clip that module 0 learns from

(The paper counts both from 1: module i learns from step 2D - i on.) Before its first step a
module's gradient is masked, gamma in equations 3-5. With shortcuts, the slowest path decides.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf


def round_trip(modules: int) -> int:
    """Return the steps from a frame's entry to its gradient at module 0, both included: 2D - 1."""
    return 2 * modules - 1


def first_learning_steps(modules: int) -> list[int]:
    """Return the first step, from 0, at which each module of a chain learns: 2D - 2 - i.

    Example:
        >>> first_learning_steps(3)
        [4, 3, 2]
    """
    return [round_trip(modules) - 1 - index for index in range(modules)]


def shortest_clip(first_steps: Sequence[int]) -> int:
    """Return how many frames a clip needs so that every module learns at least once.

    Args:
        first_steps: the first step, from 0, at which each module learns.
    """
    return max(first_steps) + 1


def check_clip(steps: int | tf.Tensor, first_steps: Sequence[int], module: str) -> None:
    """Raise an error if a clip is too short for every module to learn.

    Args:
        steps: frames of the clip; a scalar tensor where the length is known only at run time.
        first_steps: the first step, from 0, at which each module learns.
        module: the word for a module in the error message, such as `"subnetwork"`.

    Raises:
        ValueError: `steps` is an int, and too small.
        tf.errors.InvalidArgumentError: `steps` is a tensor, and too small.
    """
    shortest = shortest_clip(first_steps)
    expected = (
        f"Sideways: {module} {list(first_steps).index(shortest - 1)} first learns at frame "
        f"{shortest} of a clip. Expected clips of at least {shortest} frames (2D - 1 for a chain "
        f"of D {module}s)."
    )
    remedy = f"Use longer clips or fewer {module}s."
    if not isinstance(steps, int):
        tf.debugging.assert_greater_equal(steps, shortest, f"{expected} {remedy}")
    elif steps < shortest:
        raise ValueError(f"{expected} Received: clips of {steps} frames. {remedy}")


def mean_factor(steps: Any, first_step: int) -> tf.Tensor:
    """Return the factor from the mean over all steps to the mean over the later ones.

    A loss is a mean over all steps of a clip. A module's gradient is the mean over those steps at
    which the module learns.

    Args:
        steps: frames of the clip, an int or a scalar integer tensor.
        first_step: the step from which the module learns.

    Returns:
        Float64 scalar.
    """
    # At least one step: a clip in inference may be shorter than the masks.
    given, wanted = (tf.cast(tf.maximum(steps - first, 1), tf.float64) for first in (0, first_step))
    return given / wanted
