"""`mpvn timeline`: what a compiled network really runs, and when."""

import argparse
import dataclasses
import itertools
import json
import sys
from typing import TYPE_CHECKING

from mpvn.cli.mistakes import Mistake, as_mistakes
from mpvn.cli.model_and_plan import MODEL_HELP, add_model_and_plan_options, load_model_and_plan
from mpvn.cli.parsers import Commands, add_command
from mpvn.cli.paths import JSON, SVG, declare_paths
from mpvn.cli.runtimes import (
    add_runtime_options,
    calibrated_choice,
    check_threads,
    runtime_choice,
    say_running,
)
from mpvn.cli.shown import add_shown_option, refuse_exported, shown_frames
from mpvn.files import write_atomically

if TYPE_CHECKING:
    import numpy as np

    from mpvn.plan import Plan
    from mpvn.runtime import CompiledNetwork, Event

EXAMPLES = """\
mpvn timeline par_densenet --subnetworks 4 --output trace.json --figure timeline.svg
mpvn timeline MobileNetV2 --runtime tensorflow --units block --output trace.json
mpvn timeline runs/finetune_tsm --video walk.mp4 --frames 300 --output trace.json"""

_DRAWN = 32
"""Number of steps in the figure, at most."""


def add_parser(commands: Commands) -> None:
    """Add `mpvn timeline`."""
    summary = "record what a compiled network runs: which block, when, on which frame and device"
    parser = add_command(commands, "timeline", run, summary, EXAMPLES)
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "--output",
        metavar="FILE",
        required=True,
        help="where to write the trace, a .json file for https://ui.perfetto.dev or "
        "chrome://tracing",
    )
    parser.add_argument(
        "--figure",
        metavar="FILE",
        help=f"also draw the first steps ({_DRAWN} at most) as SVG, below what they would be by "
        "their multiply-adds",
    )
    parser.add_argument(
        "--frames",
        type=int,
        metavar="N",
        help="number of frames to record, after a warm-up (default: whole periods of the clocks, "
        "16 at least)",
    )
    add_shown_option(parser)
    parser.add_argument(
        "--units",
        choices=["block", "pattern"],
        help="what is compiled, run and recorded as one: the nodes of one subnetwork and clock, or "
        "everything that ticks in one step (default: what usually is faster)",
    )
    add_runtime_options(parser)
    add_model_and_plan_options(parser)
    declare_paths(
        parser,
        reads=["--video", "--weights", "--assignment", "--plan", "--calibrate"],
        runs=["MODEL"],
        writes={"--output": JSON, "--figure": SVG},
    )


def run(arguments: argparse.Namespace) -> int:
    """Record, print where the time goes, and write the trace and the figure."""
    check_threads(arguments)
    if arguments.frames is not None and arguments.frames < 1:
        raise Mistake(f"--frames: expected at least 1. Received: {arguments.frames}.")
    refuse_exported(arguments)
    runtime_choice(arguments)  # a mistake is told before anything is loaded
    loaded, plan = load_model_and_plan(arguments)
    with as_mistakes():
        frames = shown_frames(arguments.video, loaded)
        network = loaded.network(plan)
        network.check_streams()
        print(f"compiling {network.name} ...", file=sys.stderr)
        choice = calibrated_choice(arguments, loaded, network)
        running = dataclasses.replace(choice, units=arguments.units).run(network)
    compiled = _compiled(running.network)
    say_running(network.name, running.text, running.remark, compiled.quantization)
    events = _record(compiled, frames, arguments.frames)
    _report(events)
    _write(arguments, network.plan, events, running.text)
    return 0


def _compiled(network: object) -> "CompiledNetwork":
    """Return a compiled network; raise `Mistake` for a network that is not compiled."""
    from mpvn.runtime import CompiledNetwork

    if not isinstance(network, CompiledNetwork):
        raise Mistake(
            "A timeline shows the units of a compiled network. Expected a compiled runtime. "
            "Received: the network's own functions. Use --runtime tensorflow or openvino."
        )
    return network


def _record(
    compiled: "CompiledNetwork", frames: "list[np.ndarray]", count: int | None
) -> "list[Event]":
    """Return what ran at `count` steps, the first of a period whose outputs come from frames."""
    import keras
    import numpy as np

    from mpvn.runtime import record

    plan = compiled.plan
    state, shown = compiled.initial_state(1), itertools.cycle(frames)

    def run_steps(number: int) -> None:
        nonlocal state
        for frame in itertools.islice(shown, number):
            outputs, state = compiled.step(frame, state)
            keras.tree.map_structure(np.asarray, outputs)

    settled = max(plan.settled_step, *plan.first_full_steps)
    run_steps(_whole_periods(plan, settled + plan.period))
    with record(compiled) as events:
        run_steps(_whole_periods(plan, 16) if count is None else count)
    return events


def _whole_periods(plan: "Plan", steps: int) -> int:
    """Return the number of steps of the whole periods that have at least `steps`."""
    return -(-steps // plan.period) * plan.period


def _report(events: "list[Event]") -> None:
    from mpvn.machine import machine_text, versions_text
    from mpvn.report.lanes import unit_lanes
    from mpvn.report.table import text_table
    from mpvn.report.unit_times import unit_time_rows

    print(text_table(unit_time_rows(events)))
    if any(len(unit_lanes(event.unit)) > 1 for event in events if event.unit):
        print("(a unit is all that ticks in a step; --units block records each block)")
    print(f"machine: {machine_text()}; {versions_text()}")


def _write(
    arguments: argparse.Namespace, plan: "Plan", events: "list[Event]", runtime: str
) -> None:
    from mpvn.machine import environment
    from mpvn.report import recorded_timeline_figure
    from mpvn.report.trace import chrome_trace

    about = {"model": arguments.model, "runtime": runtime, **environment()}
    write_atomically(arguments.output, json.dumps(chrome_trace(events, about)) + "\n")
    print(f"written to {arguments.output}: open it in https://ui.perfetto.dev")
    if arguments.figure:
        ends = [index for index, event in enumerate(events, start=1) if event.unit is None]
        drawn = events[: ends[:_DRAWN][-1]]
        write_atomically(arguments.figure, recorded_timeline_figure(plan, drawn, runtime))
        print(f"written to {arguments.figure}")
