"""A small video file for tests that need one, whatever it shows."""

from pathlib import Path

from mpvn.data import VideoWriter, rendered_figures


def write_rendered_video(path: Path, frames: int, size: tuple[int, int], seed: int = 0) -> None:
    """Write a video of a rendered figure at 25 frames per second, `size` = (height, width)."""
    (video,) = rendered_figures(1, seed=seed, size=size, frames=frames, fps=25.0).videos
    with VideoWriter(path, 25) as writer:
        for frame in video.read(range(frames)):
            writer.write(frame)
