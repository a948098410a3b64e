"""Augmentation: the same for every frame of a clip, its joints and its label."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf
from marked_videos import (
    HEIGHT,
    WIDTH,
    MarkedVideo,
    marked_set,
    multi_label_set,
    spot_centers,
)

from mpvn.data import VideoSet
from mpvn.data.clips.augmentation import Augmentation, mirror
from mpvn.data.clips.pipeline import ClipPipeline
from mpvn.data.clips.sampling import Consecutive
from mpvn.data.video_set import NO_MIRROR


def augmented(
    videos: VideoSet, augmentation: Augmentation, count: int
) -> list[dict[str, np.ndarray]]:
    """Return `count` batches of training: clips of 4 frames, and as many clips as videos."""
    pipeline = ClipPipeline(
        videos, Consecutive(4), augmentation, len(videos.videos), training=True, threads=2
    )
    return list(pipeline.dataset(batches=count).as_numpy_iterator())


def pixels(batch: dict[str, np.ndarray]) -> np.ndarray:
    return np.round(127.5 * (batch["frames"] + 1)).astype(int)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": "left"}, "crop: expected one of center, random, whole. Received: 'left'"),
        ({"scale": (0.5, 1.5)}, "scale: expected 0 < minimum <= maximum <= 1"),
        ({"size": (0, 8)}, r"size: expected positive numbers of pixels. Received: \(0, 8\)"),
        ({"shorter_side": 223}, r"expected at least 224, to crop \(224, 224\).*Received: 223"),
        ({"shorter_side": 256, "crop": "whole"}, 'expected crop "center" or "random".*"whole"'),
    ],
)
def test_arguments_out_of_range_are_errors(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Augmentation(**options)


@pytest.mark.parametrize(
    ("crop", "size", "shorter_side"),
    [
        ("center", (24, 32), None),
        ("center", (40, 30), None),
        ("center", (40, 30), 48),
        ("random", (24, 32), None),
        ("random", (96, 96), None),
        ("random", (40, 30), 48),
        ("whole", (96, 96), None),
        ("whole", (40, 30), None),
    ],
)
def test_joints_stay_on_their_spots(
    crop: str, size: tuple[int, int], shorter_side: int | None
) -> None:
    """Mirror images swap the joints: the right hand is then on the red spot."""
    augmentation = Augmentation(size, crop, (0.7, 1.0), flip=True, shorter_side=shorter_side)
    flips = []
    for batch in augmented(marked_set(), augmentation, 3):
        for clip, joints in zip(pixels(batch), batch["joints"], strict=True):
            flipped = None
            for frame, ((left, right),) in zip(clip, joints, strict=True):
                margin = 4 * size[1] / 30
                at_edge = min(*left[:2], *right[:2]) < margin
                beyond = np.array([left[:2], right[:2]]).max(0) > np.array(size[::-1]) - margin
                if at_edge or beyond.any():
                    continue  # Only a part of the spot is visible; its center is elsewhere.
                red, blue = spot_centers(frame)
                unchanged = np.abs(np.array([red, blue]) - [left[:2], right[:2]]).max()
                swapped = np.abs(np.array([blue, red]) - [left[:2], right[:2]]).max()
                assert min(unchanged, swapped) < 0.25, "a quarter of a pixel"
                assert flipped in (None, swapped < unchanged), "the same for the whole clip"
                flipped = bool(swapped < unchanged)
            flips.append(flipped)
    assert {True, False} <= set(flips)


def test_joints_outside_of_the_crop_are_not_visible() -> None:
    for batch in augmented(marked_set(), Augmentation((24, 24), "random", (0.4, 0.5)), 2):
        x, y, visible = np.moveaxis(batch["joints"], -1, 0)
        inside = (x >= -0.5) & (x < 23.5) & (y >= -0.5) & (y < 23.5)
        np.testing.assert_array_equal(visible == 1, inside)
        assert inside.any()
        assert not inside.all()


def test_all_frames_of_a_clip_are_augmented_in_the_same_way() -> None:
    """With a still picture, the frames of a clip are equal, and clips differ from each other."""

    class Still(MarkedVideo):
        def read(self, indices: Sequence[int]) -> np.ndarray:
            picture = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
            return np.repeat(picture[None], len(indices), axis=0)

    augmentation = Augmentation(
        (24, 32), "random", (0.5, 1.0), True, brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1
    )
    for batch in augmented(VideoSet("still", [Still(0), Still(1)], ("a",)), augmentation, 3):
        for clip in batch["frames"]:
            np.testing.assert_array_equal(clip, np.repeat(clip[:1], 4, axis=0))
        assert np.abs(batch["frames"][0] - batch["frames"][1]).mean() > 0.05
        assert batch["frames"].min() >= -1
        assert batch["frames"].max() <= 1


def test_labels_are_those_of_the_mirror_image() -> None:
    """Classes 0 and 1 are mirror images; class 2 has no mirror image and is never mirrored."""
    videos = marked_set(6, mirrored_labels=(1, 0, NO_MIRROR))
    results: dict[int, set[tuple[int, bool]]] = {0: set(), 1: set(), 2: set()}
    for batch in augmented(videos, Augmentation((HEIGHT, WIDTH), flip=True), 8):
        for clip, label in zip(pixels(batch), batch["label"], strict=True):
            red, blue = spot_centers(clip[0])
            number = int(clip[0, 0, 0, 1]) % 8
            results[number % 3].add((int(label), bool(red[0] > blue[0])))
    assert results == {0: {(0, False), (1, True)}, 1: {(1, False), (0, True)}, 2: {(2, False)}}


def test_every_label_of_a_video_is_mirrored() -> None:
    """Classes 0 and 1 are mirror images. A video that is also of class 2 is never mirrored."""
    given = [(0,), (1, 0), (), (2, 0), (1,)]
    results: dict[int, set[tuple[tuple[float, ...], bool]]] = {n: set() for n in range(5)}
    videos = multi_label_set(given, mirrored_labels=(1, 0, NO_MIRROR))
    for batch in augmented(videos, Augmentation((HEIGHT, WIDTH), flip=True), 10):
        assert "label" not in batch
        for clip, labels in zip(pixels(batch), batch["labels"], strict=True):
            red, blue = spot_centers(clip[0])
            results[int(clip[0, 0, 0, 1]) % 8].add((tuple(labels), bool(red[0] > blue[0])))
    a, b, both, none = (1, 0, 0), (0, 1, 0), (1, 1, 0), (0, 0, 0)
    assert results == {
        0: {(a, False), (b, True)},
        1: {(both, False), (both, True)},
        2: {(none, False), (none, True)},
        3: {((1, 0, 1), False)},
        4: {(b, False), (a, True)},
    }


@pytest.mark.parametrize("horizontal", [(), (0, 2)])
def test_tensors_and_arrays_have_the_same_mirror_image(
    rng: np.random.Generator, horizontal: tuple[int, ...]
) -> None:
    frames = rng.integers(0, 256, (2, 4, 5, 4), np.uint8)
    tensors: Sequence = mirror(tf.constant(frames), horizontal)
    np.testing.assert_array_equal(tensors, mirror(frames, horizontal))


def test_joints_of_unknown_sides_are_never_mirrored() -> None:
    """Otherwise the left hand would be trained as the right one."""
    unknown = dataclasses.replace(marked_set(), joints=("hand 1", "hand 2"))
    with pytest.warns(UserWarning, match="marked: flip: .* not mirrored, .*: hand 1, hand 2"):
        batches = augmented(unknown, Augmentation((HEIGHT, WIDTH), flip=True), 3)
    for batch in batches:
        for clip, joints in zip(pixels(batch), batch["joints"], strict=True):
            centers = [spot_centers(frame) for frame in clip]
            np.testing.assert_allclose(centers, joints[:, 0, :, :2], atol=0.25)


def test_it_is_said_that_no_class_has_a_mirror_image() -> None:
    """Labels that are plain numbers say nothing about sides, so `flip` has no effect."""
    unknown = marked_set(2, mirrored_labels=(NO_MIRROR,) * 3)
    with pytest.warns(UserWarning, match="marked: flip: .* the mirror image of no class is known"):
        Augmentation(flip=True).check(unknown)
    Augmentation().check(unknown)
    Augmentation(flip=True).check(marked_set(2, mirrored_labels=(1, 0, NO_MIRROR)))


def test_people_move_with_the_frame() -> None:
    """Places without a person stay hidden."""

    class Couple(MarkedVideo):
        def joints(self, indices: Sequence[int]) -> np.ndarray:
            one = super().joints(indices)
            return np.concatenate([one, one + np.float32([1, 2, 0]), 0 * one], axis=1)

    videos = dataclasses.replace(marked_set(), videos=[Couple(0), Couple(1)], people=3)
    for batch in augmented(videos, Augmentation((24, 32), flip=True), 3):
        assert batch["joints"].shape == (2, 4, 3, 2, 3)
        one, other, nobody = np.moveaxis(batch["joints"], 2, 0)
        assert not nobody[..., 2].any()
        moved = other - one
        np.testing.assert_allclose(np.abs(moved[..., :2]), np.broadcast_to([0.5, 1], (2, 4, 2, 2)))
        assert (one[..., 2] == 1).all()
