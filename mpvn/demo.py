"""The demo: one video through one network, in three ways, with a table and a report.

Sequential, depth-parallel, and depth-parallel with clocks: what each costs on this machine, beside
what the plan says it must. The ways take turns, a segment of the video each, so that a busy machine
slows all of them alike.
"""

import dataclasses
import itertools
import os
import pathlib
import platform
import time
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tqdm

from mpvn.data import VideoReader, write_rendered_video
from mpvn.models import FrameModel, load_frame_model, multi_scale
from mpvn.network import VideoNetwork
from mpvn.plan import Plan
from mpvn.report import (
    latency_figure,
    network_figure,
    schedule_figure,
    timeline_figure,
    write_report,
)
from mpvn.report.summary import summary
from mpvn.streaming import Stream

SEGMENT = 32
"""Frames that a way streams before the next takes its turn: two periods of the default clocks."""

CHECKED = 20
"""Frames over which streaming is compared with the whole clip."""


@dataclasses.dataclass
class Way:
    """One plan, streaming.

    Attributes:
        name: what it is called in table and figures.
        plan: the plan.
        network: the network of it.
        stream: its stream over the video.
    """

    name: str
    plan: Plan
    network: VideoNetwork
    stream: Stream

    @classmethod
    def start(cls, name: str, plan: Plan, frame_model: FrameModel) -> "Way":
        """A traced stream of `frame_model` by `plan`."""
        network = VideoNetwork(frame_model.model, plan)
        return cls(name, plan, network, Stream(network, frame_model.prepare))

    @property
    def milliseconds(self) -> list[float]:
        """Latency of each step."""
        return [1000 * seconds for seconds in self.stream.statistics.latencies]


def run_demo(
    output: str | os.PathLike = "demo",
    video: str | os.PathLike | None = None,
    model: str | os.PathLike = "DenseNet121",
    subnetworks: int = 4,
    frames: int = 96,
) -> pathlib.Path:
    """Streams a video in three ways, prints a table, and writes a report.

    Args:
        output: folder for the report (and the rendered video); made if missing.
        video: a video file; None renders one.
        model: as `load_frame_model`; of a network of `keras.applications`, the features of all its
            scales are streamed (`multi_scale`).
        subnetworks: parallel subnetworks of the second and third way.
        frames: frames of the video to stream, at least 1.

    Returns:
        Path of the report.

    Raises:
        ValueError: what is wrong with the video, the model, or the plan.
    """
    started = time.perf_counter()
    if frames < 1 or subnetworks < 2:
        raise ValueError(
            "the demo needs at least 1 frame and 2 subnetworks. "
            f"Received: frames={frames}, subnetworks={subnetworks}"
        )
    frame_model = load_frame_model(model)
    if frame_model.partition != "units" and not pathlib.Path(model).exists():
        frame_model = dataclasses.replace(frame_model, model=multi_scale(frame_model.model))
    folder = pathlib.Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    if video is None:
        video = folder / "video.mp4"
        write_rendered_video(video, frames, frame_model.size)
    with VideoReader(video, size=frame_model.size) as reader:
        clip = list(itertools.islice(reader, frames))
    plans = three_plans(frame_model.model, subnetworks)
    ways = []
    for name, plan in tqdm.tqdm(plans.items(), desc="tracing", unit="network"):
        ways.append(Way.start(name, plan, frame_model))
    _take_turns(ways, clip)
    difference = _check(ways[-1], clip, frame_model)
    rows = list(_rows(ways))
    print("\n" + text_table(rows))
    report = _write(folder / "report.html", ways, rows, clip, str(video), difference)
    print(f"\n{report} written, {time.perf_counter() - started:.0f} s in all")
    return report


def three_plans(model: keras.Model, subnetworks: int) -> dict[str, Plan]:
    """The demo's plans by name."""
    pipelined: dict[str, Any] = {"subnetworks": subnetworks, "partition": "balanced"}
    return {
        "sequential": Plan(model),
        "depth-parallel": Plan(model, **pipelined),
        "depth-parallel, clocks": Plan(model, clocks="auto", **pipelined),
    }


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
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _take_turns(ways: list[Way], clip: list[np.ndarray]) -> None:
    segments = [clip[start : start + SEGMENT] for start in range(0, len(clip), SEGMENT)]
    with tqdm.tqdm(total=len(ways) * len(clip), desc="streaming", unit="frame") as bar:
        for segment, way in itertools.product(segments, ways):
            bar.set_postfix_str(way.name)
            for frame in segment:
                way.stream.step(frame)
                bar.update()


