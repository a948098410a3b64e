"""`rendered_figures`: labels, names and independence of the videos."""

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from figure_checks import all_joints, read_all

from mpvn.data.rendered.figure_video import (
    ACTIONS,
    MIRRORED_ACTIONS,
    SPLITS,
    UNDIRECTED_ACTIONS,
)
from mpvn.data.rendered.figures import rendered_figures
from mpvn.data.skeletons import COCO_JOINTS
from mpvn.data.video_set import VideoSet


def test_labels_and_mirror_images_are_balanced() -> None:
    videos = rendered_figures(40).videos
    assert Counter((video.label, video.mirrored) for video in videos) == {
        (label, mirrored): 2 for label in range(10) for mirrored in (False, True)
    }
    counts = Counter(video.label for video in rendered_figures(23).videos).values()
    assert max(counts) - min(counts) <= 1


def test_all_videos_of_all_splits_and_seeds_differ() -> None:
    sets = [
        rendered_figures(20, size=(24, 24), seed=seed, split=split)
        for split in SPLITS
        for seed in (0, 1)
    ]
    videos = [video for video_set in sets for video in video_set.videos]
    assert len({video.read([7]).tobytes() for video in videos}) == len(videos)
    assert len({video.joints([7]).tobytes() for video in videos}) == len(videos)
    assert len({video.name for video in videos}) == len(videos)


def test_a_larger_set_starts_with_the_same_videos() -> None:
    short, long = rendered_figures(7, seed=2), rendered_figures(12, seed=2)
    assert tuple(long.videos[:7]) == tuple(short.videos)


def test_the_set_names_classes_and_joints() -> None:
    videos = rendered_figures(3, frames=20, fps=10, size=(40, 50), split="test")
    assert isinstance(videos, VideoSet)
    assert (videos.classes, videos.joints) == (ACTIONS, COCO_JOINTS)
    assert videos.mirrored_labels == MIRRORED_ACTIONS
    video = videos.videos[2]
    assert (video.label, video.frame_count, video.fps) == (2, 20, 10)
    assert "test" in videos.name and "walk_left" in video.name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "count: expected an integer of at least 1. Received: 0"),
        ({"frames": 0}, "frames: expected an integer of at least 1. Received: 0"),
        ({"frames": 2.5}, "frames: expected an integer"),
        ({"seed": -1}, "seed: expected an integer of at least 0. Received: -1"),
        ({"objects": -2}, "objects: expected an integer of at least 0. Received: -2"),
        ({"size": (64,)}, r"size: expected a tuple \(height, width\). Received: \(64,\)"),
        ({"size": [64, 64]}, "size: expected a tuple"),
        ({"size": (64, 0)}, "width in size: expected an integer of at least 1. Received: 0"),
        ({"fps": 0}, "fps: expected a positive number"),
        ({"fps": float("nan")}, "fps: expected a positive number"),
        ({"split": "val"}, "split: expected one of .*validation.* Received: 'val'"),
    ],
)
def test_invalid_arguments_raise(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rendered_figures(**{"count": 4, **arguments})


def test_the_tensorflow_dataset_has_the_same_videos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tfds = pytest.importorskip("tensorflow_datasets")
    # TensorFlow Datasets leaves folders in the temporary directory.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    from mpvn.data.sets.rendered_figures import RenderedFigures, RenderedFiguresConfig

    assert set(RenderedFigures.builder_configs) == {"small", "large"}
    config = RenderedFiguresConfig(
        name="tiny", size=(24, 32), frames=3, cuts=True, videos={"train": 4, "test": 2}
    )
    builder = RenderedFigures(config=config, data_dir=tmp_path)
    builder.download_and_prepare()
    assert builder.info.features["label"].names == list(ACTIONS)
    for split, count in config.videos.items():
        stored = sorted(
            tfds.as_numpy(builder.as_dataset(split=split)), key=lambda example: example["label"]
        )
        videos = rendered_figures(count, size=(24, 32), frames=3, cuts=True, split=split).videos
        for example, video in zip(stored, videos, strict=True):
            np.testing.assert_array_equal(example["video"], read_all(video))
            np.testing.assert_array_equal(example["joints"], all_joints(video))
            assert (example["label"], example["fps"]) == (video.label, video.fps)


def test_without_directions_a_pair_of_actions_is_one_class() -> None:
    directed, undirected = (
        rendered_figures(20, directions=directions) for directions in (True, False)
    )
    assert undirected.classes == UNDIRECTED_ACTIONS and len(undirected.classes) == 5
    assert [video.label for video in undirected.videos] == [n % 10 // 2 for n in range(20)]
    for video, same in zip(directed.videos[:4], undirected.videos[:4], strict=True):
        np.testing.assert_array_equal(video.read([0, 9]), same.read([0, 9]))
        np.testing.assert_array_equal(video.joints([0, 9]), same.joints([0, 9]))
