"""How much memory one update takes as clips grow: Sideways in its forms, and what it replaces.

    python benchmarks/depth_parallel_training/memory.py            # about 5 minutes on 2 cores
    python benchmarks/depth_parallel_training/memory.py --small    # shows that it runs

Each way and length is a fresh process, and one `fit` of one batch in it: the most memory that the
process ever had resident by then, less what it had before. Lengths grow fourfold; what would take
too much memory or time, by the length before it, is not started. Results go to results/memory.json,
the table to README.md between the markers, the figure to memory.svg.
"""

import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from chain import CLASSES, SIZE, clip_and_targets, compiled, frame_model, trainer  # noqa: E402
from reporting import environment, insert_table, markdown  # noqa: E402

THREADS = {"intra": 2, "inter": 2}
LENGTHS = (16, 64, 256, 1024)
WIDTH, BATCH = 0.5, 2
MOST_MIB, MOST_SECONDS = 6 * 1024, 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="short clips; writes nothing")
    parser.add_argument("--here", nargs=2, metavar=("WAY", "FRAMES"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(measure(arguments.here[0], int(arguments.here[1]))))
        return
    started = time.time()
    measured = {way: growing(way, (12,) if arguments.small else LENGTHS) for way in WAYS}
    rows = [row(way, one) for way, those in measured.items() for one in those]
    print(markdown(rows))
    if not arguments.small:
        command = "python benchmarks/depth_parallel_training/memory.py"
        about = environment(started, threads=THREADS, command=command)
        result = {"rows": rows, "environment": about}
        target = HERE / "results" / "memory.json"
        target.parent.mkdir(exist_ok=True)
        target.write_text(json.dumps(result, indent=1) + "\n")
        insert_table(HERE / "README.md", "memory", result)
        (HERE / "memory.svg").write_text(figure(measured))


Measured = dict[str, Any]
"""Of one length: `"frames"`, and `"before"`, `"peak"` in MiB and `"seconds"`, or `"refused"`."""


def growing(way: str, lengths: Sequence[int]) -> list[Measured]:
    """What each length takes, up to the first that would take too much."""
    found: list[Measured] = []
    for frames in lengths:
        refused = found and expected_excess(found[-1], frames)
        if refused:
            found.append({"frames": frames, "refused": refused})
            continue
        print(f"{way}, {frames} frames", flush=True)
        command = [sys.executable, __file__, "--here", way, str(frames)]
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found.append(json.loads(run.stdout.splitlines()[-1]))
    return found


def expected_excess(before: Measured, frames: int) -> str:
    """What is too much of `frames`, if all grows as the clip does; empty if nothing is."""
    if "refused" in before:
        return before["refused"]
    times = frames / before["frames"]
    memory = times * (before["peak"] - before["before"])
    if memory > MOST_MIB:
        return f"not run: {memory / 1024:.0f} GiB expected"
    seconds = times * before["seconds"]
    return f"not run: {seconds:.0f} s expected" if seconds > MOST_SECONDS else ""


def row(way: str, one: Measured) -> dict[str, Any]:
    """A line of the table."""
    refused = one.get("refused")
    return {
        "way": way,
        "frames": one["frames"],
        "clip, MiB": f"{clip_mib(one['frames']):.1f}",
        "before, MiB": "" if refused else round(one["before"]),
        "peak, MiB": "" if refused else round(one["peak"]),
        "the update, MiB": refused or round(one["peak"] - one["before"]),
        "s, tracing included": "" if refused else f"{one['seconds']:.1f}",
    }


def clip_mib(frames: int) -> float:
    """Size of a batch of clips."""
    return BATCH * frames * SIZE * SIZE * 3 * 4 / 2**20


def figure(measured: dict[str, list[Measured]]) -> str:
    """Memory of the update against the length of the clip."""
    from mpvn.report.plots import Point, lines_figure  # here, for this process is to stay small

    lines = {
        way: [(one["frames"], one["peak"] - one["before"]) for one in those if "peak" in one]
        for way, those in measured.items()
    }
    lines["the clip itself"] = [(frames, clip_mib(frames)) for frames in LENGTHS]
    points = {
        way: [Point(frames, mib, mib, mib) for frames, mib in line if mib > 0]
        for way, line in lines.items()
    }
    return lines_figure(points, "frames", "memory of an update, MiB", log_x=True, log_y=True)


# --- in a process of its own ----------------------------------------------------------------


def measure(way: str, frames: int) -> Measured:
    """One update, from a clip of so many frames."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(THREADS["intra"])
    tf.config.threading.set_inter_op_parallelism_threads(THREADS["inter"])
    model = WAYS[way]()
    clip, targets = clip_and_targets(BATCH, frames)
    before, started = resident_peak(), time.perf_counter()
    model.fit(clip, targets, batch_size=BATCH, verbose=0)
    seconds = time.perf_counter() - started
    return {"frames": frames, "before": before, "peak": resident_peak(), "seconds": seconds}


def resident_peak() -> float:
    """The most memory that this process has had resident so far, in MiB."""
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes / (2**20 if sys.platform == "darwin" else 2**10)


def by_trainer(method: str) -> Callable[[], Any]:
    """A trainer of a network of a subnetwork for each unit."""
    return lambda: trainer(method, network())


def as_clip(**options: Any) -> Callable[[], Any]:
    """The network itself, trained on whole clips, layer after layer."""
    return lambda: compiled(network(executor="layerwise", **options))


def network(**options: Any) -> Any:
    """Simple-CNN, a subnetwork for each of its six units."""
    import mpvn

    model = frame_model(WIDTH)
    plan = mpvn.Plan(model, 6, partition="units")
    return mpvn.VideoNetwork(model, plan, **options)


def sideways_layer() -> Any:
    """A Keras model around the layer, of the same six units."""
    import keras
    from keras import layers

    import keras_layers
    from mpvn.models.parts import scale_channels
    from mpvn.models.simple_cnn import FILTERS, STRIDES

    modules = [
        layers.Conv2D(scale_channels(filters, WIDTH), 3, strides, padding="same", activation="relu")
        for filters, strides in zip(FILTERS, STRIDES, strict=True)
    ]
    modules.append(keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(CLASSES)]))
    clip = keras.Input((None, SIZE, SIZE, 3))
    return compiled(keras.Model(clip, keras_layers.Sideways(modules)(clip)))


WAYS: dict[str, Callable[[], Any]] = {
    "Sideways, step by step": by_trainer("Sideways"),
    "Sideways, a layer in Keras": sideways_layer,
    "Sideways, whole clips": as_clip(gradient="sideways"),
    "back-propagation": by_trainer("back-propagation"),
    "GPipe": by_trainer("GPipe"),
    "exact along time, rematerialized": as_clip(rematerialize=True),
}


if __name__ == "__main__":
    main()
