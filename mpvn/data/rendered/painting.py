"""Paint the figure with rounded limbs, onto many frames at once.

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
from mpvn.data.video_set import COCO_JOINTS

_JOINT = {name: index for index, name in enumerate(COCO_JOINTS)}
_LIGHT = (-0.5, -0.8)  # direction (x, y) towards the light: above, slightly to the left
_OUTLINE = 0.3  # brightness of an outline, relative to the shape
_DARK = np.array([38, 30, 36], np.float32)


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
        shape = (-1,) + (1,) * (x.ndim - 1)
        x0, y0 = (self.start[:, axis].reshape(shape) for axis in (0, 1))
        dx, dy = ((self.end - self.start)[:, axis].reshape(shape) for axis in (0, 1))
        squared = dx * dx + dy * dy + np.float32(1e-6)
        x, y = x - x0, y - y0
        along = np.clip(
            x * (dx / squared) + y * (dy / squared), 0, 1
        )  # 0 at the start, 1 at the end
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


@dataclass(frozen=True)
class Colors:
    """The colors of a figure, each RGB float32 `[3]`, 0 to 255. Left and right limbs differ."""

    left: Float32Array
    right: Float32Array
    shirt: Float32Array
    skin: Float32Array
    hair: Float32Array


def paint_figure(canvas: Float32Array, joints: Float32Array, height: float, colors: Colors) -> None:
    """Paint a figure and its shadow onto a canvas in place.

    Args:
        canvas: float32 `[frames, height, width, 3]`, 0 to 255.
        joints: The joints in `COCO_JOINTS`, in pixels, float32 `[frames, 17, 2]`.
        height: Height of the figure, in pixels.
        colors: Colors of the figure.
    """
    figure = _Figure(joints, height, colors)
    for layers in (  # from back to front
        [figure.shadow()],
        [figure.leg("right")],
        [figure.leg("left")],
        [figure.torso()],
        figure.head(),
        [figure.arm("right")],
        [figure.arm("left")],
    ):
        paint(canvas, layers)


@dataclass(frozen=True)
class _Figure:
    """The parts of a figure. Joints are in pixels; other lengths are in heights of the figure."""

    positions: Float32Array
    height: float
    colors: Colors

    def shadow(self) -> Layer:
        left = self._at("left_ankle") + self._offset(0.05, 0.03)
        right = self._at("right_ankle") + self._offset(-0.05, 0.03)
        soft = max(1.0, 0.05 * self.height)
        ground = self._capsule(left, right, 0.028, 0.028)
        return Layer([ground], np.zeros(3, np.float32), soft=soft, opacity=0.4)

    def leg(self, side: str) -> Layer:
        hip, knee, ankle = (self._at(f"{side}_{name}") for name in ("hip", "knee", "ankle"))
        toe = ankle + self._offset(0.038 if side == "left" else -0.038, 0.012)
        return self._solid(
            getattr(self.colors, side),
            self._capsule(hip, knee, 0.042, 0.033),
            self._capsule(knee, ankle, 0.033, 0.025),
            self._capsule(ankle + self._offset(0.0, 0.012), toe, 0.023, 0.020),
        )

    def torso(self) -> Layer:
        shoulders, hips = self._center_of("shoulder"), self._center_of("hip")
        chest = shoulders + np.float32(0.22) * (hips - shoulders)
        return self._solid(self.colors.shirt, self._capsule(chest, hips, 0.094, 0.076))

    def head(self) -> list[Layer]:
        center = self._center_of("ear")
        across = self._at("left_ear") - self._at("right_ear")
        up: Float32Array = np.stack(
            [across[:, 1], -across[:, 0]], -1
        )  # as long as the head is wide
        neck = self._capsule(center, center - np.float32(0.75) * up, 0.030, 0.030)
        hair = self._capsule(center + np.float32(0.12) * up, center, 0.088, 0.080)
        chin = self._dot(center - np.float32(0.06) * up, 0.072)
        ears = [self._dot(self._at(f"{side}_ear"), 0.016) for side in ("left", "right")]
        eyes = [self._dot(self._at(f"{side}_eye"), 0.011) for side in ("left", "right")]
        nose = self._dot(self._at("nose"), 0.009)
        return [
            self._solid(self.colors.skin, neck),
            self._solid(self.colors.hair, hair),
            Layer([chin, *ears], self.colors.skin),
            Layer(eyes, _DARK, shade=0.0),
            Layer([nose], 0.75 * self.colors.skin, shade=0.0),
        ]

    def arm(self, side: str) -> Layer:
        shoulder, elbow, wrist = (
            self._at(f"{side}_{name}") for name in ("shoulder", "elbow", "wrist")
        )
        hand = wrist + np.float32(0.12) * (wrist - elbow)
        return self._solid(
            getattr(self.colors, side),
            self._capsule(shoulder, elbow, 0.034, 0.027),
            self._capsule(elbow, wrist, 0.027, 0.021),
            self._dot(hand, 0.027),
        )

    def _solid(self, color: Float32Array, *capsules: Capsule) -> Layer:
        return Layer(capsules, color, outline=max(0.4, 0.008 * self.height))

    def _capsule(
        self, start: Float32Array, end: Float32Array, first: float, last: float
    ) -> Capsule:
        return Capsule(start, end, (first * self.height, last * self.height))

    def _dot(self, center: Float32Array, radius: float) -> Capsule:
        return self._capsule(center, center, radius, radius)

    def _at(self, joint: str) -> Float32Array:
        return self.positions[:, _JOINT[joint]]

    def _center_of(self, part: str) -> Float32Array:
        return np.float32(0.5) * (self._at(f"left_{part}") + self._at(f"right_{part}"))

    def _offset(self, x: float, y: float) -> Float32Array:
        return np.array([x * self.height, y * self.height], np.float32)
