"""Random weights for a whole model, so that nothing in a test is zero, one or symmetric."""

import keras
import numpy as np


def randomize(layer: keras.layers.Layer, rng: np.random.Generator) -> None:
    """Sets all weights of `layer`: kernels scaled to keep activations finite, variances positive.

    Batch norm gets a random gamma, beta, mean and variance too: at their initial values the layer
    is nearly the identity, and a test would not see it skipped.
    """
    for variable in layer.variables:
        if "float" not in keras.backend.standardize_dtype(variable.dtype):
            continue  # the state of a random seed
        if any(part in variable.path for part in ("variance", "gamma")):
            value = rng.uniform(0.5, 1.5, variable.shape)
        elif len(variable.shape) > 1:
            scale = np.sqrt(1.5 / _fan_in(variable))
            value = rng.normal(0, scale, variable.shape)
        else:
            value = rng.normal(0, 0.3, variable.shape)
        variable.assign(value)


def _fan_in(variable: keras.Variable) -> int:
    """Values that one output of a kernel sums over; a depthwise kernel's channels stay apart."""
    depthwise = "depthwise" in variable.path
    return int(np.prod(variable.shape[:-2] if depthwise else variable.shape[:-1]))
