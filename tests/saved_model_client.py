"""Serves an exported network to streams of any age, as a server does, with TensorFlow alone.

A round is a list of streams, each of which sends its next frame. The client concatenates their rows
of the states, runs one step, and splits the rows again. So streams start at different times, pause,
leave, and meet others in batches of any size.

Run as a program, it serves the clips of a folder through both Python loaders.
"""

import json
import pathlib
import sys
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

Values = dict[str, np.ndarray]
Call = Callable[[str, dict], Values]  # the name of a signature, and its inputs


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
            rows[s] = {name: values[name][row : row + 1] for name in states}
            for name in values.keys() - states.keys():
                shape = (*clips.shape[:2], *values[name].shape[1:])
                outputs.setdefault(name, np.full(shape, np.nan, "float32"))
                outputs[name][s, sent[s]] = values[name][row]
            sent[s] += 1
    return outputs


def load_v2(path: str) -> Call:
    """Return the signatures as `tf.saved_model.load` gives them."""
    loaded = tf.saved_model.load(path)

    def call(key: str, inputs: dict) -> Values:
        outputs = loaded.signatures[key](**{name: tf.constant(x) for name, x in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}

    call.loaded = loaded  # its variables live as long as it does
    return call


def load_v1(path: str) -> Iterator[Call]:
    """Yield the signatures as the loader of TensorFlow 1 gives them."""
    v1 = tf.compat.v1
    with v1.Session(graph=v1.Graph()) as session:
        signatures = v1.saved_model.loader.load(session, ["serve"], path).signature_def

        def call(key: str, inputs: dict) -> Values:
            signature = signatures[key]
            fetches = {name: tensor.name for name, tensor in signature.outputs.items()}
            feeds = {tensor.name: inputs[name] for name, tensor in signature.inputs.items()}
            return session.run(fetches, feeds)

        yield call


def main(folder: pathlib.Path) -> None:
    clips = np.load(folder / "clips.npy")
    rounds = json.loads((folder / "rounds.json").read_text())
    model = str(folder / "model")
    for loader, calls in {"v2": [load_v2(model)], "v1": load_v1(model)}.items():
        for call in calls:
            whole = call("clip", {"video": clips})
            np.savez(folder / f"{loader}.npz", **serve(call, clips, rounds))
            np.savez(folder / f"{loader}_clip.npz", **whole)
    ours = [name for name in sys.modules if name.split(".")[0] in ("mpvn", "keras_layers")]
    assert not ours, ours


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
