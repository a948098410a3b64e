"""Action recognition: losses and accuracies, compared with NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from mpvn.tasks import ActionRecognition, ClipAccuracy, LabelCrossEntropy, StepAccuracy


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype("float64") - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def is_among_top(scores: np.ndarray, label: int, top: int) -> bool:
    return label in np.argsort(-scores)[:top]


@pytest.fixture
def logits(rng: np.random.Generator) -> np.ndarray:
    """Return logits `[B, T, classes]` of 40 clips of 5 steps, 7 classes."""
    return rng.normal(size=(40, 5, 7)).astype("float32")


@pytest.fixture
def batch(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "frames": np.zeros((40, 5, 2, 2, 3), "float32"),
        "label": rng.integers(0, 7, 40),
    }


def test_loss_is_the_mean_over_weighted_steps(
    logits: np.ndarray, batch: dict[str, np.ndarray]
) -> None:
    task = ActionRecognition(7, latency=2)
    _, targets, weights = task.prepare(batch)
    losses = -np.log(softmax(logits)[np.arange(40), :, batch["label"]])  # [B, T]
    np.testing.assert_allclose(task.loss.call(targets, tf.constant(logits)), losses, rtol=1e-5)
    np.testing.assert_allclose(task.loss(targets, logits, weights), losses[:, 2:].mean(), rtol=1e-5)


def test_the_loss_of_training_smooths_labels_and_weights_classes(
    logits: np.ndarray, batch: dict[str, np.ndarray]
) -> None:
    """Also of mixed clips. The gradient shows what TensorFlow's own loss of shares gets wrong."""
    task, class_weights = ActionRecognition(7), np.arange(7) / 3
    loss = task.training_loss(0.3, class_weights.tolist())
    _, labels, _ = task.prepare(batch)
    shares = np.eye(7)[labels.numpy()]
    mixed = 0.6 * shares + 0.4 * shares[::-1]
    for given, expected in ((labels, shares), (tf.constant(mixed, tf.float32), mixed)):
        terms = class_weights * (0.7 * expected + 0.3 / 7)
        outputs = tf.constant(logits)
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            found = loss.call(given, outputs)
        np.testing.assert_allclose(found, -(terms * np.log(softmax(logits))).sum(-1), rtol=1e-5)
        gradient = terms.sum(-1, keepdims=True) * softmax(logits) - terms
        np.testing.assert_allclose(tape.gradient(found, outputs), gradient, rtol=1e-4, atol=1e-6)
    assert type(loss).from_config(loss.get_config()).get_config() == loss.get_config()
    plain = -(mixed * np.log(softmax(logits))).sum(-1)
    np.testing.assert_allclose(task.loss.call(tf.constant(mixed), logits), plain, rtol=1e-5)


def test_accuracies_of_mixed_clips_take_the_larger_share(
    logits: np.ndarray, batch: dict[str, np.ndarray]
) -> None:
    task = ActionRecognition(7)
    _, labels, _ = task.prepare(batch)
    shares = task.shares_of(labels)
    mixed = 0.6 * shares + 0.4 * shares[::-1]
    for metric in task.metrics()[:3]:
        metric.update_state(labels, logits)
        expected = float(metric.result())
        metric.reset_state()
        metric.update_state(mixed, logits)
        assert float(metric.result()) == expected


@pytest.mark.parametrize("average", ["logits", "probabilities"])
def test_accuracies_of_steps_and_clips(
    average: str, logits: np.ndarray, batch: dict[str, np.ndarray]
) -> None:
    task = ActionRecognition(7, average=average, latency=2)  # type: ignore[arg-type]
    valid, label = logits[:, 2:], batch["label"]
    outputs = softmax(valid) if average == "probabilities" else valid
    scores = outputs.mean(axis=1)
    np.testing.assert_allclose(task.clip_scores(logits), scores, rtol=1e-5, atol=1e-6)
    expected = {
        "accuracy": np.mean(valid.argmax(-1) == label[:, None]),
        "clip_top1": np.mean([is_among_top(s, i, 1) for s, i in zip(scores, label, strict=True)]),
        "clip_top5": np.mean([is_among_top(s, i, 5) for s, i in zip(scores, label, strict=True)]),
        "cross_entropy": -np.log(softmax(valid)[np.arange(40), :, label]).mean(),
    }
    assert task.score(logits, batch) == pytest.approx(expected, rel=1e-5)
    assert expected["clip_top1"] < expected["clip_top5"] < 1, "the inputs must tell them apart"


def test_means_of_logits_and_of_probabilities_can_differ() -> None:
    """One step gives class 0 a very high score; two steps give class 1 a fairly high score."""
    logits = np.array([[[9.0, 0.0], [0.0, 2.0], [0.0, 2.0]]], "float32")
    weights = tf.ones((1, 3))
    assert np.argmax(ClipAccuracy(average="logits").scores(logits, weights)) == 0
    assert np.argmax(ClipAccuracy(average="probabilities").scores(logits, weights)) == 1


