"""Streams frames through a SavedModel export of mpvn, with tensorflow and NumPy alone.

    python run_saved_model.py FOLDER [--frames clip.npy] [--steps 16] [--batch 1] [--save y.npz]

FOLDER is what `network.export(FOLDER)` has written. The command is in `program.py`.
"""

import json
import pathlib

import numpy as np
import tensorflow as tf
from program import main


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

    def phase(self) -> tuple[str, ...]:
        """Return what the next step is: any, because conditions are in the graph."""
        return ("step",)

    def step(self, frames: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the outputs [B, ...] by name, given a frame [B, ...] for each input."""
        given = {name: tf.constant(frame) for name, frame in frames.items()}
        values = dict(self.call(**given, **self.states))
        states = self.description["states"]
        self.states = {name: values.pop(spec["next"]) for name, spec in states.items()}
        return {name: value.numpy() for name, value in values.items()}


if __name__ == "__main__":
    main(Network, __doc__)
