"""The look of the figure: its limbs, torso and head, painted from its joints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpvn.data.rendered.arrays import Float32Array
from mpvn.data.rendered.painting import Capsule, Layer, paint
from mpvn.data.skeletons import COCO_JOINTS

_JOINT = {name: index for index, name in enumerate(COCO_JOINTS)}
_DARK = np.array([38, 30, 36], np.float32)


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
        # As long as the head is wide.
        up: Float32Array = np.stack([across[:, 1], -across[:, 0]], -1)
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
