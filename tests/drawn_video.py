"""A short video of our own drawing: what the package runs on when no video is given.

Smooth motion, fine texture, several objects that hide one another: what makes video networks easy
or hard, without a download or a license. The picture is a function of time in seconds and of the
seed alone, so that another frame rate shows the same motion, and more frames only go on longer.

What it does not do well: it is no benchmark. Nothing in it deforms, casts light or has meaning.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from mpvn.data.video.writer import VideoWriter

_Floats = npt.NDArray[np.floating]

_MAX_SPEED = 0.3  # Sides of the picture per second, as are all speeds; a side is the shorter one.
_COLORS = np.array(
    [
        [0.96, 0.42, 0.32],
        [0.98, 0.75, 0.29],
        [0.36, 0.80, 0.66],
        [0.33, 0.58, 0.95],
        [0.72, 0.49, 0.93],
        [0.97, 0.93, 0.84],
    ],
    np.float32,
)


def render_video(
    frames: int = 96,
    size: tuple[int, int] = (224, 224),
    fps: float | Fraction = 25.0,
    seed: int = 0,
) -> Iterator[npt.NDArray[np.uint8]]:
    """Draws moving, turning shapes that pass in front of one another over moving gratings.

    Args:
        frames: Number of frames.
        size: `(height, width)` in pixels.
        fps: Frames per second; time is `n / fps` seconds.
        seed: Chooses colors, paths and texture. The same seed gives the same pixels.

    Returns:
        An iterator of frames `uint8 [height, width, 3]`, RGB.

    Raises:
        ValueError: `frames` is negative, or `size` or `fps` is not positive.
    """
    if frames < 0:
        raise ValueError(f"frames: expected 0 or more, received {frames}.")
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size: expected (height, width), both positive, received {size}.")
    if not fps > 0:
        raise ValueError(f"fps: expected a positive number, received {fps}.")
    rng = np.random.default_rng(seed)
    background = _Gratings(size, rng)
    shapes = _random_shapes(size, rng)
    return (_draw(background, shapes, float(n / fps)) for n in range(frames))


def write_rendered_video(
    path: str | os.PathLike[str],
    frames: int = 96,
    size: tuple[int, int] = (224, 224),
    fps: float | Fraction = 25.0,
    seed: int = 0,
) -> None:
    """Encodes `render_video` of the same arguments to the file `path`.

    Raises:
        VideoError: As `VideoWriter`, for example for a folder that does not exist.
    """
    with VideoWriter(path, fps) as writer:
        for frame in render_video(frames, size, fps, seed):
            writer.write(frame)


def _draw(background: _Gratings, shapes: list[_Shape], seconds: float) -> npt.NDArray[np.uint8]:
    canvas = background.at(seconds)
    for shape in shapes:  # From the farthest to the nearest.
        shape.paint(canvas, seconds)
    pixels = (np.clip(canvas, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(1, 2, 0))  # [3, H, W] -> [H, W, 3]


class _Gratings:
    """A colored sum of plane waves that drift.

    sin(k x + l y + p) = sin(k x + p) cos(l y) + cos(k x + p) sin(l y): a wave is two products of a
    row and a column, hence all waves and channels together are one product of matrices.
    """

    def __init__(self, size: tuple[int, int], rng: np.random.Generator) -> None:
        self._height, self._width = size
        side = min(size)
        self._ys = (np.arange(self._height, dtype=np.float32) + 0.5) / side  # [H]
        self._xs = (np.arange(self._width, dtype=np.float32) + 0.5) / side  # [W]
        # Cycles per side: from broad washes of color to a texture of some pixels' length.
        cycles = np.array([0.5, 0.8, 1.3, 2.1, 3.4, 5.5, 9.0, 14.0])
        direction = rng.uniform(0, 2 * np.pi, cycles.size)
        self._kx = 2 * np.pi * cycles * np.cos(direction)  # [K], radians per side
        self._ky = 2 * np.pi * cycles * np.sin(direction)
        self._phase = rng.uniform(0, 2 * np.pi, cycles.size)
        self._turn = 2 * np.pi * cycles * rng.uniform(0.05, 0.12, cycles.size)  # radians per second
        hue = rng.uniform(0, 2 * np.pi)
        tints = hue + rng.uniform(-0.9, 0.9, (cycles.size, 1)) + 2 * np.pi / 3 * np.arange(3)
        strength = 0.085 * cycles[:, None] ** -0.45
        # Broad waves carry color, fine ones only light and dark.
        colorful = (1.0 / (1.0 + cycles))[:, None]
        self._weights = strength * (0.6 + 1.3 * colorful * np.cos(tints))  # [K, 3]
        self._base = 0.30 + 0.07 * np.cos(hue + 2 * np.pi / 3 * np.arange(3))

    def at(self, seconds: float) -> _Floats:
        """The background `float32 [3, height, width]`."""
        along = np.outer(self._kx, self._xs) + (self._phase + self._turn * seconds)[:, None]
        across = np.outer(self._ky, self._ys)  # [K, H], as `along` is [K, W]
        columns = np.concatenate([np.cos(across), np.sin(across), np.ones((1, self._height))])
        waves = np.concatenate([np.sin(along), np.cos(along), np.ones((1, self._width))])
        weights = np.concatenate([self._weights, self._weights, self._base[None]])  # [2K + 1, 3]
        rows = weights[:, :, None] * waves[:, None, :]  # [2K + 1, 3, W]
        # Not by BLAS, whose threads cost more than so small a product.
        return np.einsum("kh,kcw->chw", columns.astype(np.float32), rows.astype(np.float32))


_Outline = Callable[[_Floats, _Floats], _Floats]
"""Signed distance to the edge of a shape of radius 1 at (u, v): negative inside."""


def _disc(u: _Floats, v: _Floats) -> _Floats:
    return np.hypot(u, v) - 1.0


def _ring(u: _Floats, v: _Floats) -> _Floats:
    return np.abs(np.hypot(u, v) - 0.7) - 0.3


def _square(u: _Floats, v: _Floats) -> _Floats:
    corner, rounding = 0.55, 0.25
    across, down = np.abs(u) - corner, np.abs(v) - corner
    outside = np.hypot(np.maximum(across, 0), np.maximum(down, 0))
    return outside + np.minimum(np.maximum(across, down), 0) - rounding


def _capsule(u: _Floats, v: _Floats) -> _Floats:
    return np.hypot(u - np.clip(u, -0.62, 0.62), v) - 0.38


def _triangle(u: _Floats, v: _Floats) -> _Floats:
    # Edges of an equilateral triangle, blended at the corners.
    third = np.float32(np.sqrt(3) / 2)
    edges = (v, third * u - v / 2, -third * u - v / 2)
    return np.log(sum(np.exp(9 * edge) for edge in edges)) / 9 - 0.52


def _flower(u: _Floats, v: _Floats) -> _Floats:
    return 0.85 * (np.hypot(u, v) - 0.80 - 0.17 * np.cos(5 * np.arctan2(v, u)))


@dataclass(frozen=True)
class _Shape:
    """One shape on its way: a slow Lissajous curve around the picture, turning as it goes."""

    outline: _Outline
    color: _Floats  # [3]
    radius: float  # All lengths in pixels.
    middle: tuple[float, float]  # (x, y)
    reach: tuple[float, float]
    rate: tuple[float, float]  # Radians per second.
    phase: tuple[float, float]
    spin: float

    def paint(self, canvas: _Floats, seconds: float) -> None:
        """Draws onto `canvas`, float32 [3, height, width], with a soft shadow beneath."""
        x, y = (
            middle + reach * np.sin(rate * seconds + phase)
            for middle, reach, rate, phase in zip(
                self.middle, self.reach, self.rate, self.phase, strict=True
            )
        )
        shadow_shift = 0.16 * self.radius
        extent = 1.5 * self.radius + 2
        rows = slice(max(0, int(y - extent)), max(0, int(y + extent)))
        columns = slice(max(0, int(x - extent)), max(0, int(x + extent)))
        patch = canvas[:, rows, columns]  # A view: painting it paints the canvas.
        if patch.size == 0:
            return
        down = np.arange(patch.shape[1], dtype=np.float32)[:, None] + (rows.start + 0.5 - y)
        right = np.arange(patch.shape[2], dtype=np.float32)[None, :] + (columns.start + 0.5 - x)
        shadow = self._distance(right - shadow_shift, down - shadow_shift, seconds)
        patch *= 1.0 - 0.38 * _smooth(0.22 - shadow, 0.44)
        inside = -self._distance(right, down, seconds)
        cover = np.clip(0.5 + inside * self.radius, 0.0, 1.0)  # One pixel of transition.
        # Light from the top left; edges darker, as if the surface bent away there.
        light = 0.72 + 0.28 * _smooth(inside, 0.35) - 0.16 * (right + down) / self.radius
        patch += cover * (light * self.color[:, None, None] - patch)

    def _distance(self, right: _Floats, down: _Floats, seconds: float) -> _Floats:
        """Signed distance in radii at pixels so far right of and below the center."""
        angle = self.spin * seconds + self.phase[0]
        cos, sin = np.float32(np.cos(angle) / self.radius), np.float32(np.sin(angle) / self.radius)
        return self.outline(cos * right + sin * down, cos * down - sin * right)


def _smooth(value: _Floats, width: float) -> _Floats:
    """0 below 0, 1 above `width`, and a smooth step between."""
    step = np.clip(value / width, 0.0, 1.0)
    return step * step * (3.0 - 2.0 * step)


def _random_shapes(size: tuple[int, int], rng: np.random.Generator) -> list[_Shape]:
    height, width = size
    side = min(size)
    outlines: list[_Outline] = [_disc, _square, _flower, _ring, _triangle, _capsule]
    order = rng.permutation(len(outlines))
    colors = rng.permutation(_COLORS)
    shapes = []
    for nearness, (which, color) in enumerate(zip(order, colors, strict=True)):
        radius = side * (0.105 + 0.014 * nearness) * rng.uniform(0.9, 1.15)
        reach = (0.5 * width - 0.8 * radius, 0.5 * height - 0.8 * radius)
        # A reach in pixels times a rate is the top speed: limit it, on any shape of picture.
        fastest = _MAX_SPEED * side / max(max(reach), 1.0)
        shapes.append(
            _Shape(
                outline=outlines[which],
                color=color,
                radius=radius,
                middle=(width / 2, height / 2),
                reach=reach,
                rate=(fastest * rng.uniform(0.7, 1.0), fastest * rng.uniform(0.7, 1.0)),
                phase=(rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi)),
                spin=rng.choice([-1, 1]) * rng.uniform(0.5, 1.3),
            )
        )
    return shapes
