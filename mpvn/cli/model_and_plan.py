"""The model and plan options that `plan`, `stream` and `export` share."""

import argparse
import dataclasses
import sys
from typing import TYPE_CHECKING, Any

from mpvn.cli.clusters import named_cluster
from mpvn.cli.devices import add_devices_option, named_devices, placed
from mpvn.cli.mistakes import as_mistakes
from mpvn.cli.runtimes import RUNTIME_OPTIONS, calibrate, check_threads, runtime_choice
from mpvn.cli.startup import import_tensorflow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from mpvn.models.loading import LoadedModel
    from mpvn.plan import Plan
    from mpvn.prediction.models import Model

    MakePlan: TypeAlias = Callable[[LoadedModel, Plan | None, dict[str, Any]], Plan]

MODEL_HELP = (
    "a .keras file, the folder of a run, a published network (see mpvn models), or a "
    "keras.applications name"
)

_PLAN_OPTIONS = (
    "plan",
    "subnetworks",
    "boundaries",
    "partition",
    "assignment",
    "clocks",
    "phases",
    "head",
)


def add_model_and_plan_options(parser: argparse.ArgumentParser, devices: bool = False) -> None:
    """Add the options that `load_model_and_plan` reads, besides the model itself.

    Args:
        parser: the parser of a command.
        devices: whether the command places subnetworks on devices.
    """
    _add_plan_options(parser, devices)
    _add_model_options(parser)


def _add_plan_options(parser: argparse.ArgumentParser, devices: bool) -> None:
    group = parser.add_argument_group(
        "plan", "a saved VideoNetwork keeps its plan unless one of these options is given"
    )
    group.add_argument(
        "--plan",
        metavar="FILE",
        help="a plan that mpvn plan --json has written, instead of the other options",
    )
    group.add_argument("--subnetworks", type=int, help="parallel subnetworks (default: 1)")
    group.add_argument("--boundaries", metavar="A,B,...", help="the first nodes of subnetworks 1..")
    group.add_argument(
        "--partition",
        choices=["equal", "balanced", "units", "branches"],
        help="default: units for published networks, else equal",
    )
    group.add_argument(
        "--assignment",
        metavar="NAME=NUMBER,...",
        help="subnetworks of nodes, units or beginnings of names, such as "
        "mixed_3b.b1=1,mixed_3b.b2=2, or a .json file",
    )
    group.add_argument(
        "--clocks",
        metavar="auto|auto:4|2*auto:4|none|1,2,...",
        help="clock rates: auto has slower ones where maps are smaller, auto:4 none above 4, and "
        "2*auto:4 twice these (default: from the model's temporal strides)",
    )
    group.add_argument(
        "--phases",
        metavar="aligned|chain|flat|fresh|0,1,...",
        help="flat searches for the least worst step, fresh for the newest outputs (default: "
        "aligned for published networks and for 1 subnetwork, else chain)",
    )
    group.add_argument(
        "--head",
        metavar="NODE|UNIT",
        help="start of a fresh head, which reads all subnetworks without delay (default: none)",
    )
    if devices:
        add_devices_option(group)


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model")
    group.add_argument("--size", type=int, help="frame size, not for saved models (default: 224)")
    group.add_argument(
        "--weights",
        help="not for saved models: imagenet or other published weights by name, which are "
        "downloaded (see mpvn models --weights), or a weights file, which for tsm_* may be a "
        "PyTorch file; default: random",
    )
    group.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="argument of the network's builder, such as classes=51; may be repeated",
    )
    group.add_argument(
        "--surgery",
        action="append",
        default=[],
        metavar="NAME[.OPTION=VALUE]",
        help="what to insert into the network: shift, inflate, shortcuts or recurrent, and their "
        "options, such as shift.divisor=4; may be repeated",
    )
    group.add_argument(
        "--pixels",
        choices=["0..255", "0..1", "-1..1", "caffe", "torch"],
        default="",
        help="range of the input values (default: what the network expects; for saved models, "
        "-1..1 for a VideoNetwork, as mpvn train writes it, else 0..255)",
    )


def load_model_and_plan(
    arguments: argparse.Namespace,
    make_plan: "MakePlan | None" = None,
    place: "Callable[[Plan, argparse.Namespace], Plan]" = placed,
) -> "tuple[LoadedModel, Plan]":
    """Load the model and build the plan from the command's arguments.

    Args:
        arguments: those of the command.
        make_plan: builds the plan from the loaded model, its own plan if it has one that no option
            replaces, and the options. None: that plan, or the one that the options describe.
        place: puts the plan on its devices; see `placed`.

    Raises:
        Mistake: If the model cannot be loaded or the plan is impossible.
    """
    import_tensorflow(
        getattr(arguments, "threads", None),
        named_devices(arguments),
        cluster=named_cluster(arguments),
    )
    from mpvn.models import load_frame_model
    from mpvn.models.surgery.operations import operate
    from mpvn.training.run_folder import network_file

    with as_mistakes():
        surgery = parse_surgery(arguments.surgery)
        loaded = load_frame_model(
            network_file(arguments.model),
            arguments.size,
            arguments.weights,
            arguments.pixels,
            _online(arguments.model, dict(_option(text) for text in arguments.option)),
        )
        loaded = dataclasses.replace(loaded, model=operate(loaded.model, surgery))
        has_plan_options = any(getattr(arguments, name) is not None for name in _PLAN_OPTIONS)
        kept = None if has_plan_options or surgery else loaded.plan
        if loaded.plan is not None and kept is None:
            loaded = _with_defaults_of_run(loaded, arguments.model)
        plan = (make_plan or _make_plan)(loaded, kept, _plan_options(arguments))
        return loaded, place(plan, arguments)


