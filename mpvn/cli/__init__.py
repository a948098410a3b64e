"""The command `mpvn`: thin calls of public functions.

    mpvn plan MODEL       what a plan of the model looks like and costs
    mpvn stream VIDEO     a video, camera or network stream through a model, frame by frame
    mpvn export MODEL     a SavedModel that streams without this package
    mpvn models           the published networks, their plans and options
    mpvn train            a network, as a config says
    mpvn eval RUN         a trained network, also under another plan; several together
    mpvn sweep            a grid of runs, accuracy against speed
    mpvn demo             a network trained, made parallel, streamed, with a report

A user's mistake ends with one message and exit code 2.
"""

import argparse
import ast
import contextlib
import inspect
import itertools
import json
import os
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from absl import app, logging
from absl.flags import argparse_flags

EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130
EXIT_PIPE_CLOSED = 141


_PLAN_OPTIONS = ("subnetworks", "boundaries", "partition", "clocks", "phases", "head")

MODEL_HELP = "a .keras file, a published network (see mpvn models), or a keras.applications name"


class _Mistake(Exception):
    """Something the user can mend; its message is all that is shown."""


def main() -> None:
    """Entry point of the console script."""
    app.run(_run, flags_parser=_parse)


def _run(arguments: argparse.Namespace) -> int:
    logging.set_verbosity(logging.ERROR)
    try:
        return arguments.command(arguments)
    except _Mistake as mistake:
        print(f"mpvn: {mistake}", file=sys.stderr)
        return EXIT_MISTAKE
    except KeyboardInterrupt:
        print("mpvn: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # who read our output, `head` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE_CLOSED


@contextlib.contextmanager
def _mistakes() -> Iterator[None]:
    """Within it, what our code refuses is the user's to mend."""
    try:
        yield
    except BrokenPipeError:
        raise
    except (ValueError, TypeError, OSError, ImportError) as refused:
        raise _Mistake(str(refused)) from refused


# --- commands -------------------------------------------------------------------------------


def _plan(arguments: argparse.Namespace) -> int:
    frames = arguments.training
    if arguments.training_figure and frames is None:
        raise _Mistake("--training-figure needs the number of frames: give --training M, too")
    _, plan = _model_and_plan(arguments)
    from mpvn.files import write_atomically
    from mpvn.report import architecture_figure
    from mpvn.report.summary import summary
    from mpvn.report.training_schedule import training_schedule_figure, training_schedule_text

    print(plan)
    print()
    for name, value in summary(plan).items():
        print(f"{name:<34} {value}")
    with _mistakes():
        if frames is not None:
            columns = shutil.get_terminal_size().columns
            print(f"\n{training_schedule_text(plan.subnetworks, frames, columns)}")
        if arguments.json:
            write_atomically(arguments.json, json.dumps(plan.get_config(), indent=1) + "\n")
            print(f"\nwritten to {arguments.json}")
        if arguments.figure:
            write_atomically(arguments.figure, architecture_figure(plan))
            print(f"\nwritten to {arguments.figure}")
        if arguments.training_figure:
            drawn = training_schedule_figure(plan.subnetworks, frames)
            write_atomically(arguments.training_figure, drawn)
            print(f"\nwritten to {arguments.training_figure}")
    return 0


def _stream(arguments: argparse.Namespace) -> int:
    from mpvn.data import LiveSource, VideoError, VideoReader, VideoWriter

    source = arguments.video
    if arguments.frames is not None and arguments.frames < 1:
        raise _Mistake(f"--frames must be at least 1, got {arguments.frames}")
    frame_model, plan = _model_and_plan(arguments)
    is_file = pathlib.Path(source).exists() and not source.startswith("/dev/")
    is_live = arguments.realtime or not is_file
    try:
        with contextlib.ExitStack() as stack:
            with _mistakes():
                strict = not arguments.skip_damage
                size = frame_model.size
                reader = VideoReader(source, size=size, fps=arguments.fps, strict=strict)
                stack.enter_context(reader)
                writer = None
                if arguments.output:
                    writer = VideoWriter(arguments.output, fps=reader.fps or 25)
                    stack.enter_context(writer)
            frames: Any = reader
            if is_live:
                frames = stack.enter_context(LiveSource(reader, realtime=arguments.realtime))
            stream = _network_stream(plan, frame_model)
            _consume(stream, frames, reader.frame_count, arguments.frames, writer)
    except VideoError as broken:  # the source while it is read, or the output when it is closed
        raise _Mistake(str(broken)) from broken
    _print_statistics(stream.statistics, frames.dropped if is_live else None)
    if arguments.output:
        print(f"written to {arguments.output}")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    frame_model, plan = _model_and_plan(arguments)
    from mpvn.network import VideoNetwork

    with _mistakes():
        VideoNetwork(frame_model.model, plan).export(arguments.path)
    print(f"written to {arguments.path}: signatures init_states, step, clip")
    return 0


def _train(arguments: argparse.Namespace) -> int:
    _quiet_tensorflow()
    from mpvn.report.run import write_run_report
    from mpvn.training import Interrupted, build, load_config, train

    with _mistakes():
        config = load_config(arguments.config, arguments.overrides)
        if arguments.trainer:
            config.training.trainer = arguments.trainer
        run = arguments.run or pathlib.Path("runs") / pathlib.Path(arguments.config).stem
        try:
            folder = train(config, run)
        except Interrupted as interrupted:
            print(f"mpvn: {interrupted}", file=sys.stderr)
            return EXIT_INTERRUPTED
        *_, last = folder.rows()
        _print_metrics(last)
        for reason in folder.skipped.values():
            print(f"left out: {reason}", file=sys.stderr)
        report = write_run_report(folder, build(folder.config(), to_train=False))
        print(f"written to {folder.path}; see {report}")
    return 0


def _eval(arguments: argparse.Namespace) -> int:
    _quiet_tensorflow()
    from mpvn.files import write_atomically
    from mpvn.training import RunFolder, as_json, build, override

    if len(arguments.runs) > 1 or arguments.fusion_weights:
        return _eval_together(arguments)
    with _mistakes():
        folder = RunFolder(*arguments.runs)
        config = override(folder.config(), arguments.overrides)
        experiment = build(config, to_train=False)
        found = _evaluated(arguments, experiment, getattr(folder, arguments.checkpoint))
        print(experiment.network.plan)
        _print_metrics(found)
        if experiment.evaluation.skipped:
            print(experiment.evaluation.report(), file=sys.stderr)
        if arguments.json:
            results = {"config": as_json(config), "metrics": found}
            write_atomically(arguments.json, json.dumps(results, indent=1) + "\n")
        if arguments.activations:
            from mpvn.report.activation_maps import write_activations

            for path in write_activations(experiment, arguments.activations):
                print(f"written to {path}")
    return 0


def _eval_together(arguments: argparse.Namespace) -> int:
    """Each of several runs, and their fusion."""
    from mpvn.files import write_atomically
    from mpvn.training import RunFolder, as_json, build, evaluate_ensemble, override

    if not arguments.views:
        raise _Mistake("several runs are fused by what they say of views: give --views, too")
    if arguments.activations:
        raise _Mistake("--activations is of one run: evaluate that one alone")
    with _mistakes():
        weights = _weights(arguments.fusion_weights, len(arguments.runs))
        folders = [RunFolder(run) for run in arguments.runs]
        configs = [override(folder.config(), arguments.overrides) for folder in folders]
        experiments = [build(config, to_train=False) for config in configs]
        checkpoints = [getattr(folder, arguments.checkpoint) for folder in folders]
        each, together = evaluate_ensemble(experiments, checkpoints, weights)
        for run, found in zip(arguments.runs, each, strict=True):
            print(run)
            _print_metrics(found.metrics())
        print(f"together, weights {', '.join(f'{weight:g}' for weight in weights)}")
        _print_metrics(together.metrics())
        for reason in together.skipped.values():
            print(f"left out: {reason}", file=sys.stderr)
        if arguments.json:
            rows = zip(arguments.runs, configs, each, strict=True)
            results = {
                "runs": [
                    {"run": run, "config": as_json(config), "metrics": found.metrics()}
                    for run, config, found in rows
                ],
                "fusion_weights": weights,
                "metrics": together.metrics(),
            }
            write_atomically(arguments.json, json.dumps(results, indent=1) + "\n")
    return 0


def _weights(text: str | None, runs: int) -> list[float]:
    """The weights of so many runs from "1,1.5"; all the same without."""
    from mpvn.tasks.fusion import fusion_weights

    try:
        asked = text and [float(weight) for weight in text.split(",")]
    except ValueError:
        raise ValueError(f"--fusion-weights must be numbers such as 1,1.5, got {text!r}") from None
    return fusion_weights(runs, asked or None)


def _evaluated(
    arguments: argparse.Namespace, experiment: Any, checkpoint: pathlib.Path
) -> dict[str, float]:
    """Metrics by whole videos or clips, by views, or by the share of the video that was seen."""
    from mpvn.files import write_atomically
    from mpvn.report.early_recognition import early_recognition_figure
    from mpvn.training import evaluate, evaluate_early, recognize_views

    if arguments.views:
        return recognize_views(experiment, checkpoint).metrics()
    if arguments.early is None:
        return evaluate(experiment, checkpoint)
    curve = evaluate_early(experiment, checkpoint)
    write_atomically(arguments.early, early_recognition_figure({experiment.network.name: curve}))
    print(f"written to {arguments.early}")
    return {f"accuracy at {percent} %": share for percent, share in curve.items()}


def _sweep(arguments: argparse.Namespace) -> int:
    _quiet_tensorflow()
    from mpvn.report.sweep import write_sweep_report
    from mpvn.training import hyperparameter_sweep as sweep

    with _mistakes():
        source = arguments.rewire or arguments.config
        if source is None:
            raise ValueError("give --config FILE to train, or --rewire RUN to evaluate that run")
        asked = dict(_grid_key(text) for text in arguments.grid)
        grid = asked or sweep.default_grid(source)
        folder = pathlib.Path(
            arguments.output or pathlib.Path("sweeps") / pathlib.Path(source).stem
        )
        cells = sweep.grid_cells(folder, source, grid, arguments.overrides)
        sweep.run_cells(cells, arguments.jobs)
        rows = sweep.collect(cells, grid)
        sweep.add_speeds(rows, cells)
        sweep.write_rows(folder / sweep.RESULTS, rows)
        print(f"{write_sweep_report(folder / 'report.html', rows, list(grid))} written")
    return 0


def _grid_key(text: str) -> tuple[str, list[str]]:
    """Key and values of KEY=VALUE,VALUE,..."""
    key, equals, values = text.partition("=")
    if not equals or not values:
        raise ValueError(
            f"--grid must be KEY=VALUE,VALUE such as plan.subnetworks=1,4, got {text!r}"
        )
    return key.removeprefix("config."), values.split(",")


def _print_metrics(found: Any) -> None:
    for name, value in found.items():
        print(f"{name:<20} {value:.4f}" if isinstance(value, float) else f"{name:<20} {value}")


def _models(arguments: argparse.Namespace) -> int:
    _quiet_tensorflow()
    from mpvn.models import PUBLISHED

    if arguments.table:
        import tqdm

        from mpvn.report.networks import published_table

        print(published_table(lambda rows: tqdm.tqdm(list(rows), unit="network")), end="")
        return 0
    for name, architecture in PUBLISHED.items():
        numbers = ", ".join(map(str, architecture.subnetworks))
        print(f"{name:<22} {architecture.paper}; subnetworks: {numbers}")
        if arguments.options:
            for option in inspect.signature(architecture.build).parameters.values():
                if option.name not in ("input_shape", "name", "options"):
                    print(f"    {option.name} = {option.default!r}")
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    _quiet_tensorflow()
    from mpvn.demo import run_demo

    with _mistakes():
        run_demo(
            arguments.output,
            video=arguments.video,
            subnetworks=arguments.subnetworks,
            frames=arguments.frames,
            steps=arguments.steps,
        )
    return 0


# --- what they share ------------------------------------------------------------------------


def _model_and_plan(arguments: argparse.Namespace) -> tuple[Any, Any]:
    _quiet_tensorflow()
    from mpvn.models import load_frame_model
    from mpvn.plan import Plan

    with _mistakes():
        frame_model = load_frame_model(
            arguments.model,
            arguments.size,
            arguments.weights,
            arguments.pixels,
            dict(_option(text) for text in arguments.option),
        )
        asked = [getattr(arguments, name) is not None for name in _PLAN_OPTIONS]
        if frame_model.plan is not None and not any(asked):
            return frame_model, frame_model.plan
        return frame_model, Plan(
            frame_model.model,
            arguments.subnetworks,
            boundaries=arguments.boundaries and arguments.boundaries.split(","),
            partition=arguments.partition or frame_model.partition,
            clocks=None if arguments.clocks == "none" else _list_or_word(arguments.clocks),
            phases=_list_or_word(arguments.phases),
            head=arguments.head,
        )


def _network_stream(plan: Any, frame_model: Any) -> Any:
    from mpvn.network import VideoNetwork
    from mpvn.streaming import Stream

    with _mistakes():
        network = VideoNetwork(frame_model.model, plan)
        print(f"tracing {frame_model.model.name} ...", file=sys.stderr)
        return Stream(network, frame_model.prepare)


def _consume(stream: Any, frames: Any, count: int | None, limit: int | None, writer: Any) -> None:
    """Runs the stream to its end, to `limit` frames, or until Ctrl-C."""
    import tqdm

    from mpvn.streaming import stream_frames
    from mpvn.tasks.overlay import annotate

    total = min((number for number in (count, limit) if number), default=None)
    steps = stream_frames(stream, itertools.islice(frames, limit))
    statistics = stream.statistics
    with contextlib.suppress(KeyboardInterrupt):
        for frame, outputs in tqdm.tqdm(steps, total=total, unit="frame", dynamic_ncols=True):
            if writer is not None:
                lines = [f"{1000 * statistics.latencies[-1]:.1f} ms"]
                writer.write(annotate(frame, outputs, lines))


def _print_statistics(statistics: Any, dropped: int | None) -> None:
    if not statistics.frames:
        print("no frames")
        return
    worst = 1000 * max(statistics.latencies)
    percentiles = ", ".join(f"{p} % {statistics.percentile(p):.1f}" for p in (50, 95, 99))
    print(
        f"{statistics.frames} frames in {statistics.seconds:.1f} s "
        f"({statistics.frames / statistics.seconds:.1f} frames/s with reading and drawing)\n"
        f"network: {statistics.frames_per_second:.1f} frames/s\n"
        f"latency of a step in ms: {percentiles}, worst {worst:.1f}"
    )
    if dropped is not None:
        print(f"dropped {dropped} frames that came faster than the network")


def _option(text: str) -> tuple[str, Any]:
    """Name and value of NAME=VALUE; a value that is no Python literal is taken as a word."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise ValueError(f"--option must be NAME=VALUE, such as classes=51, got {text!r}")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def _list_or_word(text: str | None) -> Any:
    """A list of ints from "1,2,4"; the word itself otherwise."""
    if text is None:
        return None
    parts = text.split(",")
    if all(part.strip().lstrip("-").isdigit() for part in parts):
        return [int(part) for part in parts]
    return text


def _quiet_tensorflow() -> None:
    """Imports TensorFlow without its start-up notes, some of which no setting turns off."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    screen = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_logical_devices()
        except BaseException:
            notes.seek(0)
            os.write(screen, notes.read())
            raise
        finally:
            os.dup2(screen, 2)
            os.close(screen)


# --- the parser -----------------------------------------------------------------------------


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse_flags.ArgumentParser(
        prog="mpvn",
        allow_abbrev=False,  # of TensorFlow's flags, which it inherits, some begin with "run"
        description="Video networks that keep up with the camera.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        "  mpvn demo\n"
        "  mpvn plan par_densenet --subnetworks 14\n"
        "  mpvn stream walk.mp4 --model MobileNetV2 --subnetworks 4 --clocks auto\n"
        "  mpvn COMMAND --help",
    )
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")
    _add_plan(commands)
    _add_stream(commands)
    _add_export(commands)
    _add_models(commands)
    _add_train(commands)
    _add_eval(commands)
    _add_sweep(commands)
    _add_demo(commands)
    arguments, overrides = parser.parse_known_args(argv[1:])
    if overrides and not hasattr(arguments, "takes_overrides"):
        parser.error(f"unrecognized arguments: {' '.join(overrides)}")
    arguments.overrides = overrides
    return arguments


def _add_plan(commands: Any) -> None:
    parser = _command(
        commands,
        "plan",
        _plan,
        "print a plan's grid, latencies and costs",
        "mpvn plan par_densenet --subnetworks 14 --figure par_densenet.svg\n"
        "  mpvn plan par_inception --option classes=400 --option clocks=False\n"
        "  mpvn plan ResNet50 --subnetworks 4 --partition balanced\n"
        "  mpvn plan my_model.keras --clocks 1,2,4 --subnetworks 3 --phases aligned\n"
        "  mpvn plan vgg8 --subnetworks 4 --training 8 --training-figure training.svg",
    )
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("--json", metavar="FILE", help="also write the plan as JSON")
    parser.add_argument("--figure", metavar="FILE", help="also draw the network as SVG")
    parser.add_argument(
        "--training",
        type=int,
        metavar="M",
        help="also print how back-propagation, GPipe and Sideways would train on M frames",
    )
    parser.add_argument(
        "--training-figure", metavar="FILE", help="also draw that as SVG (needs --training)"
    )
    _add_plan_options(parser)


def _add_stream(commands: Any) -> None:
    parser = _command(
        commands,
        "stream",
        _stream,
        "stream a video through a network, frame by frame",
        "mpvn stream walk.mp4 --model par_densenet --subnetworks 14 --output seen.mp4\n"
        "  mpvn stream walk.mp4 --model MobileNetV2 --subnetworks 4 --clocks auto\n"
        "  mpvn stream camera:0 --model my_model.keras --output seen.mp4\n"
        "  mpvn stream walk.mp4 --model my_network.keras --realtime",
    )
    parser.add_argument(
        "video", metavar="VIDEO", help="a file, a folder of images, camera:0, /dev/video0, or a URL"
    )
    parser.add_argument("--model", required=True, help=MODEL_HELP)
    parser.add_argument("--output", metavar="FILE", help="write an annotated video (.mp4)")
    parser.add_argument("--fps", type=float, help="convert the frame rate (default: as it is)")
    parser.add_argument("--frames", type=int, help="stop after this many frames")
    parser.add_argument(
        "--realtime", action="store_true", help="play a file at its own speed, dropping late frames"
    )
    parser.add_argument(
        "--skip-damage", action="store_true", help="stream what decodes of a damaged file"
    )
    _add_plan_options(parser)


def _add_export(commands: Any) -> None:
    parser = _command(
        commands,
        "export",
        _export,
        "write a SavedModel that streams without this package",
        "mpvn export MobileNetV2 served/1 --subnetworks 4 --clocks auto",
    )
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("path", metavar="FOLDER", help="the folder to write")
    _add_plan_options(parser)


def _add_models(commands: Any) -> None:
    parser = _command(
        commands,
        "models",
        _models,
        "list the published networks",
        "mpvn models\n  mpvn models --options\n  mpvn models --table > networks.md",
    )
    parser.add_argument(
        "--options", action="store_true", help="also list what --option can set, with defaults"
    )
    parser.add_argument(
        "--table", action="store_true", help="print their sizes, costs and latencies as Markdown"
    )


def _add_train(commands: Any) -> None:
    parser = _command(
        commands,
        "train",
        _train,
        "train a network, or go on with a run that was stopped",
        "mpvn train --config configs/rendered_keypoints.py\n"
        "  mpvn train --config configs/rendered_keypoints.py --run runs/wide "
        "--config.model.options.width=0.25\n"
        "  mpvn train --config configs/rendered_keypoints.py --config.plan.subnetworks=4\n"
        "  mpvn train --config configs/sideways_rendered_autoencoding.py --trainer sideways",
    )
    parser.add_argument("--config", required=True, metavar="FILE", help="a file of configs/")
    parser.add_argument("--run", metavar="FOLDER", help="default: runs/ and the config's name")
    parser.add_argument(
        "--trainer",
        choices=["bp", "gpipe", "sideways"],
        help="back-propagation of single frames, GPipe, or Sideways (config.training.trainer); "
        "without, what the config says: mostly exact gradients along time",
    )
    parser.set_defaults(takes_overrides=True)


def _add_eval(commands: Any) -> None:
    parser = _command(
        commands,
        "eval",
        _eval,
        "evaluate a trained network, also rewired to another plan without training",
        "mpvn eval runs/rendered_keypoints\n"
        "  mpvn eval runs/rendered_keypoints --config.plan.subnetworks=4 --config.task.latency=2\n"
        "  mpvn eval runs/tsm_rendered_actions --views --config.views.clips=2\n"
        "  mpvn eval runs/tsm_jester_mobilenet_v2 --early early.svg --activations seen\n"
        "  mpvn eval runs/rgb runs/flow --views --fusion-weights 1,1.5",
    )
    parser.add_argument(
        "runs",
        metavar="RUN",
        nargs="+",
        help="the folder of a run; several, with --views, are evaluated each by its own config and "
        "all together: streams of RGB and optical flow, or clips of 8 and 16 frames",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--views",
        action="store_true",
        help="of actions: average several clips and crops of each video (config.views)",
    )
    how.add_argument(
        "--early",
        metavar="FILE",
        help="of actions, by a network that streams: accuracy after 10 to 100 percent of each "
        "video, also drawn as SVG",
    )
    parser.add_argument(
        "--fusion-weights",
        metavar="W,W,...",
        help="with several runs: how much the scores of each count (default: all the same)",
    )
    parser.add_argument(
        "--activations",
        metavar="FOLDER",
        help="of actions: also write what the network sees of them in three videos",
    )
    parser.add_argument("--checkpoint", choices=["best", "last"], default="best")
    parser.add_argument("--json", metavar="FILE", help="also write config and metrics as JSON")
    parser.set_defaults(takes_overrides=True)


def _add_sweep(commands: Any) -> None:
    parser = _command(
        commands,
        "sweep",
        _sweep,
        "train or evaluate a grid of runs, measure their speed, draw accuracy against speed",
        "mpvn sweep --config configs/rendered_keypoints.py --grid plan.subnetworks=1,4 "
        "--grid task.latency=0,2 --grid seed=0,1,2\n"
        "  mpvn sweep --config configs/par_densenet_pose.py --config.data.path=VIDEOS\n"
        "  mpvn sweep --rewire runs/rendered_keypoints --grid plan.subnetworks=1,2,4,8",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--config", metavar="FILE", help="a file of configs/, to train")
    source.add_argument("--rewire", metavar="RUN", help="a run, to evaluate under other plans")
    parser.add_argument(
        "--grid",
        action="append",
        default=[],
        metavar="KEY=VALUE,VALUE",
        help="values of a key to try; may be repeated (default: get_grid() of the config)",
    )
    parser.add_argument("--output", metavar="FOLDER", help="default: sweeps/ and the source's name")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time (default: 1)")
    parser.set_defaults(takes_overrides=True)


def _add_demo(commands: Any) -> None:
    parser = _command(
        commands,
        "demo",
        _demo,
        "train a network, make it parallel, train that, stream a video, write an HTML report",
        "mpvn demo\n  mpvn demo --steps 600 --subnetworks 7 --output demo_long",
    )
    parser.add_argument("--video", help="your own video to watch (default: one is rendered)")
    parser.add_argument("--subnetworks", type=int, default=4, help="default: %(default)s")
    parser.add_argument("--frames", type=int, default=96, help="default: %(default)s")
    parser.add_argument(
        "--steps", type=int, default=160, help="batches of training (default: %(default)s)"
    )
    parser.add_argument("--output", default="demo", metavar="FOLDER", help="default: %(default)s")


def _command(commands: Any, name: str, function: Any, what: str, examples: str) -> Any:
    parser = commands.add_parser(
        name,
        help=what,
        description=f"{what[0].upper()}{what[1:]}.",
        epilog=f"examples:\n  {examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=function)
    return parser


def _add_plan_options(parser: Any) -> None:
    group = parser.add_argument_group(
        "plan", "for a saved VideoNetwork, any of these replaces the plan that was saved with it"
    )
    group.add_argument("--subnetworks", type=int, help="parallel subnetworks (default: 1)")
    group.add_argument("--boundaries", metavar="A,B,...", help="the nodes where subnetworks begin")
    group.add_argument(
        "--partition",
        choices=["equal", "balanced", "units"],
        help="default: units for published networks, else equal",
    )
    group.add_argument(
        "--clocks",
        metavar="auto|none|1,2,...",
        help="clock rates (default: those of the model's temporal strides)",
    )
    group.add_argument(
        "--phases", metavar="aligned|chain|0,1,...", help="default: chain, aligned for 1 subnetwork"
    )
    group.add_argument("--head", metavar="NODE", help="the head's first node")
    group = parser.add_argument_group("model")
    group.add_argument("--size", type=int, help="frame size, not of saved models (default: 224)")
    group.add_argument(
        "--weights",
        help="not of saved models: imagenet (downloads), or a file, for tsm_* networks one of "
        "PyTorch; default: random",
    )
    group.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="what the network is built with, such as classes=51; may be repeated",
    )
    group.add_argument(
        "--pixels",
        choices=["0..255", "0..1", "-1..1"],
        default="",
        help="range of the input (default: the network's own; of saved models, -1..1 for a "
        "VideoNetwork, as mpvn train writes it, else 0..255)",
    )
