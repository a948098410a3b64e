"""Arrays of strings, which NumPy would cut at zero bytes: it must keep them as objects."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np


def string_array(values: Iterable[bytes | str], shape: tuple[int, ...]) -> np.ndarray:
    """Return the strings as an array of objects of a shape."""
    flat = list(values)
    array = np.empty(len(flat), object)
    array[:] = flat
    return array.reshape(shape)


def map_strings(function: Callable[[Any], bytes | str], array: np.ndarray) -> np.ndarray:
    """Return an array of what `function` returns for each object in `array`."""
    return string_array(map(function, array.flat), array.shape)
