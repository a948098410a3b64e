"""Runs of a network under test with resets of single streams, by the package and the reference."""

import numpy as np
from reference import Array
from video_subject import Subject, as_list, cut


def run_with_resets(
    subject: Subject, clips: dict[str, Array], resets: dict[int, list[bool]], phase: int, step: bool
) -> list[Array]:
    """Return the package's outputs, step by step or in pieces, between resets."""
    batch_size, steps = next(iter(clips.values())).shape[:2]
    state = subject.video.initial_state(batch_size, phase=phase)
    subject.video.executor = subject.executors[-1]
    pieces = []
    begins = sorted({0, *resets})
    for begin, end in zip(begins, [*begins[1:], steps], strict=True):
        if begin in resets:
            state = subject.video.reset(state, np.array(resets[begin]))
        piece = cut(clips, slice(begin, end))
        if step:
            y, state = subject.stepped(piece, state)
        else:
            y, state = subject.video.run(subject.structured(piece), state)
        pieces.append(as_list(y))
    return [np.concatenate(y, axis=1) for y in zip(*pieces, strict=True)]


def expected_with_resets(
    subject: Subject, clips: dict[str, Array], resets: dict[int, list[bool]], phase: int
) -> list[Array]:
    """Return the reference's outputs: each stream alone, each stretch between its resets alone."""
    batch_size, steps = next(iter(clips.values())).shape[:2]
    streams = []
    for i in range(batch_size):
        alone = {name: clip[i : i + 1] for name, clip in clips.items()}
        begins = sorted({0, *(t for t, streams_reset in resets.items() if streams_reset[i])})
        stretches = [
            subject.expected(cut(alone, slice(begin, end)), phase + begin)
            for begin, end in zip(begins, [*begins[1:], steps], strict=True)
        ]
        streams.append([np.concatenate(y, axis=1) for y in zip(*stretches, strict=True)])
    return [np.concatenate(y, axis=0) for y in zip(*streams, strict=True)]
