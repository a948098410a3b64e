"""Which peaks of the heatmaps belong to which person.

One heatmap per joint shows the joints of all people, so a network says where joints are, but not
whose they are. To evaluate it, each map gives its n highest peaks, where n is the number of people
in the frame on whom the joint is visible. They are assigned to the people one by one, nearest pairs
first. A false peak therefore costs only where it is higher than a right one, and joints of two
people that are so close that their peaks merge count as one found joint.
"""

import math

import tensorflow as tf

from mpvn.tasks.heatmaps import Size, peaks, rescale, visible_joints


@tf.function(autograph=False)  # traced once for all metrics that need it
def assigned_peaks(logits: tf.Tensor, true: tf.Tensor, frame_size: Size) -> tf.Tensor:
    """Return the peak of each joint of each person.

    Args:
        logits: `[..., h, w, J]`.
        true: the joints of people, `[..., people, J, 3]`: x and y in pixels of the frame, and
            visibility.
        frame_size: height and width of the frame.

    Returns:
        float32 `[..., people, J, 3]`: x and y in pixels of the frame, and the height of the peak,
        between 0 and 1. Hidden joints have height 0, except that the first person gets the highest
        peak of a joint that is hidden on all people.
    """
    true = tf.cast(true, tf.float32)
    found = peaks(logits, true.shape[-3], logits=True)
    found = rescale(found, (logits.shape[-3], logits.shape[-2]), frame_size)
    # [..., people, J, 3] -> [..., J, people, 3]
    by_joint = _swap(found)
    order = _assign(_swap(true), by_joint)  # [..., J, people]
    assigned = tf.gather(by_joint, tf.maximum(order, 0), batch_dims=order.shape.rank - 1)
    height = tf.where(order >= 0, assigned[..., 2], 0.0)
    return _swap(tf.concat([assigned[..., :2], height[..., None]], axis=-1))


def _assign(true: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
    """Return the number of the peak of each person, -1 for none.

    Args:
        true: one joint of all people, `[..., people, 3]`.
        found: its peaks, highest first, `[..., people, 3]`.

    Returns:
        int32 `[..., people]`.
    """
    places, visible = visible_joints(true)
    people = tf.range(true.shape[-2])
    visible |= (people == 0) & ~tf.reduce_any(visible, axis=-1, keepdims=True)
    count = tf.reduce_sum(tf.cast(visible, tf.int32), axis=-1, keepdims=True)
    distances = tf.norm(places[..., :, None, :] - found[..., None, :, :2], axis=-1)
    allowed = visible[..., :, None] & (people < count)[..., None, :]
    distances = tf.where(allowed, distances, math.inf)  # [..., people, peaks]
    order = tf.zeros_like(visible, tf.int32) - 1
    for _ in range(true.shape[-2]):
        nearest = tf.reduce_min(distances, axis=-1)  # [..., people]
        person = tf.argmin(nearest, axis=-1, output_type=tf.int32)[..., None]
        peak = tf.argmin(distances, axis=-1, output_type=tf.int32)  # [..., people]
        chosen = (people == person) & (nearest < math.inf)
        order = tf.where(chosen, peak, order)
        taken = people == tf.gather(peak, person, batch_dims=person.shape.rank - 1)  # [..., peaks]
        gone = (people == person)[..., :, None] | taken[..., None, :]
        distances = tf.where(gone, math.inf, distances)
    return order


def _swap(joints: tf.Tensor) -> tf.Tensor:
    """Swap the axes of people and joints of `[..., people, J, 3]`."""
    rank = joints.shape.rank
    return tf.transpose(joints, [*range(rank - 3), rank - 2, rank - 3, rank - 1])
