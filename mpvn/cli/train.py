"""`mpvn train`: train a network from a config."""

import argparse
import pathlib
import sys
from typing import TYPE_CHECKING

from mpvn.cli.clusters import add_cluster_option
from mpvn.cli.devices import add_devices_option
from mpvn.cli.metrics import print_metrics
from mpvn.cli.mistakes import as_mistakes
from mpvn.cli.parsers import Commands, add_command
from mpvn.cli.paths import RUN, check_paths, declare_paths
from mpvn.cli.startup import import_tensorflow, start_tensorflow
from mpvn.cli.supervision import add_supervision
from mpvn.cluster import supervised

if TYPE_CHECKING:
    from mpvn.training.data_parallel import Place

EXAMPLES = """\
mpvn train --config configs/rendered_keypoints.py
mpvn train --config configs/rendered_keypoints.py --run runs/wide --config.model.options.width=0.25
mpvn train --config configs/rendered_keypoints.py --config.plan.subnetworks=4
mpvn train --config configs/sideways_rendered_autoencoding.py --trainer sideways"""


def add_parser(commands: Commands) -> None:
    """Add `mpvn train`."""
    summary = "train a network, or resume a run that was interrupted"
    parser = add_command(commands, "train", run, summary, EXAMPLES)
    parser.add_argument("--config", required=True, metavar="FILE", help="a file of configs/")
    parser.add_argument(
        "--run", metavar="FOLDER", help="default: runs/ and the name of the config file"
    )
    parser.add_argument(
        "--trainer",
        choices=["bp", "gpipe", "sideways"],
        help="back-propagation of single frames, GPipe, or Sideways (config.training.trainer); "
        "default: from the config, usually exact gradients through time",
    )
    add_devices_option(parser)
    add_cluster_option(parser)
    parser.add_argument(
        "--task",
        type=int,
        metavar="K",
        help="the number of this process among the workers of the cluster, which all train: with "
        "--config.training.strategy=multi_worker (trusted network only; see docs/distributed.md)",
    )
    add_supervision(parser, lambda _: "training resumes from the checkpoint of batch {kept}")
    parser.set_defaults(takes_overrides=True)
    declare_paths(parser, reads=["--config", "--cluster"], writes={"--run": RUN})


def run(arguments: argparse.Namespace) -> int:
    """Train, print the last metrics, and write the report of the run."""
    # The workers of a data parallel run have no chief.
    chief_of = arguments.cluster if arguments.task is None else None
    import_tensorflow(cluster=chief_of, start=False)
    from mpvn.report.run import write_run_report
    from mpvn.training import Interrupted, as_json, build, load_config, train
    from mpvn.training.run_folder import flat

    with as_mistakes():
        config = load_config(arguments.config, arguments.overrides)
        if arguments.trainer:
            config.training.trainer = arguments.trainer
        if arguments.devices:
            config.plan.devices = arguments.devices
        place = _place(arguments)
        if place is None:  # else TensorFlow starts when the workers have met
            start_tensorflow(config.plan.devices, arguments.cluster)
        arguments.run = arguments.run or str(
            pathlib.Path("runs", pathlib.Path(arguments.config).stem)
        )
        check_paths(arguments, flat(as_json(config), "config."))
        try:
            folder = train(config, arguments.run, place)
        except Interrupted as interrupted:
            raise KeyboardInterrupt(str(interrupted)) from interrupted
        if place is not None and place.task:
            return 0  # the first worker reports
        supervised.takes_long()
        print_metrics(folder.last_evaluation)
        for reason in folder.skipped.values():
            print(f"skipped: {reason}", file=sys.stderr)
        for reason in folder.damaged.values():
            print(f"damaged in part: {reason}", file=sys.stderr)
        report = write_run_report(folder, build(folder.config(), to_train=False))
        print(f"written to {folder.path}; see {report}")
    return 0


def _place(arguments: argparse.Namespace) -> "Place | None":
    """Return where this process stands among those that train the run together; None if alone.

    Raises:
        ValueError: only one of --cluster and --task is given, or the file describes no cluster.
    """
    if arguments.task is None:
        return None
    from mpvn.cluster import Cluster
    from mpvn.training.data_parallel import Place

    if arguments.cluster is None:
        raise ValueError(
            "--task numbers this process among the workers of a cluster. Expected --cluster FILE, "
            f"too. Received: --task {arguments.task} alone"
        )
    return Place(Cluster.read(arguments.cluster), arguments.task)
