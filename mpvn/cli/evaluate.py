"""`mpvn eval`: evaluate one run, several runs and their fusion, or compare their early answers.

Without a run, it evaluates a network that was trained elsewhere: a checkpoint, or a saved network.
"""

import argparse
import pathlib
import sys
from typing import TYPE_CHECKING

from mpvn.cli import compiled_evaluation, drawings, given, predictions
from mpvn.cli.metrics import print_metrics, write_json
from mpvn.cli.mistakes import Mistake, as_mistakes
from mpvn.cli.parsers import Commands, add_command
from mpvn.cli.paths import JSON, PICTURES, REPORT, SVG, TABLE, check_paths, declare_paths
from mpvn.cli.runtimes import add_runtime_options
from mpvn.cli.startup import import_tensorflow
from mpvn.files import write_atomically

if TYPE_CHECKING:
    from ml_collections import ConfigDict

    from mpvn.training import Experiment

EXAMPLES = """\
mpvn eval runs/rendered_keypoints
mpvn eval runs/rendered_keypoints --config.plan.subnetworks=4 --config.task.latency=2
mpvn eval runs/rendered_keypoints --runtime openvino --precision int8 --calibrate training
mpvn eval runs/tsm_rendered_actions --views --config.views.clips=2
mpvn eval runs/tsm_jester_mobilenet_v2 --early early.svg --activations maps
mpvn eval runs/tsn runs/trn runs/tsm --early early.svg
mpvn eval runs/finetune_tsm --report report
mpvn eval runs/rgb runs/flow --views --fusion-weights 1,1.5
mpvn eval runs/tsm runs/tsn --views --cost cost.svg --activations maps --highlight 20
mpvn eval --model tsm_resnet50 --weights FILE.pth --data kinetics400 --config.data.path=k400 --views
mpvn eval --model network.keras --data folder --config.data.path=clips --predictions scores.csv
mpvn eval runs/jester --submission jester.csv --config.data.evaluation.split=test"""


