"""GPipe: frames as micro-batches through a pipeline that waits (Huang et al., NeurIPS 2019).

    for unit in schedule:                forward    every frame through every subnetwork, undelayed;
        for subnetwork in parallel:                 only a subnetwork's inputs are kept
            run its frame of this unit   backward   every frame back; a subnetwork is computed again
                                                    from its inputs

With a device for each subnetwork, they work on different frames at the same time. Without batch
norm, gradients equal back-propagation on single frames, the baseline of *Skip-Sideways* (CVPR
2021). The forward passes run in the order that `mpvn.sideways.schedule` draws.

What it does not do well: batch norm takes its statistics over each micro-batch, one frame of each
clip of the batch; for those of all frames, every batch norm would have to wait for the last frame,
and nothing would run in parallel. The graph grows with the clip. In the backward pass, TensorFlow
respects that a subnetwork waits for the next one, but chooses itself in which order frames come;
the schedule draws the reverse order.
"""

import tensorflow as tf

from mpvn.executors.frame import FrameRun
from mpvn.executors.run import now
from mpvn.executors.segment import run_segment
from mpvn.graph.data import Node
from mpvn.plan import Plan
from mpvn.sideways import schedule
from mpvn.sideways.rules import check_frame_by_frame, check_order


def gpipe(plan: Plan, clip: list[tf.Tensor], training: bool | None = None) -> list[tf.Tensor]:
    """Run a clip.

    Args:
        plan: which nodes form which subnetwork, and where it runs. Its delays are ignored.
        clip: `[B, T, ...]` for each input of the frame model, with known T.
        training: as in Keras.

    Returns:
        `[B, T, ...]` for each output of the frame model: at step t, that of frame t.

    Raises:
        ValueError: the plan has feedback, slow clocks, or layers that look back in time; or
            subnetworks read later ones; or T is unknown.
    """
    check_frame_by_frame(plan, "GPipe")
    check_order(plan, "GPipe")
    if clip[0].shape[1] is None:
        raise ValueError(
            "GPipe puts every frame of a clip into the graph. Expected clips of known length. "
            f"Received: shape={tuple(clip[0].shape)}. Batch clips of one length, which "
            "update_every divides."
        )
    # [B, T, ...] -> T frames [B, ...]
    frames = zip(*(tf.unstack(tensor, axis=1) for tensor in clip), strict=True)
    runs = [FrameRun(plan, list(values), training) for values in frames]
    segments = _segments(plan)
    for subnetwork, task in schedule.gpipe(plan.subnetworks, len(runs)).passes():
        if not task.backward:  # those follow from automatic differentiation
            for nodes in segments[subnetwork]:
                run_segment(runs[task.frame - 1], [*nodes])
    outputs = [[run.values[now(tensor)] for run in runs] for tensor in plan.graph.outputs]
    return [tf.stack(values, axis=1) for values in outputs]


def _segments(plan: Plan) -> list[list[tuple[Node, ...]]]:
    """Return the segments of each subnetwork; the head is a second segment of the last."""
    return [
        [nodes for nodes in plan.parts if plan.column(nodes[0]) == part]
        for part in range(plan.subnetworks)
    ]
