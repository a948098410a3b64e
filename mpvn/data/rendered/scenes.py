"""Where the rendered figure is: a drifting texture, its place and colors, and what else moves.

All that depends on time is worked out for the whole scene at once, so that no frame can depend on
which others are asked for.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpvn.data.rendered.painting import Capsule, Colors, Floats, Layer, paint, paint_figure
from mpvn.data.rendered.poses import GROUND_TO_TOP, Array

Indices = npt.NDArray[np.intp]

_LIMBS = (  # Pairs that differ in hue and, for the color-blind, in lightness.
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

_CYCLES = np.array([0.5, 0.7, 1.0, 1.5, 2.2, 3.3, 5.0, 7.5, 11.0])  # Of the texture, per side.
# Multiplications that BLAS does in this thread: to wake others costs more than they save.
_ONE_THREAD = 1 << 18


class Texture:
    """A wall over a floor, both washed over by plane waves of color that drift.

    cos(k x + l y + p) = cos(k x) cos(l y + p) - sin(k x) sin(l y + p): a wave is two products of a
    row and a column, hence a frame is one product of matrices, of rows that depend on time with
    columns that do not.
    """

    def __init__(
        self,
        size: tuple[int, int],
        times: Array,
        pan: float,
        horizon: float,
        rng: np.random.Generator,
    ) -> None:
        """A texture at `times` in seconds, on a camera that moves `pan` sides per second to the
        right; the floor begins at `horizon`, from 0 to 1 of the height."""
        height, width = size
        side = min(size)
        # Directions by the golden angle: however many waves there are, no two run alike.
        direction = rng.uniform(0, np.pi) + 2.4 * np.arange(_CYCLES.size)
        across = 2 * np.pi * _CYCLES * np.cos(direction)  # Radians per side.
        down = 2 * np.pi * _CYCLES * np.sin(direction)
        drift = rng.uniform(-0.10, 0.10, 2) + rng.normal(0, 0.04, (_CYCLES.size, 2))
        speed = across * (drift[:, 0] + pan) + down * drift[:, 1]
        phases = times[:, None] * speed + rng.uniform(0, 2 * np.pi, _CYCLES.size)
        self._turn = np.exp(1j * phases).astype(np.complex64)  # [times, waves]
        ys = (np.arange(height) + 0.5) / side
        self._down = np.exp(1j * ys[:, None] * down).astype(np.complex64)  # [H, waves]
        floor = _smooth((ys * side / height - horizon) / 0.04 + 0.5)
        self._floor = np.stack([1 - floor, floor], -1).astype(np.float32)  # [H, 2]
        xs = (np.arange(width) + 0.5) / side
        waves = xs * across[:, None]  # [waves, W]
        wall_and_floor, tints = _background_colors(rng)
        self._columns = np.concatenate(
            [
                _flat(np.cos(waves), tints),
                _flat(-np.sin(waves), tints),
                _flat(np.ones((2, width)), wall_and_floor),
            ]
        )  # [2 waves + 2, W * 3]

    def at(self, frames: Indices) -> Floats:
        """The texture in some frames of the scene: float32 `[frames, H, W, 3]`, 0 to 255."""
        waves = self._turn[frames, None] * self._down  # [frames, H, waves]
        floor = np.broadcast_to(self._floor, (len(frames), *self._floor.shape))
        rows = np.concatenate([waves.real, waves.imag, floor], -1)
        height, width = rows.shape[1], self._columns.shape[1]
        canvas = np.empty((len(frames), height, width), np.float32)
        band = max(1, _ONE_THREAD // self._columns.size)
        for top in range(0, height, band):
            below = top + band
            np.matmul(rows[:, top:below], self._columns, out=canvas[:, top:below])
        return canvas.reshape(len(frames), height, width // 3, 3)  # [W * 3] -> [W, 3]


def _flat(waves: Array, colors: Array) -> Floats:
    """Waves `[K, W]` in colors `[K, 3]`, as float32 `[K, W * 3]`."""
    return (waves[:, :, None] * colors[:, None, :]).reshape(len(waves), -1).astype(np.float32)


def _background_colors(rng: np.random.Generator) -> tuple[Array, Array]:
    """Those of wall and floor `[2, 3]`, and by how much each wave tints them `[waves, 3]`."""
    hue, value = rng.uniform(), rng.uniform(0.35, 0.75)
    wall = colorsys.hsv_to_rgb(hue, rng.uniform(0.2, 0.55), value)
    floor = colorsys.hsv_to_rgb(
        hue + rng.uniform(0.1, 0.6), rng.uniform(0.15, 0.5), rng.uniform(0.3, 0.6)
    )
    angle = rng.uniform(0, 2 * np.pi, (_CYCLES.size, 1)) + 2 * np.pi / 3 * np.arange(3)
    # Broad waves carry color, fine ones rather light and dark.
    colorful = 1 / (1 + 0.5 * _CYCLES[:, None])
    strength = 22 * _CYCLES[:, None] ** -0.6
    return 255 * np.array([wall, floor]), strength * (0.45 + 0.8 * colorful * np.cos(angle))


def _smooth(value: Array) -> Array:
    step = np.clip(value, 0.0, 1.0)
    return step * step * (3.0 - 2.0 * step)


@dataclass(frozen=True)
class Wanderer:
    """A shape that moves, over all frames of its scene."""

    capsule: Capsule
    color: Floats
    outline: float

    def paint(self, canvas: Floats, frames: Indices) -> None:
        """Paints it as it is in some frames onto `canvas`, `[frames, height, width, 3]`."""
        start, end = self.capsule.start[frames], self.capsule.end[frames]
        seen = Capsule(start, end, self.capsule.radii)
        paint(canvas, [Layer([seen], self.color, self.outline)])

    def hides(self, points: Floats) -> npt.NDArray[np.bool_]:
        """Which of `points`, in pixels, `[frames, N, 2]`, are behind it: `[frames, N]`."""
        inside, _ = self.capsule.surface(points[..., 0], points[..., 1])
        return inside > 0


def distractor(size: tuple[int, int], times: Array, rng: np.random.Generator) -> Wanderer:
    """A disc, drop or stick on its way around the picture, turning as it goes."""
    side = min(size)
    phase, extent = rng.uniform(0, 2 * np.pi, 3), np.array([size[1], size[0]])
    rate = 2 * np.pi * rng.uniform(0.10, 0.25, 2)
    middle = extent * (0.5 + 0.45 * np.sin(times[:, None] * rate + phase[:2]))
    radius, taper = side * rng.uniform(0.025, 0.06), rng.uniform(0.4, 1.0)
    length = side * rng.uniform(0.05, 0.09) if taper < 0.8 else 0.0
    angle = times * rng.uniform(-2.0, 2.0) + phase[2]
    half = length * np.stack([np.cos(angle), np.sin(angle)], -1)
    return _wanderer(middle, half, (radius, radius * taper), side, rng)


def occluder(size: tuple[int, int], times: Array, rng: np.random.Generator) -> Wanderer:
    """A tall post that goes to and fro, and passes the middle at least once."""
    height, width = size
    side = min(size)
    radius = side * rng.uniform(0.05, 0.09)
    period = rng.uniform(4.0, 6.0)
    passing = rng.uniform(0.3, 0.7) * min(times[-1], period / 2)
    x = width / 2 + rng.choice([-1, 1]) * (width / 2 + 2 * radius) * np.sin(
        2 * np.pi * (times - passing) / period
    )
    tilt = rng.uniform(-0.15, 0.15) * height
    middle = np.stack([x, np.full_like(x, height * rng.uniform(0.45, 0.55))], -1)
    half = np.broadcast_to([tilt, 0.42 * height], middle.shape)
    return _wanderer(middle, half, (radius, radius * rng.uniform(0.7, 1.0)), side, rng)


def _wanderer(
    middle: Array, half: Array, radii: tuple[float, float], side: int, rng: np.random.Generator
) -> Wanderer:
    color = 255 * np.array(colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(0.3, 0.8), 0.85))
    capsule = Capsule(_single(middle + half), _single(middle - half), radii)
    return Wanderer(capsule, _single(color), outline=max(0.4, 0.006 * side))


def _single(values: Array) -> Floats:
    return values.astype(np.float32)


class Scene:
    """One place where a figure acts, seen for some time: how its joints lie, and how it looks."""

    def __init__(
        self,
        size: tuple[int, int],
        times: Array,
        figure: Array,
        pan: float,
        objects: int,
        rng: np.random.Generator,
    ) -> None:
        """A scene at random.

        Args:
            size: `(height, width)` in pixels.
            times: of its frames, in seconds.
            figure: joints at those times, `[times, 17, 2]`, in heights of the figure.
            pan: speed of the camera to the right, in heights of the figure per second.
            objects: number of distractors.
            rng: chooses all else.
        """
        height, width = size
        side = min(size)
        self._tall = side * rng.uniform(0.68, 0.84)
        room = max(0.10 * side, width / 2 - 0.50 * side)
        ground = (height + self._tall * GROUND_TO_TOP) / 2 + side * rng.uniform(-0.01, 0.05)
        place = np.array([width / 2 + room * rng.uniform(-1, 1), ground])
        self.joints = (place + self._tall * figure).astype(np.float32)
        """In pixels, float32 `[times, 17, 2]`."""
        self._colors = _figure_colors(rng)
        horizon = (ground - 0.10 * self._tall) / height
        self._texture = Texture(size, times, pan * self._tall / side, horizon, rng)
        self._objects = [distractor(size, times, rng) for _ in range(objects)]

    def paint(self, frames: Indices) -> Floats:
        """The scene in some of its frames: float32 `[frames, height, width, 3]`, 0 to 255."""
        canvas = self._texture.at(frames)
        for wanderer in self._objects:
            wanderer.paint(canvas, frames)
        paint_figure(canvas, self.joints[frames], self._tall, self._colors)
        return canvas


def _figure_colors(rng: np.random.Generator) -> Colors:
    chosen = [choices[rng.integers(len(choices))] for choices in (_SHIRTS, _SKINS, _HAIRS)]
    limbs = _LIMBS[rng.integers(len(_LIMBS))]
    left, right, shirt, skin, hair = (np.array(c, np.float32) for c in (*limbs, *chosen))
    return Colors(left, right, shirt, skin, hair)
