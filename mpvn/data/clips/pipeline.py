"""Clips for training and evaluation, as a `tf.data` pipeline that can start at any example.

An example depends only on the seed and on its number. The number determines the epoch, the epoch
determines the order of the videos, and seed and number determine the clip that is cut out of the
video. So a run that was stopped after n examples resumes with `dataset(start=n)`, and the pipeline
has no state to save.
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
        videos: The data set.
        sampling: Selects the frames of a clip.
        augmentation: Transforms the frames: an `Augmentation` or `NoAugmentation`.
        batch_size: Number of clips in a batch. Clips of different lengths need batches of 1.
        seed: Seed of all randomness.
        training: If True, examples never end, each epoch is shuffled differently, and all batches
            are full. If False, every video comes once, in order.
        on_error: What to do with videos that are unreadable or too short. `"skip"` skips them and
            records them in `skipped`; in training, the next video of the epoch replaces them, so
            that the other examples stay the same. `"raise"` stops.
        threads: Number of videos to decode in parallel. Default: one per core.

    Attributes:
        videos, sampling, augmentation, batch_size, on_error: The arguments.
        skipped: The reason for each skipped video, by name.
        failure: The error that stopped the pipeline, because TensorFlow hides it in its own errors.

    Raises:
        ValueError: Arguments are out of range or contradict each other.
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
            raise ValueError(f"batch_size: expected at least 1. Received: {batch_size}.")
        if sampling.frames is None and batch_size > 1:
            raise ValueError(
                "batch_size: expected 1, because whole videos differ in length. "
                f"Received: {batch_size}."
            )
        if on_error not in ("skip", "raise"):
            raise ValueError(f"on_error: expected one of skip, raise. Received: {on_error!r}.")
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
        """Return the batches from example `start` on.

        Args:
            start: Number of the first example.
            batches: Maximum number of batches. Default: no maximum.

        Returns:
            A data set of dicts: `"frames"` float32 `[B, T, H, W, C]` between -1 and 1 (uint8 with
            `NoAugmentation`); `"number"` int64 `[B]`, the numbers of the examples; `"label"` int32
            `[B]` if the set has classes; `"joints"` float32 `[B, T, J, 3]` (x, y in pixels,
            visibility) if it has joints.

        Raises:
            tf.errors.OpError: During iteration: a video is unreadable and `on_error="raise"`, or
                all videos are unreadable. `failure` is the reason.
        """
        numbers = tf.data.Dataset.counter(start, 1)
        if not self._training:
            numbers = numbers.take(max(0, len(self.videos.videos) - start))
        if batches is not None:  # At the source, so that no other video is decoded.
            numbers = numbers.take(batches * self.batch_size)
        examples = numbers.map(self._load, self._threads, deterministic=True)
        examples = examples.filter(lambda clip, is_valid: is_valid)
        clips = examples.map(self._augment, self._threads, deterministic=True)
        batched = clips.batch(self.batch_size, drop_remainder=self._training)
        return batched.prefetch(tf.data.AUTOTUNE)

    def arrays(self) -> Iterator[dict[str, np.ndarray]]:
        """Yield the batches of `dataset` as NumPy arrays.

        Raises:
            VideoError: During iteration: a video is unreadable and `on_error="raise"`, or all
                videos are unreadable.
        """
        try:
            yield from self.dataset().as_numpy_iterator()
        except tf.errors.OpError as error:
            raise (self.failure or error) from error

    def report(self) -> str:
        """Return a readable list of the skipped videos; empty without any."""
        lines = [f"  {reason}" for _, reason in sorted(self.skipped.items())]
        if not lines:
            return ""
        return "\n".join([f"Skipped {len(lines)} of {len(self.videos.videos)} videos:", *lines])

    # --- one example ------------------------------------------------------------------------

    def _load(self, number: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """Return the original frames, label and joints, and whether they are valid."""
        frames, label, joints, is_valid = tf.numpy_function(
            self._read, [number], [tf.uint8, tf.int32, tf.float32, tf.bool], stateful=False
        )
        length = self.sampling.frames
        shape = [length, None, None, self.videos.channels]
        clip = {"number": number, "frames": tf.ensure_shape(frames, shape)}
        if self.videos.classes:
            clip["label"] = tf.ensure_shape(label, [])
        if self.videos.joints:
            clip["joints"] = tf.ensure_shape(joints, [length, len(self.videos.joints), 3])
        return clip, tf.ensure_shape(is_valid, [])

    def _read(self, number: np.int64) -> tuple[Any, ...]:
        """Return frames, label and joints of an example, and whether they are valid."""
        for video in self._candidates(int(number)):
            rng = np.random.default_rng([self._seed, 1, int(number)])
            try:
                return *self._read_clip(video, rng), np.bool_(True)
            except (VideoError, ValueError, OSError) as error:
                self._skip(video, error)
        if len(self.skipped) == len(self.videos.videos):
            self.failure = VideoError(
                f"{self.videos.name}: expected readable videos. Received: none.\n{self.report()}"
            )
            raise self.failure
        length = self.sampling.frames or 1
        frames = np.zeros((length, 1, 1, self.videos.channels), np.uint8)
        joints = np.zeros((length, len(self.videos.joints), 3), np.float32)
        return frames, np.int32(0), joints, np.bool_(False)

    def _candidates(self, number: int) -> Iterator[Video]:
        """Yield the video of an example and, in training, its replacements, in order."""
        videos = self.videos.videos
        epoch, position = divmod(number, len(videos))
        if not self._training:
            yield videos[position]
            return
        order = self._order(epoch)
        for index in [*order[position:], *order[:position]]:
            if videos[index].name not in self.skipped:
                yield videos[index]

    def _read_clip(self, video: Video, rng: np.random.Generator) -> tuple[Any, ...]:
        label = self._label(video)
        indices = self.sampling.indices(video.frame_count, video.fps, rng)
        # Decode each frame once, in ascending order, then restore the order of the clip.
        needed, positions = np.unique(indices, return_inverse=True)
        joints = self._joints(video, needed)
        return video.read(needed.tolist())[positions], label, joints[positions]

    def _label(self, video: Video) -> np.int32:
        classes = len(self.videos.classes)
        if not classes:
            return np.int32(0)
        if video.label is None or not 0 <= video.label < classes:
            raise ValueError(f"expected a label in 0..{classes - 1}. Received: {video.label!r}.")
        return np.int32(video.label)

    def _joints(self, video: Video, indices: np.ndarray) -> np.ndarray:
        if not self.videos.joints:
            return np.zeros((len(indices), 0, 3), np.float32)
        joints = video.joints(indices.tolist())
        expected = (len(indices), len(self.videos.joints), 3)
        if joints is None or joints.shape != expected:
            received = "none" if joints is None else f"shape {joints.shape}"
            raise ValueError(f"expected joints of shape {expected}. Received: {received}.")
        return joints

    def _skip(self, video: Video, error: Exception) -> None:
        """Record that `video` is skipped, or raise the error."""
        message = str(error)
        if not message.startswith(video.name):
            message = f"{video.name}: {message}"
        self.skipped[video.name] = message
        if self.on_error == "raise":
            self.failure = VideoError(message)
            raise self.failure from error

    def _augment(self, clip: dict[str, tf.Tensor], _: tf.Tensor) -> dict[str, tf.Tensor]:
        seed = tf.stack([tf.constant(self._seed, tf.int64), clip["number"]])
        return self.augmentation.apply(clip, seed, self.videos)

    def _order(self, epoch: int) -> np.ndarray:
        """Return the order of the videos in an epoch of training."""
        if epoch not in self._orders:
            rng = np.random.default_rng([self._seed, 0, epoch])
            recent = {e: order for e, order in self._orders.items() if abs(e - epoch) < 2}
            self._orders = recent | {epoch: rng.permutation(len(self.videos.videos))}
        return self._orders[epoch]
