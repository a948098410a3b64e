"""`mpvn tf-serving`: write what TensorFlow Serving needs beside exported networks."""

import argparse

from mpvn.cli.mistakes import as_mistakes
from mpvn.cli.parsers import Commands, add_command
from mpvn.cli.paths import Output, declare_paths
from mpvn.cli.startup import import_tensorflow

EXAMPLES = """\
mpvn tf-serving served
mpvn tf-serving served --batch 8 --wait-ms 5"""

_CONFIGS = Output(files=("models.config", "batching.config"))


def add_parser(commands: Commands) -> None:
    """Add `mpvn tf-serving`."""
    summary = "write configs and warm-up records for TensorFlow Serving, and print its command"
    parser = add_command(commands, "tf-serving", run, summary, EXAMPLES)
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        help="the folder of exported networks, each in NAME/VERSION, such as actions/1",
    )
    parser.add_argument(
        "--batch",
        type=int,
        default=32,
        metavar="N",
        help="the most streams that are computed at once, where the state goes in and out "
        "(default: %(default)s; 1 turns batching off)",
    )
    parser.add_argument(
        "--wait-ms",
        type=float,
        default=2.0,
        metavar="MS",
        help="how long a frame waits for those of other streams (default: %(default)s)",
    )
    declare_paths(parser, writes={"FOLDER": _CONFIGS})


def run(arguments: argparse.Namespace) -> int:
    """Write the files and print what to run."""
    import_tensorflow()
    with as_mistakes():
        from mpvn.serving.tf_serving import as_shell, docker_command, write_tf_serving

        served = write_tf_serving(arguments.folder, arguments.batch, arguments.wait_ms)
        command = docker_command(arguments.folder)
    for each in served:
        print(f"{each.name} version {each.version}: {_words(each)}")
    print(
        f"\nServe them on this machine, gRPC on port 8500 and REST on 8501:\n\n{as_shell(command)}"
    )
    return 0


def _words(served) -> str:
    if served.form is None:
        return "not exported by mpvn: served as it is, without batches and warm-up"
    batches = f"batches of up to {served.batches[-1]}" if served.batches else "no batches"
    streams = 2**30 // served.bytes_per_stream
    return (
        f"{served.form}, {served.bytes_per_stream:,} bytes per stream ({streams:,} streams per "
        f"GiB); {batches}; {served.records} warm-up records"
    )
