"""`mpvn benchmark`: how fast a network streams on this machine, beside plain Keras."""

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from mpvn.cli.clusters import add_cluster_option
from mpvn.cli.mistakes import Mistake, as_mistakes
from mpvn.cli.model_and_plan import MODEL_HELP, add_model_and_plan_options, load_model_and_plan
from mpvn.cli.parsers import Commands, add_command, rate
from mpvn.cli.paths import JSON, declare_paths
from mpvn.cli.runtimes import (
    add_buffer_option,
    add_runtime_options,
    calibrated_choice,
    check_threads,
    runtime_choice,
)
from mpvn.cli.shown import add_shown_option, refuse_exported, shown_frames
from mpvn.files import write_atomically

if TYPE_CHECKING:
    from mpvn.network import VideoNetwork
    from mpvn.plan import Plan
    from mpvn.streaming import RuntimeChoice, TimedStream
    from mpvn.streaming.benchmark import Measured
    from mpvn.streaming.report import StreamReport

EXAMPLES = """\
mpvn benchmark MobileNetV2
mpvn benchmark par_densenet --subnetworks 14 --fps 30
mpvn benchmark runs/finetune_tsm --video walk.mp4 --json speed.json
mpvn benchmark MobileNetV2 --runtime openvino --precision bfloat16 --threads 1 --batch 4"""

PLAIN = "plain Keras"


