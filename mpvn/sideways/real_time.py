"""Networks in real time: what they answer while frames keep arriving, late and compared with now.

A step is the time between two frames. At step t, an output is compared with the target of frame t,
from whichever frame it came. D = 3, `output of frame`:

    step                     0  1  2  3  4  5  6  7  8 ...
    pipeline                 -  -  0  1  2  3  4  5  6        every frame, D - 1 steps late
    blocked                  -  -  0  0  0  0  0  5  5        busy for 2D - 1 steps with a frame

A pipeline, such as one that learns by Sideways, answers at every step. A network that learns by
back-propagation in real time takes a frame, answers D - 1 steps later, and is busy with the
gradient for D - 1 steps more. Meanwhile frames pass, and its last output stands.

(*Sideways*, CVPR 2020, section 4.3 and table 3; the loss is that of equation 3's last line. The
other protocol, on the clock of the source, compares an output with the target of its own frame.)
"""

from typing import Any

import keras
import tensorflow as tf

from keras_layers.folding import fold_time, unfold_time
from keras_layers.sideways_rules import round_trip
from mpvn.network import VideoNetwork
from mpvn.sideways.rules import check_frame_by_frame


class RealTime(keras.Model):
    """A network as its user sees it at the frame rate of the input; for `evaluate`.

    Args:
        network: the network, of D subnetworks.
        blocked: whether it learns by back-propagation meanwhile, and so takes every (2D - 1)th
            frame. Its frame model then runs on single frames, without the plan's delays.

    Call arguments:
        inputs: clips `[B, T, ...]`.

    Output shape:
        That of `network`: at step t, the newest output there is. Before `first_step` there is none:
        these outputs mean nothing.

    Raises:
        ValueError: the network looks into the future; or it is blocked, and needs more than single
            frames.
    """

    def __init__(self, network: VideoNetwork, blocked: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        network.check_streams()
        if blocked:
            check_frame_by_frame(network.plan, "Back-propagation in real time")
        self.network = network
        self.blocked = blocked
        self.autocast = False  # the frame model casts its inputs itself
        self.built = True

    @property
    def first_step(self) -> int:
        """The first step with an output that has seen a frame on all paths; 0 if primed."""
        network, plan = self.network, self.network.plan
        if network.start == "primed":
            return 0
        if self.blocked:
            return plan.depth - 1
        return max(plan.information_latency[1], network.first_informed_step)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if not self.blocked:
            return self.network(inputs, training=training)
        clip = self.network.convert_inputs(inputs, "clip")
        period = round_trip(self.network.plan.depth)
        outputs = single_frames(self.network, [x[:, ::period] for x in clip], training)
        # At step D - 1 + n * period, the output of frame n * period. Before, that of frame 0, which
        # a primed network has from its first step on.
        steps = tf.range(tf.shape(clip[0])[1])
        newest = tf.maximum(steps - (self.network.plan.depth - 1), 0) // period
        held = [tf.gather(x, newest, axis=1) for x in outputs]
        return self.network.graph.pack_outputs(held)


def single_frames(
    network: VideoNetwork, clip: list[tf.Tensor], training: bool | None
) -> list[tf.Tensor]:
    """Return the outputs `[B, n, ...]` of the frame model for single frames `[B, n, ...]`."""
    graph, (batch, steps) = network.graph, tf.unstack(tf.shape(clip[0])[:2])
    # [B, n, ...] -> [B*n, ...] -> [B, n, ...]
    inputs = keras.tree.pack_sequence_as(graph.input_structure, [fold_time(x) for x in clip])
    outputs = graph.flatten_outputs(network.frame_model(inputs, training=training))
    return [unfold_time(x, batch, steps) for x in outputs]
