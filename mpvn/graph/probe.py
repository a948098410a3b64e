"""Batches of random samples, to see which samples a value depends on.

    batch 0        s0 s1             the samples
    batches 1, 2   s0 ..   .. s1     some of them, among others
    batch 3        s1 s0 ..          the samples at other places, in a larger batch

A function keeps the streams of a batch apart if its rows for s0 and s1 are the same in every batch.
"""

import dataclasses
import functools

import numpy as np

Batches = list[np.ndarray]
"""A value for each batch of a probe."""

_SAME = 1e-4  # a row in a batch of the same size: the same operations in the same order
_MOVED = 1e-2  # elsewhere, in a batch of another size: sums may run in another order
_ROUNDED = 0.01  # share of elements that a sum in another order may round to another step


@dataclasses.dataclass(frozen=True)
class Probe:
    """The sizes of the batches.

    Attributes:
        streams: number of samples.
        fixed: whether all batches have that size, because the model takes no other.
    """

    streams: int
    fixed: bool = False

    @functools.cached_property
    def _kept(self) -> np.ndarray:
        """Which samples are in each of the batches 1, 2, ...: bool `[batches, streams]`.

        Those whose number has a certain bit, and those without it. So for any two samples, there is
        a batch with the first and without the second.
        """
        bits = np.arange(max(1, (self.streams - 1).bit_length()))[:, None]
        has_bit = (np.arange(self.streams) >> bits) % 2 == 1
        return np.concatenate([~has_bit, has_bit])

    @property
    def _margin(self) -> int:
        return 0 if self.fixed else 1

    @property
    def _places(self) -> np.ndarray:
        """The rows of the last batch that hold the samples."""
        return (np.arange(self.streams) + 1) % self.streams

    @property
    def sizes(self) -> list[int]:
        """Number of rows of each batch."""
        return [self.streams] * (1 + len(self._kept)) + [self.streams + self._margin]

    def draw(
        self, random: np.random.Generator, shape: tuple[int, ...], dtype: str, positive: bool
    ) -> Batches:
        """Return random batches of samples of `shape`.

        Args:
            random: source of the numbers.
            shape: of a sample, without the batch axis.
            dtype: name of a real, complex or bool dtype. Integers are 0 or 1, in case that they
                are indices; uint8, the dtype of images, takes all its values.
            positive: whether to draw no negative numbers, for functions such as `log`.

        Raises:
            TypeError: there are no random values of this dtype.
        """
        numbers = functools.partial(_numbers, random, dtype=dtype, positive=positive)
        samples = numbers((self.streams, *shape))
        others = numbers((self.streams + self._margin, *shape), scale=3)
        if samples.dtype.kind in "biu":  # random ones are equal too often
            samples[1::2] = _opposite(samples[:1])
            others[: self.streams] = _opposite(samples)
        batches = [samples]
        for kept in self._kept:
            batch = others[: self.streams].copy()
            batch[kept] = samples[kept]
            batches.append(batch)
        others[self._places] = samples
        return [*batches, others]

    def separates(self, values: Batches) -> bool:
        """Return whether row r of `values` depends on sample r alone, wherever that is."""
        samples, *batches, last = values
        if [value.shape for value in values] != [(size, *samples.shape[1:]) for size in self.sizes]:
            return False
        same = (
            np.all(close(batch[kept], samples[kept]))
            for batch, kept in zip(batches, self._kept, strict=True)
        )
        moved = close(last[self._places], samples, _MOVED)
        return all(same) and bool(np.all(moved) or np.mean(moved) >= 1 - _ROUNDED)

    def mixes(self, values: Batches) -> bool:
        """Return whether an element of `values` depends on several samples."""
        samples, *batches, _ = values
        if any(batch.shape != samples.shape for batch in batches):
            return True
        equal = np.stack([close(batch, samples) for batch in batches])
        of_one = [np.all(equal[kept], axis=0) for kept in self._kept.T]
        return not np.all(np.any(of_one, axis=0))


def close(values: np.ndarray, expected: np.ndarray, tolerance: float = _SAME) -> np.ndarray:
    """Return which elements are equal up to rounding. NaN equals NaN."""
    equal = np.asarray(values == expected)
    if values.dtype.kind in "biuOSU" or equal.all():
        return equal
    precision = 1 if values.dtype.itemsize > 2 else 10  # 16-bit floats round more coarsely
    values, expected = (np.asarray(x, np.result_type(x, np.float32)) for x in (values, expected))
    size = np.abs(expected)
    # The median, because a mask may hold numbers such as -1e9, which would allow anything.
    typical = np.median(size[np.isfinite(size) & (size > 0)]) if np.any(np.isfinite(size)) else 0
    with np.errstate(invalid="ignore"):  # inf - inf
        near = np.abs(values - expected) <= tolerance * precision * (size + typical)
    return equal | near | (np.isnan(values) & np.isnan(expected))


def _opposite(numbers: np.ndarray) -> np.ndarray:
    """Return other values of the same range, at each element."""
    return ~numbers if numbers.dtype in (np.bool_, np.uint8) else 1 - numbers


def _numbers(
    random: np.random.Generator,
    shape: tuple[int, ...],
    dtype: str,
    positive: bool,
    scale: float = 1,
) -> np.ndarray:
    if dtype == "bool":
        return random.random(shape, np.float32) < 0.5
    if dtype == "uint8":
        return random.integers(0, 256, shape, np.uint8)
    if "int" in dtype:
        return random.integers(0, 2, shape).astype(dtype)
    if "float" not in dtype and "complex" not in dtype:
        raise TypeError(f"Expected a numeric dtype. Received: {dtype}.")
    numbers = random.random(shape, np.float32)
    return scale * (numbers if positive else 2 * numbers - 1)
