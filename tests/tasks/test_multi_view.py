"""Recognition with several views per video: scores compared with NumPy, metrics by hand."""

import dataclasses
from collections.abc import Sequence
from contextlib import nullcontext as does_not_raise

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from mpvn import VideoNetwork
from mpvn.data import VideoError, VideoSet
from mpvn.data.clips.sampling import Consecutive, Segments, Whole
from mpvn.data.clips.views import Views
from mpvn.data.video.timeline import Timeline
from mpvn.data.video_set import NO_MIRROR
from mpvn.tasks import ActionRecognition, Recognition, score_views

HEIGHT, WIDTH, CLASSES = 6, 9, 4
NAMES = ("left", "right", "up", "down")


@dataclasses.dataclass(frozen=True)
class Noise:
    """A video of random pixels."""

    number: int
    label: int = 0
    frame_count: int = 12
    fps: float = 25.0
    fault: str = ""

    @property
    def timeline(self) -> Timeline:
        return Timeline.even(self.frame_count, self.fps)

    @property
    def name(self) -> str:
        return f"noise {self.number}"

    @property
    def frames(self) -> np.ndarray:
        shape = (self.frame_count, HEIGHT, WIDTH, 3)
        return np.random.default_rng(self.number).integers(0, 256, shape, np.uint8)

    def read(self, indices: Sequence[int]) -> np.ndarray:
        if self.fault:
            raise VideoError(self.fault)
        return self.frames[list(indices)]

    def joints(self, indices: Sequence[int]) -> None:
        return None


def noise_set(count: int = 3, mirrored: tuple[int, ...] | None = None, **faults: str) -> VideoSet:
    videos = [Noise(n, n % CLASSES, fault=faults.get(f"video{n}", "")) for n in range(count)]
    return VideoSet("noise", videos, NAMES, mirrored)


FILTERS = np.random.default_rng(8).normal(size=(2, 3, 3, CLASSES)).astype("float32")


def logits_of(clip: np.ndarray) -> np.ndarray:
    """Return logits `[T, classes]` that depend on positions and times in a clip `[T, H, W, 3]`."""
    rows, columns = np.arange(clip.shape[1]), np.arange(clip.shape[2])
    logits = []
    for time, frame in enumerate(clip):
        by_position = [
            np.tensordot((rows + 1) / 10, frame, 1).mean(0),  # [W, 3] -> [3]
            np.tensordot((columns + 1) ** 2 / 50, frame, (0, 1)).mean(0),  # [H, 3] -> [3]
        ]
        weights = FILTERS[:, :, time % 3]
        logits.append(sum(values @ w for values, w in zip(by_position, weights, strict=True)))
    return np.array(logits, "float32")


