"""Clips with any number of labels: loss, mean average precision, and pictures."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mpvn.tasks import (
    ClassesWithClips,
    MeanAveragePrecision,
    MultiLabelActions,
    MultiLabelCrossEntropy,
    MultiLabelRecognition,
    fuse,
)
from mpvn.tasks.average_precision import average_precisions


def by_recall(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the average precision of one class as the area of steps below precision by recall."""
    area, recall = 0.0, 0.0
    for threshold in sorted(set(scores.tolist()), reverse=True):
        retrieved = labels[scores >= threshold]
        area += (retrieved.sum() / labels.sum() - recall) * retrieved.mean()
        recall = retrieved.sum() / labels.sum()
    return area


def mean_by_recall(scores: np.ndarray, labels: np.ndarray) -> float:
    pairs = zip(scores.T, labels.T, strict=True)
    return float(np.mean([by_recall(*pair) for pair in pairs if pair[1].any()]))


CASES = {
    "in order": ([3, 2, 1, 0], [1, 1, 0, 0], 1),
    "reversed": ([0, 1, 2, 3], [1, 1, 0, 0], (1 / 3 + 2 / 4) / 2),
    "of the docstring": ([0.9, 0.8, 0.7, 0.7, 0.2], [1, 0, 1, 0, 1], 0.7),
    "all equal": ([5, 5, 5, 5, 5], [0, 1, 0, 0, 1], 2 / 5),
    "infinite": ([np.inf, -np.inf, 0, -np.inf], [1, 1, 0, 0], (1 + 2 / 4) / 2),
    "only one": ([0], [1], 1),
}


@pytest.mark.parametrize("case", CASES)
def test_average_precisions_counted_by_hand(case: str) -> None:
    scores, labels, expected = (np.array(values, float) for values in CASES[case])
    columns = scores[:, None].repeat(2, axis=1), np.stack([labels, 0 * labels], axis=1)
    first, without_clips = average_precisions(*columns)
    assert first == pytest.approx(float(expected))
    assert np.isnan(without_clips)
    assert by_recall(scores, labels) == pytest.approx(float(expected)), "the reference itself"


def test_average_precisions_do_not_depend_on_the_order_of_clips(rng: np.random.Generator) -> None:
    """Scores of one decimal place are often equal."""
    scores = rng.normal(size=(60, 8)).round(1)
    labels = (rng.uniform(size=scores.shape) < 0.3).astype(float)
    expected = [by_recall(*pair) for pair in zip(scores.T, labels.T, strict=True)]
    for _ in range(3):
        order = rng.permutation(60)
        np.testing.assert_allclose(average_precisions(scores[order], labels[order]), expected)


def test_a_score_that_is_no_number_shows() -> None:
    scores = np.array([[1.0, 1.0], [np.nan, 0.0]])
    np.testing.assert_array_equal(average_precisions(scores, np.ones((2, 2))), [np.nan, 1])
    metric = MeanAveragePrecision(2)
    metric.update_state(np.ones((2, 1, 2)), scores[:, None])
    assert np.isnan(metric.result())


CLIPS, STEPS, CLASSES = 23, 4, 6


@pytest.fixture
def labels(rng: np.random.Generator) -> np.ndarray:
    """Return labels `[clips, classes]`; no clip has class 2, and clip 5 has no class."""
    labels = (rng.uniform(size=(CLIPS, CLASSES)) < 0.3).astype("float32")
    labels[:, 2] = labels[5] = 0
    return labels


@pytest.fixture
def logits(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(CLIPS, STEPS, CLASSES)).astype("float32")


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits.astype("float64")))


