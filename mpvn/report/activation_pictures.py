"""Pictures of class activation maps: of one network, or of several over the same videos.

*Temporal Shift Module*, section 8: figure 14 shows TSM beside TSN. The paper keeps the fifth of the
pixels with the highest activation and darkens the others; here the whole map can also be drawn in
colors.
"""

import io
import itertools
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from mpvn.data import VideoWriter, draw_text
from mpvn.data.clips.pipeline import ClipPipeline
from mpvn.files import write_atomically
from mpvn.report.activation_maps import ActivationMapper
from mpvn.report.theme import ramp
from mpvn.tasks.overlay import enlarged, spread, stacked
from mpvn.training import Experiment
from mpvn.training.recognition import action_task, check_same_videos

FPS = 8
"""Steps per second of a written video."""

MAX_SHOWN = 8
"""Maximum number of steps in a strip."""

_COLORS = np.array([list(bytes.fromhex(color[1:])) for color in ramp(256)], np.float32)
_OPACITY = 0.6
"""Opacity of the map's colors over the gray frame."""
_DARKENED = 0.25
"""Brightness of the pixels that are not highlighted."""


def overlay(frames: Any, maps: np.ndarray) -> np.ndarray:
    """Return the maps of one class in colors over gray frames.

    The colors run from dark blue (the minimum of the clip) to yellow (the maximum). They differ in
    lightness, so that color-blind readers can tell them apart.

    Args:
        frames: `[T, H, W, C]`, RGB or optical flow, uint8 or floats from -1 to 1.
        maps: Maps of one class, float32 `[T, h, w]`.

    Returns:
        uint8 `[T, H', W', 3]`, enlarged by an integer factor.
    """
    pictures, strength = _at_one_size(frames, maps)
    weights = np.array([0.299, 0.587, 0.114], np.float32)  # The gray of Pillow and of televisions.
    gray = (pictures @ weights)[..., None]
    colors = _COLORS[np.rint(255 * strength).astype(int)]
    return (_OPACITY * colors + (1 - _OPACITY) * gray).astype(np.uint8)


def highlight(frames: Any, maps: np.ndarray, percent: float) -> np.ndarray:
    """Return frames in which all but the pixels with the highest activation are dark.

    Args:
        frames: As in `overlay`.
        maps: As in `overlay`.
        percent: Share of the pixels of the clip that stay bright, above 0, at most 100. Steps may
            have more or less of them. More stay bright if the map has equal values.

    Returns:
        As in `overlay`.

    Raises:
        ValueError: If `percent` is out of range.
    """
    if not 0 < percent <= 100:
        raise ValueError(
            f"Highlighted pixels: Expected a percentage above 0, at most 100. Received: {percent:g}"
        )
    pictures, strength = _at_one_size(frames, maps)
    bright = strength >= np.percentile(strength, 100 - percent)
    return np.where(bright[..., None], pictures, np.uint8(_DARKENED * pictures))


def strip(pictures: np.ndarray, max_count: int = MAX_SHOWN) -> np.ndarray:
    """Return evenly spaced pictures of a clip side by side, with white lines between them.

    Args:
        pictures: uint8 `[T, H, W, 3]`.
        max_count: Maximum number of pictures in the strip.

    Returns:
        uint8 `[H, W', 3]`.
    """
    chosen = np.linspace(0, len(pictures) - 1, min(max_count, len(pictures))).astype(int)
    # [N, H, W, 3] -> [N, W, H, 3]: stack along W, then transpose back.
    return np.ascontiguousarray(stacked(pictures[chosen].swapaxes(1, 2)).swapaxes(0, 1))


def write_activations(
    experiments: Mapping[str, Experiment],
    folder: str | os.PathLike,
    *,
    videos: int = 3,
    highlighted: float | None = None,
) -> list[pathlib.Path]:
    """Write the activation maps of the predicted classes for some evaluation videos.

    Each network is a row of the pictures, in the order of `experiments`. Clips of different lengths
    are shown over the same time, and frames of different sizes at the size of the first network's.

    Args:
        experiments: Results of `mpvn.training.build` with loaded weights, by name.
        folder: Output folder, created if missing.
        videos: Number of videos: the first that all networks can read.
        highlighted: The `percent` of `highlight`. Default: maps in colors.

    Returns:
        For each video, the paths of a strip of eight steps (`N.png`) and of a video of all steps
        (`N.mp4`).

    Raises:
        ValueError: If a task is not action recognition, the networks are not evaluated on the same
            videos, or `ActivationMapper` does not support a classifier.
    """
    networks = list(experiments.values())
    rows = [_Row(experiment, highlighted) for experiment in networks]
    for other in networks[1:]:
        check_same_videos(networks[0], other)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    clips = _common_clips([experiment.evaluation for experiment in networks])
    paths = []
    for number, clips_of_video in itertools.islice(clips, videos):
        drawn = [row(clip) for row, clip in zip(rows, clips_of_video, strict=True)]
        names = [[name] if len(rows) > 1 else [] for name in experiments]
        texts = [[*name, *lines] for name, (_, lines) in zip(names, drawn, strict=True)]
        pictures = _alike([pictures for pictures, _ in drawn])
        paths += _write(folder / str(number), pictures, texts)
    return paths


