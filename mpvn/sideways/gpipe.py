"""GPipe: frames as micro-batches through a pipeline that waits (Huang et al., 2019).

    forward    every frame through every subnetwork, no delays; of each subnetwork and frame only
               what enters it is kept
    backward   every frame back, each subnetwork computed again from what entered it

With a device for each subnetwork they run side by side, on different frames. Gradients are those of
back-propagation on single frames, the baseline of *Skip-Sideways* (CVPR 2021): what the pipeline
waits for is written out by `mpvn.sideways.schedule`.

What it does not do well: batch norm takes its statistics over each micro-batch, which is a frame of
each clip of the batch; the graph grows with the clip.
"""

import itertools
from typing import TYPE_CHECKING

import tensorflow as tf

from mpvn.executors.remat import Place, run_segment
from mpvn.plan.graph import Node
from mpvn.sideways.rules import check_frame_by_frame

if TYPE_CHECKING:
    from mpvn.plan import Plan


def gpipe(plan: "Plan", clip: list[tf.Tensor], training: bool | None = None) -> list[tf.Tensor]:
    """Runs a clip.

    Args:
        plan: which nodes form which subnetwork, and where it runs; its delays are left out.
        clip: `[B, T, ...]` for each input of the frame model, T known.
        training: as in Keras.

    Returns:
        `[B, T, ...]` for each output of the frame model: at t, that of frame t.

    Raises:
        ValueError: the plan has feedback, slow clocks, or layers that look back in time; or T is
            not known.
    """
    check_frame_by_frame(plan, "GPipe")
    if clip[0].shape[1] is None:
        raise ValueError(
            "GPipe lays out every frame of a clip: expected clips of known length. Received: shape "
            f"{tuple(clip[0].shape)}. Batch clips of one length, in episodes that divide it"
        )
    frames = zip(*(tf.unstack(tensor, axis=1) for tensor in clip), strict=True)
    runs = [_Frame(plan, list(values), training) for values in frames]
    for _, group in itertools.groupby(plan.graph.nodes, plan.subnetwork):
        nodes = list(group)
        for run in runs:
            run_segment(run, nodes)
    outputs = [[run.values["now", t] for run in runs] for t in plan.graph.outputs]
    return [tf.stack(values, axis=1) for values in outputs]


class _Frame:
    """The tensors of one frame while it is being computed, ("now", tensor)."""

    def __init__(self, plan: "Plan", frame: list[tf.Tensor], training: bool | None) -> None:
        self.plan = plan
        self.training = training
        tensors = zip(plan.graph.inputs, frame, strict=True)
        self.values: dict[Place, tf.Tensor] = {("now", t): value for t, value in tensors}

    def node(self, node: Node) -> None:
        with tf.device(self.plan.device(node)):
            read = [self.values["now", tensor] for tensor in node.inputs]
            made = node.call(read, self.training)
        self.values.update(zip((("now", t) for t in node.outputs), made, strict=True))

    def entering(self, nodes: list[Node]) -> list[Place]:
        """Where `nodes` look for what they do not make themselves."""
        made = {tensor for node in nodes for tensor in node.outputs}
        read = dict.fromkeys(tensor for node in nodes for tensor in node.inputs)
        return [("now", tensor) for tensor in read if tensor not in made]

    def leaving(self, nodes: list[Node]) -> list[Place]:
        """Where others look for what `nodes` make."""
        inside = {node.index for node in nodes}
        others = [node for node in self.plan.graph.nodes if node.index not in inside]
        read = {t for node in others for t in node.inputs} | set(self.plan.graph.outputs)
        return [("now", t) for node in nodes for t in node.outputs if t in read]
