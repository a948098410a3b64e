"""The clip pipeline: order of examples, resuming, and skipped videos."""

import random
import re

import numpy as np
import pytest
import tensorflow as tf
from marked_videos import HEIGHT, WIDTH, MarkedVideo, marked_set, multi_label_set

from mpvn.data import VideoError, VideoSet
from mpvn.data.clips.augmentation import Augmentation, NoAugmentation
from mpvn.data.clips.pipeline import ClipPipeline
from mpvn.data.clips.sampling import Consecutive, Whole

Batch = dict[str, np.ndarray]

RANDOM = {
    "sampling": Consecutive(4),
    "augmentation": Augmentation(
        (24, 32), "random", (0.5, 1.0), True, brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1
    ),
    "training": True,
}


def pipeline(videos: VideoSet, **options) -> ClipPipeline:
    options = {
        "sampling": Consecutive(4, place="center"),
        "augmentation": Augmentation((HEIGHT, WIDTH)),
        "batch_size": 2,
        "threads": 2,
    } | options
    return ClipPipeline(videos, **options)


def batches(dataset: tf.data.Dataset, count: int) -> list[Batch]:
    return list(dataset.take(count).as_numpy_iterator())


def pixels(batch: Batch) -> np.ndarray:
    return np.round(127.5 * (batch["frames"] + 1)).astype(int)


def assert_equal(actual: list[Batch], expected: list[Batch]) -> None:
    for batch, other in zip(actual, expected, strict=True):
        assert batch.keys() == other.keys()
        for key in batch:
            np.testing.assert_array_equal(batch[key], other[key], err_msg=key)


# --- examples -----------------------------------------------------------------------------------


def test_evaluation_returns_every_video_once_in_order() -> None:
    results = batches(pipeline(marked_set(5)).dataset(), 10)
    assert [batch["number"].tolist() for batch in results] == [[0, 1], [2, 3], [4]]
    assert [batch["label"].tolist() for batch in results] == [[0, 1], [2, 0], [1]]
    assert results[1]["frames"].dtype == np.float32
    assert results[1]["frames"].shape == (2, 4, HEIGHT, WIDTH, 3)
    greens = pixels(results[1])[:, :, 0, 0, 1]
    np.testing.assert_array_equal(greens, [[8 * t + n for t in range(4, 8)] for n in (2, 3)])
    np.testing.assert_array_equal(results[1]["joints"][0], MarkedVideo(2).joints(range(4, 8)))
    assert_equal(list(pipeline(marked_set(5)).arrays()), results)


def test_videos_with_any_number_of_labels() -> None:
    (batch,) = batches(pipeline(multi_label_set([(2, 0), (), (1,)]), batch_size=3).dataset(), 2)
    assert "label" not in batch
    assert batch["labels"].dtype == np.float32
    assert batch["labels"].tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]


def test_videos_without_labels_come_without_labels() -> None:
    unlabeled = VideoSet("test", [MarkedVideo(n, label=None) for n in range(2)], ("a", "b"))
    assert not unlabeled.labeled
    for videos in (unlabeled, multi_label_set([None, None])):
        (batch,) = batches(pipeline(videos).dataset(), 2)
        assert batch.keys() == {"frames", "number"}
        assert batch["number"].tolist() == [0, 1]


def test_each_needed_frame_is_read_once() -> None:
    videos = marked_set(1)
    sampling = Consecutive(6, stride=3, short="loop")
    (batch,) = batches(pipeline(videos, sampling=sampling, batch_size=1).dataset(), 1)
    order = [0, 3, 6, 9, 0, 3]
    assert videos.videos[0].reads == [[0, 3, 6, 9]]
    assert pixels(batch)[0, :, 0, 0, 1].tolist() == [8 * index for index in order]
    np.testing.assert_array_equal(batch["joints"][0], MarkedVideo(0).joints(order))