@pytest.mark.parametrize("metric", [StepAccuracy, ClipAccuracy])
def test_weights_and_skipped_steps_select_steps(metric: type, logits: np.ndarray) -> None:
    labels = np.tile(logits[:, 4].argmax(-1)[:, None], (1, 5))
    only_last = np.tile([0, 0, 0, 0, 2.0], (40, 1))
    weighted = metric()
    weighted.update_state(labels, logits, only_last)
    assert weighted.result() == 1
    weighted.reset_state()
    weighted.update_state(labels, logits)
    assert weighted.result() < 1
    only_last_step = metric(skip_first=4)
    only_last_step.update_state(labels, logits)
    assert only_last_step.result() == 1
    only_first_step = metric(skip_last=4)
    only_first_step.update_state(np.tile(logits[:, 0].argmax(-1)[:, None], (1, 5)), logits)
    assert only_first_step.result() == 1
    no_step = metric(skip_first=1, skip_last=4)
    no_step.update_state(labels, logits)
    assert no_step.result() == 0


def test_the_last_step_answers_alone(logits: np.ndarray, batch: dict[str, np.ndarray]) -> None:
    """In the loss, in every metric with and without weights, and in the scores of clips."""
    task = ActionRecognition(7, answer="last", latency=1)
    _, targets, weights = task.prepare(batch)
    assert weights.numpy().tolist() == [[0, 0, 0, 0, 5]] * 40
    last = softmax(logits[:, -1])
    losses = -np.log(last[np.arange(40), batch["label"]])
    np.testing.assert_allclose(task.loss(targets, logits, weights), losses.mean(), rtol=1e-5)
    right = np.mean(last.argmax(-1) == batch["label"])
    expected = {"accuracy": right, "clip_top1": right, "cross_entropy": losses.mean()}
    for given in (None, weights):
        for metric in task.metrics():
            copy = type(metric).from_config(metric.get_config())
            copy.update_state(targets, logits, given)
            if metric.name in expected:
                np.testing.assert_allclose(copy.result(), expected[metric.name], rtol=1e-5)
    np.testing.assert_allclose(task.clip_scores(logits), logits[:, -1], rtol=1e-6)
    assert list(task.pictures(np.zeros((5, 8, 8, 3)), logits[0], targets[0])) == [4]


def test_weights_can_exclude_whole_clips(logits: np.ndarray) -> None:
    labels = np.tile(logits.mean(axis=1).argmax(-1)[:, None], (1, 5))
    labels[20:] = (labels[20:] + 1) % 7
    metric = ClipAccuracy()
    metric.update_state(labels, logits, np.repeat([1.0, 0.0], 20))
    assert metric.result() == 1
    metric.update_state(labels, logits)
    np.testing.assert_allclose(metric.result(), 40 / 60, rtol=1e-6)


def test_clips_have_equal_weight_whatever_their_length(logits: np.ndarray) -> None:
    """A clip with one weighted step counts as much as a clip in which all steps have weight."""
    labels = np.tile(logits.mean(axis=1).argmax(-1)[:, None], (1, 5))
    labels[0] = (logits[0, 4].argmax() + 1) % 7
    weights = np.ones((40, 5))
    weights[0] = [0, 0, 0, 0, 5]
    metric = ClipAccuracy()
    metric.update_state(labels, logits, weights)
    np.testing.assert_allclose(metric.result(), 39 / 40, rtol=1e-6)


def test_equal_logits_for_all_classes_are_never_right() -> None:
    for value in (0.0, np.nan):
        logits = np.full((2, 3, 4), value, "float32")
        for metric in (StepAccuracy(), ClipAccuracy(), ClipAccuracy(3)):
            metric.update_state(np.zeros((2, 3), int), logits)
            assert metric.result() == 0


def test_errors_name_labels_out_of_range() -> None:
    task = ActionRecognition(5)
    batch = {"frames": np.zeros((3, 4, 2, 2, 3), "float32"), "label": np.array([1, 7, -1])}
    with pytest.raises(ValueError, match=r"labels from 0 to 4 \(5 classes\). Received: \[ 7 -1"):
        task.prepare(batch)
    data = tf.data.Dataset.from_tensors(batch).map(task.prepare)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"5 classes\). Received:.*\n?.*\[7 -1\]"
    ):
        next(iter(data))
    batch["label"] = np.array([0.0, 1.0, 2.0])
    with pytest.raises(ValueError, match="Expected labels as integers. Received: float64"):
        task.prepare(batch)


def test_invalid_arguments_and_outputs_raise() -> None:
    with pytest.raises(ValueError, match="classes must be an int of at least 2. Received: 1"):
        ActionRecognition(1)
    with pytest.raises(ValueError, match='"logits" or "probabilities". Received: \'mean\''):
        ActionRecognition(5, average="mean")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='answer must be "mean" or "last". Received: \'first\''):
        ActionRecognition(5, answer="first")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"of 5 classes. .* \(2, 3, 4\). .* with classes=5"):
        LabelCrossEntropy(5)(np.zeros((2, 3)), np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match="label_smoothing must be at least 0 and below 1"):
        LabelCrossEntropy(5, label_smoothing=1.0)
    with pytest.raises(ValueError, match="5 class_weights of at least 0, one per class. Received"):
        LabelCrossEntropy(5, class_weights=[1.0, 2.0])


def test_no_top_5_with_five_classes() -> None:
    names = [metric.name for metric in ActionRecognition(5).metrics()]
    assert names == ["accuracy", "clip_top1", "cross_entropy"]
