"""Clips for training and evaluation, as a `tf.data` pipeline that can be entered at any example.

An example is a function of the seed and its number alone: its number says which epoch it is of, the
epoch how the videos are shuffled, and seed and number what is cut out of the video. So a run that
was stopped after n examples goes on with `dataset(start=n)`, and nothing of the pipeline needs
to be saved.
"""

import os
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from mpvn.data.clips.augmentation import ClipTransform
from mpvn.data.clips.sampling import Sampling
from mpvn.data.video.errors import VideoError
from mpvn.data.video_set import Video, VideoSet


class ClipPipeline:
    """Batches of clips of a data set.

    Args:
        videos: the data set.
        sampling: which frames make a clip.
        augmentation: what is done to them: an `Augmentation`, or `NoAugmentation`.
        batch_size: clips of a batch. Clips of different lengths need batches of 1.
        seed: of all chance.
        training: whether examples go on for ever, shuffled anew in each epoch, in whole batches;
            otherwise every video comes once, in order.
        on_error: what becomes of videos that cannot be read, or are too short: `"skip"` leaves them
            out and tells of them in `skipped` (in training the next video of the epoch stands in,
            so that batches stay where they are), `"raise"` stops.
        threads: how many videos are decoded at the same time; default: one per core.

    Attributes:
        videos, sampling, augmentation, batch_size, on_error: as given.
        skipped: why videos were left out, by name.
        failure: what stopped the pipeline, for TensorFlow hides it in errors of its own.

    Raises:
        ValueError: arguments out of range, or that do not fit each other.
    """

    def __init__(
        self,
        videos: VideoSet,
        sampling: Sampling,
        augmentation: ClipTransform,
        batch_size: int = 1,
        *,
        seed: int = 0,
        training: bool = False,
        on_error: Literal["skip", "raise"] = "skip",
        threads: int | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1. Received: {batch_size}")
        if sampling.frames is None and batch_size > 1:
            raise ValueError(
                "whole videos differ in length, so they come in batches of 1. "
                f"Received: batch_size={batch_size}"
            )
        if on_error not in ("skip", "raise"):
            raise ValueError(f'on_error must be "skip" or "raise". Received: {on_error!r}')
        augmentation.check(videos)
        self.videos = videos
        self.sampling = sampling
        self.augmentation = augmentation
        self.batch_size = batch_size
        self.on_error = on_error
        self.skipped: dict[str, str] = {}
        self.failure: VideoError | None = None
        self._seed = seed
        self._training = training
        self._threads = threads or os.cpu_count() or 1
        self._orders: dict[int, np.ndarray] = {}

    def dataset(self, start: int = 0, batches: int | None = None) -> tf.data.Dataset:
        """The batches from example `start` on, `batches` of them at most.

        Each is a dict: `"frames"` float32 `[B, T, H, W, C]` between -1 and 1, or uint8 if they are
        not augmented; `"number"` int64 `[B]`, the examples' numbers; `"label"` int32 `[B]` if
        the set has classes; `"joints"` float32 `[B, T, J, 3]` (x, y in pixels, visible) if it has
        joints.

        Raises:
            tf.errors.OpError: while iterating: damage with `on_error="raise"`, or only damage;
                `failure` says what.
        """
        numbers = tf.data.Dataset.counter(start, 1)
        if not self._training:
            numbers = numbers.take(max(0, len(self.videos.videos) - start))
        if batches is not None:  # at the source, so that nothing is read that nobody asked for
            numbers = numbers.take(batches * self.batch_size)
        examples = numbers.map(self._load, self._threads, deterministic=True)
        examples = examples.filter(lambda clip, intact: intact)
        clips = examples.map(self._augment, self._threads, deterministic=True)
        batched = clips.batch(self.batch_size, drop_remainder=self._training)
        return batched.prefetch(tf.data.AUTOTUNE)

    def arrays(self) -> Iterator[dict[str, np.ndarray]]:
        """The batches of `dataset` as NumPy arrays.

        Raises:
            VideoError: while iterating: damage with `on_error="raise"`, or nothing but damage.
        """
        try:
            yield from self.dataset().as_numpy_iterator()
        except tf.errors.OpError as wrapped:
            raise (self.failure or wrapped) from wrapped

    def report(self) -> str:
        """What was left out, for reading; empty if nothing was."""
        lines = [f"  {reason}" for _, reason in sorted(self.skipped.items())]
        if not lines:
            return ""
        return "\n".join([f"left out {len(lines)} of {len(self.videos.videos)} videos:", *lines])

    # --- one example ------------------------------------------------------------------------

    def _load(self, number: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """Frames as they are in the video, and whether there are any."""
        frames, label, joints, intact = tf.numpy_function(
            self._read, [number], [tf.uint8, tf.int32, tf.float32, tf.bool], stateful=False
        )
        length = self.sampling.frames
        shape = [length, None, None, self.videos.channels]
        clip = {"number": number, "frames": tf.ensure_shape(frames, shape)}
        if self.videos.classes:
            clip["label"] = tf.ensure_shape(label, [])
        if self.videos.joints:
            clip["joints"] = tf.ensure_shape(joints, [length, len(self.videos.joints), 3])
        return clip, tf.ensure_shape(intact, [])

    def _read(self, number: np.int64) -> tuple[Any, ...]:
        """Frames, label, joints, and whether they are any good."""
        for video in self._candidates(int(number)):
            rng = np.random.default_rng([self._seed, 1, int(number)])
            try:
                return *self._clip(video, rng), np.bool_(True)
            except (VideoError, ValueError, OSError) as fault:
                self._note(video, fault)
        if len(self.skipped) == len(self.videos.videos):
            self.failure = VideoError(f"{self.videos.name}: nothing can be read:\n{self.report()}")
            raise self.failure
        length = self.sampling.frames or 1
        frames = np.zeros((length, 1, 1, self.videos.channels), np.uint8)
        joints = np.zeros((length, len(self.videos.joints), 3), np.float32)
        return frames, np.int32(0), joints, np.bool_(False)

    def _candidates(self, number: int) -> Iterator[Video]:
        """The video of the example and, in training, those that stand in for it, in order."""
        videos = self.videos.videos
        epoch, place = divmod(number, len(videos))
        if not self._training:
            yield videos[place]
            return
        order = self._order(epoch)
        for index in [*order[place:], *order[:place]]:
            if videos[index].name not in self.skipped:
                yield videos[index]

    def _clip(self, video: Video, rng: np.random.Generator) -> tuple[Any, ...]:
        label = self._label(video)
        indices = self.sampling.indices(video.frame_count, video.fps, rng)
        # What is needed is read once, in ascending order, then put in its places.
        needed, places = np.unique(indices, return_inverse=True)
        joints = self._joints(video, needed)
        return video.read(needed.tolist())[places], label, joints[places]

    def _label(self, video: Video) -> np.int32:
        classes = len(self.videos.classes)
        if not classes:
            return np.int32(0)
        if video.label is None or not 0 <= video.label < classes:
            raise ValueError(f"its label must be in 0..{classes - 1}, got {video.label!r}")
        return np.int32(video.label)

    def _joints(self, video: Video, indices: np.ndarray) -> np.ndarray:
        if not self.videos.joints:
            return np.zeros((len(indices), 0, 3), np.float32)
        joints = video.joints(indices.tolist())
        expected = (len(indices), len(self.videos.joints), 3)
        if joints is None or joints.shape != expected:
            got = "none" if joints is None else f"shape {joints.shape}"
            raise ValueError(f"its joints must have shape {expected}, got {got}")
        return joints

    def _note(self, video: Video, fault: Exception) -> None:
        """Raises, or remembers that `video` is left out."""
        said = str(fault)
        message = said if said.startswith(video.name) else f"{video.name}: {said}"
        self.skipped[video.name] = message
        if self.on_error == "raise":
            self.failure = VideoError(message)
            raise self.failure from fault

    def _augment(self, clip: dict[str, tf.Tensor], _: tf.Tensor) -> dict[str, tf.Tensor]:
        seed = tf.stack([tf.constant(self._seed, tf.int64), clip["number"]])
        return self.augmentation.apply(clip, seed, self.videos)

    def _order(self, epoch: int) -> np.ndarray:
        """The order of the videos in that epoch of training."""
        if epoch not in self._orders:
            rng = np.random.default_rng([self._seed, 0, epoch])
            near = {e: order for e, order in self._orders.items() if abs(e - epoch) < 2}
            self._orders = near | {epoch: rng.permutation(len(self.videos.videos))}
        return self._orders[epoch]