@pytest.mark.parametrize("average", ["logits", "probabilities"])
def test_scores_are_those_of_the_definitions(
    average: str, logits: np.ndarray, labels: np.ndarray
) -> None:
    task = MultiLabelActions(CLASSES, average=average, latency=1)  # type: ignore[arg-type]
    batch = {"frames": np.zeros((CLIPS, STEPS, 2, 2, 3), "float32"), "labels": labels}
    _, targets, weights = task.prepare(batch)
    np.testing.assert_array_equal(targets, labels[:, None].repeat(STEPS, axis=1))
    valid = logits[:, 1:]
    scores = (sigmoid(valid) if average == "probabilities" else valid).mean(axis=1)
    np.testing.assert_allclose(task.clip_scores(logits), scores, rtol=1e-5, atol=1e-6)
    likelihoods = np.where(labels[:, None] > 0, sigmoid(valid), 1 - sigmoid(valid))
    loss = -np.log(likelihoods).mean()
    assert task.score(logits, batch) == pytest.approx(
        {"clip_map": mean_by_recall(scores, labels), "map_classes": 5, "cross_entropy": loss},
        rel=1e-5,
    )
    np.testing.assert_allclose(task.loss(targets, logits, weights), loss, rtol=1e-5)


def test_the_loss_of_training_smooths_answers_and_weights_classes(
    logits: np.ndarray, labels: np.ndarray
) -> None:
    targets, class_weights = labels[:, None].repeat(STEPS, axis=1), np.arange(CLASSES) / 2
    loss = MultiLabelActions(CLASSES).training_loss(0.2, class_weights.tolist())
    smooth = 0.8 * targets + 0.1
    likelihoods = sigmoid(logits)
    terms = smooth * np.log(likelihoods) + (1 - smooth) * np.log(1 - likelihoods)
    expected = -(class_weights * terms).mean(-1)
    np.testing.assert_allclose(loss.call(targets, tf.constant(logits)), expected, rtol=1e-5)


@pytest.mark.parametrize("batch_size", [5, 23])
def test_evaluate_is_exact_whatever_the_batches(
    batch_size: int, logits: np.ndarray, labels: np.ndarray
) -> None:
    inputs = keras.Input((STEPS, CLASSES))
    model = keras.Model(inputs, keras.layers.Activation("linear")(inputs))
    task = MultiLabelActions(CLASSES, latency=2)
    model.compile(loss=task.loss, weighted_metrics=task.metrics(), jit_compile=False)
    weights = np.tile([0, 0, 2.0, 2.0], (CLIPS, 1))
    targets = labels[:, None].repeat(STEPS, axis=1)
    for _ in range(2):  # the second evaluation starts from nothing
        results = model.evaluate(
            logits, targets, batch_size, 0, sample_weight=weights, return_dict=True
        )
        expected = mean_by_recall(logits[:, 2:].mean(axis=1), labels)
        assert results["clip_map"] == pytest.approx(expected, rel=1e-6)
        assert results["map_classes"] == 5


def test_weights_and_skipped_steps_select_steps_and_clips(
    logits: np.ndarray, labels: np.ndarray
) -> None:
    """What does not count has labels and NaN scores that would show."""
    targets = labels[:, None].repeat(STEPS, axis=1)
    targets[:, 0, 2] = targets[7] = 1
    logits[:, [0, 3]] = logits[7] = np.nan
    left = np.delete(np.arange(CLIPS), 7)
    expected = mean_by_recall(logits[left, 1:3].mean(axis=1), labels[left])
    per_clip = (np.arange(CLIPS) != 7).astype(float)
    for metric in (MeanAveragePrecision, ClassesWithClips):
        result = 5 if metric is ClassesWithClips else pytest.approx(expected, rel=1e-6)
        skipping = metric(CLASSES, skip_first=1, skip_last=1)
        skipping.update_state(targets, logits, per_clip)
        assert float(skipping.result()) == result
        weighted = metric(CLASSES)
        weighted.update_state(targets, logits, per_clip[:, None] * [0, 0.5, 0.5, 0])
        assert float(weighted.result()) == result
        skipping.reset_state()
        assert float(skipping.result()) == 0


def test_metrics_survive_their_configs() -> None:
    for metric in MultiLabelActions(CLASSES, "probabilities", latency=1).metrics():
        copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
        assert copy.get_config() == metric.get_config()


def test_one_label_is_a_number_of_labels() -> None:
    task = MultiLabelActions(3)
    batch = {"frames": np.zeros((2, 1, 2, 2, 3), "float32"), "label": np.array([2, 0])}
    assert task.prepare(batch)[1].numpy().tolist() == [[[0, 0, 1]], [[1, 0, 0]]]
    with pytest.raises(ValueError, match="labels from 0 to 2"):
        task.prepare(batch | {"label": np.array([2, 3])})


