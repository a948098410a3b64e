"""Moving shapes: distractors behind the figure, and a post in front of it."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpvn.data.rendered.arrays import Float32Array, Float64Array, Indices
from mpvn.data.rendered.painting import Capsule, Layer, paint


@dataclass(frozen=True)
class MovingShape:
    """A shape that moves across the frames of a scene."""

    capsule: Capsule
    color: Float32Array
    outline: float

    def paint(self, canvas: Float32Array, frames: Indices) -> None:
        """Paint the shape at frames `[N]` onto a canvas, float32 `[N, H, W, 3]`, in place."""
        start, end = self.capsule.start[frames], self.capsule.end[frames]
        capsule = Capsule(start, end, self.capsule.radii)
        paint(canvas, [Layer([capsule], self.color, self.outline)])

    def hides(self, points: Float32Array) -> npt.NDArray[np.bool_]:
        """Return which points, in pixels, `[frames, N, 2]`, are behind the shape: `[frames, N]`."""
        depth, _ = self.capsule.surface(points[..., 0], points[..., 1])
        return depth > 0


def random_distractor(
    size: tuple[int, int], times: Float64Array, rng: np.random.Generator
) -> MovingShape:
    """Return a disc, drop or stick that moves around the frame and rotates."""
    side = min(size)
    phase, extent = rng.uniform(0, 2 * np.pi, 3), np.array([size[1], size[0]])
    rate = 2 * np.pi * rng.uniform(0.10, 0.25, 2)
    center = extent * (0.5 + 0.45 * np.sin(times[:, None] * rate + phase[:2]))
    radius, taper = side * rng.uniform(0.025, 0.06), rng.uniform(0.4, 1.0)
    length = side * rng.uniform(0.05, 0.09) if taper < 0.8 else 0.0
    angle = times * rng.uniform(-2.0, 2.0) + phase[2]
    half = length * np.stack([np.cos(angle), np.sin(angle)], -1)
    return _moving_shape(center, half, (radius, radius * taper), side, rng)


def random_post(
    size: tuple[int, int], times: Float64Array, rng: np.random.Generator
) -> MovingShape:
    """Return a tall post that moves left and right and passes the center at least once."""
    height, width = size
    side = min(size)
    radius = side * rng.uniform(0.05, 0.09)
    period = rng.uniform(4.0, 6.0)
    passing = rng.uniform(0.3, 0.7) * min(times[-1], period / 2)
    x = width / 2 + rng.choice([-1, 1]) * (width / 2 + 2 * radius) * np.sin(
        2 * np.pi * (times - passing) / period
    )
    tilt = rng.uniform(-0.15, 0.15) * height
    center = np.stack([x, np.full_like(x, height * rng.uniform(0.45, 0.55))], -1)
    half = np.broadcast_to([tilt, 0.42 * height], center.shape)
    return _moving_shape(center, half, (radius, radius * rng.uniform(0.7, 1.0)), side, rng)


def _moving_shape(
    center: Float64Array,
    half: Float64Array,
    radii: tuple[float, float],
    side: int,
    rng: np.random.Generator,
) -> MovingShape:
    color = 255 * np.array(colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(0.3, 0.8), 0.85))
    capsule = Capsule(_single(center + half), _single(center - half), radii)
    return MovingShape(capsule, _single(color), outline=max(0.4, 0.006 * side))


def _single(values: Float64Array) -> Float32Array:
    return values.astype(np.float32)
