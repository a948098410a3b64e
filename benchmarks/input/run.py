"""How fast clips for training are read from video files, and whether that is fast enough.

    python -m pip install opencv-python-headless    # what it is compared with
    python benchmarks/input/run.py                  # about 3 minutes on 2 cores
    python benchmarks/input/run.py --small          # seconds: shows that it runs, measures nothing

Renders and encodes its own videos. All ways of reading, and the training steps that clips are read
for, take turns in one process; figures are medians. The result goes to results/input.json, the
table to README.md between the markers.
"""

import argparse
import importlib.metadata
import json
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
from reporting import environment, insert_table, markdown, take_turns  # noqa: E402

VIDEO_SIZES = ((224, 224), (240, 320))
THREADS = (1, 2, 4)
FULL = "Par-DenseNet, 1 x 32 frames of 224x224"
TWIN = "its small twin, 8 x 16 frames of 64x64"
AGAINST_OPENCV, AGAINST_FULL, AGAINST_TWIN = "of OpenCV", "of Par-DenseNet's", "of its twin's"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="tiny sizes; writes nothing")
    small = parser.parse_args().small
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    started = time.time()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(pathlib.Path(folder), small)
    about = environment(
        started,
        av=importlib.metadata.version("av"),
        opencv=importlib.import_module("cv2").__version__,
        command=f"python {' '.join(['benchmarks/input/run.py', *sys.argv[1:]])}",
    )
    result = {"rows": rows, "environment": about}
    print(markdown(rows))
    if not small:
        target = HERE / "results" / "input.json"
        target.parent.mkdir(exist_ok=True)
        target.write_text(json.dumps(result, indent=1) + "\n")
        insert_table(HERE / "README.md", "input", result)


def measure(folder: pathlib.Path, small: bool) -> list[dict[str, Any]]:
    """A row for each way of reading, and for each training step."""
    clip, count = (4, 2) if small else (32, 8)
    readers: dict[tuple[str, str], Callable[[], int]] = {}
    for height, width in VIDEO_SIZES:
        videos = encoded(folder / f"{width}x{height}", (height, width), count, 3 * clip)
        name = f"{width}x{height}"
        readers[name, "OpenCV, a plain loop"] = opencv(videos, clip)
        for threads in THREADS:
            readers[name, f"ClipPipeline, threads {threads}"] = pipeline(videos, clip, threads)
    steps = {
        ("", FULL): training_step(1.0, 224, 1, 32) if not small else training_step(0.1, 64, 1, 4),
        ("", TWIN): training_step(0.125, 64, 8, 16) if not small else training_step(0.1, 32, 1, 4),
    }
    ways = readers | steps
    frames = {way: call() for way, call in ways.items()}
    seconds = take_turns(ways, steps=1, rounds=1 if small else 5)
    rates = {way: frames[way] / statistics.median(seconds[way]) for way in ways}

    def times(way: tuple[str, str], other: tuple[str, str]) -> str:
        return f"{rates[way] / rates[other]:.2f}"

    return [
        {
            "video": way[0],
            "way": way[1],
            "frames/s": round(rates[way], 1),
            AGAINST_OPENCV: times(way, (way[0], "OpenCV, a plain loop")),
            AGAINST_FULL: times(way, ("", FULL)),
            AGAINST_TWIN: times(way, ("", TWIN)),
        }
        for way in readers
    ] + [
        {"video": "", "way": f"training: {way[1]}", "frames/s": round(rates[way], 1)}
        | dict.fromkeys((AGAINST_OPENCV, AGAINST_FULL, AGAINST_TWIN), "")
        for way in steps
    ]


def encoded(folder: pathlib.Path, size: tuple[int, int], count: int, frames: int) -> Any:
    """A set of rendered videos, as files."""
    from mpvn.data import VideoSet, VideoWriter, rendered_figures
    from mpvn.data.sets.files import FileVideo

    folder.mkdir()
    for number, video in enumerate(rendered_figures(count, size=size, frames=frames).videos):
        with VideoWriter(folder / f"{number}.mp4", 25) as writer:
            for frame in video.read(range(frames)):
                writer.write(frame)
    return VideoSet(folder.name, [FileVideo(path) for path in sorted(folder.iterdir())])


def pipeline(videos: Any, frames: int, threads: int) -> Callable[[], int]:
    """The clip in the middle of each video, as evaluation reads it; gives the number of frames."""
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
    """The same clips, of the same size and range of pixels, one after another."""
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
                    raise RuntimeError(f"OpenCV cannot read frame {index} of {video.name}")
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
    """An update of a Par-DenseNet for keypoints on one batch; gives the number of frames."""
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
