"""At which rate a network is shown a source: that of its training, as its evaluation has it.

A network counts time in frames. One that learned from 12.5 frames per second takes a video of 30
for a slow motion of the same, and says something else.
"""

import dataclasses

from mpvn.metadata import Metadata

SAME = 0.05
"""Difference of two rates, relative to one of them, that no network minds."""

_OTHER = "--fps, or fps=, sets another rate"


@dataclasses.dataclass(frozen=True)
class Shown:
    """Which frames of a source a network is shown.

    Attributes:
        fps: frames per second to which the source is brought; None: it keeps its own.
        stride: distance of the frames that are shown, at that rate.
        remark: what was done, and why; empty if the user said it, or if nothing is known.
    """

    fps: float | None = None
    stride: int = 1
    remark: str = ""


def shown(metadata: Metadata | None, own: float | None) -> Shown:
    """Return which frames of a source a network is shown if the user does not say so.

    Networks whose evaluation brings videos to their rate are always shown it. Others take every
    `stride`-th frame, unless the source has another rate then by more than `SAME`.

    Args:
        metadata: what the network knows.
        own: frames per second of the source; None if not known.
    """
    if metadata is None:
        return Shown()
    if is_spread(metadata):
        return _of_spread_clips(metadata, own)
    if metadata.resampled and metadata.fps:
        return _brought_to(metadata.fps, "as in its training")
    at = own and own / metadata.stride
    if metadata.fps and at and abs(at / metadata.fps - 1) > SAME:
        return _brought_to(metadata.fps, f"as in its training, and not the {at:g} of this source")
    is_known = metadata.frames is not None or metadata.fps is not None or metadata.stride > 1
    remark = _unchanged(metadata.stride, at) if is_known else ""
    return Shown(None, metadata.stride, remark)


def is_spread(metadata: Metadata) -> bool:
    """Return whether training and evaluation take clips that spread over whole videos.

    The distance of their frames differs from video to video, so they have no rate.
    """
    return metadata.sampling == "segments" and metadata.evaluated is None


def _of_spread_clips(metadata: Metadata, own: float | None) -> Shown:
    """Return what a stream shows: frames as far apart as in a video of the usual length."""
    unlike = "unlike its training, whose frames spread over whole videos"
    if metadata.frames is None or metadata.seconds is None:
        at = f"at {own:g} per second" if own else "as they come"
        return Shown(None, 1, f"all frames are shown, {at}, {unlike} ({_OTHER})")
    rate = metadata.frames / metadata.seconds
    usual = f"{metadata.frames} frames of {metadata.seconds:.3g} s"
    return _brought_to(rate, f"{unlike}: {usual}, usually")


def _brought_to(fps: float, why: str) -> Shown:
    return Shown(fps, 1, f"frames are shown at {fps:.4g} per second, {why} ({_OTHER})")


def _unchanged(stride: int, at: float | None) -> str:
    what = "all frames are shown" if stride == 1 else f"one of {stride} frames is shown"
    rate = f", at {at:.4g} per second" if at else ""
    return f"{what}{rate}, as in its training ({_OTHER})"
