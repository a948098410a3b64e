"""How the rendered figure is painted: round limbs on a canvas of many frames at once.

All that is painted is made of one shape, a capsule: whatever is within a radius of a stretch. It
is painted in windows just large enough, which follow it from frame to frame.

A pixel is the same whichever other frames are painted with it: operations work element by element,
and on distances from the corner of the frame, not of the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpvn.data.video_set import COCO_JOINTS

Floats = npt.NDArray[np.float32]

_JOINT = {name: index for index, name in enumerate(COCO_JOINTS)}
_LIGHT = (-0.5, -0.8)  # Where it comes from: above, and somewhat from the left.
_OUTLINE = 0.3  # How bright an outline is, of what it surrounds.
_DARK = np.array([38, 30, 36], np.float32)


@dataclass(frozen=True)
class Capsule:
    """What is within a radius of a stretch, which may differ at its ends; lengths in pixels.

    Attributes:
        start: x and y of one end in each frame, float32 `[frames, 2]`.
        end: of the other.
        radii: at start and end.
    """

    start: Floats
    end: Floats
    radii: tuple[float, float]

    def surface(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """How it lies to points.

        Args:
            x, y: float32, with frames as their first axis, of as many axes.

        Returns:
            How deep inside the points are, negative outside, in pixels; and how far the surface
            there faces the light, up to 1.
        """
        shape = (-1,) + (1,) * (x.ndim - 1)
        x0, y0 = (self.start[:, axis].reshape(shape) for axis in (0, 1))
        dx, dy = ((self.end - self.start)[:, axis].reshape(shape) for axis in (0, 1))
        squared = dx * dx + dy * dy + np.float32(1e-6)
        x, y = x - x0, y - y0
        along = np.clip(x * (dx / squared) + y * (dy / squared), 0, 1)
        right, below = x - along * dx, y - along * dy
        first, last = np.float32(self.radii[0]), np.float32(self.radii[1])
        inside = first + (last - first) * along - np.sqrt(right * right + below * below)
        largest = max(first, last)
        return inside, right * (_LIGHT[0] / largest) + below * (_LIGHT[1] / largest)


@dataclass(frozen=True)
class Layer:
    """Capsules painted as one, without seams.

    Attributes:
        capsules: what they cover.
        color: RGB float32 `[3]`, 0 to 255.
        outline: width of its dark edge, in pixels.
        soft: width over which it fades, in pixels; 1 is a sharp edge.
        opacity: up to 1.
        shade: by how much it is lighter where it faces the light, and darker elsewhere.
    """

    capsules: Sequence[Capsule]
    color: Floats
    outline: float = 0.0
    soft: float = 1.0
    opacity: float = 1.0
    shade: float = 0.22

    @property
    def reach(self) -> float:
        """How far from the stretches it paints, in pixels."""
        return max(max(each.radii) for each in self.capsules) + self.outline + self.soft

    def blend(self, pixels: Floats, x: Floats, y: Floats) -> None:
        """Paints pixels `[frames, 3, rows, columns]` at x `[frames, 1, columns]` and y
        `[frames, rows, 1]`."""
        inside, light = self.capsules[0].surface(x, y)
        for capsule in self.capsules[1:]:
            deeper, its_light = capsule.surface(x, y)
            light = np.where(deeper > inside, its_light, light)
            inside = np.maximum(deeper, inside)
        bright = 1 + self.shade * light
        if self.outline:
            bright *= _OUTLINE + (1 - _OUTLINE) * self._edge(inside)
        cover = self._edge(inside + self.outline)
        if self.opacity < 1:
            cover *= self.opacity
        pixels *= (1 - cover)[:, None]
        pixels += (cover * bright)[:, None] * self.color[:, None, None]

    def _edge(self, inside: Floats) -> Floats:
        return np.clip(inside * (1 / self.soft) + 0.5, 0, 1)


def paint(canvas: Floats, layers: Sequence[Layer]) -> None:
    """Paints layers that are near each other, the last on top.

    Args:
        canvas: painted on; float32 `[frames, height, width, 3]`, 0 to 255.
        layers: of as many frames.
    """
    reach = max(layer.reach for layer in layers)
    ends = np.stack([end for each in layers for c in each.capsules for end in (c.start, c.end)])
    low, high = ends.min(0) - reach, ends.max(0) + reach  # [frames, 2]
    # A window that would leave the frame is moved into it, where it holds all that can be seen.
    limits = np.array([canvas.shape[2], canvas.shape[1]])  # (width, height)
    size = np.minimum(np.ceil((high - low).max(0)).astype(int) + 1, limits)
    left, top = np.clip(np.floor(low).astype(int), 0, limits - size).T
    x = (left[:, None, None] + np.arange(size[0]) + 0.5).astype(np.float32)
    y = (top[:, None, None] + np.arange(size[1])[:, None] + 0.5).astype(np.float32)
    # [frames, tops, lefts, 3, rows, columns]: all windows of this size, without copying.
    windows = np.lib.stride_tricks.sliding_window_view(
        canvas, (size[1], size[0]), axis=(1, 2), writeable=True
    )
    where = np.arange(len(canvas)), top, left
    pixels = windows[where]  # [frames, 3, rows, columns]
    for layer in layers:
        layer.blend(pixels, x, y)
    windows[where] = pixels


@dataclass(frozen=True)
class Colors:
    """Of a figure, RGB from 0 to 255, float32 `[3]` each; its limbs differ by side."""

    left: Floats
    right: Floats
    shirt: Floats
    skin: Floats
    hair: Floats


def paint_figure(canvas: Floats, joints: Floats, height: float, colors: Colors) -> None:
    """Paints a figure, with its shadow, onto `canvas`.

    Args:
        canvas: float32 `[frames, height, width, 3]`, 0 to 255.
        joints: `COCO_JOINTS` in pixels, float32 `[frames, 17, 2]`.
        height: of the figure, in pixels.
        colors: what it wears.
    """
    figure = _Figure(joints, height, colors)
    for part in (
        [figure.shadow()],
        [figure.leg("right")],
        [figure.leg("left")],
        [figure.torso()],
        figure.head(),
        [figure.arm("right")],
        [figure.arm("left")],
    ):
        paint(canvas, part)


@dataclass(frozen=True)
class _Figure:
    """One figure, part by part; lengths here are in heights of it, but for joints."""

    pixels: Floats
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
        shoulders, hips = self._middle("shoulder"), self._middle("hip")
        chest = shoulders + np.float32(0.22) * (hips - shoulders)
        return self._solid(self.colors.shirt, self._capsule(chest, hips, 0.094, 0.076))

    def head(self) -> list[Layer]:
        middle = self._middle("ear")
        across = self._at("left_ear") - self._at("right_ear")
        up: Floats = np.stack([across[:, 1], -across[:, 0]], -1)  # As long as the head is wide.
        neck = self._capsule(middle, middle - np.float32(0.75) * up, 0.030, 0.030)
        hair = self._capsule(middle + np.float32(0.12) * up, middle, 0.088, 0.080)
        chin = self._dot(middle - np.float32(0.06) * up, 0.072)
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

    def _solid(self, color: Floats, *capsules: Capsule) -> Layer:
        return Layer(capsules, color, outline=max(0.4, 0.008 * self.height))

    def _capsule(self, start: Floats, end: Floats, first: float, last: float) -> Capsule:
        return Capsule(start, end, (first * self.height, last * self.height))

    def _dot(self, middle: Floats, radius: float) -> Capsule:
        return self._capsule(middle, middle, radius, radius)

    def _at(self, joint: str) -> Floats:
        return self.pixels[:, _JOINT[joint]]

    def _middle(self, part: str) -> Floats:
        return np.float32(0.5) * (self._at(f"left_{part}") + self._at(f"right_{part}"))

    def _offset(self, x: float, y: float) -> Floats:
        return np.array([x * self.height, y * self.height], np.float32)
