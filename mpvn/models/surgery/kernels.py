"""Convolution kernels for inputs that the kernel was not trained on, as NumPy arrays.

- Inflation gives a 2D kernel a time axis (*Quo Vadis, Action Recognition?*, 2017). On a video of
  one repeated image, the inflated convolution computes what the 2D convolution computes on the
  image.
- Averaging gives a kernel other input channels, such as optical flow instead of RGB (*Temporal
  Segment Networks*, section 3.2, cross-modality pre-training).
"""

import numpy as np

INFLATIONS = ("center", "mean")
"""How a 2D kernel is distributed over the frames of a temporal kernel.

- `"center"`: the present frame gets the kernel, the other frames get zeros. On every video, the
  output for a frame is that of the 2D convolution; training decides which other frames count.
- `"mean"`: every frame gets the kernel divided by the number of frames.
"""


def check_inflation(inflation: str) -> None:
    """Raise a `ValueError` unless `inflation` is a known value."""
    if inflation not in INFLATIONS:
        raise ValueError(
            f"Invalid inflation. Expected one of {INFLATIONS}. Received: {inflation!r}"
        )


def inflate_kernel(
    kernel: np.ndarray, frames: int, present: int, inflation: str = "center"
) -> np.ndarray:
    """Return a temporal kernel.

    Args:
        kernel: `[h, w, in, out]`.
        frames: Number of frames of the temporal kernel.
        present: Index of the present frame.
        inflation: One of `INFLATIONS`.

    Returns:
        `[frames, h, w, in, out]`.
    """
    check_inflation(inflation)
    if inflation == "mean":
        return np.repeat(kernel[None], frames, axis=0) / frames
    inflated = np.zeros((frames, *kernel.shape), kernel.dtype)
    inflated[present] = kernel
    return inflated


def average_channels(kernel: np.ndarray, channels: int, axis: int) -> np.ndarray:
    """Return a kernel for another number of input channels.

    Each new input channel gets the mean of `kernel` over its input channels.

    Args:
        kernel: Kernel of a convolution, in any layout.
        channels: Number of input channels of the new kernel.
        axis: Axis of the input channels.
    """
    return np.repeat(kernel.mean(axis=axis, keepdims=True), channels, axis=axis)
