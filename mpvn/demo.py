"""The demo: a network learns where joints are, is made parallel, learns to be late, and streams.

A sequential Par-DenseNet learns from rendered figures. It is the teacher of two networks of four
subnetworks with clocks, which begin with its weights: one answers of the frame it has just been
given, one of the frame two steps ago. Then all of them watch a video that none has seen.

Runs that are there already are not trained again.
"""

import dataclasses
import itertools
import os
import pathlib
import platform
import shutil
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tqdm
from ml_collections import ConfigDict

from mpvn.data import VideoReader, VideoWriter, draw_text, rendered_figures
from mpvn.pixels import to_signed
from mpvn.report import latency_figure, timeline_figure, write_report
from mpvn.report.plots import Point, lines_figure
from mpvn.report.summary import summary
from mpvn.streaming import Stream
from mpvn.training import Experiment, RunFolder, base_config, build, evaluate, train
from mpvn.training.checkpoint import load_checkpoint

LATENCIES = (0, 2)
"""Prediction latencies of the networks that are made parallel."""

SEGMENT = 32
"""Frames that a network streams before the next takes its turn: two periods of the clocks."""

CHECKED = 20
"""Frames over which streaming is compared with the whole clip."""

SHOWN = 5
"""Frames of the video in the report."""


@dataclasses.dataclass
class Contestant:
    """One network, trained, streaming.

    Attributes:
        name: what it is called in table and figures.
        learning: the rows of its run; none if it was not trained, but rewired.
        experiment: its network, which others of the same plan share, so that it is traced once.
        weights: what it has learned, for that network.
        found: loss and metrics on the videos for evaluation.
        stream: its stream over the video.
        said: its outputs of each step of the video.
    """

    name: str
    learning: list[dict[str, Any]]
    experiment: Experiment
    weights: list[np.ndarray]
    found: dict[str, float]
    stream: Stream
    said: list[np.ndarray] = dataclasses.field(default_factory=list)


def run_demo(
    output: str | os.PathLike = "demo",
    video: str | os.PathLike | None = None,
    subnetworks: int = 4,
    frames: int = 96,
    steps: int = 160,
) -> pathlib.Path:
    """Trains three networks, streams a video through them, and writes a report.

    Args:
        output: folder for runs, the video seen, and the report; made if missing.
        video: a video file; None renders one that is in no training data.
        subnetworks: parallel subnetworks of the second and third network.
        frames: frames of the video to stream, at least 1.
        steps: batches that the teacher is trained for; its students train for half as many.

    Returns:
        Path of the report.

    Raises:
        ValueError: arguments out of range, or a video that cannot be read.
        Interrupted: SIGINT or SIGTERM; begun again, the demo goes on there.
    """
    started = time.perf_counter()
    if frames < 1 or subnetworks < 2 or steps < 2:
        raise ValueError(
            "the demo needs at least 1 frame, 2 subnetworks and 2 steps of training. "
            f"Received: frames={frames}, subnetworks={subnetworks}, steps={steps}"
        )
    folder = pathlib.Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    clip = _video(video, frames)
    contestants = _train_all(folder, subnetworks, steps)
    _take_turns(contestants, clip)
    difference = _check(contestants[-1], clip)
    _write_video(folder / "seen.mp4", contestants, clip)
    rows = [_row(contestant, contestants[0]) for contestant in contestants]
    print("\n" + text_table(rows))
    report = _write(folder / "report.html", contestants, rows, clip, difference)
    print(f"\n{report} written, {time.perf_counter() - started:.0f} s in all")
    return report


def text_table(rows: Sequence[dict[str, Any]]) -> str:
    """`rows` as text, a column per key."""
    cells = [[_text(value) for value in row.values()] for row in rows]
    header = list(rows[0])
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    lines = []
    for line in [header, ["-" * width for width in widths], *cells]:
        first, *others = zip(line, widths, strict=True)
        lines.append("  ".join([first[0].ljust(first[1]), *(c.rjust(w) for c, w in others)]))
    return "\n".join(lines)


