"""A scene: where the figure is, how it looks, and what is behind it.

Everything that depends on time is computed for the whole scene at once, so that a frame does not
depend on which other frames are rendered.
"""

from __future__ import annotations

import numpy as np

from mpvn.data.rendered.arrays import Float32Array, Float64Array, Indices
from mpvn.data.rendered.body import Colors, paint_figure
from mpvn.data.rendered.poses import GROUND_TO_TOP
from mpvn.data.rendered.shapes import random_distractor
from mpvn.data.rendered.texture import Texture

_LIMBS = (  # pairs that differ in hue and, for the color-blind, in lightness
    ((255, 99, 72), (45, 128, 224)),
    ((255, 196, 46), (126, 74, 214)),
    ((64, 210, 176), (214, 48, 118)),
    ((255, 150, 40), (40, 108, 190)),
    ((168, 218, 60), (190, 40, 70)),
    ((255, 140, 190), (20, 130, 120)),
)
_SHIRTS = ((246, 240, 226), (58, 62, 78), (120, 134, 156), (226, 214, 190), (84, 72, 92))
_SKINS = ((255, 222, 190), (240, 194, 152), (206, 152, 108), (158, 106, 72), (112, 74, 52))
_HAIRS = ((44, 32, 30), (92, 58, 36), (150, 92, 44), (222, 180, 96), (168, 166, 170), (176, 62, 34))


class Scene:
    """A random scene.

    Args:
        size: `(height, width)` in pixels.
        times: Times of the frames in seconds, float64 `[times]`.
        figure: Joints at these times, float64 `[times, 17, 2]`, in heights of the figure.
        pan: Speed of the camera to the right, in heights of the figure per second.
        objects: Number of distracting shapes.
        rng: Chooses everything else.

    Attributes:
        joints: Joints in pixels, float32 `[times, 17, 2]`.
    """

    def __init__(
        self,
        size: tuple[int, int],
        times: Float64Array,
        figure: Float64Array,
        pan: float,
        objects: int,
        rng: np.random.Generator,
    ) -> None:
        height, width = size
        side = min(size)
        self._scale = side * rng.uniform(0.68, 0.84)  # height of the figure, in pixels
        room = max(0.10 * side, width / 2 - 0.50 * side)
        ground = (height + self._scale * GROUND_TO_TOP) / 2 + side * rng.uniform(-0.01, 0.05)
        origin = np.array([width / 2 + room * rng.uniform(-1, 1), ground])
        self.joints = (origin + self._scale * figure).astype(np.float32)
        self._colors = _figure_colors(rng)
        horizon = (ground - 0.10 * self._scale) / height
        self._texture = Texture(size, times, pan * self._scale / side, horizon, rng)
        self._objects = [random_distractor(size, times, rng) for _ in range(objects)]

    def paint(self, frames: Indices) -> Float32Array:
        """Paint frames `[N]` of the scene: float32 `[N, height, width, 3]`, 0 to 255."""
        canvas = self._texture.at(frames)
        for shape in self._objects:
            shape.paint(canvas, frames)
        paint_figure(canvas, self.joints[frames], self._scale, self._colors)
        return canvas


def _figure_colors(rng: np.random.Generator) -> Colors:
    shirt, skin, hair = (
        choices[rng.integers(len(choices))] for choices in (_SHIRTS, _SKINS, _HAIRS)
    )
    left, right = _LIMBS[rng.integers(len(_LIMBS))]
    return Colors(*(np.array(color, np.float32) for color in (left, right, shirt, skin, hair)))
