"""Streams frames through an ONNX export of mpvn, with onnxruntime and NumPy alone.

    python run_onnx.py FOLDER [--frames clip.npy] [--steps 16] [--batch 1] [--save outputs.npz]

FOLDER is what `network.export(FOLDER, format="onnx")` has written. Frames are `[T, ...]`, or
`[B, T, ...]` for several streams that start together: one array (.npy), or one for each input by
its name (.npz). Without frames, they are random. Outputs are saved as `[B, T, ...]`, by name.
"""

import argparse
import json
import pathlib
import time

import numpy as np
import onnxruntime


class Network:
    """Streams of a network that start together; `step` takes them one frame further."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.schedule = json.loads((folder / "mpvn.json").read_text("utf-8"))["schedule"]
        graphs = self.schedule["graphs"]
        files = {name: folder / graph["file"] for name, graph in graphs.items() if graph["file"]}
        self.sessions = {name: onnxruntime.InferenceSession(file) for name, file in files.items()}

    def start(self, batch: int) -> None:
        """Forget the streams, and start others."""
        for name, spec in self.schedule["frames"].items():
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
    clips = read_frames(
        arguments.frames, network.schedule["frames"], arguments.steps, arguments.batch
    )
    batch, steps = next(iter(clips.values())).shape[:2]
    network.start(batch)
    outputs, times = [], {}
    for t in range(steps):
        phase, start = network.phase(), time.perf_counter()
        outputs.append(network.step({name: clip[:, t] for name, clip in clips.items()}))
        times.setdefault(phase, []).append(1e3 * (time.perf_counter() - start))
    for name, value in outputs[-1].items():
        print(f"{name} {value.shape} after {steps} steps: mean {value.mean(dtype=float):.4g}")
    for (phase, graph), each in times.items():
        print(f"{phase}, {graph}: {np.median(each):.2f} ms, median of {len(each)} steps")
    if arguments.save:
        names = outputs[0]
        np.savez(arguments.save, **{n: np.stack([x[n] for x in outputs], axis=1) for n in names})


if __name__ == "__main__":
    main()