def load_model(arguments: argparse.Namespace) -> "Model":
    """Return what answers about frames: a model by a plan, or an exported SavedModel.

    Raises:
        Mistake: If the model cannot be loaded or the plan is impossible.
    """
    check_threads(arguments)
    import_tensorflow(arguments.threads, named_devices(arguments), cluster=named_cluster(arguments))
    from mpvn.models.applications import application_builders
    from mpvn.prediction.models import ExportedModel, NetworkModel, is_exported
    from mpvn.prediction.scoring import imagenet_names

    with as_mistakes():
        if is_exported(arguments.model):
            others = ("devices", "buffer", "size", "weights", "option", "surgery")
            options = (*_PLAN_OPTIONS, *RUNTIME_OPTIONS, *others)
            given = [f"--{name}" for name in options if getattr(arguments, name, None)]
            if given:
                raise ValueError(
                    f"{arguments.model}: a SavedModel has its plan, weights, size and runtime. "
                    f"Expected no option for them. Received: {', '.join(given)}. Leave them out"
                )
            return ExportedModel(arguments.model, arguments.pixels)
        loaded, plan = load_model_and_plan(arguments)
        warn_of_random_weights(loaded)
        _warn_of_guessed_pixels(loaded)
        is_image_network = arguments.model.lower() in application_builders()
        names = imagenet_names() if arguments.weights and is_image_network else ()
        choice = runtime_choice(arguments, getattr(arguments, "buffer", None))
        model = NetworkModel(loaded, loaded.network(plan), names, choice)
        calibrate(arguments, model)
        return model


def warn_of_random_weights(loaded: "LoadedModel") -> None:
    """Say that the answers of an untrained network mean nothing."""
    if loaded.random:
        print(
            f"{loaded.model.name} has random weights, so its outputs mean nothing (--weights FILE "
            "loads others; a trained network is a run or a .keras file)",
            file=sys.stderr,
        )


def _warn_of_guessed_pixels(loaded: "LoadedModel") -> None:
    """Say which pixels a saved image model is taken to be trained on."""
    from mpvn.models.surgery.frames import scales_pixels

    if loaded.guessed and not scales_pixels(loaded.model):
        print(
            f"{loaded.model.name} has no layer that tells which pixels it was trained on. 0..255 "
            "are taken (--pixels sets another range)",
            file=sys.stderr,
        )


def _online(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a network, by default those of its online form, which can stream."""
    from mpvn.models.loading import is_published
    from mpvn.models.published import PUBLISHED

    if not is_published(name) or not PUBLISHED[name.lower()].online:
        return options
    if "temporal_padding" in options or options.get("shift", True) is False:
        return options
    print(
        f"{name}: the online form, whose shifts see past frames only (--option "
        "temporal_padding=symmetric gives the offline form, for whole clips)",
        file=sys.stderr,
    )
    return {"temporal_padding": "causal", **options}


def parse_surgery(texts: "Sequence[str]") -> dict[str, dict[str, Any]]:
    """Return the surgery that texts such as "shift" and "shift.divisor=4" mean.

    Shifts and temporal filters see past frames only, unless the texts say otherwise.

    Raises:
        ValueError: a text has another form.
    """
    from mpvn.arguments import literal

    surgery: dict[str, dict[str, Any]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        name, dot, option = key.partition(".")
        if (
            bool(equals) != bool(dot)
            or not name.isidentifier()
            or dot
            and not option.isidentifier()
        ):
            raise ValueError(
                "--surgery: expected NAME or NAME.OPTION=VALUE, such as shift.divisor=4. "
                f"Received: {text!r}"
            )
        surgery.setdefault(name, {}).update({option: literal(value)} if dot else {})
    if "temporal_padding" not in surgery.get("shift", {"temporal_padding": None}):
        surgery["shift"]["temporal_padding"] = "causal"
        print(
            "shifts see past frames only (--surgery shift.temporal_padding=symmetric lets them see "
            "one frame ahead, for whole clips)",
            file=sys.stderr,
        )
    return surgery


def _with_defaults_of_run(loaded: "LoadedModel", name: str) -> "LoadedModel":
    """Return `loaded` with the defaults of plans that its run has in training and evaluation."""
    from mpvn.models.loading import plan_defaults
    from mpvn.training import RunFolder

    run = RunFolder.of_model(name)
    if run is None:
        return loaded
    return dataclasses.replace(loaded, plan_defaults=plan_defaults(run.config().model.name))


def _make_plan(loaded: "LoadedModel", kept: "Plan | None", options: dict[str, Any]) -> "Plan":
    return kept or loaded.make_plan(options)


def _plan_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of a plan; None for those that are not given."""
    return {
        "file": arguments.plan,
        "subnetworks": arguments.subnetworks,
        "boundaries": arguments.boundaries and arguments.boundaries.split(","),
        "partition": arguments.partition,
        "assignment": arguments.assignment,
        "clocks": None if arguments.clocks == "none" else _integers_or_text(arguments.clocks),
        "phases": _integers_or_text(arguments.phases),
        "head": arguments.head,
    }


def _option(text: str) -> tuple[str, Any]:
    """Return the name and value of NAME=VALUE."""
    from mpvn.arguments import literal

    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise ValueError(f"--option: expected NAME=VALUE, such as classes=51. Received: {text!r}")
    return name, literal(value)


def _integers_or_text(text: str | None) -> Any:
    """Return a list of integers for text such as "1,2,4"; any other text as it is."""
    parts = text.split(",") if text else []
    if parts and all(part.strip().lstrip("-").isdigit() for part in parts):
        return [int(part) for part in parts]
    return text
