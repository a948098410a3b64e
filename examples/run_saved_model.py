"""Streams frames through a SavedModel export of mpvn, with tensorflow and NumPy alone.

    python run_saved_model.py FOLDER [--frames clip.npy] [--steps N] [--batch B] [--save y.npz]

FOLDER is what `network.export(FOLDER)` has written. Frames are `[T, ...]`, or `[B, T, ...]` for
several streams: one array (.npy), or one for each input by its name (.npz). Without frames, they
are random. Outputs are saved as `[B, T, ...]`, by name.
"""

import argparse
import json
import pathlib
import time

import numpy as np
import tensorflow as tf


class Network:
    """Streams of a network; `step` takes them one frame further."""

    def __init__(self, folder: pathlib.Path) -> None:
        text = (folder / "assets.extra" / "mpvn.json").read_text("utf-8")
        self.description = json.loads(text)
        self.call = tf.saved_model.load(str(folder)).signatures["step"]
        inputs = self.description["signatures"]["step"]["inputs"]
        self.frames = {n: x for n, x in inputs.items() if n not in self.description["states"]}

    def start(self, batch: int) -> None:
        """Forget the streams, and start others."""
        self.states = {
            name: tf.zeros((batch, *spec["shape"][1:]), spec["dtype"])
            for name, spec in self.description["states"].items()
        }

    def step(self, frames: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the outputs [B, ...] by name, given a frame [B, ...] for each input."""
        given = {name: tf.constant(frame) for name, frame in frames.items()}
        values = dict(self.call(**given, **self.states))
        states = self.description["states"]
        self.states = {name: values.pop(spec["next"]) for name, spec in states.items()}
        return {name: value.numpy() for name, value in values.items()}


def read_frames(path: str | None, specs: dict, steps: int, batch: int) -> dict[str, np.ndarray]:
    """Return the frames [B, T, ...] of each input."""
    if path is None:
        rng = np.random.default_rng(0)
        shapes = {name: (batch, steps, *spec["shape"][1:]) for name, spec in specs.items()}
        return {n: rng.random(shape).astype(specs[n]["dtype"]) for n, shape in shapes.items()}
    loaded = np.load(path)
    clips = dict(loaded) if path.endswith(".npz") else {next(iter(specs)): loaded}
    clips = {n: x if x.ndim > len(specs[n]["shape"]) else x[None] for n, x in clips.items()}
    return {n: clip.astype(specs[n]["dtype"]) for n, clip in clips.items()}


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--frames", metavar="FILE")
    parser.add_argument("--steps", type=int, default=16, help="of random frames")
    parser.add_argument("--batch", type=int, default=1, help="streams of random frames")
    parser.add_argument("--save", metavar="FILE")
    arguments = parser.parse_args()
    network = Network(arguments.folder)
    clips = read_frames(arguments.frames, network.frames, arguments.steps, arguments.batch)
    batch, steps = next(iter(clips.values())).shape[:2]
    network.start(batch)
    outputs, times = [], []
    for t in range(steps):
        start = time.perf_counter()
        outputs.append(network.step({name: clip[:, t] for name, clip in clips.items()}))
        times.append(1e3 * (time.perf_counter() - start))
    for name, value in outputs[-1].items():
        print(f"{name} {value.shape} after {steps} steps: mean {value.mean(dtype=float):.4g}")
    print(f"{np.median(times):.2f} ms, median of {steps} steps")
    if arguments.save:
        names = outputs[0]
        np.savez(arguments.save, **{n: np.stack([x[n] for x in outputs], axis=1) for n in names})


if __name__ == "__main__":
    main()
