"""Auto-encoding and future frames: errors and signal-to-noise ratios, compared with NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from mpvn.tasks import Autoencoding, FutureFrame, PeakSignalToNoise, SquaredError


@pytest.fixture
def clips(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(-1, 1, (3, 12, 4, 5, 3)).astype("float32")


@pytest.fixture
def outputs(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(-1, 1, (3, 12, 4, 5, 3)).astype("float32")


@pytest.mark.parametrize(
    ("task", "steps", "frames"),
    [
        (Autoencoding(), slice(0, 12), slice(0, 12)),
        (Autoencoding(latency=3), slice(3, 12), slice(0, 9)),
        (FutureFrame(), slice(0, 4), slice(8, 12)),
        (FutureFrame(latency=2), slice(2, 6), slice(8, 12)),
        (FutureFrame(2, latency=5), slice(5, 12), slice(2, 9)),
    ],
    ids=["now", "now, late", "8 ahead", "8 ahead, late", "2 ahead, very late"],
)
def test_errors_of_weighted_steps(
    task: Autoencoding, steps: slice, frames: slice, clips: np.ndarray, outputs: np.ndarray
) -> None:
    _, targets, weights = task.prepare({"frames": clips})
    errors = (outputs[:, steps].astype("float64") - clips[:, frames]) ** 2
    loss = task.loss(targets, outputs, weights)
    np.testing.assert_allclose(loss, errors.mean(), rtol=1e-5)
    expected = {"mse": errors.mean(), "psnr": 10 * np.log10(4 / errors.mean())}
    assert task.score(outputs, {"frames": clips}) == pytest.approx(expected, rel=1e-5)


def test_squared_error_has_one_value_per_step(clips: np.ndarray, outputs: np.ndarray) -> None:
    expected = ((outputs - clips) ** 2).mean(axis=(2, 3, 4))
    np.testing.assert_allclose(
        SquaredError().call(tf.constant(clips), tf.constant(outputs)), expected, rtol=1e-5
    )


def test_psnr_is_that_of_the_mean_error() -> None:
    """One frame is exact, one is off by a tenth of the range: 20 dB alone, 23 dB together."""
    clips = np.zeros((1, 2, 4, 4, 3), "float32")
    outputs = clips + np.array([0, 0.2], "float32")[None, :, None, None, None]
    metric = PeakSignalToNoise(skip_first=1)
    assert metric.result() == 0
    metric.update_state(clips, outputs)
    np.testing.assert_allclose(metric.result(), 20, rtol=1e-5)
    both = PeakSignalToNoise()
    both.update_state(clips, outputs)
    np.testing.assert_allclose(both.result(), 20 + 10 * np.log10(2), rtol=1e-5)
    exact = PeakSignalToNoise(skip_last=1)
    exact.update_state(clips, outputs)
    assert np.isposinf(exact.result())


def test_outputs_of_masked_steps_do_not_matter(clips: np.ndarray, outputs: np.ndarray) -> None:
    task = FutureFrame(latency=1)
    expected = task.score(outputs, {"frames": clips})
    outputs[:, 0] = np.nan
    outputs[:, 5:] = np.inf
    assert task.score(outputs, {"frames": clips}) == expected


def test_half_precision_outputs_are_compared_in_float32() -> None:
    """The square of 300 overflows in float16."""
    clips = np.zeros((1, 2, 4, 4, 3), "float32")
    loss = SquaredError()(clips, np.full_like(clips, 300, "float16"))
    assert loss.dtype == tf.float32
    np.testing.assert_allclose(loss, 9e4)


def test_outputs_of_another_shape_raise(clips: np.ndarray) -> None:
    """Otherwise one channel would be broadcast to three."""
    with pytest.raises(ValueError, match="shape of the frames, 4x5x3. Received: 4x5x1"):
        SquaredError()(clips, clips[..., :1])
