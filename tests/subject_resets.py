"""Runs of a network under test whose streams start, restart and join at different steps."""

import keras
import numpy as np
import tensorflow as tf
from reference import Array
from video_subject import Subject, as_list, cut

Events = dict[int, list[bool]]
"""Which streams are reset, before which steps."""


def run_with_resets(
    subject: Subject, clips: dict[str, Array], resets: Events, phases: list[int], step: bool
) -> list[Array]:
    """Return the package's outputs, step by step or in pieces, between resets.

    Args:
        phases: the number of the first step of each stream.
    """
    steps = next(iter(clips.values())).shape[1]
    state = subject.video.initial_state(len(phases)) | {"step": tf.constant(phases, tf.int64)}
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
    subject: Subject, clips: dict[str, Array], resets: Events, phases: list[int]
) -> list[Array]:
    """Return the reference's outputs: each stream alone, each stretch between its resets alone.

    A stretch after a reset starts at step 0.
    """
    steps = next(iter(clips.values())).shape[1]
    streams = []
    for i, phase in enumerate(phases):
        alone = {name: clip[i : i + 1] for name, clip in clips.items()}
        begins = sorted({0, *(t for t, streams_reset in resets.items() if streams_reset[i])})
        reset_at_once = 0 in resets and resets[0][i]
        stretches = [
            subject.expected(cut(alone, slice(begin, end)), 0 if begin or reset_at_once else phase)
            for begin, end in zip(begins, [*begins[1:], steps], strict=True)
        ]
        streams.append([np.concatenate(y, axis=1) for y in zip(*stretches, strict=True)])
    return [np.concatenate(y, axis=0) for y in zip(*streams, strict=True)]


def assert_joining_streams_follow_reference(
    subject: Subject, clips: dict[str, Array], stays: list[tuple[int, int]]
) -> None:
    """Compare streams that join a batch and leave it with the reference of each alone.

    Args:
        clips: `[B, T, ...]`, stream i sees clip i from its first frame on.
        stays: for each stream, the step of the batch before which it joins, and before which it
            leaves.
    """
    expected = subject.expected(clips)
    states: dict[int, dict[str, tf.Tensor]] = {}
    for now in range(max(leave for _, leave in stays)):
        present = [i for i, (join, leave) in enumerate(stays) if join <= now < leave]
        if not present:
            continue
        ages = [now - stays[i][0] for i in present]
        parts = [states.get(i) or subject.video.initial_state(1) for i in present]
        batch = keras.tree.map_structure(lambda *x: tf.concat(x, axis=0), *parts)
        frames = {
            n: np.stack([c[i, t] for i, t in zip(present, ages, strict=True)])
            for n, c in clips.items()
        }
        y, after = subject.video.step(subject.structured(frames), batch)
        for row, (i, age) in enumerate(zip(present, ages, strict=True)):
            states[i] = {name: value[row : row + 1] for name, value in after.items()}
            for ours, theirs in zip(as_list(y), expected, strict=True):
                np.testing.assert_allclose(
                    ours[row], theirs[i, age], rtol=1e-9, atol=1e-9, err_msg=f"{i=}, {age=}"
                )
