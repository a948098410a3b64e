"""Paint rounded shapes onto many frames at once.

Everything is painted with one shape, a capsule: all points within a radius of a line segment. Each
is painted in the smallest window that contains it, which follows it from frame to frame.

A pixel does not depend on which other frames are painted with it: all operations are elementwise,
on distances from the corner of the frame rather than of the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mpvn.data.rendered.arrays import Float32Array

_LIGHT = (-0.5, -0.8)  # direction (x, y) towards the light: above, slightly to the left
_OUTLINE = 0.3  # brightness of an outline, relative to the shape


@dataclass(frozen=True)
class Capsule:
    """All points within a radius of a line segment. Lengths are in pixels.

    Attributes:
        start: x and y of one end in each frame, float32 `[frames, 2]`.
        end: x and y of the other end, float32 `[frames, 2]`.
        radii: The radius at the start and at the end; linear in between.
    """

    start: Float32Array
    end: Float32Array
    radii: tuple[float, float]

    def surface(self, x: Float32Array, y: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Return the depth and light at points.

        Args:
            x, y: Coordinates, float32 `[frames, ...]`, with the same number of axes.

        Returns:
            The depth of the points inside the capsule in pixels, negative outside; and how much the
            surface faces the light there, up to 1. Both are float32, of the broadcast shape of `x`
            and `y`.
        """
        shape = (-1,) + (1,) * (x.ndim - 1)  # [frames] -> [frames, 1, ...]
        x0, y0 = (self.start[:, axis].reshape(shape) for axis in (0, 1))
        dx, dy = ((self.end - self.start)[:, axis].reshape(shape) for axis in (0, 1))
        squared = dx * dx + dy * dy + np.float32(1e-6)
        x, y = x - x0, y - y0
        along = np.clip(x * (dx / squared) + y * (dy / squared), 0, 1)  # 0: start, 1: end
        right, below = x - along * dx, y - along * dy
        first, last = np.float32(self.radii[0]), np.float32(self.radii[1])
        depth = first + (last - first) * along - np.sqrt(right * right + below * below)
        largest = max(first, last)
        return depth, right * (_LIGHT[0] / largest) + below * (_LIGHT[1] / largest)


@dataclass(frozen=True)
class Layer:
    """The union of capsules, painted without seams.

    Attributes:
        capsules: The capsules.
        color: RGB float32 `[3]`, 0 to 255.
        outline: Width of the dark edge, in pixels.
        soft: Width over which the edge fades out, in pixels. 1 is a sharp edge.
        opacity: From 0 to 1.
        shade: Strength of the shading, lighter towards the light and darker away from it.
    """

    capsules: Sequence[Capsule]
    color: Float32Array
    outline: float = 0.0
    soft: float = 1.0
    opacity: float = 1.0
    shade: float = 0.22

    @property
    def reach(self) -> float:
        """The largest distance from the segments that is painted, in pixels."""
        return max(max(capsule.radii) for capsule in self.capsules) + self.outline + self.soft

    def blend(self, pixels: Float32Array, x: Float32Array, y: Float32Array) -> None:
        """Paint onto a window in place.

        Args:
            pixels: float32 `[frames, 3, rows, columns]`, 0 to 255.
            x: Coordinates of the columns, float32 `[frames, 1, columns]`.
            y: Coordinates of the rows, float32 `[frames, rows, 1]`.
        """
        depth, light = self.capsules[0].surface(x, y)
        for capsule in self.capsules[1:]:
            other_depth, other_light = capsule.surface(x, y)
            light = np.where(other_depth > depth, other_light, light)
            depth = np.maximum(other_depth, depth)
        bright = 1 + self.shade * light
        if self.outline:
            bright *= _OUTLINE + (1 - _OUTLINE) * self._edge(depth)
        cover = self._edge(depth + self.outline)
        if self.opacity < 1:
            cover *= self.opacity
        pixels *= (1 - cover)[:, None]
        pixels += (cover * bright)[:, None] * self.color[:, None, None]

    def _edge(self, depth: Float32Array) -> Float32Array:
        return np.clip(depth * (1 / self.soft) + 0.5, 0, 1)


def paint(canvas: Float32Array, layers: Sequence[Layer]) -> None:
    """Paint layers that are close together onto a canvas in place, the last layer on top.

    Args:
        canvas: float32 `[frames, height, width, 3]`, 0 to 255.
        layers: Layers with the same number of frames.
    """
    reach = max(layer.reach for layer in layers)
    capsules = [capsule for layer in layers for capsule in layer.capsules]
    ends = np.stack([end for capsule in capsules for end in (capsule.start, capsule.end)])
    low, high = ends.min(0) - reach, ends.max(0) + reach  # [frames, 2]
    # A window that extends beyond the frame is moved inside. It still contains all visible pixels.
    limits = np.array([canvas.shape[2], canvas.shape[1]])  # (width, height)
    size = np.minimum(np.ceil((high - low).max(0)).astype(int) + 1, limits)
    left, top = np.clip(np.floor(low).astype(int), 0, limits - size).T
    x = (left[:, None, None] + np.arange(size[0]) + 0.5).astype(np.float32)
    y = (top[:, None, None] + np.arange(size[1])[:, None] + 0.5).astype(np.float32)
    # A view of all windows of this size: [frames, tops, lefts, 3, rows, columns]
    windows = np.lib.stride_tricks.sliding_window_view(
        canvas, (size[1], size[0]), axis=(1, 2), writeable=True
    )
    selected = np.arange(len(canvas)), top, left
    pixels = windows[selected]  # [frames, 3, rows, columns]
    for layer in layers:
        layer.blend(pixels, x, y)
    windows[selected] = pixels
