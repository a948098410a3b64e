"""Clips, views and videos as a config describes them."""

from typing import Any

import numpy as np
import pytest
from ml_collections import ConfigDict
from small_runs import small_config

from mpvn.data.clips.sampling import Consecutive, Dense, Segments, Whole
from mpvn.tasks import MultiLabelActions
from mpvn.training import evaluate
from mpvn.training.build import build
from mpvn.training.build.clips import TrainingClips, build_pipeline, build_views
from mpvn.training.build.videos import build_videos


def config(**changes: Any) -> ConfigDict:
    return small_config(
        clip__frames=4, clip__sampling="segments", clip__evaluated=None, views__scale=32, **changes
    )


@pytest.mark.parametrize(
    ("sampling", "training", "evaluation"),
    [
        ("consecutive", Consecutive(4, short="loop"), Consecutive(4, place="center", short="loop")),
        ("segments", Segments(4, short="loop"), Segments(4, "center", "loop")),
        ("dense", Dense(4, 8, short="loop"), Dense(4, 8, "center", "loop")),
    ],
)
def test_clips_are_random_in_training_and_central_in_evaluation(
    sampling: str, training: object, evaluation: object
) -> None:
    changes = config(views__clips=3, views__crops=5, views__size=24)
    changes.clip.sampling, changes.clip.window, changes.clip.short = sampling, 8, "loop"
    videos = build_videos(changes, "train")
    assert build_pipeline(changes, videos, training=True).sampling == training
    assert build_pipeline(changes, videos, training=False).sampling == evaluation
    views = build_views(changes)
    assert views.sampling == evaluation
    assert (views.clips, views.crops, views.size, views.scale) == (3, 5, (24, 24), 32)


@pytest.mark.parametrize(
    ("changes", "whole"),
    [
        ({}, Whole(250)),
        ({"clip__fps": 5.0, "clip__stride": 3}, Whole(250, 5.0, 3, least=8)),
        (
            {"clip__sampling": "dense", "clip__window": 24, "clip__evaluated": 40},
            Whole(40, None, 4),
        ),
        ({"clip__sampling": "segments", "clip__short": "hold"}, Whole(250, short="hold")),
    ],
)
def test_whole_videos_are_evaluated_at_the_rate_of_the_training_clips(
    changes: dict, whole: Whole
) -> None:
    """`clip.stride` changed training only."""
    made = small_config(**changes)
    videos = build_videos(made, "train")
    assert build_pipeline(made, videos, training=False, least=whole.least).sampling == whole


def test_a_video_with_too_few_frames_for_an_answer_is_completed() -> None:
    """With 8 frames at a stride of 4, two are left; three subnetworks answer at step 2."""
    shorter = {"clip__frames": 2, "clip__stride": 4, "plan__subnetworks": 3}
    experiment = build(
        small_config(**shorter, clip__short="loop", training__trainer="bp"), to_train=False
    )
    (batch,) = experiment.evaluation.dataset(batches=1)
    np.testing.assert_array_equal(batch["frames"][0, 2], batch["frames"][0, 0])
    assert batch["frames"].shape[1] == experiment.task.fewest_frames == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clip.sampling": "random"}, "Expected one of consecutive, segments, dense.*'random'"),
        ({"clip.stride": 2}, "apply to sampling consecutive.* segments, stride 2, fps None"),
        ({"clip.sampling": "dense", "clip.fps": 8.0}, "dense, stride 1, fps 8"),
        ({"clip.sampling": "dense", "clip.window": 10}, "window: expected a multiple of frames"),
        ({"views.clips": 0}, "count: expected an int of at least 1"),
        ({"views.crops": 3}, "crops: expected 1, because size=None is the whole frame"),
        ({"views.crops": 4, "views.size": 24}, "crops: expected one of 1, 3, 5, 10"),
        ({"views.size": 48}, "at most scale.*size=.48, 48., scale=32"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(changes: dict, message: str) -> None:
    changed = config()
    changed.update_from_flattened_dict(changes)
    with pytest.raises(ValueError, match=message):
        build_views(changed)


def test_joined_clips_have_no_label_of_the_whole() -> None:
    """Their mean scores were compared with the label of the first one."""
    changes = {"clip__frames": 4, "clip__montage": 2}
    joined = evaluate(build(small_config(clip__evaluated=None, **changes), to_train=False))
    assert joined.keys() == {"loss", "accuracy", "cross_entropy"}
    metrics = MultiLabelActions(3).metrics()
    assert {metric.name for metric in metrics if metric.of_clips} == {"clip_map", "map_classes"}
    last = small_config(task__options={"answer": "last"}, **changes)
    with pytest.raises(ValueError, match="only the last one of joined clips.*Received: 2"):
        build(last, to_train=False)


def test_int8_is_calibrated_on_whole_training_videos_without_augmentation() -> None:
    few = small_config(clip__frames=3)
    videos = build_videos(few, "train")
    clips = TrainingClips(few, videos)
    assert len(clips) == 12
    (batch,) = build_pipeline(few, videos, training=False).dataset(3, 1)
    np.testing.assert_array_equal(clips[3], batch["frames"])
    assert clips[3].shape == (1, 8, 16, 16, 3)
    np.testing.assert_array_equal(clips.beginning(3, 5), batch["frames"][:, :5])
