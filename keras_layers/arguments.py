"""Checks of arguments, and shape rules, that several layers share."""

from collections.abc import Iterable
from typing import Any


def standardize_pair(value: int | tuple[int, int], name: str) -> tuple[int, int]:
    """Return the argument `name` as positive ints (height, width); an int counts for both."""
    return _standardize(value, ("height", "width"), name)


def standardize_triple(value: int | tuple[int, int, int], name: str) -> tuple[int, int, int]:
    """Return the argument `name` as positive ints (time, height, width); an int counts for all."""
    return _standardize(value, ("time", "height", "width"), name)


def _standardize(value: Any, axes: tuple[str, ...], name: str) -> Any:
    each = (value,) * len(axes) if isinstance(value, int) else value
    values = tuple(each) if isinstance(each, Iterable) else ()
    if len(values) != len(axes) or any(not isinstance(v, int) or v < 1 for v in values):
        raise ValueError(
            f"Invalid {name}. Expected a positive int, or positive ints ({', '.join(axes)}). "
            f"Received: {value}"
        )
    return values


def check_padding(padding: str) -> None:
    """Raise a `ValueError` unless `padding` is a spatial padding that Keras knows."""
    if padding not in ("same", "valid"):
        raise ValueError(f"Invalid padding. Expected 'same' or 'valid'. Received: {padding!r}")


def is_clip(shape: Any, frame_rank: int, layer: str) -> bool:
    """Return whether `shape` is that of clips `[B, T, ...]`, not of frames `[B, ...]`.

    Args:
        shape: Shape with the batch axis.
        frame_rank: Rank of a batch of frames.
        layer: Name of the layer, for the message.

    Raises:
        ValueError: If it is neither.
    """
    if len(shape) not in (frame_rank, frame_rank + 1):
        raise ValueError(
            f"Invalid input of layer {layer!r}. Expected a batch of frames (rank {frame_rank}) or "
            f"of clips (rank {frame_rank + 1}). Received: shape={tuple(shape)}"
        )
    return len(shape) == frame_rank + 1


def output_size(size: Any, kernel: int, stride: int, padding: str, dilation: int = 1) -> Any:
    """Return the output size of a convolution or pooling along one spatial axis.

    Args:
        size: Size of the input: an int, None if it is unknown, or a scalar tensor.
        kernel, stride, padding, dilation: As in Keras, along this axis.

    Raises:
        ValueError: If the kernel is larger than the input, and that is known.
    """
    if size is None:
        return None
    border = 0 if padding == "same" else dilation * (kernel - 1)
    if isinstance(size, int) and size <= border:
        raise ValueError(
            f"The kernel is larger than the frame. Expected a frame of at least {border + 1} "
            f"pixels. Received: {size}"
        )
    return -(-(size - border) // stride)
