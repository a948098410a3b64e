"""Clips that end before all nodes read values made of frames."""

import warnings

import keras
import pytest
from small_models import chain

from keras_layers import TemporalConv3D, TemporalMaxPooling3D
from mpvn import Plan, VideoNetwork
from mpvn.training.build.network import warn_of_short_clips


def network(phases: str = "aligned", start: str = "zeros") -> VideoNetwork:
    """Three subnetworks. Aligned, frame 0 reaches c1 at step 4, and c2 at step 8."""
    model = chain(2, 2, 2)
    return VideoNetwork(model, Plan(model, 3, clocks=[1, 4, 8], phases=phases), start=start)


def test_nodes_that_no_frame_reaches_are_named() -> None:
    """A student of the demo saw zeros in training, and its heatmaps were noise in a stream."""
    message = "have 8 frames, and it takes 9 until .* 1 nodes, 'c2' first.*phases=chain"
    with pytest.warns(RuntimeWarning, match=message):
        warn_of_short_clips(network(), 8)
    with pytest.warns(RuntimeWarning, match="2 nodes, 'c1' first"):
        warn_of_short_clips(network(), 4)


def test_clips_that_are_long_enough_are_fine() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_short_clips(network(), 9)
        warn_of_short_clips(network("chain"), 3)
        warn_of_short_clips(network(start="primed"), 1)


def test_a_node_waits_until_its_window_is_full() -> None:
    """Once, a student pooled a frame and zeros in all of its clips, and two frames in streams."""
    frame = keras.Input((8, 8, 3))
    x = TemporalMaxPooling3D((2, 1, 1), name="half")(frame)  # ticks at 0, 2, ...; reads t - 1, t
    x = TemporalConv3D(4, (3, 1, 1), name="conv")(x)  # ticks at 0, 2, ...; reads t - 4, t - 2, t
    x = TemporalMaxPooling3D((2, 1, 1), name="pool")(x)  # ticks at 0, 4, ...; reads t - 2, t
    plan = Plan(keras.Model(frame, x))
    assert dict(zip(plan.nodes, plan.first_full_steps, strict=True)) == {
        "half": 2,
        "conv": 4,
        "pool": 4,
    }