def _check(way: Way, clip: list[np.ndarray], frame_model: FrameModel) -> float:
    """Largest difference, relative to the outputs, between streaming and the clip at once."""
    frames = np.stack([frame_model.prepare(frame) for frame in clip[:CHECKED]])
    state = way.network.initial_state(batch_size=1)
    streamed = []
    for frame in frames:
        outputs, state = way.network.step(frame[None], state)
        streamed.append(keras.tree.flatten(outputs)[0])
    whole = keras.tree.flatten(way.network(frames[None]))[0]
    difference = tf.reduce_max(tf.abs(tf.stack(streamed, axis=1) - whole))
    return float(difference / tf.reduce_max(tf.abs(whole)))


def _rows(ways: list[Way]) -> Iterator[dict[str, Any]]:
    baseline = ways[0].stream.statistics.frames_per_second
    for way in ways:
        latencies = way.milliseconds
        fastest, slowest = way.plan.information_latency
        yield {
            "way": way.name,
            "frames/s": way.stream.statistics.frames_per_second,
            "speed-up": way.stream.statistics.frames_per_second / baseline,
            "clocks, theory": way.plan.clock_speedup,
            "parallel bound": 1 / way.plan.balance_bound,
            "latency, steps": f"{fastest}-{slowest}" if fastest != slowest else str(fastest),
            "age, steps": max(ages.mean for ages in way.plan.ages.values()),
            "mean step, ms": float(np.mean(latencies)),
            "worst step, ms": max(latencies),
        }


def _write(
    path: pathlib.Path,
    ways: list[Way],
    rows: list[dict[str, Any]],
    clip: list[np.ndarray],
    video: str,
    difference: float,
) -> pathlib.Path:
    clocked, pipelined = ways[-1], ways[1]
    best = max(rows, key=lambda row: row["speed-up"])
    name = clocked.plan.graph.model.name
    lead = (
        f"{len(clip)} frames of {video} through {name}, frame by frame, in three ways on "
        f"{os.cpu_count()} cores. {str(best['way']).capitalize()} is fastest: "
        f"{best['frames/s']:.0f} frames per second, {best['speed-up']:.1f} times sequential. "
        f"Clocks alone must give {clocked.plan.clock_speedup:.2f} in multiply-adds; "
        f"{clocked.plan.subnetworks} subnetworks on as many free devices could give up to "
        f"{1 / clocked.plan.balance_bound:.2f} more. The weights are as loaded (random for a "
        "network named without weights): the demo is about time, not about what is seen."
    )
    figures = [
        (
            timeline_figure(clocked.plan, 2 * clocked.plan.period),
            "Which subnetwork works when, with clocks: each box is work, labelled by the frame it "
            "is about. A frame travels down the subnetworks one step at a time.",
        ),
        (
            latency_figure({way.name: way.milliseconds for way in ways}),
            "Time of each step as measured.",
        ),
        (
            timeline_figure(pipelined.plan, min(24, 2 * clocked.plan.period)),
            "The same without clocks: every subnetwork works at every step, each on another frame.",
        ),
        (
            schedule_figure(clocked.plan),
            "One period of the plan with clocks: the share of each subnetwork's multiply-adds by "
            "step.",
        ),
        (
            network_figure(clocked.plan),
            "The subnetworks, their clocks and their shares of the work.",
        ),
    ]
    shown = np.linspace(0, len(clip) - 1, num=min(5, len(clip)), dtype=int)
    notes = {
        "streaming and the whole clip agree": f"largest difference {difference:.1e} of the largest "
        f"output, over {min(CHECKED, len(clip))} frames",
        "machine": f"{platform.platform()}, {os.cpu_count()} cores",
        "versions": f"Python {platform.python_version()}, TensorFlow {tf.__version__}, "
        f"Keras {keras.__version__}",
        **{f"plan with clocks: {key}": value for key, value in summary(clocked.plan).items()},
    }
    return write_report(
        path,
        f"{name}, streamed in three ways",
        lead,
        rows,
        figures,
        [(clip[index], f"frame {index}") for index in shown],
        notes,
    )
