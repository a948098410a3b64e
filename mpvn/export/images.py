"""Frames as pictures of any size: cropped, resized and scaled inside the exported graph.

The part that is kept is that of `mpvn.data.video.framing.Cropped`, which evaluation uses: the
largest part with the network's aspect ratio, in the center; or, with `shorter_side`, the frame is
resized to it and the network's size is cut out of its center. It is resized with TensorFlow's
antialiased bilinear filter and rounded to whole levels. Video files are scaled by FFmpeg in the
colors of the file, which differs by a few levels of 255, most at sharp edges of color.

Limitations: the orientation in the EXIF data of a JPEG file is ignored.
"""

import abc
from typing import Any

import keras
import tensorflow as tf

from mpvn.export.requirements import require
from mpvn.pixels import RANGES

MOST_PIXELS = 2**25
"""Pixels of a JPEG file that is decoded, at most: a frame of 8K video, 100 MB."""


class Images(abc.ABC):
    """Turns pictures into the frames that a network takes.

    Args:
        size: height and width of the frames.
        shorter_side: see `mpvn.Metadata`.
        pixels: range of the pixels, a key of `mpvn.pixels.RANGES`.
    """

    kind: str

    def __init__(self, size: tuple[int, int], shorter_side: int | None, pixels: str) -> None:
        self._size, self._side, self._pixels = size, shorter_side, pixels

    @staticmethod
    def of(network: keras.Model, kind: str, pixels: str | None = None) -> "Images":
        """Return how a network takes pictures.

        Args:
            network: a `VideoNetwork`.
            kind: `"uint8"` or `"jpeg"`.
            pixels: range of the pixels; None for the one that it knows.

        Raises:
            ValueError: its input is no picture, or it does not know its range.
        """
        kinds = {each.kind: each for each in (Arrays, Jpegs)}
        if kind not in kinds:
            raise ValueError(
                f"Invalid images. Expected one of {', '.join(kinds)}. Received: {kind!r}."
            )
        shapes = [network.graph.tensors[index].shape for index in network.graph.inputs]
        if len(shapes) != 1 or len(shapes[0]) != 3 or shapes[0][2] != 3 or None in shapes[0]:
            raise ValueError(
                f"Invalid images. Expected a network with one input (height, width, 3), an RGB "
                f"picture. Received: inputs of shape {', '.join(map(str, shapes))}. Leave out "
                "images."
            )
        known = network.metadata
        side = known.shorter_side if known else None
        return kinds[kind](shapes[0][:2], side, _range(known and known.pixels, pixels))

    def describe(self) -> dict[str, Any]:
        """Return what `mpvn.json` says of the pictures."""
        return {
            "kind": self.kind,
            "size": list(self._size),
            "shorter_side": self._side,
            "pixels": self._pixels,
        }

    @abc.abstractmethod
    def clips(self, batch: int | None, steps: int | None) -> tf.TensorSpec:
        """Return the spec `[B, T, ...]` of the pictures."""

    @abc.abstractmethod
    def framed(self, pictures: tf.Tensor) -> tf.Tensor:
        """Return pictures `[N, ...]` at the size of the frames, float32 from 0 to 255."""

    def __call__(self, pictures: tf.Tensor) -> tf.Tensor:
        """Return frames or clips, float32 `[B, ..., height, width, 3]`."""
        leading = len(pictures.shape) - len(self.clips(None, None).shape) + 2
        axes = tf.shape(pictures)[:leading]
        # [B, T, ...] -> [B * T, ...]
        flat = tf.reshape(pictures, tf.concat([[-1], tf.shape(pictures)[leading:]], 0))
        flat = tf.ensure_shape(flat, [None, *pictures.shape[leading:]])
        frames = tf.reshape(self.framed(flat), tf.concat([axes, [*self._size, 3]], 0))
        frames = tf.ensure_shape(frames, [*pictures.shape[:leading], *self._size, 3])
        return RANGES[self._pixels](frames)

    def _part(self, pictures: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Return the part of pictures `[..., h, w, 3]` to keep, and whether they have it.

        Returns:
            Its top, left, height and width in pixels; and a bool scalar.
        """
        shape = tf.shape(pictures)[-3:-1]
        height, width = tf.unstack(tf.cast(shape, tf.float64))
        pixel = largest = tf.minimum(height / self._size[0], width / self._size[1])
        if self._side is not None:
            pixel = tf.minimum(height, width) / self._side
        sides = tf.cast(tf.round(tf.cast(self._size, tf.float64) * pixel), tf.int32)
        sides = tf.maximum(sides, 1)
        corner = (shape - sides + 1) // 2  # the center, rounded up
        return [*tf.unstack(corner), *tf.unstack(sides)], (pixel <= largest) & (pixel > 0)

    def _crop(self, pictures: tf.Tensor, part: list[tf.Tensor]) -> tf.Tensor:
        """Return a part of pictures at the size of the frames, whole levels as float32."""
        top, left, height, width = part
        kept = pictures[..., top : top + height, left : left + width, :]
        frames = tf.image.resize(kept, self._size, antialias=True)
        return tf.clip_by_value(tf.round(frames), 0.0, 255.0)

    @property
    def _expected(self) -> str:
        if self._side is None:
            return "Expected at least one pixel."
        return (
            f"Expected pictures that cover {self._size[0]} x {self._size[1]} pixels when their "
            f"shorter side is {self._side}."
        )


class Arrays(Images):
    """Pictures as arrays: uint8 `[B, h, w, 3]`, RGB, all of one size."""

    kind = "uint8"

    def clips(self, batch: int | None, steps: int | None) -> tf.TensorSpec:
        return tf.TensorSpec((batch, steps, None, None, 3), tf.uint8)

    def framed(self, pictures: tf.Tensor) -> tf.Tensor:
        text = f"Invalid picture. {self._expected} Received: height and width {{}}."
        part, fits = self._part(pictures)
        with tf.control_dependencies([require(fits, text, tf.shape(pictures)[1:3])]):
            pictures = tf.identity(pictures)
        return self._crop(pictures, part)


class Jpegs(Images):
    """Pictures as the bytes of JPEG files: strings `[B]`, each of its own size.

    A picture in gray or CMYK becomes RGB.
    """

    kind = "jpeg"

    def clips(self, batch: int | None, steps: int | None) -> tf.TensorSpec:
        return tf.TensorSpec((batch, steps), tf.string)

    def framed(self, pictures: tf.Tensor) -> tf.Tensor:
        rows, frames, small, fit = self._decoded(pictures)
        every = tf.range(tf.shape(pictures, tf.int64)[0])
        good = tf.reduce_any(every[:, None] == rows, axis=1)
        text = (
            "Invalid picture. Expected the bytes of a whole JPEG file. Received: others in the "
            "rows {} (counted from 0; in clips, over all frames)."
        )
        whole = require(tf.reduce_all(good), text, tf.boolean_mask(every, ~good))
        text = (
            f"Invalid picture. Expected at most {MOST_PIXELS:,} pixels. Received: more in the rows "
            "{}."
        )
        bounded = require(tf.reduce_all(small), text, tf.boolean_mask(rows, ~small))
        text = f"Invalid picture. {self._expected} Received: other sizes in the rows {{}}."
        fitting = require(tf.reduce_all(fit), text, tf.boolean_mask(rows, ~fit))
        with tf.control_dependencies([whole, bounded, fitting]):
            return tf.identity(frames)

    def _decoded(self, pictures: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return the rows that can be decoded, their frames, and whether they are small, and fit.

        A file of a few bytes may say that it is a picture of gigabytes, so that is read first.
        """

        def decode(row: tf.Tensor, content: tf.Tensor) -> tuple[tf.Tensor, ...]:
            shape = tf.cast(tf.io.extract_jpeg_shape(content), tf.int64)
            small = shape[0] * shape[1] <= MOST_PIXELS
            blank = tf.zeros((*self._size, 3)), tf.constant(True)
            return row, *tf.cond(small, lambda: read(content), lambda: blank), small

        def read(content: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            picture = tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE")
            part, fits = self._part(picture)
            blank = tf.zeros((*self._size, 3))
            return tf.cond(fits, lambda: self._crop(picture, part), lambda: blank), fits

        # The only way to tell which of several pictures is damaged.
        rows = tf.data.Dataset.from_tensor_slices(pictures).enumerate()
        good = rows.map(decode, num_parallel_calls=4, deterministic=True).ignore_errors()
        # One more, because a batch has at least one element.
        true = tf.constant(True)
        blank = tf.constant(-1, tf.int64), tf.zeros((*self._size, 3)), true, true
        padded = good.concatenate(tf.data.Dataset.from_tensors(blank))
        batch = padded.batch(tf.shape(pictures, tf.int64)[0] + 1).get_single_element()
        numbers, frames, fit, small = (value[:-1] for value in batch)
        return numbers, frames, small, fit


def _range(known: str | None, given: str | None) -> str:
    """Return the range of a network's pixels."""
    if given is not None and given not in RANGES:
        raise ValueError(
            f"Invalid pixels. Expected one of {', '.join(RANGES)}. Received: {given!r}."
        )
    found = given or known
    if found is None:
        raise ValueError(
            "Invalid images. Expected a network that knows the range of its pixels. Received: one "
            f"that does not. Say it: pixels= (--pixels), one of {', '.join(RANGES)}."
        )
    return found
