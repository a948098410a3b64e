"""The data of a run: the names of its outputs, and the videos it was trained on.

A network has outputs by number. Which class or joint a number means is decided by the data set, for
example by the names of class folders, and changes when a folder is renamed or added. So a run keeps
the names: in `data.json` of its folder, and in each checkpoint.
"""

import dataclasses
import hashlib
import itertools
import statistics
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from ml_collections import ConfigDict

import mpvn
from mpvn.data.video.errors import VideoError
from mpvn.data.video_set import Label, Video, VideoSet
from mpvn.metadata import Metadata, Names

VERSION = 2
"""Version of `data.json`. A reader refuses others."""

PIXELS = "-1..1"
"""Range of the pixels that networks of runs take; a network scales them itself if it must."""

_RATES = 16  # Number of videos whose frame rate is measured.


@dataclasses.dataclass(frozen=True)
class RunData:
    """What a run knows about its data, as stored in `data.json`.

    Attributes:
        metadata: what the trained network will know.
        training, evaluation: the lists of videos: name of the set, count, count by class, and a
            digest of names and labels.
    """

    metadata: Metadata
    training: Mapping[str, Any]
    evaluation: Mapping[str, Any]

    @staticmethod
    def of(config: ConfigDict, names: Names, training: VideoSet, evaluation: VideoSet) -> "RunData":
        """Return what the run of a config knows about its data."""
        rate, seconds = _rate_and_length(training.videos)
        metadata = describe(config, names, rate, training.channels, seconds)
        return RunData(metadata, _listed(training), _listed(evaluation))

    def to_json(self) -> dict[str, Any]:
        """Return the content of `data.json`."""
        return {
            "version": VERSION,
            "metadata": self.metadata.to_json(),
            "training": self.training,
            "evaluation": self.evaluation,
        }

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> "RunData":
        """Return what `to_json` stored.

        Raises:
            ValueError: a key is missing or unknown, or it is of another version.
        """
        values = dict(stored)
        if values.pop("version", None) != VERSION:
            raise ValueError(f"version {stored.get('version')}, not {VERSION}")
        expected = {field.name for field in dataclasses.fields(RunData)}
        if values.keys() != expected:
            raise ValueError(f"other keys: {', '.join(sorted(values.keys() ^ expected))}")
        return RunData(**{**values, "metadata": Metadata.from_json(values["metadata"])})

    def check_videos(self, current: "RunData", owner: str) -> None:
        """Check that a run continues with the same videos.

        Args:
            current: what the config gives now.
            owner: the run, for messages.

        Raises:
            ValueError: the names or the videos differ.
        """
        check_names(self.metadata.names, current.metadata.names, owner)
        for split in ("training", "evaluation"):
            before, now = getattr(self, split), getattr(current, split)
            if before["digest"] != now["digest"]:
                raise ValueError(
                    f"{owner} began with other videos. Expected the same {split} videos, "
                    f"because the number of an example decides which video it is. Received: "
                    f"{_difference(before, now)}. Restore the videos, or begin another run, which "
                    "can start from the weights of this one if it is finished "
                    "(config.model.initial)"
                )


def describe(
    config: ConfigDict,
    names: Names,
    rate: float | None = None,
    channels: int = 3,
    seconds: float | None = None,
) -> Metadata:
    """Return what a network that is trained by a config knows.

    Trainers compare an output with the target of the frame it belongs to. So unless the config
    gives the latency, the plan decides it; without a trainer it is 0: the network learns to predict
    ahead.

    Args:
        config: the config.
        names: names of the classes or joints.
        rate: frames per second of the training videos.
        channels: channels of their frames.
        seconds: their median length.
    """
    clip, size = config.clip, config.model.size
    stride, rate = frame_stride(clip), clip.fps or rate
    given = config.task.latency is not None or config.training.trainer
    return Metadata(
        task=config.task.name,
        options=config.task.options.to_dict(),
        latency=config.task.latency if given else 0,
        mask_uninformed=config.task.mask_uninformed,
        names=names,
        fps=rate / stride if rate and stride else None,
        resampled=bool(clip.fps),
        stride=stride or 1,
        sampling=clip.sampling,
        frames=clip.frames,
        evaluated=clip.evaluated,
        short=clip.short,
        seconds=seconds,
        size=(size, size),
        shorter_side=clip.shorter_side,
        channels=channels,
        pixels=PIXELS,
        versions={module.__name__: module.__version__ for module in (mpvn, keras, tf)},
    )


