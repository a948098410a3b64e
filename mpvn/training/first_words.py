"""What a run says before its first batch: what its config leaves to be noticed otherwise."""

from collections import Counter
from collections.abc import Sequence

from ml_collections import ConfigDict

from mpvn.data.sets.files import FileVideo
from mpvn.data.video.errors import VideoError
from mpvn.data.video_set import VideoSet
from mpvn.models.loading import is_saved_model
from mpvn.training.build import Experiment
from mpvn.training.build.length import Length
from mpvn.training.build.optimizer import clips_of_update, scaled_rate
from mpvn.training.run_data import frame_stride

_SAMPLED = 16
"""Number of videos whose sizes and lengths are looked at."""

_NAMED = 5
"""Most names of classes, or sizes."""

_SHORT = {"hold": "their last frame is held", "loop": "they are repeated"}


def first_words(config: ConfigDict, experiment: Experiment) -> list[str]:
    """Return lines for the terminal.

    Args:
        config: that of the run.
        experiment: built from it.
    """
    training, held_out = experiment.training.videos, experiment.evaluation.videos
    return [
        *experiment.remarks,
        _about(training),
        _about(held_out),
        *_sizes_and_lengths(config, training),
        *_weights(config),
        *_learning_rate(config, experiment.length),
    ]


def _about(videos: VideoSet) -> str:
    of = f" of {len(videos.classes)} classes ({_named(videos.classes)})" if videos.classes else ""
    found = f", in {videos.note}" if videos.note else ""
    count = len(videos.videos)
    return f"{videos.name}: {count:,} video{'s' * (count != 1)}{of}{found}"


def _sizes_and_lengths(config: ConfigDict, videos: VideoSet) -> list[str]:
    """Return remarks on video files of several sizes, and on those shorter than a clip."""
    files = [video for video in videos.videos if isinstance(video, FileVideo)]
    count = min(_SAMPLED, len(files))
    sizes, short = Counter[str](), 0
    for number in range(count):
        video = files[number * len(files) // count]
        try:
            height, width = video.read([0]).shape[1:3]
            short += _is_short(config.clip, video)
        except (VideoError, ValueError, OSError):
            continue  # The pipeline reports it.
        sizes[f"{width}x{height}"] += 1
    remarks = []
    if len(sizes) > 1:
        found = [f"{size} ({n})" for size, n in sizes.most_common()]
        size = config.model.size
        remarks.append(
            f"frames have several sizes, of {count} videos {_named(found)}: each is scaled and "
            f"cropped to {size}x{size}"
        )
    if short and config.clip.short in _SHORT:
        remarks.append(
            f"{short} of {count} videos are shorter than a clip: {_SHORT[config.clip.short]} "
            "(config.clip)"
        )
    return remarks


def _is_short(clip: ConfigDict, video: FileVideo) -> bool:
    if clip.sampling != "consecutive":
        return False
    timeline, span = video.timeline, (clip.frames - 1) * (frame_stride(clip) or 1)
    return float(timeline.duration) < span / clip.fps if clip.fps else len(timeline) <= span


def _named(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f", and {more} more" if more > 0 else "")


def _weights(config: ConfigDict) -> list[str]:
    model = config.model
    if model.weights or model.initial or is_saved_model(model.name):
        return []
    return [
        f"{model.name} starts from random weights (config.model.weights and config.model.initial "
        "load others)"
    ]


def _learning_rate(config: ConfigDict, length: Length) -> list[str]:
    optimizer, rate = config.optimizer, scaled_rate(config)
    parts = []
    if optimizer.base_batch is not None:
        parts.append(
            f"for {clips_of_update(config)} clips an update, because {optimizer.learning_rate:g} "
            f"is for {optimizer.base_batch} (config.optimizer.base_batch)"
        )
    if optimizer.warm_up:
        parts.append(f"after a warm-up of {length.batches(optimizer.warm_up)} batches")
    return [f"learning rate {rate:g} {', '.join(parts)}"] if parts else []
