"""Serves an exported network to streams of any age, as a server does, with TensorFlow alone.

Run as a program, it serves the clips of a folder through both Python loaders.
"""

import json
import pathlib
import sys
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from rounds import Call, Values, serve


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
