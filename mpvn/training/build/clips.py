"""Clips of videos: how they are sampled, augmented, batched and prepared for `fit`."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
from ml_collections import ConfigDict

from mpvn.data.clips.augmentation import Augmentation
from mpvn.data.clips.mixing import Mixing
from mpvn.data.clips.montage import montage
from mpvn.data.clips.pipeline import ClipPipeline
from mpvn.data.clips.sampling import Consecutive, Dense, MultiClipSampling, Segments, Whole
from mpvn.data.clips.views import Views
from mpvn.data.video_set import VideoSet
from mpvn.metadata import SAMPLINGS
from mpvn.tasks import Task
from mpvn.tasks.classes import ClassTask
from mpvn.tasks.task import Batch
from mpvn.training.options import unknown
from mpvn.training.run_data import frame_stride

Prepare = Callable[[Batch], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]
"""From a batch to frames `[B, T, H, W, C]`, targets `[B, T, ...]` and weights `[B, T]`."""

MOST_FRAMES = 512
"""Frames of a training video, at most, that are read without need for more."""


def build_pipeline(
    config: ConfigDict, videos: VideoSet, training: bool, least: int = 1
) -> ClipPipeline:
    """Return clips of `videos`.

    Args:
        config: the config.
        videos: the data set.
        training: True for random clips; False for whole videos or central clips, cropped in the
            center, out of frames of the same size, at the same frame rate.
        least: frames that whole videos must have for a step to count. Shorter ones are completed as
            `config.clip.short` says.
    """
    size = (config.model.size, config.model.size)
    batch_size = config.training.batch_size * config.clip.montage
    if training:
        sampling = _sampling(config, "random")
    elif config.clip.evaluated:
        sampling, batch_size = _whole(config.clip, least), 1
    else:
        sampling = _sampling(config, "center")
    augmentation = dict(config.augmentation) if training else {}
    for name in ("mixup", "cutmix"):  # of batches; see `build_mixing`
        augmentation.pop(name, None)
    return ClipPipeline(
        videos,
        sampling,
        Augmentation(size, shorter_side=config.clip.shorter_side, **augmentation),
        batch_size,
        seed=config.seed,
        training=training,
        on_error=config.data.on_error,
    )


def build_views(config: ConfigDict) -> Views:
    """Return the clips, sampled as in training, and crops for evaluation by views."""
    views = config.views
    size = (views.size, views.size) if views.size else None
    return Views(_sampling(config, "center"), views.clips, views.crops, size, views.scale)


def prepare_batches(
    task: Task,
    clips: int = 1,
    interleaved: bool = False,
    delayed: bool = True,
    mixing: Mixing | None = None,
) -> Prepare:
    """Return the function that converts batches to the arguments of `fit` and `evaluate`.

    Args:
        task: the task that makes the targets.
        clips: number of clips joined into one.
        interleaved: whether joined clips alternate frame by frame.
        delayed: whether targets and weights are moved to the steps that answer them. False for
            trainers, which delay targets themselves.
        mixing: what mixes the clips of a batch, before they are joined; for a `ClassTask`.
    """

    def prepare(batch: Batch) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        frames, targets, weights = task.at_source(batch)
        if mixing is not None and isinstance(task, ClassTask):
            frames, targets = mixing(frames, task.shares_of(targets), batch["number"][0])
        joined = montage((frames, targets, weights), clips, interleaved)
        return task.late(*joined) if delayed else joined

    return prepare


def _whole(clip: ConfigDict, least: int) -> Whole:
    """Return whole videos at the frame rate of the training clips."""
    return Whole(clip.evaluated, clip.fps, frame_stride(clip) or 1, least, clip.short)


def _sampling(config: ConfigDict, place: Any) -> MultiClipSampling:
    clip = config.clip
    if clip.sampling == "consecutive":
        return Consecutive(clip.frames, clip.stride, clip.fps, place, clip.short)
    if clip.stride != 1 or clip.fps:
        raise ValueError(
            "config.clip: stride and fps apply to sampling consecutive. Expected stride 1 and fps "
            f"None. Received: sampling {clip.sampling}, stride {clip.stride}, fps {clip.fps}"
        )
    if clip.sampling == "segments":
        return Segments(clip.frames, place, clip.short)
    if clip.sampling == "dense":
        return Dense(clip.frames, clip.window, place, clip.short)
    raise unknown("config.clip.sampling", clip.sampling, SAMPLINGS)


class TrainingClips(Sequence[tf.Tensor]):
    """The beginnings of the training videos, without augmentation: whole frames, in order.

    They are as long as what a stream sees, unlike the clips of the training.

    Args:
        config: the config.
        videos: the training videos.
    """

    def __init__(self, config: ConfigDict, videos: VideoSet) -> None:
        self._config = config
        self._videos = videos

    def __len__(self) -> int:
        return len(self._videos.videos)

    def __getitem__(self, index: Any) -> Any:
        return self.beginning(index, MOST_FRAMES)

    def beginning(self, index: int, steps: int) -> tf.Tensor:
        """Return the first frames of a video, float32 `[1, T, H, W, C]`."""
        config = self._config.copy_and_resolve_references()
        config.clip.evaluated = steps
        clips = build_pipeline(config, self._videos, training=False).dataset(index, 1)
        empty = tf.zeros((1, 0, config.model.size, config.model.size, self._videos.channels))
        return next((clip["frames"] for clip in clips), empty)  # of a video that is skipped