def frame_stride(clip: ConfigDict) -> int | None:
    """Return the distance of the frames of a clip; None if clips spread over whole videos.

    Training, evaluation of whole videos, and streams share it.

    Args:
        clip: `config.clip`.
    """
    strides = {"consecutive": clip.stride, "dense": clip.window // clip.frames}
    return strides.get(clip.sampling)


def check_names(stored: Names, current: Names, owner: str) -> None:
    """Check that outputs stand for the same classes or joints, in the same order.

    Args:
        stored: names of a run.
        current: names of a data set.
        owner: what keeps the names of the run, for messages.

    Raises:
        ValueError: they differ.
    """
    for kind in stored.keys() & current.keys():
        before, now = list(stored[kind]), list(current[kind])
        if before != now:
            raise ValueError(
                f"{owner} belongs to a network that was trained on other {kind}. Expected its "
                f"{len(before)} {kind} in their order, because outputs are known by number. "
                f"Received: {_name_faults(before, now)}. Give the {kind} their names back (for "
                "class folders, those of the folders), or train another run on these"
            )


def moved_names(stored: Names, current: Names) -> str:
    """Describe names that have other numbers, if both have the same number of names; else ""."""
    for kind in stored.keys() & current.keys():
        before, now = list(stored[kind]), list(current[kind])
        if len(before) == len(now) and any(
            name in now and now.index(name) != number for number, name in enumerate(before)
        ):
            return _name_faults(before, now)
    return ""


def _name_faults(before: Sequence[str], now: Sequence[str]) -> str:
    missing = [name for name in before if name not in now]
    new = [name for name in now if name not in before]
    faults = [f"missing: {_shown(missing)}"] if missing else []
    faults += [f"new: {_shown(new)}"] if new else []
    numbers = {name: number for number, name in enumerate(now)}
    moved = [
        f"{name} is number {numbers[name]}, not {number}"
        for number, name in enumerate(before)
        if numbers.get(name, number) != number
    ]
    faults += [f"moved: {_shown(moved)}"] if moved else []
    return "; ".join(faults)


def _shown(names: Sequence[str], most: int = 5) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def _listed(videos: VideoSet) -> dict[str, Any]:
    """Return what identifies a list of videos."""
    digest, counts = hashlib.sha256(), Counter[str]()
    for video in videos.videos:
        digest.update(f"{video.name}\0{video.label}\n".encode("utf-8", "surrogateescape"))
        counts.update(_class_names(videos, video.label))
    return {
        "set": videos.name,
        "videos": len(videos.videos),
        "by_class": dict(counts),
        "digest": digest.hexdigest(),
    }


def _class_names(videos: VideoSet, label: Label | None) -> list[str]:
    """Return the names of the classes of a video. Leave out numbers that have no class."""
    labels = label if isinstance(label, tuple) else () if label is None else (label,)
    return [videos.classes[each] for each in labels if 0 <= each < len(videos.classes)]


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    counts = [each["by_class"] for each in (before, now)]
    changed = [
        f"{name}: {counts[1].get(name, 0)}, not {counts[0].get(name, 0)}"
        for name in dict.fromkeys(itertools.chain(*counts))
        if counts[0].get(name, 0) != counts[1].get(name, 0)
    ]
    if before["videos"] == now["videos"] and not changed:
        return f"{now['videos']} videos, some with other names or labels"
    by_class = f" ({_shown(changed)})" if changed else ""
    return f"{now['videos']} videos, not {before['videos']}{by_class}"


def _rate_and_length(videos: Sequence[Video]) -> tuple[float | None, float | None]:
    """Return the median frame rate, and length in seconds, of a few videos, spread over the list.

    Both are None if none of them can be read.
    """
    rates, lengths = [], []
    for number in range(min(_RATES, len(videos))):
        video = videos[number * len(videos) // min(_RATES, len(videos))]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # The pipeline reports damaged videos.
            try:
                timeline = video.timeline
            except (VideoError, ValueError, OSError):
                continue
        rates.append(float(timeline.rate))
        lengths.append(float(timeline.duration))
    if not rates:
        return None, None
    return statistics.median_low(rates), statistics.median_low(lengths)
