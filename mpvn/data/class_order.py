"""A data set with its classes in the order of a network that was trained elsewhere."""

import dataclasses
from collections.abc import Mapping, Sequence

from mpvn.data.video.framing import Framed, Framing
from mpvn.data.video_set import (
    NO_MIRROR,
    Frames,
    Label,
    Video,
    VideoSet,
    VideoWrapper,
    read_framed,
)


def in_order(videos: VideoSet, classes: Sequence[str]) -> VideoSet:
    """Return the same videos with labels that count in another order of the same classes.

    Raises:
        ValueError: The classes are others.
    """
    if sorted(videos.classes) != sorted(classes) or len(set(classes)) < len(classes):
        raise ValueError(
            f"{videos.name}: expected the same classes in another order. Received: "
            f"{', '.join(classes)}"
        )
    number_of = {name: number for number, name in enumerate(classes)}
    numbers = {before: number_of[name] for before, name in enumerate(videos.classes)}
    mirrored = videos.mirrored_labels
    if mirrored is not None:
        numbers[NO_MIRROR] = NO_MIRROR
        by_number = {numbers[before]: numbers[after] for before, after in enumerate(mirrored)}
        mirrored = tuple(by_number[number] for number in range(len(classes)))
    renumbered: list[Video] = [_Renumbered(video, numbers) for video in videos.videos]
    return dataclasses.replace(
        videos, videos=renumbered, classes=tuple(classes), mirrored_labels=mirrored
    )


@dataclasses.dataclass(frozen=True)
class _Renumbered(VideoWrapper):
    """A video whose labels have other numbers, by the number before."""

    numbers: Mapping[int, int]

    @property
    def label(self) -> Label | None:
        label = self.video.label
        if isinstance(label, tuple):
            return tuple(sorted(self.numbers[each] for each in label))
        return None if label is None else self.numbers[label]

    def read(self, indices: Sequence[int]) -> Frames:
        return self.video.read(indices)

    def read_framed(self, indices: Sequence[int], framing: Framing) -> Framed:
        return read_framed(self.video, indices, framing)