def add_parser(commands: Commands) -> None:
    """Add `mpvn benchmark`."""
    summary = "measure steps, ages and memory of a network on this machine, beside plain Keras"
    parser = add_command(commands, "benchmark", run, summary, EXAMPLES)
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "--seconds",
        type=float,
        default=10.0,
        metavar="S",
        help="time to measure each candidate, without what other processes disturb (default: 10)",
    )
    parser.add_argument(
        "--batch", type=int, default=1, metavar="N", help="streams in one batch (default: 1)"
    )
    parser.add_argument(
        "--against",
        choices=["plain", "none"],
        default="plain",
        help="what to compare with: the model in plain Keras, frame by frame, or nothing "
        "(default: plain)",
    )
    parser.add_argument(
        "--fps",
        type=rate,
        help="also tell how old information is if frames come at this rate",
    )
    add_shown_option(parser)
    parser.add_argument("--json", metavar="FILE", help="also write the numbers as JSON")
    add_cluster_option(parser)
    add_runtime_options(parser)
    add_buffer_option(parser, "also measure each runtime for files")
    add_model_and_plan_options(parser, devices=True)
    declare_paths(
        parser,
        reads=["--video", "--weights", "--assignment", "--plan", "--calibrate", "--cluster"],
        runs=["MODEL"],
        writes={"--json": JSON},
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure, print a table, and write the JSON file."""
    _check(arguments)
    check_threads(arguments)
    refuse_exported(arguments)
    runtime_choice(arguments)  # a mistake is told before anything is loaded
    loaded, plan = load_model_and_plan(arguments)
    from mpvn.machine import machine_text, peak_memory, versions_text
    from mpvn.report.speed import speed_rows
    from mpvn.report.table import text_table
    from mpvn.streaming.benchmark import PlainKeras, measure
    from mpvn.streaming.report import StreamReport

    with as_mistakes():
        network = loaded.network(plan)
        choice = calibrated_choice(arguments, loaded, network)
        frames = shown_frames(arguments.video, loaded, arguments.batch)
        choices = choice.ways(network, arguments.batch) if choice.runtime == "auto" else [choice]
        choices += _buffered(choices, arguments.buffer)
        compiled = _streams(network, choices, arguments.batch)
    streams = {name: stream for name, (_, stream) in compiled.items()}
    if arguments.against == "plain":
        streams = {PLAIN: PlainKeras(network.frame_model, arguments.batch), **streams}
    with _Progress() as progress:
        measured = measure(streams, frames, arguments.seconds, progress.show)
    fps = arguments.fps and float(arguments.fps)
    reports = {name: StreamReport.of(stream, fps) for name, stream in streams.items()}
    print(text_table(speed_rows(reports, PLAIN if PLAIN in reports else None)))
    print("(times in ms; ages of information: mean / worst)")
    print(_disturbances(measured))
    single = {name: each for name, each in compiled.items() if each[0].buffer is None}
    if len(single) > 1:
        print(_keep_fastest(network, single, measured))
    print(f"memory: at most {peak_memory() / 2**20:.0f} MiB in this process")
    print(f"machine: {machine_text()}; {versions_text()}")
    if arguments.json:
        write_atomically(arguments.json, _json(arguments, plan, reports, measured))
        print(f"written to {arguments.json}")
    return 0


def _check(arguments: argparse.Namespace) -> None:
    given = {"--seconds": arguments.seconds, "--fps": arguments.fps}
    for name, value in given.items():
        if value is not None and not 0 < value < math.inf:
            raise Mistake(f"{name}: expected a number above 0. Received: {value}.")
    if arguments.buffer is not None and arguments.buffer < 2:
        raise Mistake(f"--buffer: expected at least 2. Received: {arguments.buffer}.")
    if arguments.batch < 1:
        raise Mistake(f"--batch: expected at least 1. Received: {arguments.batch}.")


def _buffered(choices: "Iterable[RuntimeChoice]", buffer: int | None) -> "list[RuntimeChoice]":
    """Return each compiled runtime of some choices with a buffer, by the units for it."""
    if buffer is None:
        return []
    compiled = {each.runtime: each for each in choices if each.runtime != "network"}
    return [
        dataclasses.replace(each, units=None, parallel=None, buffer=buffer)
        for each in compiled.values()
    ]


def _streams(
    network: "VideoNetwork", choices: "Iterable[RuntimeChoice]", streams: int
) -> "dict[str, tuple[RuntimeChoice, TimedStream]]":
    """Return the streams that are measured, by the name of what runs them.

    Raises:
        ValueError: nothing can run the network.
    """
    from mpvn.streaming import Batch

    network.check_streams()
    compiled: dict[str, tuple[RuntimeChoice, TimedStream]] = {}
    refused: list[str] = []
    print(f"compiling {network.name} ...", file=sys.stderr)
    for choice in choices:
        if choice.runtime == "network" and compiled:
            continue  # it is what is left if nothing else can run it
        try:
            stream = Batch(network, streams, **vars(choice))
        except ValueError as error:
            refused.append(str(error))
        else:
            compiled[stream.runtime] = choice, stream
            if stream.quantization is not None:
                print(stream.quantization, file=sys.stderr)
    if not compiled:
        raise ValueError(refused[0])
    for reason in refused:
        print(f"not measured: {reason}", file=sys.stderr)
    return compiled


def _keep_fastest(
    network: "VideoNetwork",
    streams: "Mapping[str, tuple[RuntimeChoice, TimedStream]]",
    measured: "Mapping[str, Measured]",
) -> str:
    """Keep what is fastest for other commands, and return that as text."""
    speeds = {name: stream.statistics.frames_per_second for name, (_, stream) in streams.items()}
    fastest = max(speeds, key=lambda name: speeds[name])
    if not all(measured[name].was_quiet for name in streams):
        return f"{fastest} was fastest. This is not kept, because the machine was busy."
    choice, stream = streams[fastest]
    choice.keep(network, stream.streams)
    return f"{fastest} is fastest. mpvn stream and predict will run this network so."


class _Progress:
    """A bar that is full when everything is measured."""

    def __enter__(self) -> "_Progress":
        import tqdm

        self._bar = tqdm.tqdm(
            total=100,
            desc="measuring",
            bar_format="{desc}: {percentage:.0f} %|{bar}|",
            leave=False,
            disable=None,
        )
        return self

    def __exit__(self, *raised: object) -> None:
        self._bar.close()

    def show(self, share: float) -> None:
        """Show the share that is done."""
        self._bar.n = min(100, round(100 * share))
        self._bar.refresh()


def _disturbances(measured: "Mapping[str, Measured]") -> str:
    """Return how many steps were dropped, or that none could be, as text."""
    noisy = [name for name, each in measured.items() if not each.was_quiet]
    if noisy:
        of = "" if len(noisy) == len(measured) else f" of {'; '.join(noisy)}"
        return (
            f"Other processes used the cores all the time, so the numbers{of} are not those of a "
            "quiet machine. Measure again when it is idle."
        )
    dropped = [
        f"{each.disturbed.frames} of {each.disturbed.frames + each.statistics.frames} ({name})"
        for name, each in measured.items()
        if each.disturbed.frames
    ]
    if not dropped:
        return "no step was dropped: other processes left the cores alone"
    return f"steps dropped because other processes used the cores: {', '.join(dropped)}"


def _json(
    arguments: argparse.Namespace,
    plan: "Plan",
    reports: "Mapping[str, StreamReport]",
    measured: "Mapping[str, Measured]",
) -> str:
    from mpvn.machine import environment

    rows = {
        name: {
            **report.to_json(),
            "dropped_steps": measured[name].disturbed.frames,
            "quiet": measured[name].was_quiet,
        }
        for name, report in reports.items()
    }
    about = {
        "model": arguments.model,
        "subnetworks": plan.subnetworks,
        "period": plan.period,
        "batch": arguments.batch,
        "environment": environment(),
    }
    return json.dumps({**about, "measured": rows}, indent=1) + "\n"
