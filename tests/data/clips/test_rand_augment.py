"""RandAugment: the same operations on all frames, in the ranges of the paper."""

import numpy as np
import pytest
import tensorflow as tf
from marked_videos import MarkedVideo, marked_set

from mpvn.data.clips.augmentation import Augmentation
from mpvn.data.clips.rand_augment import RandAugment, _apply, _operations

SEED = tf.constant([3, 5], tf.int64)
FRAMES = MarkedVideo(1).read([0, 3, 6])


@pytest.mark.parametrize("number", range(11))
def test_an_operation_changes_all_frames_alike(number: int) -> None:
    """What is drawn for one frame is applied to all: still frames stay still."""
    picture = np.random.default_rng(2).integers(20, 220, (1, 16, 16, 3)).astype("float32")
    still = tf.repeat(picture, 3, axis=0)
    operation = _operations(1.0)[number]
    changed = _apply(operation, still, SEED).numpy()
    np.testing.assert_array_equal(changed, changed[:1].repeat(3, 0))
    assert np.abs(changed - still.numpy()).max() > 5
    if number < 9:  # Contrast and histogram have no magnitude.
        same = _apply(_operations(0.0)[number], still, SEED)
        np.testing.assert_allclose(same, still, atol=1e-3)


def test_contrast_is_stretched_over_the_clip() -> None:
    """Frame by frame, a clip that becomes darker would not."""
    frames = np.zeros((2, 4, 4, 3), "float32")
    frames[0, 0], frames[1, 0] = 200, 100
    stretched = _apply(_operations(0.5)[9], tf.constant(frames), SEED).numpy()
    np.testing.assert_allclose(stretched, frames * 255 / 200, rtol=1e-5)


def test_a_clip_is_a_function_of_its_seed() -> None:
    change = RandAugment(2, 0.5)
    examples = tf.data.Dataset.range(6).map(
        lambda number: change(tf.constant(FRAMES), tf.stack([tf.constant(3, tf.int64), number]))
    )
    clips = [clip.numpy() for clip in examples]
    assert len({clip.tobytes() for clip in clips}) > 3
    later = next(iter(examples.skip(4)))
    np.testing.assert_array_equal(later, clips[4])


def test_left_stays_left() -> None:
    """Keras's layer turns by up to 180 degrees: then "swipe left" shows a swipe to the right."""
    seen = 0
    for number in range(4):
        for operation in _operations(1.0)[:3]:
            seed = tf.constant([1, number], tf.int64)
            frame = _apply(operation, tf.constant(FRAMES[:1], tf.float32), seed).numpy()[0]
            red, blue = (np.nonzero(frame[..., n] - frame[..., 2 - n] > 100)[1] for n in (0, 2))
            if len(red) and len(blue):
                seen += 1
                assert red.max() < blue.min()
    assert seen > 6


def test_joints_that_are_not_moved_are_left_out() -> None:
    augmentation = Augmentation((24, 24), rand_augment=1)
    clip = {"frames": tf.zeros((2, 24, 24, 3), tf.uint8), "joints": tf.zeros((2, 1, 2, 3))}
    assert augmentation.apply(clip, SEED, marked_set()).keys() == {"frames"}
