"""Serves an exported network to streams of any age, as a server does, with TensorFlow alone.

Run as a program, it serves the clips of a folder through both Python loaders.
"""

import contextlib
import json
import pathlib
import sys
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from rounds import Call, Values, serve, serve_ids


@contextlib.contextmanager
def load_v2(path: str) -> Iterator[Call]:
    """Yield the signatures as `tf.saved_model.load` gives them."""
    loaded = tf.saved_model.load(path)

    def call(key: str, inputs: dict) -> Values:
        outputs = loaded.signatures[key](**{name: tf.constant(x) for name, x in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}

    yield call


@contextlib.contextmanager
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


def by_command(folder: pathlib.Path, clips: np.ndarray) -> None:
    """Run the second step of three streams by `saved_model_cli run`; the first on a server."""
    from absl import flags
    from tensorflow.python.tools import saved_model_cli

    with load_v1(str(folder / "model")) as call:
        states = call("init_states", {"batch_size": 3})
        values = call("step", {"video": clips[:3, 0], **states})

    def run(form: str, inputs: Values) -> None:
        np.savez(folder / "inputs.npz", **inputs)
        given = ";".join(f"{name}={folder / 'inputs.npz'}[{name}]" for name in inputs)
        options = f"--tag_set serve --signature_def step --outdir {folder / f'{form}_cli'}"
        command = f"saved_model_cli run --dir {folder / form} {options} --inputs {given}"
        sys.argv = command.split()
        flags.FLAGS.unparse_flags()  # those of the run before
        with contextlib.suppress(SystemExit):  # what it saved tells whether it ran
            saved_model_cli.main()

    run("model", {"video": clips[:3, 1], **{name: values[f"next_{name}"] for name in states}})
    run("server", {"video": clips[:3, 0], "stream_id": np.array([3, 1, 2])})


def main(folder: pathlib.Path) -> None:
    clips = np.load(folder / "clips.npy")
    rounds = json.loads((folder / "rounds.json").read_text())
    for name, load in {"v2": load_v2, "v1": load_v1}.items():
        with load(str(folder / "model")) as call:
            np.savez(folder / f"{name}_clip.npz", **call("clip", {"video": clips}))
            np.savez(folder / f"{name}.npz", **serve(call, clips, rounds))
        with load(str(folder / "server")) as call:
            np.savez(folder / f"{name}_server.npz", **serve_ids(call, clips, rounds))
    by_command(folder, clips)
    assert not {"mpvn", "keras_layers"} & set(sys.modules)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
