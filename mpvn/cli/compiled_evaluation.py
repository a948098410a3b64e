"""`mpvn eval --runtime`: the metrics of a compiled network, beside those of the network itself."""

import argparse
import dataclasses
import sys
from typing import TYPE_CHECKING, Any

from mpvn.cli.metrics import write_json
from mpvn.cli.mistakes import Mistake, as_mistakes
from mpvn.cli.runtimes import (
    RUNTIME_OPTIONS,
    calibrated_choice,
    check_precision,
    check_threads,
    runtime_choice,
    say_running,
)

if TYPE_CHECKING:
    import pathlib

    import tensorflow as tf
    from ml_collections import ConfigDict

    from mpvn.runtime import CompiledNetwork
    from mpvn.streaming import RuntimeChoice
    from mpvn.training import Experiment

TRAINING = "training"
"""The value of `--calibrate` for the videos that the run was trained on."""

_OTHERS = ("views", "early", "predictions", "submission", "report", "cost", "activations")


def is_wanted(arguments: argparse.Namespace) -> bool:
    """Return whether a compiled network is to be evaluated."""
    return any(getattr(arguments, name) is not None for name in RUNTIME_OPTIONS)


def check(arguments: argparse.Namespace) -> None:
    """Raise `Mistake` unless the options go together."""
    check_threads(arguments)
    if arguments.runtime == "network":
        raise Mistake(
            "--runtime: expected what compiles the network. Received: network, which is evaluated "
            "without --runtime."
        )
    sources = arguments.calibrate or []
    if TRAINING in sources and len(sources) > 1:
        raise Mistake(
            f"--calibrate {TRAINING}: expected the videos of the training alone. Received: others, "
            f"too. Give them as paths, such as ./{TRAINING}."
        )
    others = [f"--{name}" for name in _OTHERS if getattr(arguments, name)]
    if others or len(arguments.runs) > 1:
        raise Mistake(
            "--runtime, --precision, --threads and --calibrate evaluate the steps of one network. "
            f"Expected no other kind of evaluation. Received: {others[0] if others else 'several'}"
            f"{'' if others else ' runs'}. Leave it out."
        )
    check_precision(arguments)


def evaluate_compiled(
    arguments: argparse.Namespace,
    config: "ConfigDict",
    experiment: "Experiment",
    checkpoint: "pathlib.Path | None",
) -> None:
    """Evaluate the network and its compiled form; print and write the metrics of both."""
    from mpvn.report.table import text_table
    from mpvn.training import as_json, evaluate

    before = evaluate(experiment, checkpoint)
    compiled, text = _compile(arguments, config, experiment)

    def outputs(clips: "tf.Tensor") -> Any:
        return compiled.run(clips, compiled.initial_state(len(clips)))[0]

    after = evaluate(experiment, outputs=outputs)
    print(experiment.network.plan)
    rows = [
        {"metric": name, "network": f"{before[name]:.4f}", text: f"{after[name]:.4f}"}
        for name in after
    ]
    print(text_table(rows))
    changes = compiled.quantization
    if arguments.json:
        results = {"config": as_json(config), "metrics": after, "network_metrics": before}
        write_json(arguments.json, {**results, "quantization": changes and changes.to_json()})


def _compile(
    arguments: argparse.Namespace, config: "ConfigDict", experiment: "Experiment"
) -> "tuple[CompiledNetwork, str]":
    """Return the compiled network, and what runs it."""
    network = experiment.network
    with as_mistakes():
        choice = _choice(arguments, config, experiment)
        network.check_streams()
        print(f"compiling {network.name} ...", file=sys.stderr)
        running = choice.run(network)
    if running.network is network:
        raise Mistake(f"No compiled runtime can run {network.name}: {running.remark}.")
    changes = running.network.quantization
    say_running(network.name, running.text, running.remark, changes)
    return running.network, running.text


def _choice(
    arguments: argparse.Namespace, config: "ConfigDict", experiment: "Experiment"
) -> "RuntimeChoice":
    from mpvn.models.loading import LoadedModel
    from mpvn.training import RunFolder
    from mpvn.training.build.clips import TrainingClips

    network: Any = experiment.network
    if network.metadata is None and arguments.runs:
        data = RunFolder(arguments.runs[0]).data
        network.metadata = data and data.metadata
    if arguments.calibrate != [TRAINING]:
        return calibrated_choice(arguments, LoadedModel.of(network), network)
    clips = TrainingClips(config, experiment.training.videos)
    return dataclasses.replace(runtime_choice(arguments), calibration=clips)
