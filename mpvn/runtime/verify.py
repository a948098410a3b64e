"""Checks that a compiled model computes what its unit computes.

Converters have faults, and most do not raise an error: OpenVINO 2026.4 takes a log-softmax behind a
convolution along another axis. So each newly compiled model is compared with TensorFlow once, on
random values. Rounding may turn single values far away, where a unit rounds or compares; a fault
changes most of them.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

TOLERANCES = {"float32": 1e-3, "bfloat16": 0.3}
"""Mean error over the mean value, by the precision in which a model computes."""

_NOT_FINITE = 1e-3  # share of values where only one of the two is finite


def random_values(specs: Sequence[tf.TensorSpec], rows: int) -> list[np.ndarray]:
    """Return random values `[rows, ...]` of the dtypes of `specs`: normal, or 0 and 1."""
    rng = np.random.default_rng(0)
    values = []
    for spec in specs:
        shape = (rows, *spec.shape[1:])
        value = rng.normal(size=shape) if spec.dtype.is_floating else rng.integers(0, 2, shape)
        values.append(value.astype(spec.dtype.as_numpy_dtype))
    return values


def is_equal(value: np.ndarray, expected: np.ndarray, tolerance: float) -> bool:
    """Return whether a value is the expected one, but for rounding.

    Args:
        value, expected: arrays of one shape.
        tolerance: greatest mean error over the mean of what is expected.
    """
    value, expected = (np.asarray(each, np.float64) for each in (value, expected))
    finite = np.isfinite(expected) & np.isfinite(value)
    only_one = np.isfinite(expected) != np.isfinite(value)
    if only_one.mean() > _NOT_FINITE:
        return False
    errors, sizes = np.abs(value[finite] - expected[finite]), np.abs(expected[finite])
    return not errors.size or bool(errors.mean() <= tolerance * sizes.mean())
