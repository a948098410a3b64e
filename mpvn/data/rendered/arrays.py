"""Types of the arrays of this package."""

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
"""Indices of frames."""
