"""Measure the memory of one update for growing clips, for Sideways and for its alternatives.

    python benchmarks/depth_parallel_training/memory.py            # about 5 minutes on 2 cores
    python benchmarks/depth_parallel_training/memory.py --small    # shows that it runs

Each method and length runs in a fresh process and calls `fit` once, on one batch. The memory of the
update is the peak resident memory afterwards, minus that before. Lengths grow by a factor of four;
a length is skipped if the previous one predicts too much memory or time. Results go to
results/memory.json, the table to README.md, the figure to memory.svg.
"""

import argparse
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from chain import CLASSES, SIZE, clip_and_targets, compiled, frame_model, trainer  # noqa: E402
from reporting import (  # noqa: E402
    THREADS,
    environment,
    limit_threads,
    markdown,
    resident_peak,
    run_in_fresh_process,
    save,
)

LENGTHS = (16, 64, 256, 1024)
WIDTH, BATCH = 0.5, 2
MAX_MIB, MAX_SECONDS = 6 * 1024, 40

Measurement = dict[str, Any]
"""Of one length: `"frames"`, `"before"` and `"peak"` in MiB, `"seconds"`; or `"skipped"`: why."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="short clips; writes nothing")
    parser.add_argument("--here", nargs=2, metavar=("METHOD", "FRAMES"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(measure(arguments.here[0], int(arguments.here[1]))))
        return
    started = time.time()
    lengths = (12,) if arguments.small else LENGTHS
    measured = {method: measure_lengths(method, lengths) for method in METHODS}
    rows = [
        row(method, measurement)
        for method, measurements in measured.items()
        for measurement in measurements
    ]
    print(markdown(rows))
    if not arguments.small:
        command = "python benchmarks/depth_parallel_training/memory.py"
        details = environment(started, threads=THREADS, command=command)
        save(HERE, "memory", {"rows": rows, "environment": details})
        (HERE / "memory.svg").write_text(figure(measured))


def measure_lengths(method: str, lengths: Sequence[int]) -> list[Measurement]:
    """Measure growing lengths, each in a fresh process, and skip those that need too much."""
    measurements: list[Measurement] = []
    for frames in lengths:
        skipped = measurements and reason_to_skip(measurements[-1], frames)
        if skipped:
            measurements.append({"frames": frames, "skipped": skipped})
            continue
        print(f"{method}, {frames} frames", flush=True)
        measurements.append(run_in_fresh_process(__file__, "--here", method, str(frames)))
    return measurements


def reason_to_skip(previous: Measurement, frames: int) -> str:
    """Return what `frames` would need too much of, if needs grow with the clip; "" if nothing."""
    if "skipped" in previous:
        return previous["skipped"]
    growth = frames / previous["frames"]
    memory = growth * (previous["peak"] - previous["before"])
    if memory > MAX_MIB:
        return f"not run: {memory / 1024:.0f} GiB expected"
    seconds = growth * previous["seconds"]
    return f"not run: {seconds:.0f} s expected" if seconds > MAX_SECONDS else ""


def row(method: str, measurement: Measurement) -> dict[str, Any]:
    """Return a row of the table."""
    skipped = measurement.get("skipped")
    update = skipped or round(measurement["peak"] - measurement["before"])
    return {
        "method": method,
        "frames": measurement["frames"],
        "clip, MiB": f"{clip_mib(measurement['frames']):.1f}",
        "before, MiB": "" if skipped else round(measurement["before"]),
        "peak, MiB": "" if skipped else round(measurement["peak"]),
        "the update, MiB": update,
        "s, tracing included": "" if skipped else f"{measurement['seconds']:.1f}",
    }


def clip_mib(frames: int) -> float:
    """Return the size of a batch of clips in MiB."""
    return BATCH * frames * SIZE * SIZE * 3 * 4 / 2**20


def figure(measured: dict[str, list[Measurement]]) -> str:
    """Return SVG of the memory of an update against the length of the clip."""
    # Not at the top of the file: the measured processes must stay small.
    from mpvn.report.plots import Point, lines_figure

    lines = {
        method: [(m["frames"], m["peak"] - m["before"]) for m in measurements if "peak" in m]
        for method, measurements in measured.items()
    }
    lines["the clip itself"] = [(frames, clip_mib(frames)) for frames in LENGTHS]
    points = {
        name: [Point(frames, mib, mib, mib) for frames, mib in line if mib > 0]
        for name, line in lines.items()
    }
    return lines_figure(points, "frames", "memory of an update, MiB", log_x=True, log_y=True)


# --- in a fresh process -------------------------------------------------------------------------


def measure(method: str, frames: int) -> Measurement:
    """Measure one update on clips of `frames` frames."""
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    limit_threads()
    model = METHODS[method]()
    clip, targets = clip_and_targets(BATCH, frames)
    before, started = resident_peak(), time.perf_counter()
    model.fit(clip, targets, batch_size=BATCH, verbose=0)
    seconds = time.perf_counter() - started
    return {"frames": frames, "before": before, "peak": resident_peak(), "seconds": seconds}


def by_trainer(method: str) -> Callable[[], Any]:
    """Return a builder of a trainer around the network."""
    return lambda: trainer(method, network())


def on_whole_clips(**options: Any) -> Callable[[], Any]:
    """Return a builder of the network itself, trained on whole clips, layer by layer."""
    return lambda: compiled(network(executor="layerwise", **options))


def network(**options: Any) -> Any:
    """Build Simple-CNN with one subnetwork for each of its six units."""
    import mpvn

    model = frame_model(WIDTH)
    plan = mpvn.Plan(model, 6, partition="units")
    return mpvn.VideoNetwork(model, plan, **options)


def sideways_layer() -> Any:
    """Build a Keras model around `keras_layers.Sideways` with the same six units."""
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


METHODS: dict[str, Callable[[], Any]] = {
    "Sideways, step by step": by_trainer("Sideways"),
    "Sideways, a layer in Keras": sideways_layer,
    "Sideways, whole clips": on_whole_clips(gradient="sideways"),
    "back-propagation": by_trainer("back-propagation"),
    "GPipe": by_trainer("GPipe"),
    "exact along time, rematerialized": on_whole_clips(rematerialize=True),
}


if __name__ == "__main__":
    main()
