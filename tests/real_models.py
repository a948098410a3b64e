"""What must hold for any frame model of others: Keras per frame, and streams that give the clip."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from per_frame import as_arrays, per_frame, run_clip
from published_networks import assert_close

from mpvn import Plan, VideoNetwork


def random_clip(model: keras.Model, steps: int, batch: int = 1, seed: int = 5) -> Any:
    """Return random frames in the structure of the inputs of `model`, of their dtypes."""
    rng, graph = np.random.default_rng(seed), Plan(model).graph
    clips = []
    for tensor in (graph.tensors[index] for index in graph.inputs):
        shape = (batch, steps, *tensor.shape)
        if "int" in tensor.dtype or tensor.dtype == "bool":
            clips.append(rng.integers(0, 2 if tensor.dtype == "bool" else 5, shape))
        else:
            clips.append(rng.normal(0, 1, shape))
        clips[-1] = tf.cast(clips[-1], tensor.dtype)
    return keras.tree.pack_sequence_as(graph.input_structure, clips)


def assert_keras_per_frame(model: keras.Model, steps: int = 2, **options: Any) -> None:
    """Compare a network of one subnetwork, layer by layer, with `model` on each frame."""
    clip = random_clip(model, steps, **options)
    network = VideoNetwork(model)
    assert_near(run_clip(network, clip, "layerwise"), per_frame(model, clip, training=False))


def assert_streams_give_the_clip(network: VideoNetwork, steps: int) -> tuple[Any, Any]:
    """Compare `step` with a clip, layer by layer; return the clip and its outputs."""
    clip = random_clip(network.frame_model, steps)
    outputs = run_clip(network, clip, "layerwise")
    assert_near(run_clip(network, clip, "step"), outputs)
    return clip, outputs


def assert_near(actual: Any, expected: Any) -> None:
    """Equal within float32's accuracy, in structures of clips that change in time."""
    for value, other in zip(as_arrays(actual), as_arrays(expected), strict=True):
        assert_close(value, other)
