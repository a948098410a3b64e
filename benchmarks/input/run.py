"""Measure how fast training clips are read from video files, and whether that is fast enough.

    python benchmarks/input/run.py           # all questions, about 8 minutes on 2 cores
    python benchmarks/input/run.py speed     # compared with OpenCV, decord and torchcodec
    python benchmarks/input/run.py memory    # of each reader, and whether their pictures agree
    python benchmarks/input/run.py training  # how many frames a second training consumes
    python benchmarks/input/run.py --small   # shows that everything runs, measures nothing

The script encodes its own videos; see `videos`. Results go to results/, their tables to README.md.
"""

import pathlib
import statistics
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

HERE = pathlib.Path(__file__).parent
CONFIGS = HERE.parents[1] / "configs"
sys.path[:0] = [str(HERE.parent), str(HERE)]
from readers import OTHERS, OURS, READERS, Clip  # noqa: E402
from reporting import Rows, run_in_fresh_process, run_questions, take_turns, timed  # noqa: E402
from videos import KINDS, encode  # noqa: E402

FRAMES = 160
VIDEOS = 3
TURN = 0.5
"""Seconds of a turn, in which a reader reads the videos at least once."""
ROUNDS = 5
DENSE, STRIDED = "32 in a row", "every 4th of 125"
REFERENCE = "OpenCV loop"
AGREEMENT = 28.0
"""Least PSNR of the pictures of two readers, in dB. They differ in how they scale colors."""


def clips(size: tuple[int, int], small: bool) -> dict[str, Clip]:
    """Return the clips that are read, in the middle of each video."""
    frames, total = (4, 24) if small else (32, FRAMES)
    dense, strided = (total - frames) // 2, (total - 4 * frames + 3) // 2
    return {DENSE: Clip(dense, frames, 1, size), STRIDED: Clip(strided, frames, 4, size)}


# --- questions ------------------------------------------------------------------------------------


def speed(small: bool) -> Rows:
    """Return the frames per second of all readers, for each kind of video and of clip."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, kind in KINDS.items():
            count, frames = (2, 24) if small else (VIDEOS, FRAMES)
            paths = encode(pathlib.Path(folder) / name, kind, count, frames)
            for label, clip in clips((kind.height, kind.width), small).items():
                rows.append({"video": name, "frames": label} | _rates(paths, clip, small))
    return rows


def memory(small: bool) -> Rows:
    """Return the memory of each reader in a process of its own, and how its pictures agree."""
    with tempfile.TemporaryDirectory() as folder:
        ratios = _agreement(pathlib.Path(folder), small)
        kind = KINDS["1280x720 H.264"]
        paths = encode(
            pathlib.Path(folder) / "more", kind, *((2, 24) if small else (VIDEOS, FRAMES))
        )
        clip = clips((kind.height, kind.width), small)[DENSE]
        return [
            {"reader": reader}
            | run_in_fresh_process(str(HERE / "peak.py"), reader, repr(clip), *paths)
            | {"PSNR to the OpenCV loop, dB": f"{ratios[reader]:.1f}"}
            for reader in READERS
        ]


def training(small: bool) -> Rows:
    """Return the frames per second that training consumes."""
    steps = {
        "Par-DenseNet, 1 x 32 frames of 224x224": (0.1, 64, 1, 4) if small else (1.0, 224, 1, 32),
        "small Par-DenseNet, 8 x 16 frames of 64x64": (
            (0.1, 32, 1, 4) if small else (0.125, 64, 8, 16)
        ),
    }
    runners = {name: _training_step(*step) for name, step in steps.items()}
    seconds = take_turns(runners, steps=1, rounds=1 if small else ROUNDS)
    return [
        {
            "training": name,
            "frames/s": round(batch_size * frames / statistics.median(seconds[name]), 1),
        }
        for name, (_, _, batch_size, frames) in steps.items()
    ]


QUESTIONS = {"speed": speed, "memory": memory, "training": training}
PACKAGES = ("av", "opencv-python-headless", "decord", "torchcodec", "torch")


# --- what is timed or compared --------------------------------------------------------------------


def _rates(paths: list[str], clip: Clip, small: bool) -> dict[str, int | str]:
    """Return the frames per second of all readers, and how the fastest ones compare."""
    repeats = {reader: 1 if small else _repeats(reader, paths, clip) for reader in OTHERS}
    repeats |= dict.fromkeys(OURS, max(repeats.values()))
    runners = {reader: _reading(reader, paths * repeats[reader], clip) for reader in READERS}
    seconds = take_turns(runners, steps=1, rounds=1 if small else ROUNDS)
    counts = {reader: repeats[reader] * len(paths) * clip.frames for reader in READERS}
    rates = {reader: counts[reader] / statistics.median(seconds[reader]) for reader in READERS}
    other, ours = (max(readers, key=rates.__getitem__) for readers in (OTHERS, OURS))
    return {reader: round(rate) for reader, rate in rates.items()} | {
        "fastest other": other,
        "best ClipPipeline / fastest other": f"{rates[ours] / rates[other]:.2f}",
    }


def _repeats(reader: str, paths: list[str], clip: Clip) -> int:
    """Return how often a reader reads the videos in a turn."""
    once = _reading(reader, paths, clip)
    once()  # Imports the package.
    return max(1, round(TURN / timed(once, 1)))


def _reading(reader: str, paths: list[str], clip: Clip) -> Callable[[], int]:
    return lambda: sum(len(frames) for frames in READERS[reader](paths, clip))


def _agreement(folder: pathlib.Path, small: bool) -> dict[str, float]:
    """Return the least PSNR between the pictures of each reader and those of the OpenCV loop.

    Raises:
        RuntimeError: The pictures do not agree: a reader returns other frames or other parts.
    """
    ratios = dict.fromkeys(READERS, np.inf)
    for name, kind in KINDS.items():
        paths = encode(folder / name, kind, 1, 24 if small else FRAMES)
        for clip in clips((kind.height, kind.width), small).values():
            (expected,) = READERS[REFERENCE](paths, clip)
            for reader, read in READERS.items():
                (found,) = read(paths, clip)
                error = float(np.square(np.asarray(found) - expected).mean())
                ratio = 10 * np.log10(4 / max(error, 1e-9))  # Pixels are from -1 to 1.
                if ratio < AGREEMENT:
                    raise RuntimeError(f"{reader}, {name}, {clip}: {ratio:.1f} dB to {REFERENCE}.")
                ratios[reader] = min(ratios[reader], ratio)
    return ratios


def _training_step(width: float, size: int, batch_size: int, frames: int) -> Callable[[], Any]:
    """Update a Par-DenseNet for keypoints on one batch."""
    from mpvn.training import build, load_config

    changes = {
        "data.train.count": 8,
        "clip.frames": frames,
        "model.options.width": width,
        "model.size": size,
        "training.batch_size": batch_size,
    }
    config = load_config(CONFIGS / "rendered_keypoints.py")
    config.update_from_flattened_dict(changes)
    experiment = build(config)
    batch = next(iter(experiment.training.dataset(batches=1).map(experiment.task.prepare)))
    return lambda: experiment.model.train_on_batch(*batch)


if __name__ == "__main__":
    run_questions(__file__, __doc__, QUESTIONS, PACKAGES)
