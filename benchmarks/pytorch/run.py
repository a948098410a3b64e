"""Values of imported checkpoints against PyTorch.

    python benchmarks/pytorch/reference.py FOLDER    # in an environment with PyTorch
    python benchmarks/pytorch/run.py FOLDER          # in that of this package

Every network is built by name with the checkpoint as its weights, and gets the same frames, as
bytes. Online networks run frame by frame.
"""

import argparse
import pathlib

import numpy as np

import mpvn
from mpvn.models import load_frame_model

NETWORKS = {
    "official": ("tsm_resnet50", {}),
    "official_before_1.6": ("tsm_resnet50", {}),
    "finetuned": ("tsm_resnet50", {"dropout": 0.5}),
    "online": ("tsm_mobilenet_v2", {"temporal_padding": "causal"}),
    "mmaction2": ("tsm_resnet50", {}),
}
"""Network and options by checkpoint. The number of classes is that of the file."""


def outputs(path: pathlib.Path, frames: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the logits `[T, classes]` for a clip `[T, H, W, 3]`, and the number of class names."""
    name, options = NETWORKS[path.stem]
    loaded = load_frame_model(name, frames.shape[1], str(path), options=options)
    network = loaded.network(mpvn.Plan(loaded.model))
    names = loaded.metadata.names["classes"] if loaded.metadata else ()
    clip = loaded.prepare(frames)
    if not network.plan.causal:
        return np.asarray(network(clip[None]))[0], len(names)
    state, logits = network.initial_state(1), []
    for frame in clip:
        output, state = network.step(frame[None], state)
        logits.append(np.asarray(output)[0])
    return np.stack(logits), len(names)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="of reference.py")
    print("| checkpoint | classes | names | frames | size | largest difference | of a deviation |")
    print("|---|---|---|---|---|---|---|")
    for path in sorted(parser.parse_args().folder.glob("*.npz")):
        with np.load(path) as stored:
            frames, expected = stored["frames"], stored["logits"]
        actual, names = outputs(path.with_suffix(".pth"), frames)
        difference = np.abs(actual - expected).max()
        row = (path.stem, expected.shape[1], names, len(frames), frames.shape[1])
        shown = (f"{difference:.1e}", f"{difference / expected.std():.1e}")
        print(f"| {' | '.join(map(str, (*row, *shown)))} |", flush=True)


if __name__ == "__main__":
    main()
