"""Clips for training and evaluation, as a `tf.data` pipeline that can start at any example.

An example depends only on the seed and on its number. The number determines the epoch, the epoch
determines the order of the videos, and seed and number determine the clip that is cut out of the
video. So a run that was stopped after n examples resumes with `dataset(start=n)`, and the pipeline
has no state to save.

That includes videos that cannot be read. Each example of training has its own list of candidates,
and the first whose clip can be read is the example:

    attempt    0               1                          2                          ...
    video      that of the     the next of the epoch      the one after              ...
               example
    clip       seed, number    seed, number, attempt      seed, number, attempt      ...

The choice does not depend on earlier examples. A video without any readable clip (unreadable, too
short, a wrong label) is not tried again, because it would fail again.
"""

import threading
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from mpvn.data.clips.augmentation import ClipTransform
from mpvn.data.clips.sampling import Sampling
from mpvn.data.video.errors import VideoError
from mpvn.data.video.framing import Framing
from mpvn.data.video_set import Video, VideoSet, read_framed
from mpvn.machine import usable_cores

MOST_ATTEMPTS = 64
"""Most clips to try for an example of training. Sets with more videos try each of them once."""


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
            records them in `skipped`; in training, a clip of the next video of the epoch replaces
            them, so that the other examples stay the same. In training, a video that is damaged in
            part is used: only clips that touch the damage are replaced, and the video is recorded
            in `damaged`. `"raise"` stops.
        threads: Number of videos to decode in parallel. Default: one per core.

    Attributes:
        videos, sampling, augmentation, batch_size, on_error: The arguments.
        skipped: The reason for each video without any readable clip, by name.
        damaged: The reason for each other video with an unreadable clip, by name; in training only.
            Neither depends on the order of the examples.
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
        self.damaged: dict[str, str] = {}
        self.failure: VideoError | None = None
        self._seed = seed
        self._training = training
        self._labeled = videos.labeled
        self._no_label = np.array(0, np.float32 if videos.multi_label else np.int32)
        self._threads = threads or usable_cores()
        self._orders: dict[int, np.ndarray] = {}
        self._unusable: set[int] = set()  # Videos without any readable clip.
        self._lock = threading.Lock()

    def dataset(
        self, start: int = 0, batches: int | None = None, share: tuple[int, int] = (0, 1)
    ) -> tf.data.Dataset:
        """Return the batches from example `start` on.

        Args:
            start: Number of the first example.
            batches: Maximum number of batches. Default: no maximum.
            share: Number of the part of each batch to return, and the number of parts, which
                divides the batch size. Only the videos of this part are decoded.

        Returns:
            A data set of dicts: `"frames"` float32 `[B, T, H, W, C]` between -1 and 1 (uint8 with
            `NoAugmentation`); `"number"` int64 `[B]`, the numbers of the examples; if the videos
            have labels, `"label"` int32 `[B]`, or in sets with `multi_label` `"labels"` float32
            `[B, classes]`, 1 for the classes of the video, else 0; `"joints"` float32
            `[B, T, people, J, 3]` (x, y in pixels, visibility) if the set has joints.

        Raises:
            tf.errors.OpError: During iteration: a video is unreadable and `on_error="raise"`, or
                all videos are unreadable. `failure` is the reason.
        """
        numbers = tf.data.Dataset.counter(start, 1)
        if not self._training:
            numbers = numbers.take(max(0, len(self.videos.videos) - start))
        if batches is not None:  # At the source, so that no other video is decoded.
            numbers = numbers.take(batches * self.batch_size)
        part, parts = share
        size = self.batch_size // parts
        if parts > 1:
            numbers = numbers.filter(lambda number: (number - start) // size % parts == part)
        examples = numbers.map(self._load, self._threads, deterministic=True)
        examples = examples.filter(lambda clip, is_valid: is_valid)
        clips = examples.map(self._augment, self._threads, deterministic=True)
        if size > 1:
            batched = clips.batch(size, drop_remainder=self._training)
        else:  # A batch of one clip, perhaps a whole video, needs no copy of it.
            batched = clips.map(_batch_of_one)
        return batched.map(self._finish, self._threads).prefetch(tf.data.AUTOTUNE)

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
        """Return a readable list of the skipped and damaged videos; empty without any."""
        total = len(self.videos.videos)
        groups = {
            f"Skipped {len(self.skipped)} of {total} videos:": self.skipped,
            f"Replaced clips that touch damage in {len(self.damaged)} of {total} videos:": (
                self.damaged
            ),
        }
        return "\n".join(
            "\n".join([title, *(f"  {reason}" for _, reason in sorted(reasons.items()))])
            for title, reasons in groups.items()
            if reasons
        )

    # --- one example ------------------------------------------------------------------------

    def _load(self, number: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """Return the framed frames, label and joints, and whether they are valid."""
        kind = tf.float32 if self.videos.multi_label else tf.int32
        frames, label, joints, is_valid = tf.numpy_function(
            self._read, [number], [tf.uint8, kind, tf.float32, tf.bool], stateful=False
        )
        length = self.sampling.frames
        shape = [length, None, None, self.videos.channels]
        clip = {"number": number, "frames": tf.ensure_shape(frames, shape)}
        if self._labeled and self.videos.multi_label:
            clip["labels"] = tf.ensure_shape(label, [len(self.videos.classes)])
        elif self._labeled:
            clip["label"] = tf.ensure_shape(label, [])
        if self.videos.joints:
            clip["joints"] = tf.ensure_shape(joints, [length, *self._shape_of_joints])
        return clip, tf.ensure_shape(is_valid, [])

    def _read(self, number: np.int64) -> tuple[Any, ...]:
        """Return frames, label and joints of an example, and whether they are valid."""
        videos = self.videos
        framing = self.augmentation.framing(np.random.default_rng([self._seed, 2, int(number)]))
        for index, rng in self._candidates(int(number)):
            video, any_clip = videos.videos[index], True
            try:
                label = videos.encoded(video.label) if self._labeled else self._no_label
                indices = self.sampling.indices(video.timeline, rng)
                any_clip = not self._training  # From here on, another clip may be readable.
                frames, joints = self._read_clip(video, indices, framing)
                return frames, label, joints, np.bool_(True)
            except (VideoError, ValueError, OSError) as error:
                self._record(index, error, any_clip)
        if self._training or len(self._unusable) == len(videos.videos):
            self.failure = VideoError(
                f"{videos.name}: expected readable videos. Received: none.\n{self.report()}"
            )
            raise self.failure
        length = self.sampling.frames or 1
        frames = np.zeros((length, 1, 1, videos.channels), np.uint8)
        joints = np.zeros((length, *self._shape_of_joints), np.float32)
        return frames, self._no_label, joints, np.bool_(False)

    def _candidates(self, number: int) -> Iterator[tuple[int, np.random.Generator]]:
        """Yield the video of an example and, in training, its replacements, in order.

        Each comes with the source of randomness of its clip.
        """
        total = len(self.videos.videos)
        epoch, position = divmod(number, total)
        if not self._training:
            yield position, np.random.default_rng([self._seed, 1, number])
            return
        order = self._order(epoch)
        for attempt in range(max(total, MOST_ATTEMPTS)):
            index = int(order[(position + attempt) % total])
            if index not in self._unusable:
                yield index, np.random.default_rng([self._seed, 1, number, attempt])

    def _read_clip(
        self, video: Video, indices: np.ndarray, framing: Framing
    ) -> tuple[np.ndarray, np.ndarray]:
        # Decode each frame once, in ascending order, then restore the order of the clip.
        needed, positions = np.unique(indices, return_inverse=True)
        joints = self._joints(video, needed)
        frames, placement = read_framed(video, needed.tolist(), framing)
        if not np.array_equal(needed, indices):
            frames, joints = frames[positions], joints[positions]
        return frames, placement.move(joints)

    @property
    def _shape_of_joints(self) -> tuple[int, int, int]:
        """Shape of the joints of one frame: people, joints, and (x, y, visibility)."""
        return self.videos.people, len(self.videos.joints), 3

    def _joints(self, video: Video, indices: np.ndarray) -> np.ndarray:
        if not self.videos.joints:
            return np.zeros((len(indices), *self._shape_of_joints), np.float32)
        joints = video.joints(indices.tolist())
        expected = (len(indices), *self._shape_of_joints)
        if joints is None or joints.shape != expected:
            received = "none" if joints is None else f"shape {joints.shape}"
            raise ValueError(f"expected joints of shape {expected}. Received: {received}.")
        return joints

    def _record(self, index: int, error: Exception, any_clip: bool) -> None:
        """Record that a clip of a video, or any clip, cannot be read; or raise the error."""
        name, message = self.videos.videos[index].name, str(error)
        if not message.startswith(name):
            message = f"{name}: {message}"
        reasons = self.skipped if any_clip else self.damaged
        with self._lock:
            # Of several reasons keep one that does not depend on the order of the examples.
            reasons[name] = min(message, reasons.get(name, message))
            if any_clip:
                self._unusable.add(index)
        if self.on_error == "raise":
            self.failure = VideoError(message)
            raise self.failure from error

    def _augment(self, clip: dict[str, tf.Tensor], _: tf.Tensor) -> dict[str, tf.Tensor]:
        seed = tf.stack([tf.constant(self._seed, tf.int64), clip["number"]])
        return self.augmentation.apply(clip, seed, self.videos)

    def _finish(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {**batch, "frames": self.augmentation.finish(batch["frames"])}

    def _order(self, epoch: int) -> np.ndarray:
        """Return the order of the videos in an epoch of training."""
        if epoch not in self._orders:
            rng = np.random.default_rng([self._seed, 0, epoch])
            recent = {e: order for e, order in self._orders.items() if abs(e - epoch) < 2}
            self._orders = recent | {epoch: rng.permutation(len(self.videos.videos))}
        return self._orders[epoch]


def _batch_of_one(clip: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return {name: value[tf.newaxis] for name, value in clip.items()}
