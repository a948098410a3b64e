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

    def __init__(self, folder: pathlib.Path, batch: int) -> None:
        self.schedule = json.loads((folder / "mpvn.json").read_text("utf-8"))["schedule"]
        graphs = self.schedule["graphs"]
        files = {name: folder / graph["file"] for name, graph in graphs.items() if graph["file"]}
        self.sessions = {name: onnxruntime.InferenceSession(file) for name, file in files.items()}
        self.number = 0  # of the next step
        self.states = {
            name: np.zeros((batch, *spec["shape"][1:]), spec["dtype"])
            for name, spec in self.schedule["states"].items()
        }

    def phase(self) -> tuple[str, str]:
        """Return what the next step is, and the graph that computes it."""
        first, cycle = self.schedule["first"], self.schedule["cycle"]
        if self.number < len(first):
            return f"first step {self.number}", first[self.number]
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
    """Return frames [B, T, ...] by the name of their input."""
    if path is None:
        shapes = {name: (batch, steps, *spec["shape"][1:]) for name, spec in specs.items()}
        rng = np.random.default_rng(0)
        return {n: rng.random(shape).astype(specs[n]["dtype"]) for n, shape in shapes.items()}
    loaded = np.load(path)
    arrays = dict(loaded) if path.endswith(".npz") else {next(iter(specs)): loaded}
    clips = {n: x if x.ndim > len(specs[n]["shape"]) else x[None] for n, x in arrays.items()}
    return {n: clip.astype(specs[n]["dtype"]) for n, clip in clips.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--frames", metavar="FILE")
    parser.add_argument("--steps", type=int, default=16, help="of random frames")
    parser.add_argument("--batch", type=int, default=1, help="streams of random frames")
    parser.add_argument("--save", metavar="FILE")
    arguments = parser.parse_args()

    schedule = json.loads((arguments.folder / "mpvn.json").read_text("utf-8"))["schedule"]
    fixed = next(iter(schedule["frames"].values()))["shape"][0]
    batch = fixed or arguments.batch
    clips = read_frames(arguments.frames, schedule["frames"], arguments.steps, batch)
    batch, steps = next(iter(clips.values())).shape[:2]
    network = Network(arguments.folder, batch)
    outputs, times = [], {}
    for t in range(steps):
        phase, graph = network.phase()
        start = time.perf_counter()
        outputs.append(network.step({name: clip[:, t] for name, clip in clips.items()}))
        times.setdefault(f"{phase} ({graph})", []).append(1e3 * (time.perf_counter() - start))
        if t + 1 == steps:
            for name, value in outputs[-1].items():
                print(f"step {t}: {name} {value.shape}, mean {value.mean(dtype=float):.4g}")
    for phase, each in sorted(times.items()):
        print(f"{phase}: {np.median(each):.2f} ms, median of {len(each)} steps")
    if arguments.save:
        names = outputs[0]
        np.savez(arguments.save, **{n: np.stack([x[n] for x in outputs], axis=1) for n in names})


if __name__ == "__main__":
    main()
