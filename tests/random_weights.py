"""Random weights for a whole model, so that no weight in a test is zero, one, or symmetric."""

import keras
import numpy as np


def randomize(layer: keras.layers.Layer, rng: np.random.Generator) -> None:
    """Set all weights of `layer`: kernels are scaled to keep activations finite.

    Batch norm gets random weights and statistics, too: with its initial values it is nearly the
    identity, and a test would not notice a skipped batch norm.
    """
    for variable in layer.variables:
        if "float" not in keras.backend.standardize_dtype(variable.dtype):
            continue  # a random seed
        if any(part in variable.path for part in ("variance", "gamma")):
            value = rng.uniform(0.5, 1.5, variable.shape)
        elif len(variable.shape) > 1:
            scale = np.sqrt(1.5 / _fan_in(variable))
            value = rng.normal(0, scale, variable.shape)
        else:
            value = rng.normal(0, 0.3, variable.shape)
        variable.assign(value)


def _fan_in(variable: keras.Variable) -> int:
    """Return the number of values in the sum of one output; depthwise channels are separate."""
    depthwise = "depthwise" in variable.path
    return int(np.prod(variable.shape[:-2] if depthwise else variable.shape[:-1]))