def test_wrong_labels_and_outputs_raise() -> None:
    task, frames = MultiLabelActions(3), np.zeros((2, 4, 2, 2, 3), "float32")
    with pytest.raises(ValueError, match=r"1 for the classes .* Received: \[2. +0.5\]"):
        task.prepare({"frames": frames, "labels": np.array([[0, 2, 1], [0, 0.5, 1]])})
    with pytest.raises(ValueError, match="'labels' of 3 classes. Received: 4"):
        task.prepare({"frames": frames, "labels": np.zeros((2, 4))})
    for call in (MultiLabelCrossEntropy(3), MeanAveragePrecision(3)):
        with pytest.raises(ValueError, match=r"of 3 classes. .* \(2, 3, 4\). .* with classes=3"):
            call(np.zeros((2, 3, 3)), np.zeros((2, 3, 4)))


def test_metrics_of_videos_and_of_networks_together() -> None:
    """Class 0 has clips 0 and 1, class 1 has clip 2, class 2 has none."""
    labels = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0]])
    first = np.array([[3, 2, 0], [1, 0, 0], [2, 1, 0]], float)
    second = np.array([[0, -4, 0], [2, 0, 0], [0, 0, 0]], float)
    one, other = (MultiLabelRecognition(np.arange(3), labels, each) for each in (first, second))
    # Class 0: clips 0, 2, 1 -> 1/1 and 2/3. Class 1: clips 0, 2, 1 -> 1/2.
    assert one.metrics() == {
        "map": pytest.approx((5 / 6 + 1 / 2) / 2),
        "weighted_map": pytest.approx((2 * 5 / 6 + 1 / 2) / 3),
        "map_classes": 2,
    }
    fused = fuse([one, other])  # [3, 3, 2] and [-2, 0, 1]
    assert isinstance(fused, MultiLabelRecognition)
    assert fused.metrics()["map"] == 1
    with pytest.raises(ValueError, match="same labels"):
        fuse([one, MultiLabelRecognition(np.arange(3), 1 - labels, second)])
    unlabeled = MultiLabelRecognition(np.arange(3), None, second)
    assert fuse([unlabeled, unlabeled]).labels is None
    with pytest.raises(ValueError, match="from all networks, or from none"):
        fuse([one, unlabeled])
    with pytest.raises(ValueError, match="Expected videos with labels"):
        unlabeled.metrics()


def test_pictures_mark_all_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list = []
    monkeypatch.setattr(
        "mpvn.tasks.multi_label.bars", lambda width, shares: rows.extend(shares) or picture
    )
    picture = np.zeros((10, 32, 3), np.uint8)
    task = MultiLabelActions(8, names="abcdefgh")  # type: ignore[arg-type]
    output = np.log([4, 3, 1, 0.5, 0.4, 0.3, 0.2, 0.1]).astype("float32")  # the odds
    target = np.array([0, 1, 0, 0, 0, 0, 1, 1])
    task.draw(np.zeros((32, 32, 3), np.uint8), output, target)
    assert [(row.name, row.correct) for row in rows] == [
        ("a", False),
        ("b", True),
        ("c", False),
        ("g", True),
        ("h", True),
    ]
    assert [row.share for row in rows[:3]] == pytest.approx([0.8, 0.75, 0.5])
    rows.clear()
    task.draw(np.zeros((32, 32, 3), np.uint8), output, None)
    assert [(row.name, row.correct) for row in rows] == [(name, None) for name in "abcde"]


def test_the_growing_table_in_graphs(rng: np.random.Generator) -> None:
    """Batches of many sizes, with an empty one, across several doublings."""
    metric, scores = MeanAveragePrecision(3), rng.normal(size=(50, 1, 3)).astype("float32")
    labels = (rng.uniform(size=scores.shape) < 0.4).astype("float32")
    update = tf.function(metric.update_state, reduce_retracing=True)
    for start, end in ((0, 1), (1, 3), (3, 3), (3, 20), (20, 21), (21, 50)):
        update(labels[start:end], scores[start:end])
    np.testing.assert_allclose(metric.result(), mean_by_recall(scores[:, 0], labels[:, 0]), 1e-6)
    assert np.isnan(tf.function(metric.result)()), "in a graph, it is not computed"
