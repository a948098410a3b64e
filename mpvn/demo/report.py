"""The results of the demo: a table, an annotated video, and an HTML report."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from mpvn.data import VideoWriter, draw_text
from mpvn.demo.networks import LATENCIES, DemoNetwork
from mpvn.demo.streaming import COMPARED_FRAMES
from mpvn.machine import machine_text, usable_cores, versions_text
from mpvn.report import Figure, Sample, latency_figure, timeline_figure, write_report
from mpvn.report.plots import Point, lines_figure
from mpvn.report.summary import summary

SAMPLES = 5
"""Frames per network in the report."""

Row = dict[str, Any]


def table(networks: Sequence[DemoNetwork]) -> list[Row]:
    """Return one row per network: accuracy, speed and latency."""
    baseline = networks[0].stream.statistics.frames_per_second
    rows = []
    for network in networks:
        plan = network.experiment.network.plan
        statistics = network.stream.statistics
        fastest, slowest = plan.information_latency
        rows.append(
            {
                "network": network.name,
                "loss": network.metrics["loss"],
                "joints within 10 %": network.metrics["pck_10"],
                "frames/s": statistics.frames_per_second,
                "speed-up": statistics.frames_per_second / baseline,
                "clock speed-up, computed": plan.clock_speedup,
                "parallel speed-up, at most": 1 / plan.balance_bound,
                "latency, steps": f"{fastest}-{slowest}" if fastest != slowest else str(fastest),
                "worst step, ms": 1000 * max(statistics.latencies),
            }
        )
    return rows


def write_demo_video(
    path: pathlib.Path, networks: Sequence[DemoNetwork], clip: list[np.ndarray]
) -> None:
    """Write a video of the outputs of all networks side by side."""
    with VideoWriter(path, fps=12.5) as writer:
        for step, frame in enumerate(clip):
            pictures = [
                draw_text(n.experiment.task.picture(frame, n.outputs[step]), [n.name])
                for n in networks
            ]
            writer.write(np.concatenate(pictures, axis=1))


def write_demo_report(
    path: pathlib.Path,
    networks: Sequence[DemoNetwork],
    rows: list[Row],
    clip: list[np.ndarray],
    difference: float,
) -> pathlib.Path:
    """Write the HTML report and return its path.

    Args:
        path: The file to write.
        networks: The networks, with their outputs for the clip.
        rows: Rows of `table`.
        clip: The frames, uint8 `[H, W, 3]`.
        difference: Result of `compare_with_clip`.
    """
    teacher, *_, late = networks
    plan = late.experiment.network.plan
    steps = np.linspace(0, len(clip) - 1, num=min(SAMPLES, len(clip)), dtype=int)
    samples = [
        Sample(
            network.experiment.task.picture(clip[step], network.outputs[step]),
            f"{network.name}, frame {step}",
        )
        for network in (teacher, late)
        for step in steps
    ]
    notes = {
        "streaming against the whole clip": f"largest difference {difference:.1e} of the largest "
        f"output, over {min(COMPARED_FRAMES, len(clip))} frames",
        "runtime": networks[-1].stream.runtime,
        "machine": machine_text(),
        "versions": versions_text(),
        **{f"plan: {key}": value for key, value in summary(plan).items()},
    }
    title = "A video network learns to keep up"
    lead = _lead(rows, plan.subnetworks)
    return write_report(path, title, lead, rows, _figures(networks, rows), samples, notes)


def _lead(rows: Sequence[Row], subnetworks: int) -> str:
    sequential, rewired, prompt, *_, late = rows
    key = "joints within 10 %"
    return (
        f"A sequential network and {subnetworks} parallel subnetworks with clocks find the joints "
        f"of a moving figure. The sequential network finds {100 * sequential[key]:.0f} % of the "
        f"joints within a tenth of the figure's size, at {sequential['frames/s']:.0f} frames per "
        f"second. Rewired to the parallel plan without training, it finds {100 * rewired[key]:.0f} "
        f"%. A parallel student finds {100 * prompt[key]:.0f} %, and {100 * late[key]:.0f} % if it "
        f"may answer {LATENCIES[-1]} steps later, at {late['frames/s']:.0f} frames per second. "
        f"Here, {usable_cores()} cores share the work. With one device per subnetwork, the "
        f"network could be up to {late['parallel speed-up, at most']:.1f} times faster."
    )


def _figures(networks: Sequence[DemoNetwork], rows: Sequence[Row]) -> list[Figure]:
    plan = networks[-1].experiment.network.plan
    points = {
        row["network"]: [Point(row["frames/s"], row["loss"], row["loss"], row["loss"])]
        for row in rows
    }
    latencies = {n.name: [1000 * s for s in n.stream.statistics.latencies] for n in networks}
    return [
        Figure(
            lines_figure(points, "frames per second, streaming", "loss"),
            "Loss on the evaluation videos against speed. Right is faster, down is better.",
        ),
        Figure(
            lines_figure(_training_curves(networks), "batches", "training loss of the task"),
            "Training. The students start from the weights of the sequential network.",
        ),
        Figure(
            timeline_figure(plan, 2 * plan.period),
            "When each subnetwork works, and on which frame. A frame moves down by one subnetwork "
            "per step.",
        ),
        Figure(latency_figure(latencies), "Measured time of each step."),
    ]


def _training_curves(networks: Sequence[DemoNetwork]) -> dict[str, list[Point]]:
    """Return the training loss of the task by batch, for the networks that were trained."""
    curves = {}
    for network in networks:
        rows = [row for row in network.history if row["split"] == "train"]
        if rows:
            losses = [(row["step"], row["cross_entropy"]) for row in rows]
            curves[network.name] = [Point(step, loss, loss, loss) for step, loss in losses]
    return curves
