"""Streams frames through an ONNX export of mpvn, with onnxruntime and NumPy alone.

    python run_onnx.py FOLDER [--frames clip.npy] [--steps 16] [--batch 1] [--save y.npz]

FOLDER is what `network.export(FOLDER, format="onnx")` has written.
The command is in `program.py`.
"""

import json
import pathlib

import numpy as np
import onnxruntime
from program import main


class Network:
    """Streams of a network that start together; `step` takes them one frame further."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.schedule = json.loads((folder / "mpvn.json").read_text("utf-8"))["schedule"]
        self.frames = self.schedule["frames"]
        graphs = self.schedule["graphs"]
        files = {name: folder / graph["file"] for name, graph in graphs.items() if graph["file"]}
        self.sessions = {name: onnxruntime.InferenceSession(file) for name, file in files.items()}

    def start(self, batch: int) -> None:
        """Forget the streams, and start others."""
        for name, spec in self.frames.items():
            if spec["shape"][0] not in (None, batch):
                raise ValueError(f"{name}: expected {spec['shape'][0]} streams. Received: {batch}.")
        self.number = 0  # of the next step
        self.states = {
            name: np.zeros((batch, *spec["shape"][1:]), spec["dtype"])
            for name, spec in self.schedule["states"].items()
        }

    def phase(self) -> tuple[str, str]:
        """Return what the next step is, and the graph that computes it."""
        first, cycle = self.schedule["first"], self.schedule["cycle"]
        if self.number < len(first):
            return f"step {self.number}", first[self.number]
        phase = (self.number - len(first)) % len(cycle)
        return f"phase {phase}", cycle[phase]

    def step(self, frames: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the outputs [B, ...] by name, given a frame [B, ...] for each input."""
        _, name = self.phase()
        graph = self.schedule["graphs"][name]
        values = {**self.states, **frames}
        if graph["file"]:  # it computes something
            reads = {value: values[value] for value in graph["reads"]}
            made = self.sessions[name].run(graph["makes"], reads)
            values |= dict(zip(graph["makes"], made, strict=True))
        self.states |= {state: values[source] for state, source in graph["states"].items()}
        self.number += 1
        return {output: values[source] for output, source in graph["outputs"].items()}


if __name__ == "__main__":
    main(Network, __doc__)
