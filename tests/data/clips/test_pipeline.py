"""Clips for training: what is done to them, in which order, and what is left out."""

import dataclasses
import re
from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf

from mpvn.data.clips.augmentation import Augmentation, NoAugmentation
from mpvn.data.clips.pipeline import ClipPipeline
from mpvn.data.clips.sampling import Consecutive, Whole
from mpvn.data.video.errors import VideoError
from mpvn.data.video_set import NO_MIRROR, VideoSet

# --- a data set that shows every mistake --------------------------------------------------------

RED, BLUE = (255, 0, 0), (0, 0, 255)
HEIGHT, WIDTH = 48, 64


@dataclasses.dataclass(frozen=True)
class Marked:
    """Two spots on green: the left hand's is red, the right hand's blue; both wander.

    The green tells frame and video: 8 * frame + number.
    """

    number: int
    label: int = 0
    frame_count: int = 12
    fps: float = 25.0
    fault: str = ""
    asked: list = dataclasses.field(default_factory=list)

    @property
    def name(self) -> str:
        return f"marked {self.number}"

    def joints(self, indices: Sequence[int]) -> np.ndarray:
        time = np.asarray(indices, np.float32)
        left = np.stack([18 + time, 14 + time, np.ones_like(time)], axis=-1)
        right = np.stack([40 - time, 36 + 0 * time, np.ones_like(time)], axis=-1)
        return np.stack([left, right], axis=1).astype(np.float32)

    def read(self, indices: Sequence[int]) -> np.ndarray:
        if self.fault:
            raise VideoError(self.fault)
        assert sorted(set(indices)) == list(indices), "each frame once, ascending"
        self.asked.append(list(indices))
        frames = np.zeros((len(indices), HEIGHT, WIDTH, 3), np.uint8)
        for frame, index, joints in zip(frames, indices, self.joints(indices), strict=True):
            frame[..., 1] = 8 * index + self.number
            for (x, y, _), color in zip(joints.astype(int), (RED, BLUE), strict=True):
                frame[y - 2 : y + 3, x - 2 : x + 3] = color
        return frames


def marked_set(count: int = 6, mirrored: tuple[int, ...] | None = None, **faults: str) -> VideoSet:
    videos = [Marked(n, label=n % 3, fault=faults.get(f"video{n}", "")) for n in range(count)]
    joints = ("left_hand", "right_hand")
    return VideoSet("marked", videos, ("a", "b", "c"), mirrored, joints)


def pipeline(videos: VideoSet, **options) -> ClipPipeline:
    options = {
        "sampling": Consecutive(4, place="center"),
        "augmentation": Augmentation((HEIGHT, WIDTH)),
        "batch_size": 2,
        "threads": 2,
    } | options
    return ClipPipeline(videos, **options)


def batches(dataset: tf.data.Dataset, count: int) -> list[dict[str, np.ndarray]]:
    return list(dataset.take(count).as_numpy_iterator())


def pixels(batch: dict[str, np.ndarray]) -> np.ndarray:
    return np.round(127.5 * (batch["frames"] + 1)).astype(int)


# --- what comes out -----------------------------------------------------------------------------


def test_evaluation_gives_every_video_once_in_order() -> None:
    found = batches(pipeline(marked_set(5)).dataset(), 10)
    assert [batch["number"].tolist() for batch in found] == [[0, 1], [2, 3], [4]]
    assert [batch["label"].tolist() for batch in found] == [[0, 1], [2, 0], [1]]
    first = found[1]
    assert first["frames"].dtype == np.float32
    assert first["frames"].shape == (2, 4, HEIGHT, WIDTH, 3)
    greens = pixels(first)[:, :, 0, 0, 1]
    np.testing.assert_array_equal(greens, [[8 * t + n for t in range(4, 8)] for n in (2, 3)])
    np.testing.assert_array_equal(first["joints"][0], Marked(2).joints(range(4, 8)))


def test_only_the_needed_frames_are_read_each_once() -> None:
    videos = marked_set(1)
    sampling = Consecutive(6, stride=3, short="loop")
    found = batches(pipeline(videos, sampling=sampling, batch_size=1).dataset(), 1)[0]
    order = [0, 3, 6, 9, 0, 3]
    assert videos.videos[0].asked == [[0, 3, 6, 9]]
    assert pixels(found)[0, :, 0, 0, 1].tolist() == [8 * index for index in order]
    np.testing.assert_array_equal(found["joints"][0], Marked(0).joints(order))


RANDOM = {
    "sampling": Consecutive(4),
    "augmentation": Augmentation(
        (24, 32), "random", (0.5, 1.0), True, brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1
    ),
    "training": True,
}