def test_without_augmentation_clips_are_unchanged() -> None:
    (batch,) = batches(pipeline(marked_set(1), augmentation=NoAugmentation()).dataset(), 1)
    assert batch["frames"].dtype == np.uint8
    np.testing.assert_array_equal(batch["frames"][0], MarkedVideo(0).read(range(4, 8)))
    np.testing.assert_array_equal(batch["joints"][0], MarkedVideo(0).joints(range(4, 8)))


@pytest.fixture(scope="module")
def uninterrupted() -> list[Batch]:
    """Seven batches of training."""
    return batches(pipeline(marked_set(), **RANDOM).dataset(), 7)


def test_the_seed_determines_everything(uninterrupted: list[Batch]) -> None:
    assert_equal(batches(pipeline(marked_set(), **RANDOM).dataset(), 7), uninterrupted)
    other = batches(pipeline(marked_set(), seed=4, **RANDOM).dataset(), 1)
    assert not np.array_equal(other[0]["frames"], uninterrupted[0]["frames"])


@pytest.mark.parametrize("start", [2, 6, 8])
def test_a_stopped_run_resumes(start: int, uninterrupted: list[Batch]) -> None:
    rest = batches(pipeline(marked_set(), **RANDOM).dataset(start), 7 - start // 2)
    assert_equal(rest, uninterrupted[start // 2 :])


def test_a_stopped_run_with_skipped_videos_resumes() -> None:
    """The same video replaces the skipped one, no matter when the error was found."""
    whole = batches(pipeline(marked_set(video3="cut short"), **RANDOM).dataset(), 7)
    assert [batch["number"].tolist() for batch in whole] == [[2 * n, 2 * n + 1] for n in range(7)]
    rest = batches(pipeline(marked_set(video3="cut short"), **RANDOM).dataset(6), 4)
    assert_equal(rest, whole[3:])


def partly_damaged(**options) -> ClipPipeline:
    """Return clips of seven videos. Four are damaged, each in another way."""
    videos = [
        MarkedVideo(0, intact=9),
        MarkedVideo(1),
        MarkedVideo(2, error="no pictures"),
        MarkedVideo(3, frame_count=3),
        MarkedVideo(4, intact=6),
        MarkedVideo(5, label=9),
        MarkedVideo(6),
    ]
    return pipeline(VideoSet("damaged", videos, ("a",)), **RANDOM | options)


def first_frames(batches: list[Batch]) -> list[tuple[int, int]]:
    """Return video and first frame of each clip."""
    greens = np.concatenate([batch["frames"][:, 0, 0, 0, 1] for batch in batches])
    return [(int(green) % 8, int(green) // 8) for green in greens]


def test_damage_does_not_make_examples_depend_on_history() -> None:
    """Once, a video was left out as soon as one of its clips had failed, in whatever thread.

    So a run that was continued, which had forgotten this, went on with other clips.
    """
    clips = partly_damaged()
    whole = batches(clips.dataset(), 14)
    chance = random.Random(0)
    for start in chance.sample(range(1, 14), 4):
        again = partly_damaged(threads=chance.choice([1, 4]))
        assert_equal(batches(again.dataset(2 * start), 14 - start), whole[start:])
    parts = partly_damaged(threads=3)
    for start in range(0, 14, 2):  # As a run does, from checkpoint to checkpoint.
        list(parts.dataset(2 * start, 2))
    assert (parts.skipped, parts.damaged) == (clips.skipped, clips.damaged)


def test_only_clips_that_touch_the_damage_are_replaced() -> None:
    clips = partly_damaged(augmentation=NoAugmentation())
    used = first_frames(batches(clips.dataset(), 140))
    starts = {video: {start for number, start in used if number == video} for video in range(7)}
    every = set(range(9))  # The first frames of clips of 4 of 12 frames.
    assert starts == {
        0: set(range(6)),
        1: every,
        2: set(),
        3: set(),
        4: {0, 1, 2},
        5: set(),
        6: every,
    }
    assert sorted(clips.skipped) == ["marked 3", "marked 5"]
    assert clips.damaged == {
        "marked 0": "marked 0: damaged at frame 10",
        "marked 2": "marked 2: no pictures",
        "marked 4": "marked 4: damaged at frame 10",
    }
    assert clips.report().splitlines()[0] == "Skipped 2 of 7 videos:"
    assert clips.report().splitlines()[3] == "Replaced clips that touch damage in 3 of 7 videos:"


def test_a_single_damaged_video_is_tried_until_a_clip_is_whole() -> None:
    videos = VideoSet("one", [MarkedVideo(0, intact=5)], ("a",))
    clips = pipeline(videos, **RANDOM | {"augmentation": NoAugmentation()})
    assert set(first_frames(batches(clips.dataset(), 20))) == {(0, 0), (0, 1)}


def test_every_epoch_has_all_videos_in_a_different_order() -> None:
    epochs = batches(pipeline(marked_set(), **RANDOM | {"batch_size": 6}).dataset(), 3)
    assert len({tuple(batch["label"]) for batch in epochs}) > 1
    assert all(sorted(batch["label"]) == [0, 0, 1, 1, 2, 2] for batch in epochs)


def test_whole_videos_come_one_by_one() -> None:
    with pytest.raises(ValueError, match="batch_size: expected 1, .* Received: 2"):
        pipeline(marked_set(), sampling=Whole())
    results = batches(pipeline(marked_set(2), sampling=Whole(), batch_size=1).dataset(), 5)
    assert [batch["frames"].shape[1] for batch in results] == [12, 12]


# --- errors -------------------------------------------------------------------------------------


def test_unreadable_videos_are_skipped_and_reported() -> None:
    clips = pipeline(marked_set(5, video1="cut short", video4="no pictures"))
    results = batches(clips.dataset(), 10)
    assert [batch["number"].tolist() for batch in results] == [[0, 2], [3]]
    assert clips.report().splitlines() == [
        "Skipped 2 of 5 videos:",
        "  marked 1: cut short",
        "  marked 4: no pictures",
    ]
    assert pipeline(marked_set(5)).report() == ""


@pytest.mark.parametrize(
    ("videos", "message"),
    [
        (marked_set(3, video1="cut short"), "marked 1: cut short"),
        (VideoSet("s", [MarkedVideo(0, frame_count=3)], ("a",)), "marked 0: .* Received: 3 frames"),
        (VideoSet("s", [MarkedVideo(0, label=7)], ("a", "b")), r"a label in 0..1. Received: 7"),
        (
            VideoSet("s", [MarkedVideo(0), MarkedVideo(1, label=None)], ("a", "b")),
            "marked 1: expected a label in 0..1. Received: None",
        ),
        (multi_label_set([(0,), (1, 3)]), r"tuple of labels in 0..2. Received: \(1, 3\)"),
        (
            VideoSet("s", [MarkedVideo(0, label=(0, 1))], ("a", "b")),
            r"a label in 0..1. Received: \(0, 1\)",
        ),
        (
            VideoSet("s", [MarkedVideo(0)], joints=("a", "b", "c")),
            r"shape \(4, 1, 3, 3\). Received: shape \(4, 1, 2, 3\)",
        ),
    ],
)
def test_on_error_raise_stops_the_pipeline(videos: VideoSet, message: str) -> None:
    strict = pipeline(videos, on_error="raise", batch_size=1)
    with pytest.raises(tf.errors.OpError):
        batches(strict.dataset(), 10)
    assert re.search(message, str(strict.failure))


def test_arrays_raise_the_original_error() -> None:
    with pytest.raises(VideoError, match="marked 1: cut short"):
        list(pipeline(marked_set(3, video1="cut short"), on_error="raise").arrays())


def test_a_set_without_readable_videos_stops_the_pipeline() -> None:
    """Otherwise, training would look for a readable video forever."""
    unreadable = pipeline(marked_set(2, video0="gone", video1="gone"), training=True)
    with pytest.raises(tf.errors.OpError):
        batches(unreadable.dataset(), 1)
    assert "marked: expected readable videos. Received: none" in str(unreadable.failure)
    assert "marked 1: gone" in str(unreadable.failure)


def test_an_empty_set_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing: expected at least one video"):
        VideoSet("nothing", [])