class Network:
    """A fake network that records its batch sizes."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, clips: tf.Tensor) -> np.ndarray:
        self.batches.append(len(clips))
        return np.stack([logits_of(clip) for clip in clips.numpy()])


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


# Frames of two clips (three segments of 12 frames), and corners and center of 6x9 frames.
CLIPS = ([2, 6, 10], [0, 4, 8])
TOPS_AND_LEFTS = ((0, 0), (0, 5), (2, 0), (2, 5), (1, 3))
TEN = Views(Segments(3), clips=2, crops=10, size=(4, 4), scale=HEIGHT)


def expected_scores(
    video: Noise, swapped: Sequence[int], probabilities: bool = False, first_step: int = 0
) -> np.ndarray:
    total, count = np.zeros(CLASSES), 0
    for indices in CLIPS:
        for mirror in (False, True):
            for top, left in TOPS_AND_LEFTS:
                crop = video.frames[indices][:, top : top + 4, left : left + 4]
                crop = crop[:, :, ::-1] if mirror else crop
                logits = logits_of(crop.astype("float32") / 127.5 - 1)
                for step in range(first_step, 3):
                    scores = softmax(logits[step]) if probabilities else logits[step]
                    total += scores[list(swapped)] if mirror else scores
                    count += 1
    assert count == 2 * 2 * 5 * (3 - first_step)
    return total / count


# --- scores -----------------------------------------------------------------------------------


@pytest.mark.parametrize("average", ["logits", "probabilities"])
@pytest.mark.parametrize("mirrored", [None, (1, 0, 2, 3)])
def test_scores_are_the_mean_over_views_and_steps(
    average: str, mirrored: tuple[int, ...] | None
) -> None:
    task = ActionRecognition(CLASSES, average=average)  # type: ignore[arg-type]
    videos = noise_set(3, mirrored)
    recognition = score_views(Network(), videos, TEN, task)
    swapped = mirrored or (0, 1, 2, 3)
    expected = [expected_scores(v, swapped, average == "probabilities") for v in videos.videos]
    np.testing.assert_allclose(recognition.scores, expected, rtol=1e-4, atol=1e-5)
    assert recognition.scores.dtype == np.float32
    assert recognition.numbers.tolist() == [0, 1, 2]
    assert recognition.labels.tolist() == [0, 1, 2]
    assert recognition.skipped == {}


def test_only_weighted_steps_are_averaged() -> None:
    recognition = score_views(Network(), noise_set(1), TEN, ActionRecognition(CLASSES, latency=2))
    expected = expected_scores(Noise(0), range(CLASSES), first_step=2)
    np.testing.assert_allclose(recognition.scores[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("size", "expected"), [(1, 20 * [1]), (8, [8, 8, 4]), (50, [20])])
def test_batch_size_limits_the_views_per_call(size: int, expected: list[int]) -> None:
    network, task = Network(), ActionRecognition(CLASSES)
    recognition = score_views(network, noise_set(2), TEN, task, batch_size=size)
    assert network.batches == 2 * expected
    whole = score_views(Network(), noise_set(2), TEN, task, batch_size=20)
    np.testing.assert_allclose(recognition.scores, whole.scores, rtol=1e-5, atol=1e-6)


def test_whole_videos_of_several_lengths_at_full_resolution() -> None:
    videos = [Noise(0, frame_count=5), Noise(1, frame_count=7)]
    views = Views(Whole(), size=None, scale=HEIGHT)
    recognition = score_views(
        Network(), VideoSet("two", videos, NAMES), views, ActionRecognition(CLASSES)
    )
    for video, scores in zip(videos, recognition.scores, strict=True):
        expected = logits_of(video.frames.astype("float32") / 127.5 - 1).mean(axis=0)
        np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)


def test_a_video_network_is_evaluated(rng: np.random.Generator) -> None:
    frame = keras.Input((HEIGHT, HEIGHT, 3), name="frame")
    x = layers.Conv2D(5, 3, activation="relu", name="c0")(frame)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    network = VideoNetwork(keras.Model(frame, layers.Dense(CLASSES, name="head")(x)))
    views = Views(Consecutive(4), crops=3, size=(HEIGHT, HEIGHT), scale=HEIGHT)
    task = ActionRecognition(CLASSES)
    recognition = score_views(tf.function(network), noise_set(1), views, task, batch_size=2)
    frames = Noise(0).frames[4:8].astype("float32") / 127.5 - 1
    clips = np.stack([frames[:, :, left : left + 6] for left in (0, 2, 3)])
    expected = np.asarray(network(clips)).mean(axis=(0, 1))
    np.testing.assert_allclose(recognition.scores[0], expected, rtol=1e-4, atol=1e-6)


# --- counts -----------------------------------------------------------------------------------

SCORES = [
    [9, 1, 0, 0],  # label 0: right
    [2, 3, 0, 1],  # label 0: class 1 is first, the label second
    [2, 2, 0, 1],  # label 0: a tie with class 1 counts as wrong
    [5, 0, 4, 3],  # label 2: class 0 is first, the label second
    [0, 0, 7, 0],  # label 2: right
    [1, 2, 3, 0],  # label 3: class 2 is first, the label last
]
RECOGNITION = Recognition(np.arange(6), np.array([0, 0, 0, 2, 2, 3]), np.array(SCORES, "float32"))


def test_confusion_by_hand() -> None:
    expected = [[1, 2, 0, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 1, 0]]
    np.testing.assert_array_equal(RECOGNITION.confusion, expected)
    np.testing.assert_allclose(RECOGNITION.class_accuracy, [1 / 3, np.nan, 1 / 2, 0])


def test_accuracies_by_hand() -> None:
    assert RECOGNITION.top(1) == pytest.approx(2 / 6)
    assert RECOGNITION.top(2) == pytest.approx(5 / 6)
    assert RECOGNITION.top(3) == pytest.approx(5 / 6)
    assert RECOGNITION.top(4) == 1
    expected = {"top1": 2 / 6, "class_accuracy": (1 / 3 + 1 / 2 + 0) / 3}
    assert RECOGNITION.metrics() == pytest.approx(expected)


def test_top_5_is_reported_with_more_than_five_classes() -> None:
    scores = np.eye(6, dtype="float32") + np.linspace(0, 0.5, 6, dtype="float32")
    recognition = Recognition(np.arange(6), np.array([0, 1, 2, 3, 4, 0]), scores)
    assert recognition.metrics() == pytest.approx(
        {"top1": 5 / 6, "top5": 5 / 6, "class_accuracy": (1 / 2 + 4) / 5}
    )


def test_equal_scores_for_all_classes_are_never_right() -> None:
    for value, warned in ((0.0, does_not_raise()), (np.nan, pytest.warns(match="2 of 2 videos"))):
        scores = np.full((2, 4), value, "float32")
        with warned:
            recognition = Recognition(np.arange(2), np.array([0, 3]), scores)
        assert recognition.metrics() == {"top1": 0, "class_accuracy": 0}
        assert recognition.confusion.sum() == 2


# --- damage and errors ------------------------------------------------------------------------


def test_damaged_videos_are_skipped_and_reported() -> None:
    videos = noise_set(4, video1="cut short", video3="no pictures")
    task = ActionRecognition(CLASSES)
    recognition = score_views(Network(), videos, TEN, task)
    assert recognition.numbers.tolist() == [0, 2]
    assert recognition.labels.tolist() == [0, 2]
    assert recognition.skipped == {
        "noise 1": "noise 1: cut short",
        "noise 3": "noise 3: no pictures",
    }
    with pytest.raises(VideoError, match="noise 1: cut short"):
        score_views(Network(), noise_set(2, video1="cut short"), TEN, task, on_error="raise")
    with pytest.raises(VideoError, match="noise: expected readable videos"):
        score_views(Network(), noise_set(1, video0="gone"), TEN, task)


def test_errors_of_the_network_are_raised_unchanged() -> None:
    def broken(clips: tf.Tensor) -> tf.Tensor:
        raise tf.errors.ResourceExhaustedError(None, None, "out of memory")

    with pytest.raises(tf.errors.ResourceExhaustedError, match="out of memory"):
        score_views(broken, noise_set(2), TEN, ActionRecognition(CLASSES))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be an int of at least 1. Received: 0"),
        ({"task": ActionRecognition(5)}, "the 4 classes of noise. .* a task with 5 classes"),
        ({"task": ActionRecognition(CLASSES, latency=3)}, "more than 3 frames .* of 3 frames"),
        (
            {"videos": noise_set(1, mirrored=(0, 1, NO_MIRROR, 3))},
            "mirror image of 'up' is not a class of noise.*at most 5 crops. Received: crops=10",
        ),
        (
            {"network": lambda clips: tf.zeros((8, CLASSES))},
            r"logits of shape \(8, 3, 4\) .*Received: \(8, 4\)",
        ),
    ],
)
def test_invalid_arguments_raise(options: dict, message: str) -> None:
    arguments = {"network": Network(), "videos": noise_set(1), "views": TEN}
    with pytest.raises(ValueError, match=message):
        score_views(**arguments | {"task": ActionRecognition(CLASSES)} | options)


def test_five_crops_work_for_classes_without_mirror_image() -> None:
    views = dataclasses.replace(TEN, crops=5)
    videos = noise_set(1, mirrored=(0, 1, NO_MIRROR, 3))
    recognition = score_views(Network(), videos, views, ActionRecognition(CLASSES))
    assert recognition.scores.shape == (1, CLASSES)