class _Row:
    """Draws the maps of one network."""

    def __init__(self, experiment: Experiment, highlighted: float | None) -> None:
        self._task = action_task(experiment)
        self._mapper = ActivationMapper(experiment.network)
        self._highlighted = highlighted

    def __call__(self, clip: dict[str, tf.Tensor]) -> tuple[np.ndarray, list[str]]:
        """Return the pictures `[T, H, W, 3]` of a clip `[1, ...]`, and lines of text."""
        frames, targets, _ = self._task.prepare(clip)
        maps, outputs = self._mapper(frames[0])
        predicted = int(self._task.clip_scores(outputs[None]).numpy()[0].argmax())
        shown = frames[0].numpy(), maps[..., predicted]
        names = self._task.names
        lines = [f"predicted: {names[predicted]}", f"label: {names[int(targets[0, 0])]}"]
        if self._highlighted is None:
            return overlay(*shown), lines
        return highlight(*shown, self._highlighted), lines


def _at_one_size(frames: Any, maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return enlarged frames, uint8 `[T, H', W', 3]`, and maps from 0 to 1, `[T, H', W']`."""
    pictures = np.stack([enlarged(frame) for frame in frames])
    size = pictures.shape[2], pictures.shape[1]
    strength = [Image.fromarray(m).resize(size, Image.Resampling.BILINEAR) for m in spread(maps)]
    return pictures, np.stack([np.asarray(resized) for resized in strength])


def _alike(rows: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Bring the pictures of several networks to one number of steps and one size."""
    steps = max(map(len, rows))
    size = rows[0].shape[2], rows[0].shape[1]
    alike = []
    for pictures in rows:
        if pictures.shape[1:] != rows[0].shape[1:]:
            resized = [Image.fromarray(picture).resize(size) for picture in pictures]
            pictures = np.stack([np.asarray(picture) for picture in resized])
        alike.append(pictures[np.arange(steps) * len(pictures) // steps])
    return alike


def _write(
    stem: pathlib.Path, rows: Sequence[np.ndarray], texts: Sequence[list[str]]
) -> list[pathlib.Path]:
    """Write a strip and a video of rows of pictures `[T, H, W, 3]`, and return their paths."""
    png = io.BytesIO()
    Image.fromarray(stacked([strip(pictures) for pictures in rows])).save(png, "png")
    write_atomically(stem.with_suffix(".png"), png.getvalue())
    with VideoWriter(stem.with_suffix(".mp4"), FPS) as video:
        for pictures in zip(*rows, strict=True):
            video.write(stacked([draw_text(*row) for row in zip(pictures, texts, strict=True)]))
    return [stem.with_suffix(".png"), stem.with_suffix(".mp4")]


def _common_clips(
    pipelines: Sequence[ClipPipeline],
) -> Iterator[tuple[int, list[dict[str, tf.Tensor]]]]:
    """Yield the number of each video that all pipelines can read, and its clips `[1, ...]`."""
    waiting: list[dict[int, dict[str, tf.Tensor]]] = [{} for _ in pipelines]
    readers = [_clips(pipeline) for pipeline in pipelines]
    # Pipelines leave out videos that they cannot read: the clips of one turn may be of different
    # videos.
    for turn in itertools.zip_longest(*readers):
        for read, clip in zip(waiting, turn, strict=True):
            if clip is not None:
                read[int(clip["number"][0])] = clip
        for number in sorted(set.intersection(*map(set, waiting))):
            yield number, [read.pop(number) for read in waiting]


def _clips(pipeline: ClipPipeline) -> Iterator[dict[str, tf.Tensor]]:
    """Yield the clips of a pipeline one by one, `[1, ...]`, reading one batch at a time."""
    for start in range(0, len(pipeline.videos.videos), pipeline.batch_size):
        for batch in pipeline.dataset(start, 1):
            for index in range(len(batch["number"])):
                yield {name: value[index : index + 1] for name, value in batch.items()}
