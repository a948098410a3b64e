"""Videos whose optical flow is known: a smooth texture that moves as a whole."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from mpvn.data.video.timeline import Timeline

MOVES = ((3.0, -2.0), (-1.0, 4.0), (2.5, 1.0), (0.0, -3.0), (-4.0, 0.5), (1.0, 2.0))
"""Displacement from frame to frame, to the right and down, in pixels. All differ."""

MARGIN = 16
"""Pixels at the edges where the flow is unknown, because new content enters."""


@dataclasses.dataclass(frozen=True)
class MovingTexture:
    """A `Video` with one more frame than it has moves. Records which frames were read."""

    moves: tuple[tuple[float, float], ...] = MOVES
    number: int = 0
    size: tuple[int, int] = (64, 80)
    mirrored: bool = False
    label: int = 0
    fps: float = 25.0
    reads: list = dataclasses.field(default_factory=list)

    @property
    def name(self) -> str:
        return f"textures/{self.number}.avi"

    @property
    def timeline(self) -> Timeline:
        return Timeline.even(len(self.moves) + 1, self.fps)

    def joints(self, indices: Sequence[int]) -> np.ndarray:
        return np.asarray(indices, np.float32)[:, None, None, None] * np.ones(
            (1, 1, 2, 3), np.float32
        )

    def read(self, indices: Sequence[int]) -> np.ndarray:
        """Frames uint8 `[T, H, W, 3]`."""
        assert sorted(set(indices)) == list(indices), "expected ascending, unique indices"
        self.reads.append(list(indices))
        places = np.cumsum([(0.0, 0.0), *self.moves], axis=0)
        down, right = (np.fft.fftfreq(length) for length in self.size)  # cycles per pixel
        noise = np.random.default_rng(self.number).normal(size=self.size)
        smooth = np.fft.fft2(noise) * np.exp(-50 * (down[:, None] ** 2 + right**2))
        frames = []
        for x, y in places[list(indices)]:
            shift = np.exp(-2j * np.pi * (y * down[:, None] + x * right))
            picture = np.fft.ifft2(smooth * shift).real
            shade = np.clip(127.5 + 40 * picture / smooth.std() * len(noise), 0, 255)
            frames.append(np.repeat(shade[..., None], 3, axis=-1).astype(np.uint8))
        stacked = np.stack(frames)
        return stacked[:, :, ::-1] if self.mirrored else stacked


def inner(frames: np.ndarray) -> np.ndarray:
    """Crop the margins of frames `[..., H, W, C]`."""
    return frames[..., MARGIN:-MARGIN, MARGIN:-MARGIN, :]
