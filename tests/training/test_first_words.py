"""What a run says before its first batch."""

import pathlib
import types
from typing import Any

from rendered_video import write_rendered_video
from small_runs import small_config

from mpvn.data import VideoSet
from mpvn.data.sets.files import FileVideo
from mpvn.training.build.length import training_length
from mpvn.training.first_words import first_words


def words(videos: VideoSet | None = None, **changes: object) -> list[str]:
    config = small_config(**changes)
    train = videos or VideoSet("set train", [object()] * 12, ("run", "walk"), note="clips/CLASS")
    experiment: Any = types.SimpleNamespace(
        training=types.SimpleNamespace(videos=train),
        evaluation=types.SimpleNamespace(videos=VideoSet("set val", [object()], ("run", "walk"))),
        length=training_length(config, videos=12),
        remarks=("head replaced",),
    )
    return first_words(config, experiment)


def test_videos_classes_and_random_weights_are_announced() -> None:
    assert words() == [
        "head replaced",
        "set train: 12 videos of 2 classes (run, walk), in clips/CLASS",
        "set val: 1 video of 2 classes (run, walk)",
        "simple_cnn starts from random weights (config.model.weights and config.model.initial "
        "load others)",
    ]
    for changes in ({"model__initial": "runs/a"}, {"model__name": "a.keras"}):
        assert len(words(**changes)) == 3


def test_the_learning_rate_that_follows_is_announced() -> None:
    *_, line = words(
        training__steps=None,
        training__epochs=3,
        training__batch_size=4,
        training__accumulate=8,
        optimizer__learning_rate=0.01,
        optimizer__base_batch=64,
        optimizer__warm_up=2,
    )
    assert line == (
        "learning rate 0.005 for 32 clips an update, because 0.01 is for 64 "
        "(config.optimizer.base_batch), after a warm-up of 6 batches"
    )


def test_mixed_sizes_and_short_videos_are_told(tmp_path: pathlib.Path) -> None:
    """A clip lasts half a second. Two of the videos have 8 frames."""
    sizes, videos = {"a": (32, 48), "b": (32, 48), "c": (48, 32)}, []
    for name, size in sizes.items():
        path = tmp_path / f"{name}.mp4"
        write_rendered_video(path, 20 if name == "a" else 8, size=size)
        videos.append(FileVideo(path, 0))
    found = words(VideoSet("set", videos, ("run", "walk")), clip__fps=10.0, clip__short="hold")
    assert found[3:5] == [
        "frames have several sizes, of 3 videos 48x32 (2), 32x48 (1): each is scaled and cropped "
        "to 16x16",
        "2 of 3 videos are shorter than a clip: their last frame is held (config.clip)",
    ]