def assert_same(ours: list[dict], theirs: list[dict]) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.keys() == other.keys()
        for key in mine:
            np.testing.assert_array_equal(mine[key], other[key], err_msg=key)


def test_the_seed_decides_everything() -> None:
    runs = [batches(pipeline(marked_set(), seed=s, **RANDOM).dataset(), 5) for s in (3, 3, 4)]
    assert_same(runs[0], runs[1])
    assert not np.array_equal(runs[0][0]["frames"], runs[2][0]["frames"])


@pytest.mark.parametrize("start", [2, 6, 8])
def test_a_run_goes_on_where_it_was_stopped(start: int) -> None:
    whole = batches(pipeline(marked_set(), **RANDOM).dataset(), 7)
    rest = batches(pipeline(marked_set(), **RANDOM).dataset(start), 7 - start // 2)
    assert_same(rest, whole[start // 2 :])


def test_a_run_with_damaged_videos_goes_on_where_it_was_stopped() -> None:
    """Another video stands in for the damaged one, whether it is known by then or not."""
    whole = batches(pipeline(marked_set(video3="cut short"), **RANDOM).dataset(), 7)
    assert [batch["number"].tolist() for batch in whole] == [[2 * n, 2 * n + 1] for n in range(7)]
    rest = batches(pipeline(marked_set(video3="cut short"), **RANDOM).dataset(6), 4)
    assert_same(rest, whole[3:])


def test_epochs_hold_every_video_and_differ_in_order() -> None:
    whole = batches(pipeline(marked_set(), **RANDOM | {"batch_size": 6}).dataset(), 3)
    seen = [pixels(batch)[:, 0, 0, 0, 1] for batch in whole]
    assert len({tuple(batch["label"]) for batch in whole}) > 1
    assert all(sorted(batch["label"]) == [0, 0, 1, 1, 2, 2] for batch in whole)
    assert len(seen) == 3


# --- augmentation -------------------------------------------------------------------------------


def spots(frame: np.ndarray) -> np.ndarray:
    """Centers (x, y) of the red and of the blue spot."""
    weights = frame[..., [0, 2]].astype(float)
    x, y = np.meshgrid(np.arange(frame.shape[1]), np.arange(frame.shape[0]))
    mass = weights.sum(axis=(0, 1))
    return np.stack([(weights * axis[..., None]).sum((0, 1)) / mass for axis in (x, y)], axis=-1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": "left"}, "center, random or whole"),
        ({"scale": (0.5, 1.5)}, "smallest <= largest <= 1"),
    ],
)
def test_augmentation_out_of_range_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Augmentation(**options)


def test_untouched_clips_are_as_they_were_read() -> None:
    (found,) = batches(pipeline(marked_set(1), augmentation=NoAugmentation()).dataset(), 1)
    assert found["frames"].dtype == np.uint8
    np.testing.assert_array_equal(found["frames"][0], Marked(0).read(range(4, 8)))
    np.testing.assert_array_equal(found["joints"][0], Marked(0).joints(range(4, 8)))


@pytest.mark.parametrize("crop", ["center", "random", "whole"])
@pytest.mark.parametrize("size", [(24, 32), (96, 96), (40, 30)])
def test_joints_stay_on_what_they_mark(crop: str, size: tuple[int, int]) -> None:
    """Also in mirror images, where the right hand is what was the left."""
    augmentation = Augmentation(size, crop, (0.7, 1.0), flip=True)
    options = RANDOM | {"augmentation": augmentation, "batch_size": 6}
    flips = []
    for batch in batches(pipeline(marked_set(), **options).dataset(), 3):
        for clip, joints in zip(pixels(batch), batch["joints"], strict=True):
            flipped = None
            for frame, (left, right) in zip(clip, joints, strict=True):
                margin = 4 * size[1] / 30
                at_edge = min(*left[:2], *right[:2]) < margin
                beyond = np.array([left[:2], right[:2]]).max(0) > np.array(size[::-1]) - margin
                if at_edge or beyond.any():
                    continue  # half a spot has its center elsewhere
                red, blue = spots(frame)
                as_is = np.abs(np.array([red, blue]) - [left[:2], right[:2]]).max()
                swapped = np.abs(np.array([blue, red]) - [left[:2], right[:2]]).max()
                assert min(as_is, swapped) < 0.25, "within a quarter of a pixel"
                assert flipped in (None, swapped < as_is), "the same for every frame of the clip"
                flipped = bool(swapped < as_is)
            flips.append(flipped)
    assert {True, False} <= set(flips)


def test_joints_that_have_left_the_frame_are_not_visible() -> None:
    augmentation = Augmentation((24, 24), "random", (0.4, 0.5))
    options = RANDOM | {"augmentation": augmentation, "batch_size": 6}
    for batch in batches(pipeline(marked_set(), **options).dataset(), 3):
        x, y, visible = np.moveaxis(batch["joints"], -1, 0)
        inside = (x >= -0.5) & (x < 23.5) & (y >= -0.5) & (y < 23.5)
        np.testing.assert_array_equal(visible == 1, inside)
        assert inside.any()
        assert not inside.all()


def test_every_frame_of_a_clip_is_treated_alike() -> None:
    """Of a still, all frames of the clip are equal, and clips differ from one another."""

    class Still(Marked):
        def read(self, indices: Sequence[int]) -> np.ndarray:
            picture = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
            return np.repeat(picture[None], len(indices), axis=0)

    videos = VideoSet("still", [Still(0), Still(1)], ("a",))
    found = batches(pipeline(videos, **RANDOM).dataset(), 3)
    for batch in found:
        for clip in batch["frames"]:
            np.testing.assert_array_equal(clip, np.repeat(clip[:1], 4, axis=0))
        assert np.abs(batch["frames"][0] - batch["frames"][1]).mean() > 0.05
        assert batch["frames"].min() >= -1
        assert batch["frames"].max() <= 1


def test_labels_are_those_of_the_mirror_image() -> None:
    """Class 0 becomes 1 and 1 becomes 0; class 2 has no mirror image and is never flipped."""
    videos = marked_set(6, mirrored=(1, 0, NO_MIRROR))
    augmentation = Augmentation((HEIGHT, WIDTH), flip=True)
    options = RANDOM | {"augmentation": augmentation, "batch_size": 6}
    became: dict[int, set[tuple[int, bool]]] = {0: set(), 1: set(), 2: set()}
    for batch in batches(pipeline(videos, **options).dataset(), 12):
        for clip, label in zip(pixels(batch), batch["label"], strict=True):
            red, blue = spots(clip[0])
            number = int(clip[0, 0, 0, 1]) % 8
            became[number % 3].add((int(label), bool(red[0] > blue[0])))
    assert became == {0: {(0, False), (1, True)}, 1: {(1, False), (0, True)}, 2: {(2, False)}}


# --- damage -------------------------------------------------------------------------------------


def test_what_cannot_be_read_is_left_out_and_told_of() -> None:
    damaged = pipeline(marked_set(5, video1="cut short", video4="no pictures"))
    found = batches(damaged.dataset(), 10)
    assert [batch["number"].tolist() for batch in found] == [[0, 2], [3]]
    assert damaged.report().splitlines() == [
        "left out 2 of 5 videos:",
        "  marked 1: cut short",
        "  marked 4: no pictures",
    ]
    assert pipeline(marked_set(5)).report() == ""


@pytest.mark.parametrize(
    ("videos", "message"),
    [
        (marked_set(3, video1="cut short"), "marked 1: cut short"),
        (VideoSet("s", [Marked(0, frame_count=3)], ("a",)), "marked 0: it has 3 frames"),
        (VideoSet("s", [Marked(0, label=7)], ("a", "b")), r"its label must be in 0..1, got 7"),
        (VideoSet("s", [Marked(0)], joints=("a", "b", "c")), r"shape \(4, 3, 3\), got .*4, 2, 3"),
    ],
)
def test_damage_stops_if_asked_to(videos: VideoSet, message: str) -> None:
    strict = pipeline(videos, on_error="raise", batch_size=1)
    with pytest.raises(tf.errors.OpError):
        batches(strict.dataset(), 10)
    assert re.search(message, str(strict.failure))


def test_arrays_say_what_stopped_them() -> None:
    assert_same(
        list(pipeline(marked_set(5)).arrays()), batches(pipeline(marked_set(5)).dataset(), 10)
    )
    with pytest.raises(VideoError, match="marked 1: cut short"):
        list(pipeline(marked_set(3, video1="cut short"), on_error="raise").arrays())


def test_nothing_but_damage_stops_in_any_case() -> None:
    """Training would else look for an intact example for ever."""
    hopeless = pipeline(marked_set(2, video0="gone", video1="gone"), training=True)
    with pytest.raises(tf.errors.OpError):
        batches(hopeless.dataset(), 1)
    assert "marked: nothing can be read" in str(hopeless.failure)
    assert "marked 1: gone" in str(hopeless.failure)


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing: there are no videos"):
        VideoSet("nothing", [])


def test_whole_videos_come_one_by_one() -> None:
    with pytest.raises(ValueError, match="batches of 1. Received: batch_size=2"):
        pipeline(marked_set(), sampling=Whole())
    found = batches(pipeline(marked_set(2), sampling=Whole(), batch_size=1).dataset(), 5)
    assert [batch["frames"].shape[1] for batch in found] == [12, 12]
