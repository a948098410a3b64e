"""Joints as heatmaps, and heatmaps as joints.

All people of a frame share one heatmap per joint (*Massively Parallel Video Networks*, appendix C).

Coordinates refer to the centers of pixels: the top left pixel is (0, 0), and a picture of width W
spans -1/2 to W - 1/2. Scaling a picture therefore maps x to `(x + 1/2) * scale - 1/2`; a plain
`x * scale` would shift all joints by a fraction of a pixel.
"""

import functools
import math

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
    """Render one map per joint, with a Gaussian of height 1 around each visible joint.

    Where Gaussians of several people overlap, the map is the highest of them.

    Args:
        joints: `[..., people, J, 3]`: x and y in pixels of the frame, and visibility, 0 or 1.
        frame_size: height and width of the frame.
        size: height and width of the maps.
        sigma: standard deviation in pixels of the maps.

    Returns:
        Maps `[..., *size, J]` between 0 and 1, float32; zeros for hidden joints.
    """
    joints = rescale(tf.cast(joints, tf.float32), frame_size, size)
    # One person after the other, because the maps of all people at once may not fit in memory.
    maps = (_render_person(person, size, sigma) for person in tf.unstack(joints, axis=-3))
    return functools.reduce(tf.maximum, maps)


def _render_person(joints: tf.Tensor, size: Size, sigma: float) -> tf.Tensor:
    """Render joints `[..., J, 3]` in pixels of the maps."""
    places, visible = visible_joints(joints)
    rows = tf.range(size[0], dtype=tf.float32)[:, None] - places[..., None, :, 1]  # [..., h, J]
    columns = tf.range(size[1], dtype=tf.float32)[:, None] - places[..., None, :, 0]  # [..., w, J]
    high, wide = (tf.exp(-tf.square(line) / (2 * sigma**2)) for line in (rows, columns))
    high *= tf.cast(visible, tf.float32)[..., None, :]
    return high[..., :, None, :] * wide[..., None, :, :]


def peaks(heatmaps: tf.Tensor, people: int = 1, logits: bool = False) -> tf.Tensor:
    """Find the highest peaks of each map, with subpixel accuracy.

    A peak is a pixel that is higher than its eight neighbors; of equal neighbors, it is the first.
    Along each axis, a parabola through the logarithms of this pixel and its two neighbors (at the
    border, of the three outermost pixels) gives the place of the peak. This is exact for a Gaussian
    around any point of the map with a sigma of at least 0.2 pixels. A peak lies within half a pixel
    of its pixel. If a map has fewer peaks, its highest peak is repeated. The peak of a constant map
    is its first pixel.

    Args:
        heatmaps: `[..., h, w, J]`, at least 3x3.
        people: number of peaks of each map.
        logits: whether the maps are logits.

    Returns:
        float32 `[..., people, J, 3]`, the highest peaks first: x and y in pixels of the map, and
        the height of the pixel.

    Raises:
        ValueError: if the maps are smaller than 3x3, or have fewer than `people` pixels.
    """
    maps = tf.cast(heatmaps, tf.float32)
    high, wide, count = maps.shape[-3:]
    if min(high, wide) < 3 or high * wide < people:
        raise ValueError(
            f"Expected heatmaps of at least 3x3 pixels, and of {people} pixels for {people} "
            f"people. Received: {high}x{wide}"
        )
    leading = tf.shape(maps)[:-3]
    # [..., h, w, J] -> [N, J, h, w]
    maps = tf.transpose(tf.reshape(maps, [-1, high, wide, count]), [0, 3, 1, 2])
    heights = tf.reshape(tf.where(_is_peak(maps), maps, -math.inf), [-1, count, high * wide])
    heights, pixels = tf.math.top_k(heights, people)  # [N, J, people]
    pixels = tf.where(heights > -math.inf, pixels, pixels[..., :1])
    row, column = pixels // wide, pixels % wide
    along = tf.gather(maps, row, axis=2, batch_dims=2)  # [N, J, people, w]
    across = tf.gather(tf.transpose(maps, [0, 1, 3, 2]), column, axis=2, batch_dims=2)
    top = tf.gather(along, column, axis=3, batch_dims=3)
    x, y = _vertex(_log(along, logits), column), _vertex(_log(across, logits), row)
    joints = tf.stack([x, y, tf.sigmoid(top) if logits else top], axis=-1)
    # [N, J, people, 3] -> [..., people, J, 3]
    shape = tf.concat([leading, [people, count, 3]], 0)
    return tf.reshape(tf.transpose(joints, [0, 2, 1, 3]), shape)


def _is_peak(maps: tf.Tensor) -> tf.Tensor:
    """Return whether each pixel is a peak of maps `[N, J, h, w]`, bool of this shape."""
    high, wide = maps.shape[2:]
    around = tf.pad(maps, [[0, 0], [0, 0], [1, 1], [1, 1]], constant_values=-math.inf)
    neighbors = [
        around[:, :, down : down + high, right : right + wide]
        for down in range(3)
        for right in range(3)
    ]
    before, after = (functools.reduce(tf.maximum, part) for part in (neighbors[:4], neighbors[5:]))
    return (maps > before) & (maps >= after)


def _log(heights: tf.Tensor, logits: bool) -> tf.Tensor:
    if logits:
        return tf.math.log_sigmoid(heights)
    return tf.math.log(tf.maximum(heights, _TINY))


def _vertex(line: tf.Tensor, highest: tf.Tensor) -> tf.Tensor:
    """Find the vertex of the parabola through three pixels of each line.

    Args:
        line: `[N, J, people, n]`.
        highest: index `[N, J, people]` of the highest pixel.
    """
    middle = tf.clip_by_value(highest, 1, line.shape[-1] - 2)
    three = tf.gather(line, middle[..., None] + tf.constant([-1, 0, 1]), axis=3, batch_dims=3)
    before, here, after = tf.unstack(three, axis=-1)
    bend = before - 2.0 * here + after
    pixel = tf.cast(highest, tf.float32)
    vertex = tf.cast(middle, tf.float32) + tf.math.divide_no_nan(before - after, 2.0 * bend)
    return tf.where(bend < 0, tf.clip_by_value(vertex, pixel - 0.5, pixel + 0.5), pixel)
