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


def calibrate(model: keras.Model, frames: np.ndarray) -> None:
    """Set the moving statistics of batch norm to those of `frames` `[B, ...]`.

    In a deep network with random statistics, activations die or saturate, and outputs hardly depend
    on the frame. Channels that hardly differ between frames are not blown up to the size of others:
    a hundred such layers would amplify rounding errors to any size.
    """
    norms = [x for x in model._flatten_layers() if isinstance(x, keras.layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    model(frames, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        variance = np.asarray(norm.moving_variance)
        norm.moving_variance.assign(np.maximum(variance, variance.mean()))


def _fan_in(variable: keras.Variable) -> int:
    """Return the number of values in the sum of one output; depthwise channels are separate."""
    depthwise = "depthwise" in variable.path
    return int(np.prod(variable.shape[:-2] if depthwise else variable.shape[:-1]))
