"""`Metadata`: what a trained network knows about its inputs and outputs.

A network computes numbers from numbers. Which class an output stands for, how many frames a second
it learned from, and how pixels are scaled is decided by the training data. `mpvn train` writes it
here; it is saved and exported with the network, so that whoever gets the file needs nothing else.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence, Set
from typing import Any

from mpvn.pixels import RANGES

VERSION = 1
"""Version of the stored form. A reader refuses later ones."""

Names = Mapping[str, Sequence[str]]
"""Names of the classes or joints that outputs stand for, in order, by `"classes"` or `"joints"`."""

KINDS = ("classes", "joints")
"""Keys of `Metadata.names`."""

SAMPLINGS = ("consecutive", "segments", "dense")
"""Values of `Metadata.sampling`: neighboring frames; one frame of each of equal parts of a video;
frames at a distance, which cover a window."""

SHORT = ("error", "loop", "hold")
"""How to sample a video with fewer frames than a clip: raise an error, start again from the first
frame, or repeat the last frame."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Metadata:
    """What a trained network knows about its inputs and outputs.

    Attributes:
        task: what it predicts, a key of `mpvn.tasks.registry.TASKS`; None if that is not known.
        options: options of the task.
        latency: steps from a frame to the output that is about it; None: as many as its plan takes.
        mask_uninformed: whether outputs that no frame can have reached yet do not count.
        names: `{"classes": ...}` or `{"joints": ...}`: what the outputs stand for, in order; empty
            for outputs without names.
        fps: frames per second of the clips that it learned from; None if they have no rate, because
            they spread over whole videos, or if it is not known.
        resampled: whether evaluation brings every video to this rate. False: it takes every
            `stride`-th frame of a video, at the video's own rate.
        stride: distance of the frames of a clip, in frames of a video at its own rate.
        sampling: how clips are sampled: `"consecutive"`, `"segments"` or `"dense"`.
        frames: number of frames of a clip; None if it is not known.
        evaluated: evaluation shows whole videos, up to this number of frames. None: it shows one
            clip of each video, sampled as in training.
        short: how evaluation samples videos with fewer frames than a clip; see `SHORT`.
        seconds: median length of the videos that it learned from; None if it is not known.
        size: height and width of the frames in pixels; None if it is not known.
        shorter_side: shorter side of the frames that `size` is cropped out of, in the center; None
            if the largest part is cropped and resized to it.
        channels: channels of the frames.
        pixels: range of the pixels, a key of `mpvn.pixels.RANGES`; None if it is not known.
        versions: versions of the packages that trained it, by name.

    Raises:
        ValueError: names that are no names, a rate or a length that is not positive, an unknown
            sampling or range.

    Example:
        >>> metadata = Metadata(task="action", names={"classes": ["jump", "run"]}, fps=12.5)
        >>> metadata.names["classes"][1]
        'run'
    """

    task: str | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    latency: int | None = 0
    mask_uninformed: bool = False
    names: Names = dataclasses.field(default_factory=dict)
    fps: float | None = None
    resampled: bool = True
    stride: int = 1
    sampling: str = "consecutive"
    frames: int | None = None
    evaluated: int | None = 250
    short: str = "error"
    seconds: float | None = None
    size: tuple[int, int] | None = None
    shorter_side: int | None = None
    channels: int = 3
    pixels: str | None = None
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for key, (expected, holds) in self._rules().items():
            if not holds:
                raise ValueError(
                    f"Invalid metadata. Expected {key} to be {expected}. Received: "
                    f"{getattr(self, key)!r}."
                )
        names = {kind: list(each) for kind, each in self.names.items()}
        size = None if self.size is None else tuple(self.size)
        copies = {"names": names, "options": dict(self.options), "versions": dict(self.versions)}
        for key, value in {**copies, "size": size}.items():
            object.__setattr__(self, key, value)

    def _rules(self) -> dict[str, tuple[str, bool]]:
        """Return what each field must be, and whether it is."""
        whole, optional = "a positive whole number", "a positive whole number or None"
        ranges, samplings = ", ".join(RANGES), ", ".join(SAMPLINGS)
        frames, side, size = self.frames, self.shorter_side, self.size
        number = "a positive number or None"
        return {
            "names": ("lists of text by 'classes' or 'joints'", _are_names(self.names)),
            "fps": (number, _is_number(self.fps)),
            "seconds": (number, _is_number(self.seconds)),
            "stride": (whole, _is_positive(self.stride)),
            "sampling": (f"one of {samplings}", self.sampling in SAMPLINGS),
            "frames": (optional, frames is None or _is_positive(frames)),
            "evaluated": (optional, self.evaluated is None or _is_positive(self.evaluated)),
            "short": (f"one of {', '.join(SHORT)}", self.short in SHORT),
            "size": ("two positive whole numbers or None", size is None or _is_size(size)),
            "shorter_side": (optional, side is None or _is_positive(side)),
            "channels": (whole, _is_positive(self.channels)),
            "pixels": (f"one of {ranges}, or None", self.pixels in (*RANGES, None)),
        }

    def to_json(self) -> dict[str, Any]:
        """Return the stored form, a value of JSON."""
        stored = dataclasses.asdict(self)
        stored["size"] = None if self.size is None else list(self.size)
        return {"version": VERSION, **stored}

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> "Metadata":
        """Return what `to_json` stored.

        Raises:
            ValueError: an unknown key, a later version, or an invalid value.
        """
        values = dict(stored)
        version = values.pop("version", None)
        known = {field.name for field in dataclasses.fields(Metadata)}
        unknown = sorted(values.keys() - known)
        if version != VERSION or unknown:
            raise ValueError(
                f"Invalid metadata. Expected version {VERSION}, whose keys are "
                f"{', '.join(sorted(known))}. Received: version {version}"
                + f", and {', '.join(unknown)}"
                * bool(unknown)
            )
        return Metadata(**values)


def pixel_range(metadata: Metadata | None, given: str | None = None) -> str:
    """Return the range of the pixels of a network, a key of `mpvn.pixels.RANGES`.

    Args:
        metadata: what it knows.
        given: the range that the user says, if any. If nothing tells, it is -1..1, which networks
            of `mpvn train` take.
    """
    return given or (metadata and metadata.pixels) or "-1..1"


def _is_positive(value: Any, kinds: tuple[type, ...] = (int,)) -> bool:
    is_number = isinstance(value, kinds) and not isinstance(value, bool)
    return is_number and float(value) > 0


def _is_number(value: Any) -> bool:
    return value is None or _is_positive(value, (int, float))


def _is_size(size: Any) -> bool:
    return isinstance(size, (tuple, list)) and len(size) == 2 and all(map(_is_positive, size))


def _are_names(names: Any) -> bool:
    return isinstance(names, Mapping) and all(
        kind in KINDS
        and isinstance(each, Collection)
        and not isinstance(each, (str, Set))  # a set has no order
        and all(isinstance(name, str) for name in each)
        for kind, each in names.items()
    )
