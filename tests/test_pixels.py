import numpy as np
import pytest
import tensorflow as tf

from mpvn import pixels

ALL_VALUES = np.arange(256, dtype=np.uint8)


@pytest.mark.parametrize("name", [name for name in pixels.RANGES if ".." in name])
def test_each_range_spans_its_ends_evenly(name: str) -> None:
    low, high = map(float, name.split(".."))
    scaled = pixels.RANGES[name](ALL_VALUES)
    np.testing.assert_allclose(scaled, np.linspace(low, high, 256), atol=1e-7 * high)
    assert name == "0..255" or scaled.dtype == np.float32


@pytest.mark.parametrize("scale", [pixels.to_unit, pixels.to_signed, pixels.unit_to_signed])
def test_arrays_and_tensors_get_equal_values(scale) -> None:
    frames = ALL_VALUES.astype(np.float32)
    tensor = scale(tf.constant(frames))
    assert tensor.dtype == tf.float32
    np.testing.assert_array_equal(tensor, scale(frames))


def test_every_uint8_value_survives_a_round_trip() -> None:
    np.testing.assert_array_equal(pixels.to_uint8(pixels.to_signed(ALL_VALUES)), ALL_VALUES)
    signed = pixels.unit_to_signed(pixels.to_unit(ALL_VALUES))
    np.testing.assert_array_equal(pixels.to_uint8(signed), ALL_VALUES)


def test_values_outside_the_range_are_clipped() -> None:
    frames = np.array([-3, 3, np.nan, np.inf, -np.inf])
    assert pixels.to_uint8(frames).tolist() == [0, 255, 128, 255, 0]


@pytest.mark.parametrize(
    "name", [name for name in pixels.RANGES if name not in ("0..255", "caffe")]
)
def test_frames_of_0_to_255_are_far_from_pixels_of_other_ranges(name: str) -> None:
    low, high = pixels.far_values(name)
    colors = np.stack(np.meshgrid(ALL_VALUES[::51], ALL_VALUES[::51], ALL_VALUES[::51]), axis=-1)
    own = pixels.RANGES[name](colors)
    assert low < 2 * own.min() < 2 * own.max() < high < 255
