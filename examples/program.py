"""The command of the runners: reads frames, streams them through a network, and prints times.

    python run_FORMAT.py FOLDER [--frames clip.npy] [--steps 16] [--batch 1] [--save outputs.npz]

FOLDER is what `network.export(FOLDER, format=...)` has written. Frames are `[T, ...]`, or
`[B, T, ...]` for several streams that start together: one array (.npy), or one for each input by
its name (.npz). Without frames, they are random. Outputs are saved as `[B, T, ...]`, by name.
"""

import argparse
import pathlib
import time

import numpy as np


def main(create_network: type, description: str) -> None:
    """Run the command with what `create_network` makes of FOLDER: a `Network` of a runner."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--frames", metavar="FILE")
    parser.add_argument("--steps", type=int, default=16, help="of random frames")
    parser.add_argument("--batch", type=int, default=1, help="streams of random frames")
    parser.add_argument("--save", metavar="FILE")
    arguments = parser.parse_args()
    network = create_network(arguments.folder)
    clips = read_frames(arguments.frames, network.frames, arguments.steps, arguments.batch)
    batch, steps = next(iter(clips.values())).shape[:2]
    network.start(batch)
    outputs, times = [], {}
    for t in range(steps):
        phase, start = network.phase(), time.perf_counter()
        outputs.append(network.step({name: clip[:, t] for name, clip in clips.items()}))
        times.setdefault(phase, []).append(1e3 * (time.perf_counter() - start))
    for name, value in outputs[-1].items():
        print(f"{name} {value.shape} after {steps} steps: mean {value.mean(dtype=float):.4g}")
    for phase, each in times.items():
        print(f"{', '.join(phase)}: {np.median(each):.2f} ms, median of {len(each)} steps")
    if arguments.save:
        names = outputs[0]
        np.savez(arguments.save, **{n: np.stack([x[n] for x in outputs], axis=1) for n in names})


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
