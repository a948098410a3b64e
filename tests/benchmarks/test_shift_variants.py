"""All variants of the shift that `benchmarks/shift` times compute the definition."""

import importlib
import pathlib
from types import ModuleType

import numpy as np
import pytest
import tensorflow as tf

from keras_layers.temporal_shift import TemporalShift

NAMES = (
    "concatenation",
    "depthwise",
    "fused",
    "gather",
    "mask",
    "one buffer",
    "split",
    "whole clips",
)


@pytest.fixture
def variants(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    folder = pathlib.Path(__file__).parents[2] / "benchmarks" / "shift"
    monkeypatch.syspath_prepend(str(folder))
    return importlib.import_module("variants")


def shifted(clip: np.ndarray, sources: dict[int, slice]) -> np.ndarray:
    """Shift channels by definition.

    Args:
        clip: `[B, T, H, W, C]`.
        sources: Channels by the offset in time of the frame that they come from. Frames outside
            the clip are zeros.
    """
    result = clip.copy()
    for offset, channels in sources.items():
        for time in range(clip.shape[1]):
            inside = 0 <= time + offset < clip.shape[1]
            values = clip[:, time + offset, ..., channels] if inside else 0
            result[:, time, ..., channels] = values
    return result


def test_every_variant_is_tested(variants: ModuleType) -> None:
    assert sorted(variants.VARIANTS) == sorted(NAMES)


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("frames", [1, 4])
@pytest.mark.parametrize("fold", [1, 2, 3, 4])
@pytest.mark.parametrize("name", NAMES)
def test_a_variant_shifts_clips_in_both_directions(
    name: str, fold: int, frames: int, traced: bool, variants: ModuleType, rng: np.random.Generator
) -> None:
    clip = rng.normal(size=(2, frames, 3, 2, 8)).astype("float32")
    kernel = rng.normal(size=(8, 5)).astype("float32")
    expected = shifted(clip, {1: slice(0, fold), -1: slice(fold, 2 * fold)})
    variant = variants.VARIANTS[name]
    shift = tf.function(variant.clip) if traced else variant.clip
    if variant.fused:
        outputs = shift(tf.constant(clip), fold, tf.constant(kernel))
        np.testing.assert_allclose(outputs, expected @ kernel, rtol=1e-5, atol=1e-5)
    else:
        np.testing.assert_array_equal(shift(tf.constant(clip), fold), expected)


@pytest.mark.parametrize("fold", [1, 3, 8])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "whole clips"])
def test_a_variant_shifts_streams(
    name: str, fold: int, variants: ModuleType, rng: np.random.Generator
) -> None:
    clip = rng.normal(size=(2, 4, 3, 2, 8)).astype("float32")
    kernel = rng.normal(size=(8, 5)).astype("float32")
    expected = shifted(clip, {-1: slice(0, fold)})
    variant = variants.VARIANTS[name]
    past = tf.zeros((2, 3, 2, fold))
    for time in range(4):
        frame = tf.constant(clip[:, time])
        if variant.fused:
            outputs = variant.frame(past, frame, tf.constant(kernel))
            np.testing.assert_allclose(outputs, expected[:, time] @ kernel, rtol=1e-5, atol=1e-5)
        else:
            np.testing.assert_array_equal(variant.frame(past, frame), expected[:, time])
        past = frame[..., :fold]


def test_the_layer_equals_the_variants(variants: ModuleType, rng: np.random.Generator) -> None:
    clip = tf.constant(rng.normal(size=(1, 5, 3, 2, 16)), "float32")
    np.testing.assert_array_equal(TemporalShift()(clip), variants.concatenation(clip, 2))
