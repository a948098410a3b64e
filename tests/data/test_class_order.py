"""Data sets with their classes in the order of a network."""

import numpy as np
import pytest
from marked_videos import marked_set, multi_label_set

from mpvn.data.class_order import in_order
from mpvn.data.video_set import NO_MIRROR

ORDER = ("c", "a", "b")


def test_labels_and_mirror_images_keep_their_names() -> None:
    """Of a, b and c, a and b are mirror images, and that of c is no class."""
    before = marked_set(4, mirrored_labels=(1, 0, NO_MIRROR))
    after = in_order(before, ORDER)
    assert after.classes == ORDER
    assert [ORDER[video.label] for video in after.videos] == ["a", "b", "c", "a"]
    assert after.mirrored_labels == (NO_MIRROR, 2, 1)
    for one, other in zip(before.videos, after.videos, strict=True):
        assert one.name == other.name
        np.testing.assert_array_equal(one.read([3]), other.read([3]))
    assert in_order(marked_set(3), ORDER).mirrored_labels is None


def test_videos_with_several_classes() -> None:
    videos = in_order(multi_label_set([(0, 2), (), None]), ORDER).videos
    assert [video.label for video in videos] == [(0, 1), (), None]


def test_other_classes_are_no_other_order() -> None:
    for names in (("a", "b"), ("a", "b", "d"), ("a", "b", "b")):
        with pytest.raises(ValueError, match="marked: expected the same classes"):
            in_order(marked_set(3), names)
