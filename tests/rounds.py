"""Streams of any age that share batches, as on a server; without TensorFlow.

A round is a list of streams, each of which sends its next frame. The client concatenates their rows
of the states, runs one step, and splits the rows again (a state that goes in as `x` comes out as
`next_x`). So streams start at different times, pause, leave, and meet others in batches of any
size.
"""

from collections.abc import Callable

import numpy as np

Values = dict[str, np.ndarray]
Call = Callable[[str, dict], Values]  # the name of a signature, and its inputs


IDS = (-7, 2**62, 0, 41)
"""What the streams are called where the states are on the server."""


def serve(call: Call, clips: np.ndarray, rounds: list[list[int]]) -> Values:
    """Return the outputs `[S, T, ...]` of the streams; NaN for frames that were not sent.

    Args:
        call: runs a signature.
        clips: the frames `[S, T, ...]` that the streams send, in order.
        rounds: the streams of each round.
    """
    rows: dict[int, Values] = {}
    sent = [0] * len(clips)
    outputs: Values = {}
    for streams in rounds:
        rows |= {s: call("init_states", {"batch_size": 1}) for s in streams if s not in rows}
        states = {
            name: np.concatenate([rows[s][name] for s in streams]) for name in rows[streams[0]]
        }
        frames = np.stack([clips[s, sent[s]] for s in streams])
        values = call("step", {"video": frames, **states})
        assert {len(value) for value in values.values()} == {len(streams)}, "one row per stream"
        for row, s in enumerate(streams):
            rows[s] = {name: values[f"next_{name}"][row : row + 1] for name in states}
            for name in values.keys() - {f"next_{name}" for name in states}:
                shape = (*clips.shape[:2], *values[name].shape[1:])
                outputs.setdefault(name, np.full(shape, np.nan, "float32"))
                outputs[name][s, sent[s]] = values[name][row]
            sent[s] += 1
    return outputs


def serve_ids(call: Call, clips: np.ndarray, rounds: list[list[int]]) -> Values:
    """Return what `serve` returns, of an export that keeps the states.

    The answers tell the number of each stream's step, and so does a reset in the end.
    """
    sent = [0] * len(clips)
    outputs: Values = {}
    for streams in rounds:
        frames = np.stack([clips[s, sent[s]] for s in streams])
        values = call("step", {"stream_id": np.array([IDS[s] for s in streams]), "video": frames})
        assert values.pop("step").tolist() == [sent[s] for s in streams]
        for row, s in enumerate(streams):
            for name, value in values.items():
                shape = (*clips.shape[:2], *value.shape[1:])
                outputs.setdefault(name, np.full(shape, np.nan, "float32"))
                outputs[name][s, sent[s]] = value[row]
            sent[s] += 1
    ended = call("reset", {"stream_id": np.array([IDS[s] for s in range(len(clips)) if sent[s]])})
    assert ended["steps"].tolist() == [steps for steps in sent if steps]
    return outputs
