"""Where a network sees an action, and when: class activation maps over time.

*Temporal Shift Module* (figure 14). Where a classifier is the mean over the last map and a dense
layer, the dense layer may as well go first: then each place of the map says how much it speaks for
a class, and the mean over the places, with the bias, is the logit (*Learning Deep Features for
Discriminative Localization*, CVPR 2016).

What it does not do well: a map is as coarse as the network's last one, and its places have seen
more of the frame than they cover. Where the classifier ticks more rarely than the map that it
reads, the map of a step may be newer than the logits.
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
from mpvn.network import VideoNetwork
from mpvn.plan.graph import Graph, Node
from mpvn.report.theme import ramp
from mpvn.tasks.overlay import enlarged, spread, stacked
from mpvn.training import Experiment
from mpvn.training.checkpoint import load_checkpoint
from mpvn.training.distillation import with_outputs
from mpvn.training.recognition import action_task

FPS = 8
"""Steps shown in a second of a video."""

_DENSE, _MEAN = layers.Dense, layers.GlobalAveragePooling2D
_PARTS = ((layers.Activation, layers.Softmax), _DENSE, layers.Dropout, _MEAN)
"""Of a classifier, from the output back."""

_COLORS = np.array([list(bytes.fromhex(color[1:])) for color in ramp(256)], np.float32)
_COLORED = 0.6
"""How much of a picture is the color of the map; the rest is the frame, in gray."""


class ClassMaps(NamedTuple):
    """What each place of the last map says.

    Attributes:
        maps: how much it speaks for each class, float32 `[T, h, w, classes]`; the mean over
            `[h, w]`, with the dense layer's bias, is the logit.
        outputs: of the network, float32 `[T, classes]`.
    """

    maps: np.ndarray
    outputs: np.ndarray


class ActivationMapper:
    """Makes the activation maps of a network.

    Args:
        network: of one output, made of one map by GlobalAveragePooling2D and Dense, with nothing
            between these but Dropout, and behind them an activation, if anything.

    Raises:
        ValueError: another network.
    """

    def __init__(self, network: VideoNetwork) -> None:
        path = _classifier(network.graph)
        self._network: Any = with_outputs(network, (path[0].name,))
        self._dense: Any = next(n.operation for n in path if isinstance(n.operation, _DENSE))
        self._late = sum(itertools.starmap(network.plan.delay, itertools.pairwise(path)))

    def __call__(self, frames: Any) -> ClassMaps:
        """The maps of a clip.

        Args:
            frames: float `[T, H, W, C]`, as the network takes them.
        """
        outputs, features = self._network(np.asarray(frames)[None])
        # [1, T, h, w, C] @ [C, classes] -> [T, h, w, classes]
        maps = np.asarray(features, np.float32)[0] @ np.asarray(self._dense.kernel, np.float32)
        # Behind a boundary the classifier reads what the map was so many steps before.
        unseen = np.zeros_like(maps[: self._late])
        shown = np.concatenate([unseen, maps])[: len(maps)]
        return ClassMaps(shown, np.asarray(outputs, np.float32)[0])


def overlay(frames: Any, maps: np.ndarray) -> np.ndarray:
    """Maps in colors over gray frames: from dark blue, the least of the clip, to yellow.

    The colors differ in lightness, so that color-blind readers tell them apart, too.

    Args:
        frames: `[T, H, W, C]`, RGB or optical flow, uint8, or floats between -1 and 1.
        maps: of one class, float32 `[T, h, w]`.

    Returns:
        uint8 `[T, H', W', 3]`, enlarged by a whole factor.
    """
    pictures = []
    for frame, strength in zip(frames, spread(maps), strict=True):
        picture = Image.fromarray(enlarged(frame))
        gray = np.asarray(picture.convert("L"), np.float32)[..., None]
        smooth = Image.fromarray(strength).resize(picture.size, Image.Resampling.BILINEAR)
        colors = _COLORS[np.rint(255 * np.asarray(smooth)).astype(int)]
        pictures.append(np.uint8(_COLORED * colors + (1 - _COLORED) * gray))
    return np.stack(pictures)


def strip(pictures: np.ndarray, most: int = 8) -> np.ndarray:
    """Some of the pictures of a clip `[T, H, W, 3]`, evenly spread over it, in a row.

    Returns:
        uint8 `[H, W', 3]`, with a white line between any two.
    """
    chosen = np.linspace(0, len(pictures) - 1, min(most, len(pictures))).astype(int)
    return np.ascontiguousarray(stacked(pictures[chosen].swapaxes(1, 2)).swapaxes(0, 1))


def write_activations(
    experiment: Experiment,
    folder: str | os.PathLike,
    checkpoint: str | os.PathLike | None = None,
    videos: int = 3,
) -> list[pathlib.Path]:
    """Writes what a network sees in some videos for evaluation of the class that it names.

    Args:
        experiment: as `mpvn.training.build` makes it.
        folder: where to; made if missing.
        checkpoint: file of weights; None takes those that the network has.
        videos: how many, the first that can be read.

    Returns:
        For each video, a strip of eight steps (`N.png`) and all of them (`N.mp4`).

    Raises:
        ValueError: another task than actions, or another classifier than an `ActivationMapper`
            takes.
    """
    task, mapper = action_task(experiment), ActivationMapper(experiment.network)
    if checkpoint is not None:
        load_checkpoint(checkpoint, experiment.network)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for clip in itertools.islice(_clips(experiment.evaluation), videos):
        frames, targets, _ = task.prepare(clip)
        maps, outputs = mapper(frames[0])
        said = int(task.clip_scores(outputs[None]).numpy()[0].argmax())
        pictures = overlay(frames[0].numpy(), maps[..., said])
        lines = [f"said: {task.names[said]}", f"is: {task.names[int(targets[0, 0])]}"]
        path = folder / f"{int(clip['number'][0])}.png"
        png = io.BytesIO()
        Image.fromarray(strip(pictures)).save(png, "png")
        write_atomically(path, png.getvalue())
        with VideoWriter(path.with_suffix(".mp4"), FPS) as video:
            for picture in pictures:
                video.write(draw_text(picture, lines))
        written += [path, path.with_suffix(".mp4")]
    return written


def _classifier(graph: Graph) -> list[Node]:
    """The nodes from the one that makes the last map to the output.

    Raises:
        ValueError: the output is made otherwise than by a mean over a map and a dense layer.
    """
    path: list[Node] = []  # from the output back
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
            f"activation maps need a classifier that is the GlobalAveragePooling2D of a map, then "
            f"Dropout or nothing, then one Dense layer, then an activation or nothing. "
            f"{graph.model.name!r} ends with: {received}. Train a network with such a head, as "
            "mpvn.models.action_head makes it"
        )
    return [node, *reversed(path)]


def _clips(pipeline: ClipPipeline) -> Iterator[dict[str, tf.Tensor]]:
    """The clips of a pipeline, one by one, `[1, ...]`; no more is read than their batches."""
    for start in range(0, len(pipeline.videos.videos), pipeline.batch_size):
        for batch in pipeline.dataset(start, 1):
            for place in range(len(batch["number"])):
                yield {name: value[place : place + 1] for name, value in batch.items()}
