"""`mpvn inspect`: say what an export, or a network, is."""

import argparse
import json
import pathlib
from typing import TYPE_CHECKING

from mpvn.cli.mistakes import Mistake, as_mistakes
from mpvn.cli.parsers import Commands, add_command
from mpvn.cli.paths import declare_paths
from mpvn.cli.startup import import_tensorflow

if TYPE_CHECKING:
    from mpvn.export.description import Description

EXAMPLES = """\
mpvn inspect served/1
mpvn inspect runs/finetune_tsm
mpvn inspect served/1 --json | jq .states"""


def add_parser(commands: Commands) -> None:
    """Add `mpvn inspect`."""
    summary = "say what an export or a network is: signatures, states, plan, latency, names"
    parser = add_command(commands, "inspect", run, summary, EXAMPLES)
    parser.add_argument(
        "path", metavar="PATH", help="the folder of an export, a .keras file, the folder of a run"
    )
    parser.add_argument("--json", action="store_true", help="print JSON: what mpvn.json has")
    declare_paths(parser, reads=["PATH"], writes={})


def run(arguments: argparse.Namespace) -> int:
    """Print the page, and compare the files with their checksums."""
    import_tensorflow()
    from mpvn.export.description import changed_files
    from mpvn.export.page import page

    with as_mistakes():
        description = _describe(arguments.path)
        changed = changed_files(arguments.path, description)
    print(json.dumps(description, indent=2) if arguments.json else page(description))
    if changed:
        received = ", ".join(f"{name} ({what})" for name, what in changed.items())
        raise Mistake(
            f"{arguments.path}: expected the files that the export wrote. Received other ones: "
            f"{received}. Export the network again, or copy the folder again."
        )
    if "files" in description and not arguments.json:
        count = len(description["files"])
        print(f"\n{count} file{'s' * (count != 1)}, all as they were written (SHA-256)")
    return 0


def _describe(path: str) -> "Description":
    """Return the description of an export, or of a network as it would be exported."""
    from mpvn.export.description import describe_network, is_described, read_description
    from mpvn.models import load_frame_model
    from mpvn.prediction.models import is_exported
    from mpvn.training.run_folder import network_file

    if is_described(path) or is_exported(path):
        return read_description(path)
    inside = [each for each in sorted(pathlib.Path(path).glob("*/")) if is_described(each)]
    if inside:
        raise ValueError(
            f"{path}: expected the folder of one export. Received: a folder with "
            f"{', '.join(each.name for each in inside[:5])} in it. Add one of these to the path."
        )
    loaded = load_frame_model(network_file(path))
    return describe_network(loaded.network(loaded.plan or loaded.make_plan({})))
