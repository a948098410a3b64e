"""Measure how fast training clips are read from video files, and whether that is fast enough.

    python -m pip install opencv-python-headless    # for comparison
    python benchmarks/input/run.py                  # about 3 minutes on 2 cores
    python benchmarks/input/run.py --small          # seconds: shows that it runs, measures nothing

The script renders and encodes its own videos. All readers, and the training steps that the clips
are for, take turns in one process; the table reports medians. The result goes to
results/input.json, the table to README.md.
"""

import argparse
import importlib.metadata
import os
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

HERE = pathlib.Path(__file__).parent
CONFIGS = HERE.parents[1] / "configs"
sys.path.insert(0, str(HERE.parent))
from reporting import Rows, environment, markdown, save, take_turns  # noqa: E402

VIDEO_SIZES = ((224, 224), (240, 320))
THREADS = (1, 2, 4)
OPENCV = "OpenCV loop"
LARGE = "Par-DenseNet, 1 x 32 frames of 224x224"
SMALL = "small Par-DenseNet, 8 x 16 frames of 64x64"
VS_OPENCV, VS_LARGE, VS_SMALL = "vs. OpenCV", "vs. Par-DenseNet", "vs. small Par-DenseNet"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="tiny sizes; writes nothing")
    small = parser.parse_args().small
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    started = time.time()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(pathlib.Path(folder), small)
    details = environment(
        started,
        av=importlib.metadata.version("av"),
        opencv=importlib.import_module("cv2").__version__,
        command="python benchmarks/input/run.py",
    )
    print(markdown(rows))
    if not small:
        save(HERE, "input", {"rows": rows, "environment": details})


def measure(folder: pathlib.Path, small: bool) -> Rows:
    """Return one row per reader and one per training step; write videos to `folder`."""
    frames, count = (4, 2) if small else (32, 8)
    readers: dict[tuple[str, str], Callable[[], int]] = {}
    for height, width in VIDEO_SIZES:
        size = f"{width}x{height}"
        videos = encoded(folder / size, (height, width), count, 3 * frames)
        readers[size, OPENCV] = opencv(videos, frames)
        for threads in THREADS:
            readers[size, f"ClipPipeline, threads {threads}"] = pipeline(videos, frames, threads)
    steps = {
        ("", LARGE): training_step(1.0, 224, 1, 32) if not small else training_step(0.1, 64, 1, 4),
        ("", SMALL): training_step(0.125, 64, 8, 16) if not small else training_step(0.1, 32, 1, 4),
    }
    runners = readers | steps
    frames_per_call = {key: call() for key, call in runners.items()}
    seconds = take_turns(runners, steps=1, rounds=1 if small else 5)
    rates = {key: frames_per_call[key] / statistics.median(seconds[key]) for key in runners}

    def relative(key: tuple[str, str], other: tuple[str, str]) -> str:
        return f"{rates[key] / rates[other]:.2f}"

    return [
        {
            "video": size,
            "reader": reader,
            "frames/s": round(rates[size, reader], 1),
            VS_OPENCV: relative((size, reader), (size, OPENCV)),
            VS_LARGE: relative((size, reader), ("", LARGE)),
            VS_SMALL: relative((size, reader), ("", SMALL)),
        }
        for size, reader in readers
    ] + [
        {
            "video": "",
            "reader": f"training: {name}",
            "frames/s": round(rates["", name], 1),
        }
        | dict.fromkeys((VS_OPENCV, VS_LARGE, VS_SMALL), "")
        for _, name in steps
    ]


def encoded(folder: pathlib.Path, size: tuple[int, int], count: int, frames: int) -> Any:
    """Render `count` videos, encode them in `folder`, and return them as a `VideoSet`."""
    from mpvn.data import VideoSet, VideoWriter, rendered_figures
    from mpvn.data.sets.files import FileVideo

    folder.mkdir()
    for number, video in enumerate(rendered_figures(count, size=size, frames=frames).videos):
        with VideoWriter(folder / f"{number}.mp4", 25) as writer:
            for frame in video.read(range(frames)):
                writer.write(frame)
    return VideoSet(folder.name, [FileVideo(path) for path in sorted(folder.iterdir())])


# --- what is timed: functions that return the number of frames ----------------------------------


def pipeline(videos: Any, frames: int, threads: int) -> Callable[[], int]:
    """Read the middle clip of each video, as evaluation does."""
    from mpvn.data.clips.augmentation import Augmentation
    from mpvn.data.clips.pipeline import ClipPipeline
    from mpvn.data.clips.sampling import Consecutive

    clips = ClipPipeline(
        videos,
        Consecutive(frames, place="center"),
        Augmentation(),
        on_error="raise",
        threads=threads,
    ).dataset()
    return lambda: sum(batch["frames"].shape[1] for batch in clips)


def opencv(videos: Any, frames: int) -> Callable[[], int]:
    """Read the same clips, with the same size and pixel range, one after another."""
    import cv2

    def read() -> int:
        total = 0
        for video in videos.videos:
            capture = cv2.VideoCapture(video.name)
            count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
            capture.set(cv2.CAP_PROP_POS_FRAMES, (count - frames) // 2)
            clip = np.empty((frames, 224, 224, 3), np.float32)
            for index in range(frames):
                ok, frame = capture.read()
                if not ok:
                    raise RuntimeError(f"OpenCV cannot read frame {index} of {video.name}.")
                side = min(frame.shape[:2])
                top, left = ((length - side) // 2 for length in frame.shape[:2])
                square = frame[top : top + side, left : left + side]
                resized = cv2.resize(square, (224, 224), interpolation=cv2.INTER_AREA)
                clip[index] = cv2.cvtColor(resized, cv2.COLOR_BGR2RGB)
            clip *= np.float32(1 / 127.5)
            clip -= 1
            capture.release()
            total += len(clip)
        return total

    return read


def training_step(width: float, size: int, batch_size: int, frames: int) -> Callable[[], int]:
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
    clips = experiment.training.dataset(batches=1).map(experiment.task.prepare)
    batch = next(iter(clips))

    def step() -> int:
        experiment.model.train_on_batch(*batch)
        return batch_size * frames

    return step


if __name__ == "__main__":
    main()
