"""Class activation maps over time: where a network sees an action, and when.

*Temporal Shift Module*, section 8 and figure 14. A classifier that is the mean over the last
feature map and a dense layer may apply the dense layer first. Then each position of the map has a
score for each class, and the mean over the positions plus the bias is the logit (*Learning Deep
Features for Discriminative Localization*, CVPR 2016).

What it does not do well: a map is as coarse as the network's last feature map, and its positions
have seen a larger part of the frame than they cover. If the classifier ticks less often than the
feature map that it reads, the map of a step may be newer than the logits.
"""

import io
import itertools
import os
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from keras import layers
from PIL import Image

from mpvn.data import VideoWriter, draw_text
from mpvn.data.clips.pipeline import ClipPipeline
from mpvn.files import write_atomically
from mpvn.graph.data import Graph, Node
from mpvn.network import VideoNetwork
from mpvn.outputs import with_outputs
from mpvn.report.theme import ramp
from mpvn.tasks.overlay import enlarged, spread, stacked
from mpvn.training import Experiment
from mpvn.training.evaluation import load_weights
from mpvn.training.recognition import action_task

FPS = 8
"""Steps per second of a written video."""

_DENSE, _MEAN = layers.Dense, layers.GlobalAveragePooling2D
_PARTS = ((layers.Activation, layers.Softmax), _DENSE, layers.Dropout, _MEAN)
"""The layers of a classifier, from the output backward."""

_COLORS = np.array([list(bytes.fromhex(color[1:])) for color in ramp(256)], np.float32)
_OPACITY = 0.6
"""Opacity of the map's colors over the gray frame."""


class ClassMaps(NamedTuple):
    """Class activation maps of a clip.

    Attributes:
        maps: Score of each position for each class, float32 `[T, h, w, classes]`. The mean over
            `[h, w]` plus the bias of the dense layer is the logit.
        outputs: Outputs of the network, float32 `[T, classes]`.
    """

    maps: np.ndarray
    outputs: np.ndarray


class ActivationMapper:
    """Computes the class activation maps of a network.

    Args:
        network: A network with one output, made from a feature map by GlobalAveragePooling2D and
            one Dense layer. Dropout may stand between them, and an activation after them.

    Call arguments:
        frames: A clip, float `[T, H, W, C]`, as the network takes it.

    Returns:
        `ClassMaps`.

    Raises:
        ValueError: If the network has another classifier.
    """

    def __init__(self, network: VideoNetwork) -> None:
        path = _classifier(network.graph)
        self._network: Any = with_outputs(network, (path[0].name,))
        self._dense: Any = next(n.operation for n in path if isinstance(n.operation, _DENSE))
        self._delay = sum(itertools.starmap(network.plan.delay, itertools.pairwise(path)))

    def __call__(self, frames: Any) -> ClassMaps:
        outputs, features = self._network(np.asarray(frames)[None])
        # [1, T, h, w, C] @ [C, classes] -> [T, h, w, classes]
        maps = np.asarray(features, np.float32)[0] @ np.asarray(self._dense.kernel, np.float32)
        # Across boundaries, the classifier reads an older feature map. Align the maps with it.
        zeros = np.zeros_like(maps[: self._delay])
        aligned = np.concatenate([zeros, maps])[: len(maps)]
        return ClassMaps(aligned, np.asarray(outputs, np.float32)[0])


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
    pictures = []
    for frame, strength in zip(frames, spread(maps), strict=True):
        picture = Image.fromarray(enlarged(frame))
        gray = np.asarray(picture.convert("L"), np.float32)[..., None]
        smooth = Image.fromarray(strength).resize(picture.size, Image.Resampling.BILINEAR)
        colors = _COLORS[np.rint(255 * np.asarray(smooth)).astype(int)]
        pictures.append(np.uint8(_OPACITY * colors + (1 - _OPACITY) * gray))
    return np.stack(pictures)


def strip(pictures: np.ndarray, max_count: int = 8) -> np.ndarray:
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
    experiment: Experiment,
    folder: str | os.PathLike,
    checkpoint: str | os.PathLike | None = None,
    videos: int = 3,
) -> list[pathlib.Path]:
    """Write the activation maps of the predicted class for some evaluation videos.

    Args:
        experiment: The result of `mpvn.training.build`.
        folder: Output folder, created if missing.
        checkpoint: File of weights; None keeps the weights of the network.
        videos: Number of videos: the first that can be read.

    Returns:
        For each video, the paths of a strip of eight steps (`N.png`) and of a video of all steps
        (`N.mp4`).

    Raises:
        ValueError: If the task is not action recognition, or `ActivationMapper` does not support
            the classifier.
    """
    task, mapper = action_task(experiment), ActivationMapper(experiment.network)
    if checkpoint is not None:
        load_weights(experiment, checkpoint)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for clip in itertools.islice(_clips(experiment.evaluation), videos):
        frames, targets, _ = task.prepare(clip)
        maps, outputs = mapper(frames[0])
        predicted = int(task.clip_scores(outputs[None]).numpy()[0].argmax())
        pictures = overlay(frames[0].numpy(), maps[..., predicted])
        label = task.names[int(targets[0, 0])]
        lines = [f"predicted: {task.names[predicted]}", f"label: {label}"]
        paths += _write_pictures(folder / str(int(clip["number"][0])), pictures, lines)
    return paths


def _write_pictures(
    stem: pathlib.Path, pictures: np.ndarray, lines: list[str]
) -> list[pathlib.Path]:
    """Write a strip and a video of pictures `[T, H, W, 3]`, and return their paths."""
    png = io.BytesIO()
    Image.fromarray(strip(pictures)).save(png, "png")
    write_atomically(stem.with_suffix(".png"), png.getvalue())
    with VideoWriter(stem.with_suffix(".mp4"), FPS) as video:
        for picture in pictures:
            video.write(draw_text(picture, lines))
    return [stem.with_suffix(".png"), stem.with_suffix(".mp4")]


def _classifier(graph: Graph) -> list[Node]:
    """Return the nodes from the last feature map to the output.

    Raises:
        ValueError: If the output is not the mean over a feature map and one dense layer.
    """
    path: list[Node] = []  # From the output backward.
    node = graph.producer(graph.outputs[0])
    for kinds in _PARTS:
        while node is not None and isinstance(node.operation, kinds):
            path.append(node)
            node = graph.producer(node.inputs[0])
    counts = [sum(isinstance(part.operation, kind) for part in path) for kind in (_DENSE, _MEAN)]
    if node is None or counts != [1, 1]:
        ends = [*path, *([node] if node else [])][::-1]
        received = ", ".join(f"{end.name} ({type(end.operation).__name__})" for end in ends)
        raise ValueError(
            "Activation maps need a classifier of GlobalAveragePooling2D, optional Dropout, one "
            "Dense layer and an optional activation. "
            f"Received: {graph.model.name!r}, which ends with {received}. Train a network with "
            "such a head, as mpvn.models.action_head makes it."
        )
    return [node, *reversed(path)]


def _clips(pipeline: ClipPipeline) -> Iterator[dict[str, tf.Tensor]]:
    """Yield the clips of a pipeline one by one, `[1, ...]`, reading one batch at a time."""
    for start in range(0, len(pipeline.videos.videos), pipeline.batch_size):
        for batch in pipeline.dataset(start, 1):
            for index in range(len(batch["number"])):
                yield {name: value[index : index + 1] for name, value in batch.items()}
