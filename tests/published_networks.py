"""Narrow published networks with random weights, in configurations that cover their options."""

from typing import Any

import keras
import numpy as np
from random_weights import randomize

import mpvn
from mpvn.models import PUBLISHED

CONFIGURATIONS: dict[str, tuple[str, dict[str, Any], int]] = {
    "densenet, actions": ("par_densenet", {"classes": 6}, 14),
    "densenet, temporal, feedback": (
        "par_densenet",
        {"joints": 5, "temporal_kernel": 2, "temporal_filters": "all", "feedback": "head_input"},
        7,
    ),
    "densenet, no clocks": ("par_densenet", {"clocks": False, "temporal_kernel": 2}, 2),
    "inception": ("par_inception", {"joints": 5}, 10),
    "inception, feedback": ("par_inception", {"joints": 5, "feedback": "heatmaps"}, 5),
    "i3d, causal": ("i3d_inception", {"classes": 6, "temporal_padding": "causal"}, 5),
    "resnet, replace": (
        "i3d_resnet50_replace",
        {"temporal_padding": "causal", "classes": 6, "layout": "keras"},
        4,
    ),
    "resnet, 3x1x1, non-local": (
        "i3d_resnet50_3x1x1",
        {
            "temporal_padding": "causal",
            "temporal_strides": (1, 1, 2),
            "classes": 6,
            "non_local": True,
            "frames": 4,
        },
        4,
    ),
    "simple_cnn": ("simple_cnn", {"classes": 6}, 6),
    "simple_cnn, frames in pairs": ("simple_cnn", {"classes": 6, "block": (2, 2, 2)}, 6),
    "autoencoder": ("autoencoder", {}, 6),
    "vgg8": ("vgg8", {"classes": 6}, 8),
    "vgg16": ("vgg16", {"classes": 6, "block": 2}, 8),
    "full_res": ("full_res", {}, 8),
    "causal_vgg_3d": ("causal_vgg_3d", {"classes": 6}, 8),
}
"""Network, options, and number of subnetworks."""


def small_model(name: str, **options: Any) -> keras.Model:
    """Build a narrow network over frames of 32x32, with random weights in all its layers."""
    options = {"width": 0.02 if "vgg" in name else 0.1, **options}
    model = PUBLISHED[name].build((32, 32, 3), **options)
    randomize(model, np.random.default_rng(4))
    return model


def small_network(configuration: str) -> mpvn.VideoNetwork:
    """Build a configuration with its published plan."""
    name, options, subnetworks = CONFIGURATIONS[configuration]
    model = small_model(name, **options)
    return mpvn.VideoNetwork(model, PUBLISHED[name].plan(model, subnetworks))


def stream(network: mpvn.VideoNetwork, clip: np.ndarray) -> np.ndarray:
    """The outputs `[B, T, ...]` of `network.step` on each frame of a clip."""
    state, steps = network.initial_state(len(clip)), []
    for time in range(clip.shape[1]):
        outputs, state = network.step(clip[:, time], state)
        steps.append(outputs)
    return np.stack(steps, axis=1)


def assert_close(actual: np.ndarray, expected: np.ndarray) -> None:
    """Equal within float32's accuracy, where the expected outputs are finite and change in time."""
    scale = float(np.std(expected))
    assert np.isfinite(scale)
    assert len({step.tobytes() for step in expected[0]}) > 1, "all steps look alike"
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-3 * scale)
