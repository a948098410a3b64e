"""Stream the video of the demo through all networks."""

import itertools
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import tqdm

from mpvn.data import VideoReader, rendered_figures
from mpvn.demo.networks import DemoNetwork
from mpvn.pixels import to_signed
from mpvn.training import base_config

SEGMENT = 32
"""Frames that a network streams before the next network takes its turn: two periods."""

COMPARED_FRAMES = 20
"""Frames over which streaming is compared with the whole clip."""


def load_clip(video: str | os.PathLike | None, frames: int) -> list[np.ndarray]:
    """Return frames uint8 `[H, W, 3]` of a video file, or of a rendered test video for None."""
    size = base_config().model.size
    if video is None:
        rendered = rendered_figures(1, size=(size, size), frames=frames, split="test")
        return list(rendered.videos[0].read(range(frames)))
    with VideoReader(video, size=(size, size)) as reader:
        return list(itertools.islice(reader, frames))


def stream_in_turns(networks: Sequence[DemoNetwork], clip: list[np.ndarray]) -> None:
    """Stream the clip through all networks and keep their outputs.

    The networks take turns, one segment each, so that a busy machine slows all of them alike.
    Compiled streams have their weights; others take those that their shared network has.
    """
    segments = [clip[start : start + SEGMENT] for start in range(0, len(clip), SEGMENT)]
    with tqdm.tqdm(total=len(networks) * len(clip), desc="streaming", unit="frame") as bar:
        for segment, network in itertools.product(segments, networks):
            network.experiment.network.set_weights(network.weights)
            for frame in segment:
                network.outputs.append(network.stream.step(frame))
                bar.update()


def compare_with_clip(network: DemoNetwork, clip: list[np.ndarray]) -> float:
    """Return the largest difference between streaming and the whole clip, relative to the outputs.

    The network must have its own weights, as the last network has after `stream_in_turns`.
    """
    frames = np.stack([to_signed(frame) for frame in clip[:COMPARED_FRAMES]])
    video_network: Any = network.experiment.network
    expected = video_network(frames[None])[0].numpy()
    streamed = np.stack(network.outputs[:COMPARED_FRAMES])
    return float(np.abs(streamed - expected).max() / np.abs(expected).max())
