"""What training makes of labels, and that evaluation does not."""

import numpy as np
import pytest
from small_runs import small_config

from mpvn.data import VideoSet
from mpvn.tasks import ActionRecognition, Keypoints, MultiLabelActions, Task
from mpvn.training import as_json, base_config, build, evaluate, override
from mpvn.training.build.labels import build_mixing, check_rand_augment, class_weights
from mpvn.training.run_folder import from_json


class Labeled:
    """A video with a label."""

    def __init__(self, label: object) -> None:
        self.label = label


def videos(*labels: object, multi_label: bool = False) -> VideoSet:
    classes = ("wave", "v1.2 point", "nod", "none")
    return VideoSet("set", [Labeled(x) for x in labels], classes, multi_label=multi_label)


def test_balanced_classes_count_alike() -> None:
    """Of 6 labels of 3 classes, each class weighs 2; without videos, 1."""
    given = class_weights("balanced", ActionRecognition(4), videos(0, 0, 0, 1, 1, 2))
    assert given == pytest.approx((2 / 3, 1, 2, 1))
    several = videos((0, 1), (0,), (0, 1, 2), (), multi_label=True)
    given = class_weights("balanced", MultiLabelActions(4), several)
    assert given == pytest.approx((2 / 3, 1, 2, 1))


def test_weights_by_name_survive_the_command_line_and_the_folder_of_a_run() -> None:
    config = override(
        base_config(), ["--config.training.class_weights={'v1.2 point': 3, 'nod': 0}"]
    )
    stored = from_json(as_json(config)).training.class_weights
    assert class_weights(stored, ActionRecognition(4), videos(0)) == (1, 3, 0, 1)
    assert override(config, ["--config.training.class_weights=balanced"]).training.class_weights


@pytest.mark.parametrize(
    ("given", "task", "message"),
    [
        ({"wav": 2.0}, ActionRecognition(4), "set has no class 'wav'.*Did you mean 'wave'"),
        ({"wave": -1}, ActionRecognition(4), "'balanced', or numbers of at least 0 by name"),
        ("equal", ActionRecognition(4), "'balanced', or numbers.*Received: 'equal'"),
        ("balanced", Keypoints(3, (8, 8)), "class_weights: expected a task with labels of classes"),
    ],
)
def test_other_weights_are_refused(given: object, task: Task, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        class_weights(given, task, videos(0))


def test_what_cannot_be_mixed_or_moved_is_refused() -> None:
    config = small_config(augmentation__cutmix=1.0, augmentation__rand_augment=2)
    with pytest.raises(ValueError, match="cutmix: expected a task with labels.*Keypoints"):
        build_mixing(config, Keypoints(3, (8, 8)))
    with pytest.raises(ValueError, match="rand_augment: it does not move joints"):
        check_rand_augment(config, Keypoints(3, (8, 8)))
    config.training.batch_size = 1
    with pytest.raises(ValueError, match="cutmix: clips are mixed with others.*at least 2"):
        build_mixing(config, ActionRecognition(4))


def test_the_loss_of_evaluation_is_that_of_the_labels() -> None:
    """And a batch of training has the mixed label of a clip at each step that counts."""
    plain = small_config(
        task__latency=2,
        clip__evaluated=None,
        training__label_smoothing=0.5,
        training__class_weights="balanced",
        augmentation__mixup=1.0,
        training__batch_size=4,
    )
    experiment = build(plain)
    results = evaluate(experiment)
    assert results["loss"] == pytest.approx(results["cross_entropy"], rel=1e-5)
    clips, steps, classes = 4, 6, len(experiment.names["classes"])
    for batch in experiment.training.dataset(8, 1):
        frames, targets, weights = experiment.prepare(batch)
    assert targets.shape == (clips, steps, classes)
    np.testing.assert_allclose(weights, [[0, 0, 1.5, 1.5, 1.5, 1.5]] * clips)
    own = np.eye(classes)[batch["label"].numpy()]
    flat = batch["frames"].numpy().reshape(clips, steps, -1)
    mixed = frames.numpy().reshape(clips, steps, -1)
    for clip in range(clips):
        # The share of each clip in the mixture, from the pixels
        shares, *_ = np.linalg.lstsq(flat.reshape(clips, -1).T, mixed[clip].ravel(), rcond=None)
        for step in range(steps):
            np.testing.assert_allclose(targets[clip, step], shares @ own, atol=1e-4)
    assert np.ptp(targets.numpy().max(-1)) > 0.05, "mixed, by several shares"
