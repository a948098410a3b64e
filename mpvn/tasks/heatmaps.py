"""Joints as heatmaps, and heatmaps as joints.

Coordinates refer to the centers of pixels: the top left pixel is (0, 0), and a picture of width W
spans -1/2 to W - 1/2. Scaling a picture therefore maps x to `(x + 1/2) * scale - 1/2`; a plain
`x * scale` would shift all joints by a fraction of a pixel.
"""

import tensorflow as tf

Size = tuple[int, int]

_TINY = 1.2e-38  # about the smallest normal float32


def rescale(joints: tf.Tensor, old: Size, new: Size) -> tf.Tensor:
    """Convert joints `[..., 3]` from pixels of a picture of size `old` to pixels of size `new`.

    Sizes are (height, width). The third value does not change.
    """
    x, y, value = tf.unstack(joints, axis=-1)
    x = (x + 0.5) * (new[1] / old[1]) - 0.5
    y = (y + 0.5) * (new[0] / old[0]) - 0.5
    return tf.stack([x, y, value], axis=-1)


def visible_joints(joints: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return x and y `[..., 2]`, zeros for hidden joints, and the visibility, bool `[...]`."""
    visible = joints[..., 2] > 0
    return tf.where(visible[..., None], joints[..., :2], 0.0), visible


def render_heatmaps(joints: tf.Tensor, frame_size: Size, size: Size, sigma: float) -> tf.Tensor:
    """Render one map per joint, with a Gaussian of height 1 around a visible joint.

    Args:
        joints: `[..., J, 3]`: x and y in pixels of the frame, and visibility, 0 or 1.
        frame_size: height and width of the frame.
        size: height and width of the maps.
        sigma: standard deviation in pixels of the maps.

    Returns:
        Maps `[..., *size, J]` between 0 and 1, float32; zeros for hidden joints.
    """
    joints = rescale(tf.cast(joints, tf.float32), frame_size, size)
    places, visible = visible_joints(joints)
    rows = tf.range(size[0], dtype=tf.float32)[:, None] - places[..., None, :, 1]  # [..., h, J]
    columns = tf.range(size[1], dtype=tf.float32)[:, None] - places[..., None, :, 0]  # [..., w, J]
    high, wide = (tf.exp(-tf.square(line) / (2 * sigma**2)) for line in (rows, columns))
    high *= tf.cast(visible, tf.float32)[..., None, :]
    return high[..., :, None, :] * wide[..., None, :, :]


def peaks(heatmaps: tf.Tensor, logits: bool = False) -> tf.Tensor:
    """Find the peak of each map, with subpixel accuracy.

    Along each axis, a parabola through the logarithms of the highest pixel and its two neighbors
    (at the border, of the three outermost pixels) gives the peak. This is exact for a Gaussian
    around any point of the map with a sigma of at least 0.2 pixels. A peak lies within half a pixel
    of the highest pixel. A constant map has no peak: the result is its first pixel.

    Args:
        heatmaps: `[..., h, w, J]`, at least 3x3.
        logits: whether the maps are logits.

    Returns:
        float32 `[..., J, 3]`: x and y in pixels of the map, and the height of the highest pixel.

    Raises:
        ValueError: if the maps are smaller than 3x3.
    """
    maps = tf.cast(heatmaps, tf.float32)
    high, wide, count = maps.shape[-3:]
    if min(high, wide) < 3:
        raise ValueError(f"Expected heatmaps of at least 3x3 pixels. Received: {high}x{wide}")
    leading = tf.shape(maps)[:-3]
    # [..., h, w, J] -> [N, J, h, w]
    maps = tf.transpose(tf.reshape(maps, [-1, high, wide, count]), [0, 3, 1, 2])
    highest = tf.argmax(tf.reshape(maps, [-1, count, high * wide]), axis=-1, output_type=tf.int32)
    row, column = highest // wide, highest % wide  # [N, J]
    along = tf.gather(maps, row, axis=2, batch_dims=2)  # [N, J, w]
    across = tf.gather(maps, column, axis=3, batch_dims=2)  # [N, J, h]
    top = tf.reduce_max(along, axis=-1)
    x, y = _vertex(_log(along, logits), column), _vertex(_log(across, logits), row)
    joints = tf.stack([x, y, tf.sigmoid(top) if logits else top], axis=-1)
    # [N, J, 3] -> [..., J, 3]
    return tf.reshape(joints, tf.concat([leading, [count, 3]], 0))


def _log(heights: tf.Tensor, logits: bool) -> tf.Tensor:
    if logits:
        return tf.math.log_sigmoid(heights)
    return tf.math.log(tf.maximum(heights, _TINY))


def _vertex(line: tf.Tensor, highest: tf.Tensor) -> tf.Tensor:
    """Find the vertex of the parabola through three pixels of each line.

    Args:
        line: `[N, J, n]`.
        highest: index `[N, J]` of the highest pixel.
    """
    middle = tf.clip_by_value(highest, 1, line.shape[-1] - 2)
    three = tf.gather(line, middle[..., None] + tf.constant([-1, 0, 1]), axis=2, batch_dims=2)
    before, here, after = tf.unstack(three, axis=-1)
    bend = before - 2.0 * here + after
    pixel = tf.cast(highest, tf.float32)
    vertex = tf.cast(middle, tf.float32) + tf.math.divide_no_nan(before - after, 2.0 * bend)
    return tf.where(bend < 0, tf.clip_by_value(vertex, pixel - 0.5, pixel + 0.5), pixel)
