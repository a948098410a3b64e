"""Pixel ranges: how frames are scaled for networks, and back.

Video files and data sets give pixels as uint8, 0 to 255. The networks and tasks of this package
take floats from -1 to 1; networks of other origin may take 0 to 1, or 0 to 255. The functions
accept NumPy arrays and TensorFlow tensors of any shape, and compute in float32.
"""

from collections.abc import Callable
from typing import Any

import numpy as np


def to_unit(frames: Any) -> Any:
    """Scale pixels from 0..255 to 0..1.

    Args:
        frames: uint8 array, or float32 array or tensor.

    Returns:
        float32 array or tensor of the same shape.
    """
    return frames / np.float32(255)


def to_signed(frames: Any) -> Any:
    """Scale pixels from 0..255 to -1..1; arguments and return value as in `to_unit`."""
    # Rounded as in `Augmentation.finish`: a stream has the pixels of the clips.
    return frames * np.float32(2 / 255) - np.float32(1)


def unit_to_signed(frames: Any) -> Any:
    """Scale float32 pixels from 0..1 to -1..1."""
    return frames * np.float32(2) - np.float32(1)


def to_uint8(frames: np.ndarray) -> np.ndarray:
    """Scale pixels from -1..1 to uint8 0..255, rounded to the nearest integer.

    Args:
        frames: Float array. Values outside -1..1 are clipped; NaN becomes 0, medium gray.

    Returns:
        uint8 array of the same shape.
    """
    clipped = np.clip(np.nan_to_num(frames.astype(np.float32)), -1, 1)
    return np.rint(127.5 * (clipped + 1)).astype(np.uint8)


def to_caffe(frames: Any) -> Any:
    """Convert RGB pixels `[..., 3]` of 0..255 to blue, green and red, minus ImageNet's means."""
    return frames[..., ::-1] - np.array([103.939, 116.779, 123.68], np.float32)


def to_torch(frames: Any) -> Any:
    """Scale RGB pixels `[..., 3]` from 0..255 to ImageNet's mean and deviation, as torchvision."""
    deviation = np.array([0.229, 0.224, 0.225], np.float32)
    return (to_unit(frames) - np.array([0.485, 0.456, 0.406], np.float32)) / deviation


RANGES: dict[str, Callable[[Any], Any]] = {
    "0..255": lambda frames: frames,
    "0..1": to_unit,
    "-1..1": to_signed,
    "caffe": to_caffe,
    "torch": to_torch,
}
"""For each pixel range that a network may take, the function that scales 0..255 to it. `"caffe"`
and `"torch"` are called so in `preprocess_input` of `keras.applications`."""

_FAR = 10  # half widths of a range


def far_values(name: str) -> tuple[float, float]:
    """Return the bounds beyond which a value is no pixel of a range, but one of another range.

    They leave room for filters and noise. Frames of 0..255 are beyond those of the other ranges.

    Args:
        name: a key of `RANGES`.
    """
    ends = RANGES[name](np.array([[0, 0, 0], [255, 255, 255]], np.float32))
    middle, half = (float(f(ends.max(), ends.min()) / 2) for f in (np.add, np.subtract))
    return middle - _FAR * half, middle + _FAR * half
