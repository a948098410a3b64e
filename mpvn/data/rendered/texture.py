"""The background of a scene: a drifting texture."""

import colorsys

import numpy as np

from mpvn.data.rendered.arrays import Float32Array, Float64Array, Indices

# Frequencies of the waves, in cycles per shorter side of the frame.
_CYCLES = np.array([0.5, 0.7, 1.0, 1.5, 2.2, 3.3, 5.0, 7.5, 11.0])
# Most multiplications for which BLAS uses one thread. Waking others would cost more than it saves.
_ONE_THREAD = 1 << 18


class Texture:
    """A wall above a floor, both tinted by drifting plane waves of color.

    cos(k x + l y + p) = cos(k x) cos(l y + p) - sin(k x) sin(l y + p), so a wave is a sum of two
    outer products, and a frame is one matrix product, of a factor that depends on time (for y) with
    one that does not (for x).

    Args:
        size: `(height, width)` in pixels.
        times: Times of the frames in seconds, float64 `[times]`.
        pan: Speed of the camera to the right, in shorter sides per second.
        horizon: Where the floor starts, from 0 to 1 of the height.
        rng: Chooses the colors and waves.
    """

    def __init__(
        self,
        size: tuple[int, int],
        times: Float64Array,
        pan: float,
        horizon: float,
        rng: np.random.Generator,
    ) -> None:
        height, width = size
        side = min(size)
        # Successive waves differ by the golden angle, so that no two directions coincide.
        direction = rng.uniform(0, np.pi) + 2.4 * np.arange(_CYCLES.size)
        across = 2 * np.pi * _CYCLES * np.cos(direction)  # radians per side
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

    def at(self, frames: Indices) -> Float32Array:
        """Return the texture at frames `[N]` of the scene: float32 `[N, H, W, 3]`, 0 to 255."""
        waves = self._turn[frames, None] * self._down  # [N, H, waves]
        floor = np.broadcast_to(self._floor, (len(frames), *self._floor.shape))
        rows = np.concatenate([waves.real, waves.imag, floor], -1)
        height, width = rows.shape[1], self._columns.shape[1]
        canvas = np.empty((len(frames), height, width), np.float32)
        band = max(1, _ONE_THREAD // self._columns.size)
        for top in range(0, height, band):
            below = top + band
            np.matmul(rows[:, top:below], self._columns, out=canvas[:, top:below])
        return canvas.reshape(len(frames), height, width // 3, 3)  # [N, H, W * 3] -> [N, H, W, 3]


def _flat(waves: Float64Array, colors: Float64Array) -> Float32Array:
    """Return waves `[K, W]` times colors `[K, 3]`, flattened to float32 `[K, W * 3]`."""
    return (waves[:, :, None] * colors[:, None, :]).reshape(len(waves), -1).astype(np.float32)


def _background_colors(rng: np.random.Generator) -> tuple[Float64Array, Float64Array]:
    """Return the colors of wall and floor, `[2, 3]`, and the tint of each wave, `[waves, 3]`."""
    hue, value = rng.uniform(), rng.uniform(0.35, 0.75)
    wall = colorsys.hsv_to_rgb(hue, rng.uniform(0.2, 0.55), value)
    floor = colorsys.hsv_to_rgb(
        hue + rng.uniform(0.1, 0.6), rng.uniform(0.15, 0.5), rng.uniform(0.3, 0.6)
    )
    angle = rng.uniform(0, 2 * np.pi, (_CYCLES.size, 1)) + 2 * np.pi / 3 * np.arange(3)
    # Broad waves vary mostly in color, fine ones mostly in brightness.
    colorful = 1 / (1 + 0.5 * _CYCLES[:, None])
    strength = 22 * _CYCLES[:, None] ** -0.6
    return 255 * np.array([wall, floor]), strength * (0.45 + 0.8 * colorful * np.cos(angle))


def _smooth(value: Float64Array) -> Float64Array:
    step = np.clip(value, 0.0, 1.0)
    return step * step * (3.0 - 2.0 * step)