def add_parser(commands: Commands) -> None:
    """Add `mpvn eval`."""
    summary = "evaluate a trained network, also rewired to another plan without training"
    parser = add_command(commands, "eval", run, summary, EXAMPLES)
    parser.add_argument(
        "runs",
        metavar="RUN",
        nargs="*",
        help="the folder of a run. Several runs are evaluated, each with its own config: with "
        "--views, they are fused (RGB and optical flow, or clips of 8 and 16 frames); with "
        "--early, they share a figure",
    )
    given.add_arguments(parser)
    protocol = parser.add_mutually_exclusive_group()
    protocol.add_argument(
        "--views",
        action="store_true",
        help="actions: average several clips and crops of each video (config.views)",
    )
    protocol.add_argument(
        "--early",
        metavar="FILE",
        help="actions, streaming networks: accuracy after 10 to 100 percent of each video, also "
        "drawn as SVG",
    )
    parser.add_argument(
        "--fusion-weights",
        metavar="W,W,...",
        help="several runs: the weight of each run's scores (default: equal weights)",
    )
    add_runtime_options(parser)  # --calibrate also takes the training videos
    drawings.add_arguments(parser)
    predictions.add_arguments(parser)
    parser.add_argument("--checkpoint", choices=["best", "last"], default="best")
    parser.add_argument("--json", metavar="FILE", help="also write config and metrics as JSON")
    parser.set_defaults(takes_overrides=True)
    declare_paths(
        parser,
        reads=["--model", "--weights", "--config", "--calibrate"],
        runs=["RUNS"],
        writes={
            "--json": JSON,
            "--early": SVG,
            "--activations": PICTURES,
            "--cost": SVG,
            "--predictions": TABLE,
            "--report": REPORT,
            "--submission": TABLE,
        },
    )


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, and print and write the metrics."""
    given.check(arguments)
    several = len(arguments.runs) > 1 or arguments.fusion_weights
    only_drawn = _asks_for_activations_alone(arguments)
    compared = arguments.early is not None and not arguments.fusion_weights
    if several and not (arguments.views or compared or only_drawn):
        raise Mistake(
            "several runs are fused by their scores for views, or compared by their early answers "
            "or activations. Add --views, --early without --fusion-weights, or --activations alone."
        )
    drawings.check(arguments)
    if compiled_evaluation.is_wanted(arguments):
        compiled_evaluation.check(arguments)
    import_tensorflow(arguments.threads)
    with as_mistakes():
        if several and only_drawn:
            _draw(arguments)
        elif several and compared:
            _compare_early(arguments)
        elif several:
            _evaluate_together(arguments)
        else:
            _evaluate_one(arguments)
    return 0


def _asks_for_activations_alone(arguments: argparse.Namespace) -> bool:
    others = ("views", "early", "fusion_weights", "json", "cost")
    asked = predictions.are_wanted(arguments) or any(getattr(arguments, name) for name in others)
    return bool(arguments.activations) and not asked


def _build(
    arguments: argparse.Namespace,
) -> "tuple[list[ConfigDict], list[Experiment], list[pathlib.Path | None]]":
    """Return the configs of the runs, their networks, and their checkpoints; None without a run."""
    from mpvn.training import RunFolder, build, build_given, override

    if given.is_given(arguments):
        config = given.config_of(arguments)
        _check_config(arguments, config)
        arguments.runs = [config.model.name]  # its name in messages and pictures
        return [config], [build_given(config)], [None]
    folders = [RunFolder(run) for run in arguments.runs]
    configs = [override(folder.config(), arguments.overrides) for folder in folders]
    for config in configs:
        _check_config(arguments, config)
    experiments = [build(config, to_train=False) for config in configs]
    predictions.check_report(arguments, experiments[0])
    return configs, experiments, [getattr(folder, arguments.checkpoint) for folder in folders]


def _check_config(arguments: argparse.Namespace, config: "ConfigDict") -> None:
    """Check that the outputs spare what the config reads, and fit its data set."""
    from mpvn.training.run_folder import as_json, flat

    check_paths(arguments, flat(as_json(config), "config."))
    predictions.check_wanted(arguments, config.data.name)


def _draw(arguments: argparse.Namespace) -> None:
    from mpvn.training.evaluation import load_weights

    _, experiments, checkpoints = _build(arguments)
    for experiment, checkpoint in zip(experiments, checkpoints, strict=True):
        if checkpoint is not None:
            load_weights(experiment, checkpoint)
    drawings.write_activations(arguments, dict(zip(arguments.runs, experiments, strict=True)))


def _evaluate_one(arguments: argparse.Namespace) -> None:
    from mpvn.training import as_json, evaluate_clips, evaluate_views

    (config,), (experiment,), (checkpoint,) = _build(arguments)
    if compiled_evaluation.is_wanted(arguments):
        compiled_evaluation.evaluate_compiled(arguments, config, experiment, checkpoint)
        return
    if predictions.are_wanted(arguments):
        scores = (evaluate_views if arguments.views else evaluate_clips)(experiment, checkpoint)
        metrics = predictions.known_metrics(scores)
    else:
        scores, metrics = None, _metrics(arguments, experiment, checkpoint)
    print(experiment.network.plan)
    print_metrics(metrics)
    if experiment.evaluation.skipped:
        print(experiment.evaluation.report(), file=sys.stderr)
    if scores is not None:
        predictions.write_predictions(
            arguments, config.data.name, experiment.evaluation.videos, scores
        )
        predictions.write_report(arguments, experiment, scores)
    if arguments.json:
        write_json(arguments.json, {"config": as_json(config), "metrics": metrics})
    (run,) = arguments.runs
    drawings.write_cost(arguments, {run: experiment}, {run: metrics})
    drawings.write_activations(arguments, {run: experiment})


def _metrics(
    arguments: argparse.Namespace, experiment: "Experiment", checkpoint: pathlib.Path | None
) -> dict[str, float]:
    """Return metrics for whole videos, for views, or for the beginnings of videos."""
    from mpvn.report.early_recognition import early_recognition_figure
    from mpvn.training import evaluate, evaluate_early, evaluate_views
    from mpvn.training.build.task import check_labels

    check_labels(experiment.task, experiment.evaluation.videos)
    if arguments.views:
        return evaluate_views(experiment, checkpoint).metrics()
    if arguments.early is None:
        return evaluate(experiment, checkpoint)
    curve = evaluate_early(experiment, checkpoint)
    write_atomically(arguments.early, early_recognition_figure({experiment.network.name: curve}))
    print(f"written to {arguments.early}")
    return _early_metrics(curve)


def _early_metrics(curve: dict[int, float]) -> dict[str, float]:
    return {f"accuracy at {percent} %": accuracy for percent, accuracy in curve.items()}


def _compare_early(arguments: argparse.Namespace) -> None:
    from mpvn.report.early_recognition import early_recognition_figure
    from mpvn.training import as_json, evaluate_early
    from mpvn.training.build.task import check_labels

    configs, experiments, checkpoints = _build(arguments)
    curves: dict[str, dict[int, float]] = {}
    for run, experiment, checkpoint in zip(arguments.runs, experiments, checkpoints, strict=True):
        check_labels(experiment.task, experiment.evaluation.videos)
        curves[run] = evaluate_early(experiment, checkpoint)
        print(run)
        print_metrics(_early_metrics(curves[run]))
    write_atomically(arguments.early, early_recognition_figure(curves))
    print(f"written to {arguments.early}")
    if arguments.json:
        rows = zip(curves.items(), configs, strict=True)
        runs = [
            {"run": run, "config": as_json(config), "metrics": _early_metrics(curve)}
            for (run, curve), config in rows
        ]
        write_json(arguments.json, {"runs": runs})
    drawings.write_activations(arguments, dict(zip(arguments.runs, experiments, strict=True)))


def _evaluate_together(arguments: argparse.Namespace) -> None:
    from mpvn.training import as_json, evaluate_ensemble
    from mpvn.training.build.task import check_labels

    weights = _weights(arguments.fusion_weights, len(arguments.runs))
    configs, experiments, checkpoints = _build(arguments)
    videos = experiments[0].evaluation.videos
    if not predictions.are_wanted(arguments):
        check_labels(experiments[0].task, videos)
    results, fused = evaluate_ensemble(experiments, checkpoints, weights)
    each = [result.metrics() if fused.labels is not None else {} for result in results]
    if fused.labels is not None:
        for run, metrics in zip(arguments.runs, each, strict=True):
            print(run)
            print_metrics(metrics)
    print(f"fused, weights {', '.join(f'{weight:g}' for weight in weights)}")
    together = predictions.known_metrics(fused)
    print_metrics(together)
    for reason in fused.skipped.values():
        print(f"skipped: {reason}", file=sys.stderr)
    predictions.write_predictions(arguments, configs[0].data.name, videos, fused)
    predictions.write_report(arguments, experiments[0], fused)
    if arguments.json:
        rows = zip(arguments.runs, configs, each, strict=True)
        runs = [
            {"run": run, "config": as_json(config), "metrics": metrics}
            for run, config, metrics in rows
        ]
        write_json(arguments.json, {"runs": runs, "fusion_weights": weights, "metrics": together})
    by_run = dict(zip(arguments.runs, experiments, strict=True))
    points = {**dict(zip(arguments.runs, each, strict=True)), "fused": together}
    drawings.write_cost(arguments, by_run, points)
    drawings.write_activations(arguments, by_run)


def _weights(text: str | None, runs: int) -> list[float]:
    """Return one weight per run, parsed from text such as "1,1.5"; equal weights for None."""
    from mpvn.tasks.fusion import fusion_weights

    if not text:
        return fusion_weights(runs, None)
    try:
        weights = [float(weight) for weight in text.split(",")]
    except ValueError:
        raise ValueError(
            f"--fusion-weights: expected numbers such as 1,1.5. Received: {text!r}"
        ) from None
    return fusion_weights(runs, weights)