def _text(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


# --- learning -----------------------------------------------------------------------------------


def teacher_config(steps: int) -> ConfigDict:
    """The sequential network: a narrow Par-DenseNet without clocks, over small figures."""
    config = base_config()
    config.data.train = {"count": 2000}
    config.data.evaluation = {"count": 40}
    config.clip.evaluated = 0
    config.model.options = {"width": 0.125, "clocks": False}
    config.optimizer.schedule = "cosine"
    config.training.batch_size = 4
    config.training.steps = steps
    config.training.evaluate_every = steps
    config.training.checkpoint_every = max(1, steps // 8)
    config.training.batch_norm_momentum = 0.9
    return config


def student_config(teacher: RunFolder, subnetworks: int, latency: int) -> ConfigDict:
    """A parallel network with clocks that begins as its teacher, and follows it."""
    config = teacher.config()
    config.teacher = str(teacher.path)
    config.model.initial = str(teacher.path)
    config.distillation.weight = 0.1
    config.model.options.clocks = True
    config.plan.subnetworks = subnetworks
    config.task.latency = latency
    config.training.steps //= 2
    config.training.evaluate_every = config.training.steps
    return config


def _train_all(folder: pathlib.Path, subnetworks: int, steps: int) -> list[Contestant]:
    """The teacher, the teacher rewired without training, and its students."""
    teacher = _trained(folder / "sequential", teacher_config(steps))
    configs = [student_config(teacher, subnetworks, latency) for latency in LATENCIES]
    students = [
        _trained(folder / f"latency_{latency}", config)
        for config, latency in zip(configs, LATENCIES, strict=True)
    ]
    parallel = build(configs[0], to_train=False)
    rewired = evaluate(parallel, teacher.best)
    name = f"{subnetworks} subnetworks"
    return [
        _contestant("sequential", teacher, build(teacher.config())),
        _contestant(f"{name}, rewired only", teacher, parallel, rewired),
        *(
            _contestant(f"{name}, latency {latency}", student, parallel)
            for student, latency in zip(students, LATENCIES, strict=True)
        ),
    ]


def _trained(path: pathlib.Path, config: ConfigDict) -> RunFolder:
    """The run in `path`: as it is if it is finished, gone on with, or begun anew."""
    folder = RunFolder(path)
    if folder.differing(config):
        shutil.rmtree(path)  # of a demo that was asked for something else
    if not folder.finished:
        print(f"training {path}")
        train(config, path)
    return folder


def _contestant(
    name: str, run: RunFolder, experiment: Experiment, rewired: dict[str, float] | None = None
) -> Contestant:
    """The network of `experiment` with the weights of `run`; or what `rewired` says it is."""
    network, rows = experiment.network, list(run.rows())
    load_checkpoint(run.best, network)
    stream = Stream(network, to_signed)
    return Contestant(
        name,
        [] if rewired else rows,
        experiment,
        network.get_weights(),
        rewired or rows[-1],
        stream,
    )


# --- streaming ----------------------------------------------------------------------------------


def _video(video: str | os.PathLike | None, frames: int) -> list[np.ndarray]:
    size = base_config().model.size
    if video is None:
        held_out = rendered_figures(1, size=(size, size), frames=frames, split="test")
        return list(held_out.videos[0].read(range(frames)))
    with VideoReader(video, size=(size, size)) as reader:
        return list(itertools.islice(reader, frames))


def _take_turns(contestants: Sequence[Contestant], clip: list[np.ndarray]) -> None:
    """Streams the clip through all, a segment each, so that a busy machine slows all alike."""
    segments = [clip[start : start + SEGMENT] for start in range(0, len(clip), SEGMENT)]
    with tqdm.tqdm(total=len(contestants) * len(clip), desc="streaming", unit="frame") as bar:
        for segment, contestant in itertools.product(segments, contestants):
            contestant.experiment.network.set_weights(contestant.weights)
            for frame in segment:
                contestant.said.append(contestant.stream.step(frame))
                bar.update()


def _check(contestant: Contestant, clip: list[np.ndarray]) -> float:
    """Largest difference, relative to the outputs, between streaming and the clip at once."""
    frames = np.stack([to_signed(frame) for frame in clip[:CHECKED]])
    network: Any = contestant.experiment.network
    whole = network(frames[None])[0].numpy()
    return float(np.abs(np.stack(contestant.said[:CHECKED]) - whole).max() / np.abs(whole).max())


# --- what came out ------------------------------------------------------------------------------


def _row(contestant: Contestant, first: Contestant) -> dict[str, Any]:
    plan = contestant.experiment.network.plan
    speed, baseline = (c.stream.statistics.frames_per_second for c in (contestant, first))
    fastest, slowest = plan.information_latency
    return {
        "network": contestant.name,
        "loss": contestant.found["loss"],
        "joints within 10 %": contestant.found["pck_10"],
        "frames/s": speed,
        "speed-up": speed / baseline,
        "clocks, theory": plan.clock_speedup,
        "parallel bound": 1 / plan.balance_bound,
        "latency, steps": f"{fastest}-{slowest}" if fastest != slowest else str(fastest),
        "worst step, ms": 1000 * max(contestant.stream.statistics.latencies),
    }


def _pictures(contestants: Sequence[Contestant], frame: np.ndarray, step: int) -> np.ndarray:
    """What each network says at `step`, side by side."""
    return np.concatenate(
        [draw_text(c.experiment.task.picture(frame, c.said[step]), [c.name]) for c in contestants],
        axis=1,
    )


def _write_video(
    path: pathlib.Path, contestants: Sequence[Contestant], clip: list[np.ndarray]
) -> None:
    with VideoWriter(path, fps=12.5) as writer:
        for step, frame in enumerate(clip):
            writer.write(_pictures(contestants, frame, step))


def _learning(contestants: Sequence[Contestant]) -> dict[str, list[Point]]:
    """The task's loss in training, by batch, of those that were trained."""
    lines = {}
    for contestant in contestants:
        rows = [row for row in contestant.learning if row["split"] == "train"]
        if rows:
            losses = [(row["step"], row["cross_entropy"]) for row in rows]
            lines[contestant.name] = [Point(step, loss, loss, loss) for step, loss in losses]
    return lines


def _write(
    path: pathlib.Path,
    contestants: Sequence[Contestant],
    rows: list[dict[str, Any]],
    clip: list[np.ndarray],
    difference: float,
) -> pathlib.Path:
    teacher, *_, late = contestants
    plan = late.experiment.network.plan
    lead = (
        f"Joints of a moving figure, found by a sequential network and by {plan.subnetworks} "
        "parallel subnetworks with clocks. "
        f"The sequential network finds {100 * rows[0]['joints within 10 %']:.0f} % of the joints "
        f"within a tenth of the figure's size, at {rows[0]['frames/s']:.0f} frames per second. "
        f"Rewired to the parallel plan without training it finds "
        f"{100 * rows[1]['joints within 10 %']:.0f} %; trained as its student "
        f"{100 * rows[2]['joints within 10 %']:.0f} %, and "
        f"{100 * rows[-1]['joints within 10 %']:.0f} % when it may answer {LATENCIES[-1]} steps "
        f"late, at {rows[-1]['frames/s']:.0f} frames per second. Here {os.cpu_count()} cores "
        "share the work; with a free device for each, the subnetworks could be up to "
        f"{rows[-1]['parallel bound']:.1f} times faster again."
    )
    points = {
        row["network"]: [Point(row["frames/s"], row["loss"], row["loss"], row["loss"])]
        for row in rows
    }
    figures = [
        (
            lines_figure(points, "frames per second, streaming", "loss"),
            "Loss on held-out videos against speed: to the right is faster, below is better.",
        ),
        (
            lines_figure(_learning(contestants), "batches", "loss of the task, in training"),
            "Learning: the students begin with the weights of the sequential network.",
        ),
        (
            timeline_figure(plan, 2 * plan.period),
            "Which subnetwork works when, with clocks: each box is work, labeled by the frame it "
            "is about. A frame travels down the subnetworks one step at a time.",
        ),
        (
            latency_figure(
                {c.name: [1000 * s for s in c.stream.statistics.latencies] for c in contestants}
            ),
            "Time of each step as measured.",
        ),
    ]
    shown = np.linspace(0, len(clip) - 1, num=min(SHOWN, len(clip)), dtype=int)
    samples = [
        (c.experiment.task.picture(clip[step], c.said[step]), f"{c.name}, frame {step}")
        for c in (teacher, late)
        for step in shown
    ]
    notes = {
        "streaming and the whole clip agree": f"largest difference {difference:.1e} of the largest "
        f"output, over {min(CHECKED, len(clip))} frames",
        "machine": f"{platform.platform()}, {os.cpu_count()} cores",
        "versions": f"Python {platform.python_version()}, TensorFlow {tf.__version__}, "
        f"Keras {keras.__version__}",
        **{f"plan: {key}": value for key, value in summary(plan).items()},
    }
    title = "A video network learns to keep up"
    return write_report(path, title, lead, rows, figures, samples, notes)
