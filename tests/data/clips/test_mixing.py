"""Mixed clips: alike at all frames, and labels by the share of the pixels."""

import numpy as np
import pytest
import tensorflow as tf

from mpvn.data.clips.mixing import Mixing

CLIPS, STEPS, HEIGHT, WIDTH = 12, 3, 8, 10
SHAPE = (CLIPS, STEPS, HEIGHT, WIDTH, 2)


def mixed(number: int = 0, **options: float) -> tuple[np.ndarray, np.ndarray]:
    """Mix clips whose pixels are their numbers and steps; each is a class of its own."""
    frames = np.zeros(SHAPE, "float32")
    frames += 100 * np.arange(CLIPS).reshape(-1, 1, 1, 1, 1) + np.arange(STEPS)[:, None, None, None]
    targets = np.eye(CLIPS, dtype="float32")[:, None].repeat(STEPS, 1)
    pair = Mixing(**options, seed=4)(tf.constant(frames), tf.constant(targets), number)
    return pair[0].numpy(), pair[1].numpy()


def partners(targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the clip that each is mixed with, and the share of its own label, at the last step."""
    own = targets[np.arange(CLIPS), -1, np.arange(CLIPS)]
    others = targets[:, -1] * (1 - np.eye(CLIPS))
    return np.where(own < 1, others.argmax(-1), np.arange(CLIPS)), own


def test_mixup_adds_the_frames_of_one_time_by_the_share_of_the_labels() -> None:
    frames, targets = mixed(mixup=0.4)
    partner, share = partners(targets)
    assert len(set(share.round(4))) > CLIPS / 2, "drawn for each clip"
    expected = share * np.arange(CLIPS) + (1 - share) * partner
    steps = np.arange(STEPS).reshape(-1, 1, 1, 1)
    expected = 100 * expected.reshape(-1, 1, 1, 1, 1) + steps
    np.testing.assert_allclose(frames, np.broadcast_to(expected, SHAPE), rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(targets.sum(-1), 1, rtol=1e-6)
    np.testing.assert_array_equal(targets, targets[:, -1:].repeat(STEPS, 1))


def test_cutmix_takes_one_box_in_all_frames_and_counts_its_pixels() -> None:
    frames, targets = mixed(cutmix=1.0)
    partner, share = partners(targets)
    source = (frames - np.arange(STEPS).reshape(-1, 1, 1, 1)) / 100
    assert (source == source[:, :1, ..., :1]).all()
    boxes = 0
    for number, clip in enumerate(source[:, 0, ..., 0]):
        assert set(np.unique(clip)) <= {number, partner[number]}
        own = clip == number
        assert own.mean() == pytest.approx(share[number])
        rows, columns = np.nonzero(~own)
        if 0 < own.mean() < 1:
            boxes += 1
            assert not own[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].any()
    assert boxes > CLIPS / 2


def test_what_is_drawn_depends_on_the_seed_alone() -> None:
    """Keras's own generators count: a run that is stopped would see other clips."""
    both = {"mixup": 0.4, "cutmix": 1.0}
    first = [mixed(number, **both)[0] for number in range(8)]
    again = [mixed(number, **both)[0] for number in reversed(range(8))][::-1]
    for frames, repeated in zip(first, again, strict=True):
        np.testing.assert_array_equal(frames, repeated)
    assert len({frames.tobytes() for frames in first}) == 8
    blended = {bool((frames % 1 > 0.01).any()) for frames in first}
    assert blended == {True, False}, "a batch is mixed by one of the two"


@pytest.mark.parametrize("options", [{}, {"mixup": 1.5}, {"cutmix": -1.0}, {"mixup": 0.01}])
def test_shares_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"of 0 or from 0.05 to 1.*Received: mixup="):
        Mixing(**options)
